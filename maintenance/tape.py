"""What the sandbox of a replay reports about its tapes, and which of their symbols are to be stored."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar
from urllib.request import ProxyHandler, build_opener

import msgspec
from msgspec import Struct

from db.progress import TapeTrades
from tickplant.market import SymbolId

_WITHOUT_PROXY: Final = build_opener(ProxyHandler({}))
"""The sandbox runs on this machine, so proxy settings do not apply."""
_TIMEOUT_S: Final = 10

AnswerT = TypeVar("AnswerT")


class TapeStatus(Struct, frozen=True):
    """How far the sandbox has played its tapes."""

    state: str
    """`waiting` for subscriptions, `playing` or `finished`."""
    sent: int


class TapeSelection(Struct, frozen=True):
    """The symbols of a tape and those requested."""

    stored: tuple[SymbolId, ...]
    """On the tape and requested."""
    ignored: tuple[SymbolId, ...]
    """On the tape only."""
    absent: tuple[SymbolId, ...]
    """Requested only."""


class _SymbolTape(Struct, frozen=True):
    trades: int
    ids: list[tuple[int, int]] | None
    first_time_us: int
    last_time_us: int


def select_symbols(tape: Iterable[SymbolId], requested: Sequence[SymbolId] | None) -> TapeSelection:
    """Compare the symbols on a tape with those requested.

    Args:
        tape: the symbols on it.
        requested: case-insensitive, unless the tape has the exact name; None for all.
    """
    on_tape = sorted(tape)
    if requested is None:
        return TapeSelection(tuple(on_tape), (), ())
    found = {symbol: _find(on_tape, symbol) for symbol in requested}
    stored = {symbol for symbols in found.values() for symbol in symbols}
    return TapeSelection(
        tuple(sorted(stored)),
        tuple(symbol for symbol in on_tape if symbol not in stored),
        tuple(symbol for symbol, symbols in found.items() if not symbols),
    )


def _find(tape: Sequence[SymbolId], requested: SymbolId) -> list[SymbolId]:
    if requested in tape:
        return [requested]
    return [symbol for symbol in tape if str(symbol).lower() == str(requested).lower()]


async def read_tape_status(rest_url: str) -> TapeStatus:
    """Ask the sandbox how far it has played its tapes.

    Raises:
        OSError: it does not answer.
    """
    return await _read(f"{rest_url}/sandbox/status", TapeStatus)


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


async def _read(url: str, kind: type[AnswerT]) -> AnswerT:
    def read() -> bytes:
        with _WITHOUT_PROXY.open(url, timeout=_TIMEOUT_S) as answer:
            body: bytes = answer.read()
            return body

    return msgspec.json.decode(await asyncio.to_thread(read), type=kind)
