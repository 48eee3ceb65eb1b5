"""Alert states, which a worker reads when it takes a partition, and writes in its transactions."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import asyncpg
from msgspec import msgpack

from db.bulk import execute_rows
from tickplant.derived import Alert, AlertState, Firing
from tickplant.market import SymbolId
from tickplant.times import to_datetime, to_us

_encode = msgpack.Encoder().encode
_decode = msgpack.Decoder(Alert).decode


class MinuteClose(NamedTuple):
    """The close of a minute with trades."""

    time_us: int
    """When the minute ended."""
    price: Decimal
    last_event_time_us: int
    last_trade_id: int
    """With the event time, it identifies the trade that made the close."""


async def read_alert_states(pool: asyncpg.Pool, partition: int) -> dict[SymbolId, list[AlertState]]:
    """Return the alerts of a partition's symbols.

    It includes those deleted recently, so that a late older change does not restore one.
    """
    rows = await pool.fetch(_READ_STATES, partition)
    states: defaultdict[SymbolId, list[AlertState]] = defaultdict(list)
    for definition, deleted, armed, done, number, fired_at in rows:
        alert = _decode(definition)
        fired_us = to_us(fired_at) if fired_at else None
        states[SymbolId(alert.venue, alert.symbol)].append(
            AlertState(alert, deleted, armed, done, number, fired_us)
        )
    return dict(states)


async def read_minute_closes(
    pool: asyncpg.Pool, partition: int, count: int, until_us: Mapping[SymbolId, int] | None = None
) -> dict[SymbolId, list[MinuteClose]]:
    """Return the closes of the newest closed minutes of a partition's symbols, oldest first.

    Args:
        pool: connections.
        partition: of the symbols.
        count: how many of each symbol.
        until_us: venue time that the roles of some symbols have reached, where they are behind the
            candles: minutes that end later are left out.
    """
    until = until_us or {}
    rows = await pool.fetch(
        _READ_CLOSES,
        partition,
        count,
        [venue for venue, _ in until],
        [symbol for _, symbol in until],
        [to_datetime(time_us) for time_us in until.values()],
    )
    return {SymbolId(venue, symbol): list(map(MinuteClose, *columns)) for venue, symbol, *columns in rows}


class AlertRows:
    """The rows of alerts that a transaction writes; implements `db.commit.DerivedRows`."""

    def __init__(
        self,
        partition: int,
        states: Sequence[AlertState],
        firings: Sequence[Firing],
        deliveries: Iterable[tuple[Firing, str]],
    ) -> None:
        """Create the rows.

        Args:
            partition: of the symbols.
            states: the full state of every alert that has changed, each once.
            firings: since the last transaction, in order.
            deliveries: firings to be delivered to a webhook, with its address.
        """
        self._partition = partition
        self._states = states
        self._firings = firings
        self._deliveries = deliveries

    async def write(self, connection: asyncpg.Connection, entry_id: str) -> None:
        """Write the rows, and delete the pending changes that they apply."""
        await execute_rows(connection, _WRITE_STATES, map(_state_values, self._states), self._partition)
        applied = [(state.alert.alert_id, state.alert.version) for state in self._states]
        await execute_rows(connection, _DELETE_APPLIED, applied)
        rows = map(_firing_values, self._firings)
        await execute_rows(connection, _WRITE_FIRINGS, rows, self._partition, entry_id)
        await execute_rows(
            connection,
            "insert into webhooks (alert_id, number, url, host)"
            " select * from unnest($1::text[], $2::int8[], $3::text[], $4::text[])",
            [
                (firing.alert_id, firing.number, url, urlsplit(url).hostname or "")
                for firing, url in self._deliveries
            ],
        )


def _state_values(state: AlertState) -> tuple[Any, ...]:
    alert = state.alert
    fired_at = None if state.fired_us is None else to_datetime(state.fired_us)
    return (
        alert.alert_id,
        alert.version,
        _encode(alert),
        state.deleted,
        state.armed,
        state.done,
        state.number,
        fired_at,
    )


def _firing_values(firing: Firing) -> tuple[Any, ...]:
    texts = firing.price, firing.value, firing.threshold
    return (
        firing.alert_id,
        firing.number,
        firing.user,
        firing.venue,
        firing.symbol,
        firing.kind,
        to_datetime(firing.event_time_us),
        firing.trade_id,
        *(None if text is None else Decimal(text) for text in texts),
        firing.note,
    )


# An alert deleted a day ago has no pending change any more.
_READ_STATES: Final = """
select definition, deleted, armed, done, number, fired_at from alert_state
where partition = $1 and (not deleted or stored_at > clock_timestamp() - interval '1 day')
"""

_READ_CLOSES: Final = """
select l.venue, l.symbol, c.*
from ledger l
left join unnest($3::text[], $4::text[], $5::timestamptz[]) as u (venue, symbol, until)
    on u.venue = l.venue and u.symbol = l.symbol
cross join lateral (
    select array_agg((extract(epoch from open_time) * 1000000)::int8 + 60000000 order by open_time),
        array_agg(close order by open_time),
        array_agg((extract(epoch from last_event_time) * 1000000)::int8 order by open_time),
        array_agg(last_trade_id order by open_time)
    from (
        select open_time, close, last_event_time, last_trade_id from closed_candles
        where venue = l.venue and symbol = l.symbol and "interval" = '1m'
            and open_time <= coalesce(u.until, 'infinity') - interval '1 minute'
        order by open_time desc limit $2
    ) newest
    having count(*) > 0
) c
where l.partition = $1
"""

_WRITE_STATES: Final = """
insert into alert_state (
    alert_id, partition, version, definition, deleted, armed, done, number, fired_at, stored_at
)
select alert_id, $1, version, definition, deleted, armed, done, number, fired_at, clock_timestamp()
from unnest(
    $2::text[], $3::int8[], $4::bytea[], $5::bool[], $6::bool[], $7::bool[], $8::int8[], $9::timestamptz[]
) as r (alert_id, version, definition, deleted, armed, done, number, fired_at)
on conflict (alert_id) do update set
    version = excluded.version, definition = excluded.definition, deleted = excluded.deleted,
    armed = excluded.armed, done = excluded.done, number = excluded.number, fired_at = excluded.fired_at,
    stored_at = excluded.stored_at
"""

_DELETE_APPLIED: Final = """
delete from alert_changes c using unnest($1::text[], $2::int8[]) as r (alert_id, version)
where c.alert_id = r.alert_id and c.version <= r.version
"""

_WRITE_FIRINGS: Final = """
insert into firings (
    partition, entry_id, alert_id, number, "user", venue, symbol, kind, event_time, trade_id, price, value,
    threshold, note
)
select $1, $2, * from unnest(
    $3::text[], $4::int8[], $5::text[], $6::text[], $7::text[], $8::text[], $9::timestamptz[], $10::int8[],
    $11::numeric[], $12::numeric[], $13::numeric[], $14::text[]
)
"""
