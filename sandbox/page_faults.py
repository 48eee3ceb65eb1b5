"""Faults of a page of history: rows missing, foreign, or broken; or an unreadable page. Pure.

A page is a JSON array of rows, or one within an object's `result`. What holds no trades is left as it is.
"""

import random
import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec import Raw

from sandbox.faults import Fault
from sandbox.frame_faults import mistype

FOREIGN_IDS: Final = 5_000_000
"""How far the id of a foreign row is from the trade that it was made of."""
_MOST_OMITTED: Final = 3
_ID: Final = re.compile(rb'(?:"(?:trade_)?id":|,)([0-9]+)(?=[,}\]])')
"""An id of a row: a member's value, or the last of the numbers that stand alone in an array."""

Rows = list[bytes]


def tamper(body: bytes, fault: Fault, draw: random.Random) -> bytes:
    """Return the page with a fault in it."""
    if fault is Fault.HISTORY_UNREADABLE:
        return body[: len(body) // 2] if len(body) > 2 else b"<html>"
    corrupt = _CORRUPTIONS[fault]
    try:
        page = msgspec.json.decode(body, type=list[Raw] | dict[str, Raw])
        if isinstance(page, list):
            return _join(corrupt([bytes(row) for row in page], draw))
        result = msgspec.json.decode(page["result"], type=dict[str, Raw])
        (name,) = result.keys() - {"last"}
        rows = [bytes(row) for row in msgspec.json.decode(result[name], type=list[Raw])]
    except (msgspec.DecodeError, LookupError, ValueError):
        return body
    return msgspec.json.encode(page | {"result": result | {name: Raw(_join(corrupt(rows, draw)))}})


def _join(rows: Rows) -> bytes:
    return b"[" + b",".join(rows) + b"]"


def _omit(rows: Rows, draw: random.Random) -> Rows:
    """Leave some rows out that lie between others."""
    if len(rows) < 3:
        return rows
    start = draw.randrange(1, len(rows) - 1)
    return rows[:start] + rows[min(len(rows) - 1, start + draw.randint(1, _MOST_OMITTED)) :]


def _add_foreign(rows: Rows, draw: random.Random) -> Rows:
    """Add a row whose id is far from all others."""
    ids = list(_ID.finditer(rows[-1])) if rows else []
    if not ids:
        return rows
    found = ids[0] if rows[-1].startswith(b"{") else ids[-1]
    foreign = b"%d" % (int(found[1]) + FOREIGN_IDS)
    row = rows[-1][: found.start(1)] + foreign + rows[-1][found.end(1) :]
    return [row, *rows] if draw.random() < 0.5 else [*rows, row]


def _break(rows: Rows, draw: random.Random) -> Rows:
    """Give a value of one row another type."""
    if not rows:
        return rows
    place = draw.randrange(len(rows))
    row = rows[place]
    broken = mistype(row, draw) if row.startswith(b"{") else re.sub(rb'^\["[^"]*"', b"[null", row)
    return [*rows[:place], broken, *rows[place + 1 :]]


_CORRUPTIONS: Final[Mapping[Fault, Callable[[Rows, random.Random], Rows]]] = {
    Fault.HISTORY_OMITTING: _omit,
    Fault.HISTORY_FOREIGN: _add_foreign,
    Fault.HISTORY_BROKEN: _break,
}
