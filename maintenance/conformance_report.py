"""The form of a conformance report; run this module to get its JSON schema."""

import json
import sys
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from tickplant.klines import COLUMNS
from tickplant.provenance import DataSource

FORMAT: Final = "tickplant-conformance-1"
"""Names the form of a report; another form will have another name."""

Cause = Literal[
    "trades removed by age",
    "rows lost",
    "candle differs from its trades",
    "before the first trade",
    "missing trades",
    "void ids",
    "rounding of the venue",
    "late trades",
    "unexplained",
]

CAUSES: Final[dict[Cause, str]] = {
    "trades removed by age": "The trades of the minute were removed by age, so that no cause can be told.",
    "rows lost": "Fewer trades are stored than the candle counts: the database has lost rows.",
    "candle differs from its trades": "The candle is not that of the trades stored of its minute.",
    "before the first trade": "Storing started within this minute or after it.",
    "missing trades": "Trade ids of the minute are listed as missing.",
    "void ids": "The venue's candle counts trades, for whose ids its history says that there are none.",
    "rounding of the venue": "Our values, rounded to the venue's decimal places, are the venue's.",
    "late trades": "Trades arrived after the minute had closed; the venue's candle may lack them.",
    "unexplained": "All ids are stored, and the candle is that of its trades.",
}
"""What each cause means. The first one that applies is a minute's."""


class Column(Struct, frozen=True):
    """A value in which a minute differs; decimals as the venue and we write them."""

    column: str
    venue: str
    ours: str


class MinuteDifference(Struct, frozen=True):
    """A minute that differs from the venue's."""

    open_time: str
    """RFC 3339, UTC."""
    kind: Literal["differs", "not stored"]
    cause: Cause
    complete: bool
    """Whether our candle is marked as complete."""
    missing_trades: int
    """Trade ids from the trade before the minute to the one after it that are listed as missing."""
    late_trades: int
    columns: list[Column]
    """Empty where the minute is not stored."""


class Minutes(Struct, frozen=True):
    """Minutes by how they compare."""

    compared: int
    """`matched`, `differing` and `not_stored` together."""
    matched: int
    differing: int
    not_stored: int
    """The venue had trades, and we have no candle."""
    not_given: int
    """The venue gives no candle: it had no trades, or gives no history that old."""
    not_closed: int
    """At the end of the requested time, not yet closed; they are not compared."""
    incomplete: int
    """Compared candles that are not marked as complete, matched or not."""
    late: int
    """Stored candles with trades that arrived after they had closed."""


class SymbolReport(Struct, frozen=True):
    """How the candles of one minute of one symbol compare with the venue's own."""

    symbol: str
    first: str
    """Start of the first minute that is compared; RFC 3339, UTC."""
    end: str
    """End of the last one."""
    minutes: Minutes
    trades: int
    """The sum of our candles' counts."""
    missing_trades: int
    """Trade ids that are listed as missing."""
    void_ids: int
    """Trade ids for which the venue has no trades."""
    causes: dict[Cause, int]
    """How many minutes each cause explains."""
    differences: list[MinuteDifference]

    @property
    def agrees(self) -> bool:
        """Whether every minute that was compared is the venue's."""
        return not self.differences


class ConformanceReport(Struct, frozen=True):
    """How stored candles compare with the venues' own."""

    format: Literal["tickplant-conformance-1"]
    version: str
    """Of tickplant."""
    source: DataSource
    """`live`, or `replay` or `synthetic` if trades and candles come from a sandbox."""
    agrees: bool
    """Whether every minute that was compared is the venue's."""
    columns: list[str]
    """What is compared, as far as the venue gives it."""
    symbols: list[SymbolReport]


def make_report(version: str, source: DataSource, symbols: Sequence[SymbolReport]) -> ConformanceReport:
    """Return the report of some symbols."""
    agrees = all(symbol.agrees for symbol in symbols)
    return ConformanceReport(FORMAT, version, source, agrees, list(COLUMNS), list(symbols))


def report_schema() -> dict[str, Any]:
    """Return the JSON schema of a report."""
    schema = msgspec.json.schema(ConformanceReport)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": FORMAT} | schema


if __name__ == "__main__":
    json.dump(report_schema(), sys.stdout, indent=2)
    sys.stdout.write("\n")
