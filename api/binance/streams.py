"""Names of Binance's streams, and the channels that carry what they need. Pure."""

from typing import Final, NamedTuple

from api.live.channel_names import LIVE_INTERVALS

PLAIN: Final = {
    "trade": ("trades",),
    "aggTrade": ("trades",),
    "miniTicker": ("stats",),
    "ticker": ("stats", "price"),
}
"""The streams of a symbol, but for candles, with their kinds of channels."""

ALL_SYMBOLS: Final = {"!miniTicker@arr": "miniTicker", "!ticker@arr": "ticker"}
"""The streams of all symbols, with the streams of a symbol that they repeat."""

_SPEEDS: Final = ("@1000ms", "@3000ms")
"""Some clients add how often they want the streams of all symbols; these are sent as they change."""

_KLINE: Final = "kline_"


class Stream(NamedTuple):
    """A stream that a client is subscribed to."""

    name: str
    """As the client wrote it."""
    kind: str
    """`kline`, or one of `PLAIN`."""
    symbol: str = ""
    """In lower case; empty for all symbols."""
    interval: str = ""

    def channels(self, venue: str) -> list[str]:
        """Return the names of the channels that carry what the stream sends."""
        if not self.symbol:
            return ["stats"]
        if self.kind == "kline":
            return [f"candles:{venue}:{self.symbol}:{self.interval}"]
        return [f"{kind}:{venue}:{self.symbol}" for kind in PLAIN[self.kind]]


def parse_stream(name: str) -> Stream:
    """Parse the name of a stream.

    Raises:
        ValueError: there is no such stream.
    """
    of_all = name
    for speed in _SPEEDS:
        of_all = of_all.removesuffix(speed)
    if of_all in ALL_SYMBOLS:
        return Stream(name, ALL_SYMBOLS[of_all])
    symbol, _, kind = name.rpartition("@")
    interval = kind.removeprefix(_KLINE)
    if symbol and kind != interval and interval in LIVE_INTERVALS:
        return Stream(name, "kline", symbol.lower(), interval)
    if symbol and kind in PLAIN:
        return Stream(name, kind, symbol.lower())
    known = ", ".join(["SYMBOL@kline_INTERVAL", *(f"SYMBOL@{kind}" for kind in PLAIN), *ALL_SYMBOLS])
    raise ValueError(
        f"there is no stream {name[:60]!r}: there are {known}; intervals are {', '.join(LIVE_INTERVALS)}"
    )


def split_names(text: str) -> list[str]:
    """Return the names in an address, which slashes separate; symbols of some venues contain slashes, too."""
    names, part = [], ""
    for piece in text.split("/"):
        part = f"{part}/{piece}" if part else piece
        if "@" in part:
            names.append(part)
            part = ""
    return names


def channel_key(channel: str) -> str:
    """Return a key for a channel's name as requested and as in messages, whose symbols may differ in case."""
    kind, _, rest = channel.partition(":")
    if kind != "candles":
        return channel.lower()
    symbol, _, interval = rest.rpartition(":")
    return f"{kind}:{symbol.lower()}:{interval}"
