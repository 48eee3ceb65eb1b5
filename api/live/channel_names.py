"""The names of websocket channels as clients write them. Pure."""

from typing import Final, NamedTuple

from api.live.channels import CHANNELS, KINDS, STREAMED
from api.live.protocol import Pattern, ProtocolError
from tickplant.intervals import CANDLE_INTERVALS, INTERVALS, MERGED

LIVE_INTERVALS: Final = tuple(name for name in CANDLE_INTERVALS if name in INTERVALS or name in MERGED)
"""The intervals whose candles have channels."""


class ChannelName(NamedTuple):
    """The parts of a channel's name."""

    kind: str
    symbol: str = ""
    """As the client wrote it; empty for every symbol, and for a channel that is of no symbol."""
    interval: str = ""

    @property
    def pattern(self) -> Pattern | None:
        """The wildcard, if the name is one."""
        venue, _, symbol = self.symbol.rpartition(":")
        return Pattern(self.kind, venue.lower(), self.interval) if symbol == "*" and venue != "*" else None


def parse_channel(text: str) -> ChannelName:
    """Parse the name of a channel.

    Raises:
        ProtocolError: there is no such kind of channel, or no such interval.
    """
    kind, colon, rest = text.partition(":")
    definition = KINDS.get(kind)
    if definition is None or (rest and not definition.of_symbol):
        raise _unknown(text)
    if not rest:
        if colon or (definition.of_symbol and not definition.all_symbols):
            raise _unknown(text)
        return ChannelName(kind)
    if not definition.has_interval:
        return _checked(text, ChannelName(kind, rest))
    symbol, _, interval = rest.rpartition(":")
    if not symbol:
        raise _unknown(text)
    if interval not in LIVE_INTERVALS:
        known = ", ".join(LIVE_INTERVALS)
        raise ProtocolError("unknown_interval", f"{interval[:20]!r} is not one of {known}", channel=text)
    return _checked(text, ChannelName(kind, symbol, interval))


def _checked(text: str, name: ChannelName) -> ChannelName:
    if name.pattern is not None and (name.kind not in STREAMED or name.interval in MERGED):
        raise ProtocolError(
            "unknown_channel",
            f"{text[:80]!r}: there are no wildcards of {name.kind} {name.interval}".rstrip()
            + "; `stats` alone is that of all symbols",
            channel=text,
        )
    return name


def _unknown(text: str) -> ProtocolError:
    symbols = [
        f"{definition.kind}:SYMBOL" + (":INTERVAL" if definition.has_interval else "")
        for definition in CHANNELS
        if definition.of_symbol
    ]
    every = [definition.kind for definition in CHANNELS if definition.all_symbols]
    single = [definition.kind for definition in CHANNELS if not definition.of_symbol]
    wildcards = [
        f"{definition.kind}:*" + (":INTERVAL" if definition.has_interval else "")
        for definition in CHANNELS
        if definition.kind in STREAMED
    ]
    names = f"{', '.join(symbols + every)} and {', '.join(single)}; wildcards are {', '.join(wildcards)}"
    return ProtocolError("unknown_channel", f"{text[:80]!r} is not one of {names}", channel=text)
