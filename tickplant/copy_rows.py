"""Columns as rows of COPY, in text and binary.

Documentation: https://www.postgresql.org/docs/current/sql-copy.html. The format of NUMERIC is that of
`numeric_recv` in PostgreSQL's source.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from struct import pack
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from tickplant.columns import TradeColumns

_BINARY_HEAD: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_BINARY_TAIL: Final = b"\xff\xff"

_EPOCH_US: Final = 946_684_800_000_000
"""PostgreSQL's epoch: 2000-01-01."""
_NULL: Final = b"\xff\xff\xff\xff"

_SIDE_TEXTS: Final = {"b": "buy", "s": "sell", "-": "\\N"}


def copy_rows(columns: "TradeColumns") -> bytes:
    """Return COPY text; see `TradeColumns.copy_rows`."""
    head = f"{columns.venue}\t{columns.symbol}\t"
    ingest_us, ingest = -1, ""
    second = second_text = ""
    rows = []
    for trade_id, price, size, side, event_us, received_us in zip(
        columns.ids,
        columns.prices,
        columns.sizes,
        map(_SIDE_TEXTS.__getitem__, columns.sides),
        columns.event_times_us,
        columns.ingest_times_us,
        strict=True,
    ):
        if received_us != ingest_us:  # most trades share their read of the socket
            ingest_us = received_us
            digits = str(ingest_us).zfill(7)
            ingest = f"{_second_text(digits[:-6])}{digits[-6:]}+00\n"
        event = str(event_us)
        if event[:-6] != second:  # and their second
            second = event[:-6]
            second_text = _second_text(second)
        rows.append(f"{head}{trade_id}\t{price}\t{size}\t{side}\t{second_text}{event[-6:]}+00\t{ingest}")
    return "".join(rows).encode()


def join_rows(pieces: Sequence[bytes], row_format: Literal["binary", "text"]) -> bytes:
    """Return the input of one COPY, given rows of that format; empty if there are none."""
    if row_format == "binary" and pieces:
        return b"".join((_BINARY_HEAD, *pieces, _BINARY_TAIL))
    return b"".join(pieces)


def copy_binary_rows(columns: "TradeColumns") -> bytes:
    """Return binary rows; see `TradeColumns.copy_binary_rows`."""
    head = pack(">h", 8) + _field(columns.venue.encode()) + _field(columns.symbol.encode())
    sides = {
        letter: _NULL if text == "\\N" else _field(text.encode()) for letter, text in _SIDE_TEXTS.items()
    }
    return b"".join(
        [
            b"".join(
                (
                    head,
                    pack(">iq", 8, trade_id),
                    _field(_numeric(price)),
                    _field(_numeric(size)),
                    sides[side],
                    pack(">iqiq", 8, event_us - _EPOCH_US, 8, ingest_us - _EPOCH_US),
                )
            )
            for trade_id, price, size, side, event_us, ingest_us in zip(
                columns.ids,
                columns.prices,
                columns.sizes,
                columns.sides,
                columns.event_times_us,
                columns.ingest_times_us,
                strict=True,
            )
        ]
    )


def _field(value: bytes) -> bytes:
    return pack(">i", len(value)) + value


def _numeric(text: str) -> bytes:
    """Return a decimal as a NUMERIC: groups of four digits, as aligned to the point, without outer zeros."""
    whole, _, fraction = text.partition(".")
    whole = whole.rjust(-(-len(whole) // 4) * 4, "0")
    digits = whole + fraction.ljust(-(-len(fraction) // 4) * 4, "0")
    groups = [int(digits[i : i + 4]) for i in range(0, len(digits), 4)]
    weight = len(whole) // 4 - 1
    while groups and groups[0] == 0:
        del groups[0]
        weight -= 1
    while groups and groups[-1] == 0:
        del groups[-1]
    weight = weight if groups else 0
    return pack(f">hhHH{len(groups)}h", len(groups), weight, 0, len(fraction), *groups)


@lru_cache(maxsize=1024)
def _second_text(second: str) -> str:
    return f"{datetime.fromtimestamp(int(second), UTC):%Y-%m-%d %H:%M:%S}."
