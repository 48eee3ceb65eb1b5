"""Notifications of alerts and signals: targets, templates, and the messages that they make. Pure.

A target is an Apprise URL with a tag. Several targets may have one tag: each has its own rows in the outbox,
so that one that fails is repeated alone.
"""

import re
from collections.abc import Collection, Sequence
from string import Formatter
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from tickplant.derived import Firing, Signal
from tickplant.times import format_time

TAG: Final = "[a-z0-9_-]{1,32}"
"""The pattern of a tag."""
ALERT_TEMPLATE: Final = "{symbol}: {condition} ({time}) {note}"
SIGNAL_TEMPLATE: Final = "{symbol}: {strategy} signals {side} at {price} (strength {strength}, {time})"
_ALERT_FIELDS: Final = (
    *("symbol", "condition", "kind", "price", "value", "threshold", "time", "note", "user"),
    *("alert_id", "number", "trade_id"),
)
_SIGNAL_FIELDS: Final = ("symbol", "strategy", "side", "price", "strength", "time", "number", "trade_id")
_MAX_TEMPLATE_CHARS: Final = 1000
_TARGET: Final = re.compile(rf"({TAG})=([A-Za-z][A-Za-z0-9+.-]*://\S+)")
_ROUTE: Final = re.compile(rf"([^\s=]+)=({TAG})")


class Target(NamedTuple):
    """Where notifications go."""

    name: str
    """The tag of the first target of a tag, `tag/2` of the second one."""
    tag: str
    url: str
    """Of Apprise: contains the target's secrets."""

    def __repr__(self) -> str:
        """Return it without its secrets."""
        return f"Target({self.name!r})"


class SignalRoute(NamedTuple):
    """The signals of one strategy go to the targets of a tag."""

    strategy: str
    tag: str


class Notification(NamedTuple):
    """A text for one target."""

    target: str
    """Its name."""
    text: str
    alert_id: str | None
    """The alert that fired; None: a signal."""


class NotificationSettings(NamedTuple):
    """Targets, templates, and how notifications are delivered."""

    targets: Sequence[Target] = ()
    signals: Sequence[SignalRoute] = ()
    alert_template: str = ALERT_TEMPLATE
    signal_template: str = SIGNAL_TEMPLATE
    attempts: int = 12
    """The most before one is given up."""
    max_age_s: float = 86_400.0
    """The age at which one is given up."""
    first_wait_s: float = 2.0
    """The longest wait after the first failed attempt; it doubles with each."""
    most_wait_s: float = 3600.0
    poll_s: float = 0.5
    """The time between checks for notifications to deliver."""
    lost_after_s: float = 120.0
    """When an attempt without a result is repeated."""

    @property
    def tags(self) -> Collection[str]:
        """What alerts can choose from."""
        return dict.fromkeys(target.tag for target in self.targets)


class Notifier:
    """Makes the notifications of firings and signals."""

    def __init__(self, settings: NotificationSettings) -> None:
        """Take targets and templates."""
        self._settings = settings

    def of_firing(self, firing: Firing, tags: Sequence[str]) -> list[Notification]:
        """Return the notifications of a firing, one for each target of its alert's tags."""
        text = alert_text(firing, self._settings.alert_template)
        return [Notification(name, text, firing.alert_id) for name in self._names(tags)]

    def of_signal(self, signal: Signal) -> list[Notification]:
        """Return the notifications of a signal; none if its strategy has no target."""
        tags = [route.tag for route in self._settings.signals if route.strategy == signal.strategy]
        if not tags:
            return []
        text = signal_text(signal, self._settings.signal_template)
        return [Notification(name, text, None) for name in self._names(tags)]

    def _names(self, tags: Sequence[str]) -> Collection[str]:
        """Return the targets of tags; a tag without a target stays, and its delivery says what is wrong."""
        names: dict[str, None] = {}
        for tag in tags:
            of_tag = [target.name for target in self._settings.targets if target.tag == tag]
            names |= dict.fromkeys(of_tag or [tag])
        return names


def parse_targets(text: str) -> tuple[Target, ...]:
    """Parse `tag=url` items, separated by whitespace: URLs may contain commas.

    Raises:
        ValueError: an item is wrong; the message contains no URL.
    """
    targets: list[Target] = []
    counts: dict[str, int] = {}
    for position, item in enumerate(text.split(), 1):
        match = _TARGET.fullmatch(item)
        if match is None:
            raise ValueError(
                f"item {position} must be tag=url, such as ops=tgram://TOKEN/CHAT, where the tag consists of"
                " a-z, 0-9, _ and -; items are separated by spaces"
            )
        tag, url = match.groups()
        counts[tag] = counts.get(tag, 0) + 1
        targets.append(Target(tag if counts[tag] == 1 else f"{tag}/{counts[tag]}", tag, url))
    return tuple(targets)


