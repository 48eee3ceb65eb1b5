"""What the sandbox of a replay says of its tapes, and which of their symbols are to be stored."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar
from urllib.request import ProxyHandler, build_opener

import msgspec
from msgspec import Struct

from db.progress import TapeTrades
from tickplant.market import SymbolId

_DIRECTLY: Final = build_opener(ProxyHandler({}))
"""Whatever proxy is set: the sandbox runs on this machine."""
_TIMEOUT_S: Final = 10

AnswerT = TypeVar("AnswerT")


class Status(Struct, frozen=True):
    """How far the sandbox has come."""

    state: str
    sent: int


class Selection(Struct, frozen=True):
    """The symbols of a tape, by what becomes of them."""

    stored: tuple[SymbolId, ...]
    """On the tape, and asked for."""
    ignored: tuple[SymbolId, ...]
    """On the tape only."""
    absent: tuple[SymbolId, ...]
    """Asked for only."""


class _SymbolTape(Struct, frozen=True):
    trades: int
    ids: list[tuple[int, int]] | None
    first_time_us: int
    last_time_us: int


def select_symbols(tape: Iterable[SymbolId], asked: Sequence[SymbolId] | None) -> Selection:
    """Compare the symbols on a tape with those that are asked for.

    Args:
        tape: the symbols on it.
        asked: in any case of letters, unless the tape has the very name; None: all.
    """
    on_tape = sorted(tape)
    if asked is None:
        return Selection(tuple(on_tape), (), ())
    found = {symbol: _find(on_tape, symbol) for symbol in asked}
    stored = {symbol for symbols in found.values() for symbol in symbols}
    return Selection(
        tuple(sorted(stored)),
        tuple(symbol for symbol in on_tape if symbol not in stored),
        tuple(symbol for symbol, symbols in found.items() if not symbols),
    )


def _find(tape: Sequence[SymbolId], asked: SymbolId) -> list[SymbolId]:
    if asked in tape:
        return [asked]
    return [symbol for symbol in tape if str(symbol).lower() == str(asked).lower()]


async def read_status(rest_url: str) -> Status:
    """Ask the sandbox how far it has come.

    Raises:
        OSError: it does not answer.
    """
    return await _read(f"{rest_url}/sandbox/status", Status)


async def read_tape(rest_url: str, symbols: Sequence[SymbolId]) -> list[TapeTrades]:
    """Ask the sandbox what its tapes hold of some symbols.

    Raises:
        OSError: it does not answer.
    """
    tapes = await _read(f"{rest_url}/sandbox/tape", dict[str, _SymbolTape])
    return [
        TapeTrades(symbol, tape.trades, tape.ids, tape.first_time_us, tape.last_time_us)
        for symbol in symbols
        if (tape := tapes.get(str(symbol))) is not None
    ]


def join(symbols: Sequence[SymbolId]) -> str:
    """Return symbols as they stand in a message."""
    return ", ".join(map(str, symbols))


async def _read(url: str, kind: type[AnswerT]) -> AnswerT:
    def read() -> bytes:
        with _DIRECTLY.open(url, timeout=_TIMEOUT_S) as answer:
            body: bytes = answer.read()
            return body

    return msgspec.json.decode(await asyncio.to_thread(read), type=kind)
