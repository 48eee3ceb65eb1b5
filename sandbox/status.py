"""The sandbox's status: that of all its venues together, and of each."""

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct

from sandbox.open_venue import OpenVenue, VenueStatus
from sandbox.source import State, SymbolStatus


class SandboxStatus(Struct, frozen=True):
    """The progress of all venues, together and one by one."""

    state: State
    sent: int
    total: int | None
    """Trades on the tapes; None where a venue generates trades without end."""
    symbols: dict[str, SymbolStatus]
    bans: int
    faults: dict[str, int]
    """How often each was injected."""
    venues: dict[str, VenueStatus]


def sum_up(venues: Mapping[str, OpenVenue]) -> SandboxStatus:
    """Return the status of all venues."""
    played = [venue.source.status() for venue in venues.values()]
    statuses = [venue.status(status) for venue, status in zip(venues.values(), played, strict=True)]
    totals = [status.total for status in played]
    return SandboxStatus(
        _state([status.state for status in played]),
        sum(status.sent for status in played),
        None if None in totals else sum(total or 0 for total in totals),
        {name: symbol for status in played for name, symbol in status.symbols.items()},
        sum(status.bans for status in statuses),
        dict(sum((Counter(status.faults) for status in statuses), Counter())),
        dict(zip(venues, statuses, strict=True)),
    )


def _state(states: Sequence[State]) -> State:
    """Return `waiting` if any venue still waits, `finished` if all have finished."""
    for state in ("waiting", "playing"):
        if state in states:
            return state
    return "finished"
