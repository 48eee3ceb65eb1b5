"""Data derived from trades and candles: averages, statistics, signals, alerts.

Prices stay decimal text. Averages and statistics are quotients, which no decimal holds exactly: they are
floats, each a pure function of the closes it is made of, so that the same candles always give the same bits.
"""

from typing import Final, Literal

from msgspec import Struct

from tickplant.market import Side
from tickplant.times import format_time


class Average(Struct, frozen=True, array_like=True, gc=False):
    """A moving average as of one closed candle."""

    venue: str
    symbol: str
    interval: str
    open_time_us: int
    """Open time of the newest candle in it."""
    name: str
    """Kind and length in candles, such as sma_7, ema_12 or wma_20."""
    value: float
    """In quote currency."""


class Statistics(Struct, frozen=True, array_like=True, gc=False):
    """The return of one closed minute compared with those before it."""

    venue: str
    symbol: str
    open_time_us: int
    """Open time of the minute."""
    points: int
    """How many earlier returns the other values are computed from."""
    return_: float
    """Close over the close before, less one."""
    mean: float | None
    """Of the returns before; None where there is none."""
    stddev: float | None
    """Sample standard deviation of the returns before; None where there are fewer than two."""
    zscore: float | None
    """Distance of this return from the mean, in standard deviations; None where these are 0 or unknown."""
    q1: float | None
    """First quartile of the returns before."""
    q3: float | None
    """Third quartile of the returns before; q3 - q1 is the interquartile range."""


class Signal(Struct, frozen=True, array_like=True):
    """A signal of a strategy: the change of its opinion to buy or sell."""

    strategy: str
    venue: str
    symbol: str
    number: int
    """Counts the strategy's signals of this symbol from 1; the three together identify the signal."""
    event_time_us: int
    """Venue time of the trade that caused it, or of the end of the candle that did."""
    trade_id: int
    """The newest trade at the time of the signal."""
    price: str
    """Of that trade."""
    side: Side
    """What the strategy would do."""
    strength: float
    """How clear it is: 0 to 1."""
    values: dict[str, float]
    """The values that caused it, by name."""


class Unified(Struct, frozen=True):
    """A symbol's last price, joined with its latest averages and signals, as in JSON."""

    symbol: str
    """`venue:symbol`."""
    price: str
    trade_id: int
    event_time: str
    """RFC 3339, UTC."""
    averages: dict[str, dict[str, float]]
    """By interval and name, each as of the newest closed candle."""
    signals: dict[str, "SignalView"]
    """The latest of each strategy, by its name."""


class SignalView(Struct, frozen=True):
    """A signal, as in JSON."""

    strategy: str
    symbol: str
    """`venue:symbol`."""
    number: int
    side: Side
    strength: float
    price: str
    trade_id: int
    event_time: str
    values: dict[str, float]


AlertKind = Literal["above", "below", "crosses_above", "crosses_below", "percent_change", "silence", "gap"]


ALERT_NEEDS: Final[dict[AlertKind, tuple[str, ...]]] = {
    "above": ("price",),
    "below": ("price",),
    "crosses_above": ("price",),
    "crosses_below": ("price",),
    "percent_change": ("percent", "window_s"),
    "silence": ("silence_s",),
    "gap": (),
}
"""The fields that an alert of each kind requires, besides those of all kinds."""


class Alert(Struct, frozen=True, array_like=True, kw_only=True):
    """A condition on one symbol that a user wants to be notified of."""

    alert_id: str
    version: int
    """Rises with every change of the alert."""
    user: str
    venue: str
    symbol: str
    kind: AlertKind
    price: str | None = None
    """Decimal text; of above, below, crosses_above and crosses_below."""
    percent: str | None = None
    """Decimal text, never 0: of percent_change. A positive one fires on a rise, a negative one on a fall."""
    window_s: int | None = None
    """Whole minutes, a day at most: of percent_change."""
    silence_s: int | None = None
    """Of silence."""
    repeat: bool = False
    """False: fires once."""
    cooldown_s: int = 0
    """Of a repeating one: the shortest venue time between two firings."""
    hysteresis: str = "0"
    """Decimal text, a share of the threshold: how far the value must move back before it can fire again."""
    webhook_url: str | None = None
    """Where firings are delivered besides the websocket channel; None for nowhere."""
    note: str = ""
    """Free text of the user."""
    active: bool = True
    begun: int = 1
    """The version in which its state was last reset: its condition changed, or it was activated."""
    notify: tuple[str, ...] = ()
    """Tags of the notification targets that firings go to."""


class AlertState(Struct, frozen=True, array_like=True):
    """An alert as workers have applied it, and its state."""

    alert: Alert
    deleted: bool = False
    armed: bool = False
    """Whether it waits for its condition; otherwise the value must move back first."""
    done: bool = False
    """It fires only once, and has fired."""
    number: int = 0
    """How many times it has fired."""
    fired_us: int | None = None
    """Venue time of the last firing."""


class Firing(Struct, frozen=True, array_like=True):
    """An alert that fired."""

    alert_id: str
    number: int
    """Counts the alert's firings from 1; alert and number identify the firing."""
    user: str
    venue: str
    symbol: str
    kind: AlertKind
    event_time_us: int
    """Venue time at which the condition became true."""
    trade_id: int | None
    """The trade that made it true; None for silence and gaps."""
    price: str | None
    """Of that trade."""
    value: str | None
    """The value that was compared, as decimal text: a price, a percentage, seconds, or the first id of a
    gap."""
    threshold: str | None
    """The value that it was compared with."""
    note: str


class AlertChange(Struct, frozen=True, array_like=True, tag="alert"):
    """An alert was created, changed or deleted; takes effect at this position of the stream."""

    alert: Alert
    deleted: bool = False


class BotSwitch(Struct, frozen=True, array_like=True, tag="bot"):
    """The paper bot was switched on or off; takes effect at this position of the stream."""

    enabled: bool
    version: int
    """Rises with every switching."""
    reason: str = ""


Change = AlertChange | BotSwitch
"""A user's change, sent through the input stream, so that it has a position among the trades."""


def signal_view(signal: Signal) -> SignalView:
    """Return a signal as in JSON."""
    return SignalView(
        signal.strategy,
        f"{signal.venue}:{signal.symbol}",
        signal.number,
        signal.side,
        signal.strength,
        signal.price,
        signal.trade_id,
        format_time(signal.event_time_us),
        signal.values,
    )