def parse_routes(text: str) -> tuple[SignalRoute, ...]:
    """Parse `strategy=tag` items, separated by spaces or commas.

    Raises:
        ValueError: an item is wrong.
    """
    routes: dict[SignalRoute, None] = {}
    for item in text.replace(",", " ").split():
        match = _ROUTE.fullmatch(item)
        if match is None:
            raise ValueError(f"{item[:40]!r} is invalid; expected strategy=tag, such as cross=ops")
        routes[SignalRoute(*match.groups())] = None
    return tuple(routes)


def parse_alert_template(text: str) -> str:
    """Return the template of alerts if it is valid; raise ValueError otherwise."""
    return _check_template(text, _ALERT_FIELDS)


def parse_signal_template(text: str) -> str:
    """Return the template of signals if it is valid; raise ValueError otherwise."""
    return _check_template(text, _SIGNAL_FIELDS)


def secrets_in(url: str) -> list[str]:
    """Return the parts of an Apprise URL that could be tokens or passwords, and the URL itself."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    parts = re.split(r"[/:@?&=,]+", url.partition("://")[2])
    return [url, *(part for part in parts if part and (part != host or "." not in host))]


def alert_text(firing: Firing, template: str) -> str:
    """Return the text of a firing."""
    return _line(
        template,
        symbol=f"{firing.venue}:{firing.symbol}",
        condition=_condition(firing),
        kind=firing.kind,
        price=firing.price,
        value=firing.value,
        threshold=firing.threshold,
        time=format_time(firing.event_time_us),
        note=firing.note,
        user=firing.user,
        alert_id=firing.alert_id,
        number=firing.number,
        trade_id=firing.trade_id,
    )


def signal_text(signal: Signal, template: str) -> str:
    """Return the text of a signal."""
    return _line(
        template,
        symbol=f"{signal.venue}:{signal.symbol}",
        strategy=signal.strategy,
        side=signal.side,
        price=signal.price,
        strength=format(signal.strength, ".3g"),
        time=format_time(signal.event_time_us),
        number=signal.number,
        trade_id=signal.trade_id,
    )


def message_of(texts: Sequence[str], max_chars: int) -> tuple[str, str]:
    """Return the title and body of one message with these texts.

    Args:
        texts: a line each, the oldest first.
        max_chars: the most characters of the body; texts beyond it are only counted.
    """
    title = "tickplant" if len(texts) == 1 else f"tickplant: {len(texts)} notifications"
    body = "\n".join(texts)
    if len(body) <= max_chars:
        return title, body
    lines: list[str] = []
    room = max_chars - len(_more(len(texts)))
    for text in texts:
        room -= len(text) + 1
        if room < 0:
            break
        lines.append(text)
    if not lines:
        lines = [texts[0][: max(1, max_chars - len(_more(len(texts))) - 2)] + "…"]
    if remaining := len(texts) - len(lines):
        lines.append(_more(remaining))
    return title, "\n".join(lines)


def _more(count: int) -> str:
    return f"and {count} more"


def _check_template(text: str, fields: Collection[str]) -> str:
    if len(text) > _MAX_TEMPLATE_CHARS:
        raise ValueError(f"must be at most {_MAX_TEMPLATE_CHARS} characters long")
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"is no template: {error}; write {{{{ for a brace") from error
    for _, field, spec, conversion in parts:
        if field is not None and (field not in fields or spec or conversion):
            raise ValueError(
                f"{{{field}}} is invalid; expected {', '.join(f'{{{name}}}' for name in fields)}"
            )
    return text


def _line(template: str, **fields: object) -> str:
    """Fill in a template; fields without a value are empty."""
    filled = template.format_map({name: "" if value is None else value for name, value in fields.items()})
    return filled.strip() or "(empty)"


def _condition(firing: Firing) -> str:
    value, threshold = firing.value, firing.threshold
    match firing.kind:
        case "above" | "below":
            return f"price {value} is {firing.kind} {threshold}"
        case "crosses_above" | "crosses_below":
            return f"price {value} crossed {firing.kind.removeprefix('crosses_')} {threshold}"
        case "percent_change":
            return f"price {firing.price} changed by {value} %, threshold {threshold} %"
        case "silence":
            return f"no trade for {value} s"
        case "gap":
            return f"trades are missing from id {value}"
