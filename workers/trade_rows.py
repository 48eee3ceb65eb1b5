"""Trades as COPY text."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from tickplant.market import SymbolId, Trade

_NULL: Final = "\\N"


def trade_rows(symbol: SymbolId, trades: Iterable[Trade]) -> list[str]:
    """Return COPY text, a line a trade, in the order of `db.commit.TRADE_COLUMNS`."""
    head = f"{symbol.venue}\t{symbol.symbol}\t"
    rows = []
    second = second_text = received_text = ""
    received_us = -1
    for trade in trades:
        event = str(trade.event_time_us)
        if event[:-6] != second:  # most trades share their second, and their ingest time
            second = event[:-6]
            second_text = _second_text(second)
        if trade.ingest_time_us != received_us:
            received_us = trade.ingest_time_us
            received = str(received_us).zfill(7)
            received_text = f"{_second_text(received[:-6])}{received[-6:]}+00\n"
        rows.append(
            f"{head}{trade.trade_id}\t{trade.price}\t{trade.size}\t{trade.side or _NULL}\t"
            f"{second_text}{event[-6:]}+00\t{received_text}"
        )
    return rows


@lru_cache(maxsize=1024)
def _second_text(second: str) -> str:
    return f"{datetime.fromtimestamp(int(second), UTC):%Y-%m-%d %H:%M:%S}."
