"""The widgets and the app that OpenBB Workspace shows. Pure.

Their members are described at https://docs.openbb.co/workspace/developers/json-specs/widgets-json-reference.
"""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from api.openbb.tables import AlertTableRow, CandleTableRow, GapTableRow, MarketTableRow, Number
from tickplant.intervals import BASE, CANDLE_INTERVALS
from tickplant.market import SymbolId

MOST_ROWS: Final = 1000
DEFAULT_ROWS: Final = 500
_CATEGORY: Final = "Market data"
_SECOND_MS: Final = 1000
_SIGNED: Final = ("change", "percent")
"""Columns of which positive numbers are green, and negative ones red."""


def widgets(symbols: Sequence[SymbolId]) -> dict[str, Any]:
    """Return all widgets by their names; the first symbol is shown first."""
    symbol = str(symbols[0]) if symbols else ""
    chart = {
        "type": "advanced_charting",
        "data": {"defaultSymbol": symbol, "updateFrequency": 5 * _SECOND_MS},
    }
    line = {"enabled": True, "chartType": "line", "cellRangeCols": {"line": ["open_time", "close"]}}
    return {
        "chart": _widget("Chart", "Candles with signals, alerts and the paper bot's fills.", "udf", 20)
        | chart,
        "candles": _widget("Candles", "The newest candles of a symbol, oldest first.", "candles", 12)
        | _table(CandleTableRow, chartView=line)
        | {"params": [_symbol(symbol), _interval(), _row_count()], "refetchInterval": 10 * _SECOND_MS},
        "market": _widget("Market", "Prices and changes of all symbols in the last 24 hours.", "market", 12)
        | _table(MarketTableRow)
        | {"refetchInterval": 5 * _SECOND_MS},
        "gaps": _widget("Gaps", "Trade ids that are or were missing, newest first.", "gaps", 9)
        | _table(GapTableRow)
        | {"params": [_row_count()], "refetchInterval": 60 * _SECOND_MS},
        "alerts": _widget("Alerts", "Price alerts, and how often they have fired.", "alerts", 9)
        | _table(AlertTableRow)
        | {"params": [_row_count()], "refetchInterval": 10 * _SECOND_MS},
    }


def apps(symbols: Sequence[SymbolId]) -> list[dict[str, Any]]:
    """Return one app with all widgets, two in a row."""
    places = {"chart": (0, 0), "candles": (20, 0), "market": (0, 20), "alerts": (20, 20), "gaps": (0, 32)}
    found = widgets(symbols)
    layout = [
        {"i": name, "x": left, "y": top, **found[name]["gridData"]} for name, (left, top) in places.items()
    ]
    return [
        {
            "name": "tickplant",
            "description": "Candles, prices, alerts and gaps of a tickplant.",
            "img": "",
            "img_dark": "",
            "img_light": "",
            "allowCustomization": True,
            "tabs": {"market": {"id": "market", "name": "Market", "layout": layout}},
            "groups": [],
        }
    ]


def options(symbols: Sequence[SymbolId]) -> list[dict[str, str]]:
    """Return symbols as the options of a parameter."""
    return [{"label": str(symbol), "value": str(symbol)} for symbol in symbols]


def _widget(name: str, description: str, endpoint: str, height: int) -> dict[str, Any]:
    return {
        "name": name,
        "description": description,
        "category": _CATEGORY,
        "source": ["tickplant"],
        "endpoint": endpoint,
        "gridData": {"w": 20, "h": height},
    }


def _table(kind: type[Struct], **more: Any) -> dict[str, Any]:
    """Return the members of a widget that shows rows of a kind."""
    columns = [_column(name, type_) for name, type_ in kind.__annotations__.items()]
    return {"type": "table", "data": {"table": {"showAll": True, "columnsDefs": columns, **more}}}


def _column(name: str, type_: Any) -> dict[str, Any]:
    numeric, boolean = type_ in (Number, int, int | None), type_ in (bool, bool | None)
    column: dict[str, Any] = {
        "field": name,
        "headerName": name.replace("_", " ").capitalize(),
        "cellDataType": "boolean" if boolean else "number" if numeric else "text",
        "chartDataType": "series" if numeric else "category",
    }
    if numeric:
        column["formatterFn"] = "none"  # all digits
    if name in _SIGNED:
        column["renderFn"] = "greenRed"
    return column


def _symbol(value: str) -> dict[str, Any]:
    return {
        "paramName": "symbol",
        "type": "endpoint",
        "optionsEndpoint": "symbols",
        "label": "Symbol",
        "description": "A symbol of a venue.",
        "value": value,
    }


def _interval() -> dict[str, Any]:
    return {
        "paramName": "interval",
        "type": "text",
        "label": "Interval",
        "description": "The candles' length.",
        "value": BASE,
        "options": [{"label": name, "value": name} for name in CANDLE_INTERVALS],
    }


def _row_count() -> dict[str, Any]:
    return {
        "paramName": "limit",
        "type": "number",
        "label": "Rows",
        "description": f"The most rows, up to {MOST_ROWS}.",
        "value": DEFAULT_ROWS,
    }
