"""Query parameters of Binance's routes. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct

from api.binance.errors import (
    BAD_INTERVAL,
    ILLEGAL_CHARACTERS,
    MISSING_PARAMETER,
    UNREAD_PARAMETER,
    BinanceError,
)
from api.queries.history import MAX_US, MIN_US
from tickplant.intervals import CANDLE_INTERVALS

MAX_LIMIT: Final = 1000
_IGNORED: Final = frozenset({"timestamp", "recvWindow", "signature"})
"""What clients with a key add to every request."""

ParametersT = TypeVar("ParametersT", bound="Parameters")


class Window(NamedTuple):
    """A range of time in microseconds since the epoch, inclusive to exclusive."""

    start_us: int
    end_us: int


class Parameters(Struct, frozen=True, rename="camel"):
    """Those of a route, with their defaults."""


class NoParameters(Parameters, frozen=True):
    """Those of a route that has none."""


class SymbolParameters(Parameters, frozen=True):
    """Those of a route of one symbol."""

    symbol: str


class TradesParameters(SymbolParameters, frozen=True):
    """Those of routes of trades."""

    limit: int = 500
    from_id: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    start_time: int | None = None
    end_time: int | None = None


class KlinesParameters(SymbolParameters, frozen=True):
    """Those of routes of candles."""

    interval: str
    limit: int = 500
    start_time: int | None = None
    end_time: int | None = None
    time_zone: str = "0"

    def check(self) -> None:
        """Raise a BinanceError if there are no such candles."""
        if self.interval not in CANDLE_INTERVALS:
            raise BinanceError(BAD_INTERVAL, "Invalid interval.")
        if self.time_zone not in ("0", "0:00", "+0:00", "00:00", "+00:00"):
            raise BinanceError(ILLEGAL_CHARACTERS, "timeZone: only UTC (0) is supported.")


class SymbolsParameters(Parameters, frozen=True):
    """Those of routes of one symbol, some or all."""

    symbol: str | None = None
    symbols: str | None = None
    """A JSON array of texts."""
    type: str = "FULL"
    permissions: str | None = None
    show_permission_sets: str | None = None
    symbol_status: str | None = None

    def names(self) -> list[str] | None:
        """Return the symbols requested; None for all.

        Raises:
            BinanceError: they are written otherwise.
        """
        if self.symbols is None:
            return None if self.symbol is None else [self.symbol]
        if self.symbol is not None:
            raise BinanceError(ILLEGAL_CHARACTERS, "Send either symbol or symbols, not both.")
        try:
            return msgspec.json.decode(self.symbols, type=list[str])
        except msgspec.DecodeError as error:
            raise BinanceError(
                ILLEGAL_CHARACTERS, 'symbols: send a JSON array such as ["BTCUSDT","ETHUSDT"].'
            ) from error


def parse(query: Mapping[str, Sequence[str]], kind: type[ParametersT]) -> ParametersT:
    """Parse the parameters of a request.

    Raises:
        BinanceError: one is missing, unknown, given twice or malformed.
    """
    names = {field.encode_name for field in msgspec.structs.fields(kind)}
    given = {name: values for name, values in query.items() if name not in _IGNORED}
    for name, values in given.items():
        if name not in names:
            raise BinanceError(
                UNREAD_PARAMETER, f"Not all sent parameters were read: there is no {name[:40]!r}."
            )
        if len(values) > 1 or not values[0]:
            raise _malformed(name)
    try:
        return msgspec.convert({name: values[0] for name, values in given.items()}, kind, strict=False)
    except msgspec.ValidationError as error:
        found = re.search(r"`\$\.(\w+)`|required field `(\w+)`", str(error))
        raise _malformed((found[1] or found[2]) if found else "symbol") from error


def page_length(limit: int) -> int:
    """Return how many rows a page has at most.

    Raises:
        BinanceError: the limit is not positive; one that is too large is lowered, as by Binance.
    """
    if limit < 1:
        raise BinanceError(ILLEGAL_CHARACTERS, "limit: send a number from 1 to 1000.")
    return min(limit, MAX_LIMIT)


def window(start_ms: int | None, end_ms: int | None) -> Window:
    """Return the range between two inclusive times in milliseconds; unbounded where one is not given."""
    start_us = MIN_US if start_ms is None else min(max(start_ms * 1000, MIN_US), MAX_US)
    end_us = MAX_US if end_ms is None else min(max((end_ms + 1) * 1000, MIN_US), MAX_US)
    return Window(start_us, end_us)


def _malformed(name: str) -> BinanceError:
    return BinanceError(
        MISSING_PARAMETER, f"Mandatory parameter {name!r} was not sent, was empty/null, or malformed."
    )
