"""Changes by users that no worker can apply are poison, like any other entry that can't be understood."""

from typing import Any

import pytest

from db.bot.states import BotStates
from tickplant import wire
from tickplant.bot import Rules
from tickplant.derived import Alert, AlertChange, BotSwitch, Change
from tickplant.errors import PoisonError
from tickplant.streams import partition_of
from workers.partition_state import PartitionState
from workers.roles.bot import PartitionBots
from workers.roles.partition import PartitionRoles, StoredAlerts

PARTITIONS = 4
PARTITION = partition_of("binance", "AAAUSDT", PARTITIONS)


def make() -> PartitionState:
    alerts = StoredAlerts({}, {})
    bots = PartitionBots(PARTITION, Rules(), BotStates({}, None))
    return PartitionState(PARTITION, PARTITIONS, [], [], PartitionRoles(PARTITION, alerts=alerts, bots=bots))


def alert(**fields: Any) -> Alert:
    usual: dict[str, Any] = {
        "alert_id": "a",
        "version": 1,
        "user": "me",
        "venue": "binance",
        "symbol": "AAAUSDT",
    }
    return Alert(**(usual | {"kind": "above", "price": "10.5"} | fields))


def absorb(state: PartitionState, change: Change) -> None:
    state.absorb("1-1", {wire.CHANGE: wire.encode_change(change)}, published="0-0")


@pytest.mark.parametrize(
    "change",
    [
        AlertChange(alert(price="abc")),
        AlertChange(alert(price="NaN")),
        AlertChange(alert(price="-1")),
        AlertChange(alert(price="1" * 41)),
        AlertChange(alert(price=None)),
        AlertChange(alert(hysteresis="1e9")),
        AlertChange(alert(kind="silence", price=None)),
        AlertChange(alert(kind="percent_change", price=None, percent="1")),
        AlertChange(alert(kind="percent_change", price=None, percent="--1", window_s=60)),
        AlertChange(alert(symbol="BBBUSDT")),
        AlertChange(alert(symbol="A\0B")),
        AlertChange(alert(alert_id="a\0")),
        AlertChange(alert(note="\0")),
        AlertChange(alert(version=2**63)),
        BotSwitch(enabled=False, version=2**63),
    ],
)
def test_a_change_that_cannot_be_applied_is_poison_and_changes_nothing(change: Change) -> None:
    state = make()
    with pytest.raises(PoisonError):
        absorb(state, change)
    assert list(state.take_batch().derived) == []


def test_what_fits_is_applied_and_stored() -> None:
    state = make()
    absorb(state, AlertChange(alert()))
    absorb(
        state,
        AlertChange(alert(alert_id="b", kind="percent_change", price=None, percent="-2.5", window_s=60)),
    )
    absorb(state, BotSwitch(enabled=False, version=1))
    assert len(state.take_batch().derived) == 2
