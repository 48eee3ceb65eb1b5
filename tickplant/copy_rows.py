"""Columns as COPY text."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tickplant.columns import TradeColumns

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


@lru_cache(maxsize=1024)
def _second_text(second: str) -> str:
    return f"{datetime.fromtimestamp(int(second), UTC):%Y-%m-%d %H:%M:%S}."
