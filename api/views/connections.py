"""JSON views of venue connections, the same over REST and websockets. Pure."""

from typing import Annotated, Literal, cast

from msgspec import Meta, Struct

from api.views.fields import SymbolName, Time
from tickplant.market import SymbolId
from tickplant.times import format_time
from tickplant.wire import ConnectionStatus

ConnectionState = Literal["connecting", "live", "refused", "down"]
ProblemState = Literal["refused", "unknown", "halted", "delisted", "silent"]


class ProblemView(Struct, frozen=True):
    """Why no trades of a symbol arrive."""

    symbol: SymbolName
    state: Annotated[
        ProblemState,
        Meta(
            description="`refused` by the venue; `unknown`, `halted` or `delisted`, by its list of symbols;"
            " `silent`: without trades for a long time."
        ),
    ]
    reason: str


class ConnectionView(Struct, frozen=True):
    """A connection to a venue, as its process last reported it."""

    name: Annotated[str, Meta(description="Venue, process and number.", examples=["binance/host:17/0"])]
    venue: str
    symbols: list[SymbolName]
    state: Annotated[
        ConnectionState,
        Meta(
            description="`connecting`; `live`; `down`: lost, and soon retried; `refused`: the venue"
            " accepts none of the symbols, which are requested again at long intervals."
        ),
    ]
    since: Time
    reason: Annotated[str | None, Meta(description="Why it is down or refused.")]
    problems: Annotated[
        list[ProblemView],
        Meta(description="Symbols without trades, even if the connection is live."),
    ] = []


def connection_view(connection: ConnectionStatus) -> ConnectionView:
    """Return the JSON view of a venue connection."""
    return ConnectionView(
        connection.name,
        connection.venue,
        [str(SymbolId(connection.venue, symbol)) for symbol in connection.symbols],
        cast(ConnectionState, connection.state),
        format_time(connection.since_us),
        connection.reason or None,
        [
            ProblemView(
                str(SymbolId(connection.venue, problem.symbol)),
                cast(ProblemState, problem.state),
                problem.reason,
            )
            for problem in connection.problems
        ],
    )
