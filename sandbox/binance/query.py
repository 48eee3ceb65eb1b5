"""The parameters of a REST request, read as Binance reads them, and the refusals where they are wrong."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from sandbox.binance.frames import VENUE
from sandbox.history import SandboxHistory
from sandbox.venue import SandboxMarket
from tickplant.market import SymbolId

_SYMBOL: Final = re.compile(r"[A-Z0-9_.-]{1,20}")
_NUMBER: Final = re.compile(r"[0-9]{1,20}")
_LAST_MILLISECOND: Final = 10**14
_MAX_LIMIT: Final = 1000


class RefusalError(Exception):
    """A request that gets an error object as its answer."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class Query(NamedTuple):
    """A request's parameters and what they are asked of."""

    market: SandboxMarket
    values: Mapping[str, str]
    micro: bool
    now_us: int
    """The venue's time."""
    weight_per_minute: int

    @property
    def history(self) -> SandboxHistory:
        """The trades of the mandatory `symbol`."""
        return self.market.history(known_symbol(self.market, self.mandatory("symbol")))

    @property
    def limit(self) -> int:
        """How many items are requested."""
        limit = self.number("limit")
        if limit == 0:
            raise RefusalError(-1130, "Data sent for parameter 'limit' is not valid.")
        return 500 if limit is None else min(limit, _MAX_LIMIT)

    def mandatory(self, name: str) -> str:
        """Return a mandatory parameter."""
        if name not in self.values:
            raise RefusalError(
                -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
            )
        return self.values[name]

    def number(self, name: str) -> int | None:
        """Return a whole number."""
        text = self.values.get(name)
        if text is None:
            return None
        if not _NUMBER.fullmatch(text):
            raise RefusalError(
                -1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'."
            )
        return int(text)

    def time_us(self, name: str) -> int | None:
        """Return a time that is given in milliseconds or microseconds."""
        time = self.number(name)
        return time * 1000 if time is not None and time < _LAST_MILLISECOND else time

    def until_us(self, name: str) -> int | None:
        """Return the first moment after a time that is inclusive and in either unit."""
        time = self.number(name)
        return None if time is None else (time + 1) * 1000 if time < _LAST_MILLISECOND else time + 1

    def in_unit(self, time_us: int) -> int:
        """Return a time in the unit that the client requested."""
        return time_us if self.micro else time_us // 1000


def read_values(query: str, known: frozenset[str]) -> dict[str, str]:
    """Read a query whose parameters are all known, each once and not empty."""
    pairs = parse_qsl(query, keep_blank_values=True)
    values = dict(pairs)
    if len(values) < len(pairs):
        raise RefusalError(-1101, "Duplicate values for a parameter detected.")
    for name, value in values.items():
        if not value:
            raise RefusalError(-1105, f"Parameter '{name}' was empty.")
    if values and not known:
        raise RefusalError(-1101, f"Too many parameters; expected '0' and received '{len(values)}'.")
    read = len(values.keys() & known)
    if read < len(values):
        raise RefusalError(
            -1104,
            f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{len(values)}'.",
        )
    return values


def known_symbol(market: SandboxMarket, name: str) -> SymbolId:
    """Return the symbol of a name."""
    if not _SYMBOL.fullmatch(name):
        raise RefusalError(
            -1100, "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'."
        )
    symbol = SymbolId(VENUE, name)
    if symbol not in market.symbols:
        raise RefusalError(-1121, "Invalid symbol.")
    return symbol


def read_names(text: str) -> list[str]:
    """Read a JSON array of names."""
    try:
        return msgspec.json.decode(text, type=list[str])
    except msgspec.DecodeError as error:
        legal = r'^\[("[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}){0,1}\]$'
        raise RefusalError(
            -1100, f"Illegal characters found in parameter 'symbols'; legal range is '{legal}'."
        ) from error
