"""Symbols, candles, quotes and marks as UDF writes them, with all stored digits of numbers. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from msgspec import Raw

from api.udf.resolutions import RESOLUTIONS
from api.views.candles import CandleView
from api.views.stats import ChangeView
from tickplant.bot import Fill
from tickplant.derived import Firing, Signal
from tickplant.market import SymbolId
from tickplant.times import to_us

_COLORS = {"buy": "green", "sell": "red"}


def number(text: str | None) -> Raw | None:
    """Return a decimal as a JSON number with all its digits."""
    return None if text is None else Raw(text.encode())


def config(venues: Iterable[str]) -> dict[str, Any]:
    """Return what the datafeed supports."""
    return {
        "supported_resolutions": list(RESOLUTIONS),
        "supports_group_request": False,
        "supports_search": True,
        "supports_marks": True,
        "supports_timescale_marks": True,
        "supports_time": True,
        "exchanges": [
            {"value": "", "name": "All venues", "desc": ""},
            *({"value": venue, "name": venue, "desc": venue} for venue in venues),
        ],
        "symbols_types": [{"name": "All types", "value": ""}],
    }


def found(symbol: SymbolId) -> dict[str, Any]:
    """Return a symbol in the answer to a search."""
    return {
        "symbol": symbol.symbol,
        "full_name": str(symbol),
        "description": str(symbol),
        "exchange": symbol.venue,
        "ticker": str(symbol),
        "type": "crypto",
    }


def symbol_info(symbol: SymbolId, price_places: int) -> dict[str, Any]:
    """Return the description of a symbol."""
    return {
        **found(symbol),
        "name": symbol.symbol,
        "exchange-traded": symbol.venue,
        "exchange-listed": symbol.venue,
        "listed_exchange": symbol.venue,
        "timezone": "Etc/UTC",
        "session": "24x7",
        "session-regular": "24x7",
        "format": "price",
        "minmov": 1,
        "minmovement": 1,
        "minmov2": 0,
        "pricescale": 10**price_places,
        "pointvalue": 1,
        "has_intraday": True,
        "has_seconds": True,
        "seconds_multipliers": ["1"],
        "intraday_multipliers": [name for name in RESOLUTIONS if name.isdigit()],
        "has_daily": True,
        "daily_multipliers": ["1", "3"],
        "has_weekly_and_monthly": True,
        "weekly_multipliers": ["1"],
        "monthly_multipliers": ["1"],
        "visible_plots_set": "ohlcv",
        "supported_resolutions": list(RESOLUTIONS),
        "data_status": "streaming",
    }


def seconds(time: str) -> int:
    """Return a time of a view in seconds since the epoch."""
    return to_us(datetime.fromisoformat(time)) // 1_000_000


def history(candles: Sequence[CandleView]) -> dict[str, Any]:
    """Return candles as columns."""
    columns = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}
    return {
        "s": "ok",
        "t": [seconds(candle.open_time) for candle in candles],
        **{key: [number(getattr(candle, name)) for candle in candles] for key, name in columns.items()},
    }


def quote(name: str, symbol: SymbolId, change: ChangeView | None) -> dict[str, Any]:
    """Return the quote of a symbol as the client named it; there is no order book, so no bid or ask."""
    if change is None or change.last is None:
        return {"s": "error", "n": name, "v": {}}
    return {
        "s": "ok",
        "n": name,
        "v": {
            "ch": number(change.change),
            "chp": number(change.percent),
            "short_name": symbol.symbol,
            "exchange": symbol.venue,
            "original_name": str(symbol),
            "description": str(symbol),
            "lp": number(change.last),
            "open_price": number(change.open),
            "high_price": number(change.high),
            "low_price": number(change.low),
            "prev_close_price": number(change.open),
            "volume": number(change.volume),
        },
    }


def mark_of(event: Signal | Firing | Fill) -> dict[str, Any]:
    """Return the mark of a signal, of an alert that fired or of a fill of the bot."""
    if isinstance(event, Signal):
        text = f"{event.strategy}: {event.side} at {event.price}"
        return _mark(f"signal-{event.strategy}-{event.number}", event.event_time_us, event.side, "S", text)
    if isinstance(event, Firing):
        text = f"alert {event.kind} at {event.price or 'no price'}"
        return _mark(f"alert-{event.alert_id}-{event.number}", event.event_time_us, "alert", "A", text)
    text = f"bot: {event.side} {event.size:f} at {event.price:f}"
    return _mark(f"fill-{event.number}", event.time_us, event.side, "B", text)


def marks(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return marks on candles as columns."""
    names = ("id", "time", "color", "text", "label")
    columns: dict[str, Any] = {name: [mark[name] for mark in found] for name in names}
    return {**columns, "labelFontColor": ["white"] * len(found), "minSize": [14] * len(found)}


def timescale_mark(mark: dict[str, Any]) -> dict[str, Any]:
    """Return a mark on the time scale."""
    return {
        **{name: mark[name] for name in ("id", "time", "color", "label")},
        "tooltip": [mark["text"]],
    }


def _mark(id_: str, time_us: int, kind: str, label: str, text: str) -> dict[str, Any]:
    color = _COLORS.get(kind, "blue")
    return {"id": id_, "time": time_us // 1_000_000, "color": color, "label": label, "text": text}
