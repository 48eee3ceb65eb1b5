"""Faults on the way from a tape to its clients, decided by a seed alone.

A `FaultPlan` decides them for each connection and each REST request by number: the same seed gives the n-th
of them the same faults, whatever happens in between. Trades lost on a connection stay in REST history.
"""

import math
import random
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from msgspec import Struct

from sandbox.frame_faults import garble, mistype, oversized
from sandbox.frames import encode_frame, payload_of

MAX_DISTANCE: Final = 8
"""Frames by which one comes too late at most."""
_SKEW_US: Final = 1_000_000, 10_000_000
_SLOW_S: Final = 0.3, 1.5
_RETRY_AFTER_S: Final = 1, 2
_LAG_US: Final = 1_000_000, 3_000_000
RETRY_AFTERS: Final = (
    *("0", "1", "0.5", "-1", "inf", "nan", "1e300", "soon", "", "Fri, 01 Jan 2100 00:00:00 GMT"),
    *("4102444800", "4102444800000", "4102444800000000"),
)
"""What `REST_RETRY_AFTER` sends; the last ones are the start of the year 2100."""
_SERVER_ERRORS: Final = (500, 502, 503, 504)


class Fault(StrEnum):
    """What may go wrong; the value is the name under which it is counted."""

    LOST = "lost"
    """A frame is left out."""
    DUPLICATED = "duplicated"
    """A frame comes twice."""
    REORDERED = "reordered"
    """A frame comes after up to `MAX_DISTANCE` later ones."""
    MALFORMED = "malformed"
    """A frame is cut or garbled, so that it is no JSON."""
    MISTYPED = "mistyped"
    """A value in a frame has another type."""
    OVERSIZED = "oversized"
    """A frame of 5 MiB that means nothing comes in addition."""
    DROPPED = "dropped"
    """The connection breaks off."""
    MUTE = "mute"
    """The connection stays open and answers pings, but nothing else comes ever again."""
    SLOW = "slow"
    """For a while everything comes in small pieces."""
    SHUTDOWN = "shutdown"
    """The venue announces the connection's end, as far as it does, and closes it a second later."""
    REFUSED = "refused"
    """The connection's first subscription is refused, or the connection that is one by its address."""
    IGNORED = "ignored"
    """The connection's first subscription is ignored without an answer; only at venues that acknowledge."""
    SKEWED = "skewed"
    """The venue's clock is off by seconds, in heartbeats or in one REST response."""
    REST_429 = "rest-429"
    REST_418 = "rest-418"
    """Where the venue has it."""
    REST_5XX = "rest-5xx"
    HISTORY_LAGGING = "history-lagging"
    """History doesn't know the trades of the last seconds yet."""
    HISTORY_OMITTING = "history-omitting"
    """A page of history leaves out some rows between others."""
    HISTORY_FOREIGN = "history-foreign"
    """A page of history has a row with an id far from all others."""
    HISTORY_BROKEN = "history-broken"
    """A row of a page of history has a value of another type."""
    HISTORY_UNREADABLE = "history-unreadable"
    """A page of history is cut, so that it is no JSON."""
    REST_RETRY_AFTER = "rest-retry-after"
    """As `REST_429`, with a Retry-After in any form that venues have sent, absurd ones too."""


OF_FRAMES: Final = (
    Fault.LOST,
    Fault.DUPLICATED,
    Fault.REORDERED,
    Fault.MALFORMED,
    Fault.MISTYPED,
    Fault.OVERSIZED,
    Fault.DROPPED,
    Fault.MUTE,
    Fault.SLOW,
    Fault.SHUTDOWN,
)
OF_PAGES: Final = (
    Fault.HISTORY_OMITTING,
    Fault.HISTORY_FOREIGN,
    Fault.HISTORY_BROKEN,
    Fault.HISTORY_UNREADABLE,
)
OF_REQUESTS: Final = (
    Fault.REST_429,
    Fault.REST_418,
    Fault.REST_5XX,
    Fault.SKEWED,
    Fault.HISTORY_LAGGING,
    *OF_PAGES,
    Fault.REST_RETRY_AFTER,
)

DEFAULT_CHANCES: Final[Mapping[Fault, float]] = {
    Fault.LOST: 0.004,
    Fault.DUPLICATED: 0.004,
    Fault.REORDERED: 0.004,
    Fault.MALFORMED: 0.001,
    Fault.MISTYPED: 0.001,
    Fault.OVERSIZED: 0.0001,
    Fault.DROPPED: 0.0004,
    Fault.MUTE: 0.0001,
    Fault.SLOW: 0.0002,
    Fault.SHUTDOWN: 0.0002,
    Fault.REFUSED: 0.2,
    Fault.IGNORED: 0.1,
    Fault.SKEWED: 0.3,
    Fault.REST_429: 0.08,
    Fault.REST_418: 0.02,
    Fault.REST_5XX: 0.08,
    Fault.HISTORY_LAGGING: 0.1,
    Fault.HISTORY_OMITTING: 0.03,
    Fault.HISTORY_FOREIGN: 0.05,
    Fault.HISTORY_BROKEN: 0.05,
    Fault.HISTORY_UNREADABLE: 0.02,
}
"""The default probability of each, for a frame, a connection, or a request."""


class PassedFrames(NamedTuple):
    """What a connection sends for some frames."""

    frames: list[bytes]
    """To be sent, in this order."""
    faults: list[Fault]
    slow_s: float = 0.0
    """For so long everything comes in small pieces."""


class RequestFault(NamedTuple):
    """The fault of a REST request."""

    fault: Fault
    status: int | None = None
    """Of a refusal; None where the request is answered."""
    retry_after: str | None = None
    skew_us: int = 0
    lag_us: int = 0
    """How far history lags behind."""
    seed: float = 0.0
    """Of what is done to a page."""


class FaultPlan(Struct, frozen=True):
    """The faults of one run."""

    seed: int
    chances: Mapping[Fault, float]

    def connection(self, venue: str, number: int) -> "ConnectionFaults":
        """Return what happens to a venue's n-th connection."""
        return ConnectionFaults(random.Random(f"{self.seed}:{venue}:socket:{number}"), self.chances)  # noqa: S311

    def request(self, venue: str, number: int) -> RequestFault | None:
        """Return what happens to a venue's n-th REST request; None if nothing does."""
        draw = random.Random(f"{self.seed}:{venue}:request:{number}")  # noqa: S311
        for fault in OF_REQUESTS:
            if draw.random() < self.chances.get(fault, 0):
                return _request_fault(fault, draw)
        return None


class ConnectionFaults:
    """The faults of one connection.

    Args:
        draw: the random numbers that decide.
        chances: of each fault.
    """

    def __init__(self, draw: random.Random, chances: Mapping[Fault, float]) -> None:
        self._draw = draw
        self._kinds = [fault for fault in OF_FRAMES if chances.get(fault)]
        self._weights = [chances[fault] for fault in self._kinds]
        self._rate = min(1.0, sum(self._weights))
        self._subscription_faults = [
            fault for fault in (Fault.REFUSED, Fault.IGNORED) if draw.random() < chances.get(fault, 0)
        ]
        skewed = draw.random() < chances.get(Fault.SKEWED, 0)
        self.skew_us = _draw_skew_us(draw) if skewed else 0
        """How far the venue's clock is off, as this connection sees it."""
        self.silent = False
        """Nothing goes out any more."""
        self._held: list[tuple[int, bytes]] = []
        self._passed = 0
        self._until_fault = self._draw_until_fault()

    def subscribe(self, *, acknowledges: bool) -> Fault | None:
        """Return the fault of the next subscription; None: it succeeds.

        Args:
            acknowledges: the venue answers subscriptions, so that silence can be noticed.
        """
        while self._subscription_faults:
            fault = self._subscription_faults.pop(0)
            if fault is Fault.REFUSED or acknowledges:
                return fault
        return None

    def pass_on(self, frames: Iterable[bytes | memoryview]) -> PassedFrames:
        """Return what becomes of frames."""
        passage = PassedFrames([], [])
        slow_s = 0.0
        for frame in frames:
            if self.silent:
                break
            if self._until_fault:
                self._until_fault -= 1
                passage.frames.append(bytes(frame))
            else:
                (fault,) = self._draw.choices(self._kinds, self._weights)
                passage.faults.append(fault)
                passage.frames.extend(self._apply(bytes(frame), fault))
                slow_s = self._draw.uniform(*_SLOW_S) if fault is Fault.SLOW else slow_s
                self._until_fault = self._draw_until_fault()
            self._passed += 1
            if self._held:
                passage.frames.extend(self._release(self._passed))
        return passage._replace(slow_s=slow_s)

    @property
    def holds(self) -> bool:
        """Whether frames are held back."""
        return bool(self._held) and not self.silent

    def release(self) -> list[bytes]:
        """Return the frames that are held back, since none come that they could be behind."""
        return [] if self.silent else self._release(self._passed + MAX_DISTANCE)

    def _apply(self, frame: bytes, fault: Fault) -> list[bytes]:
        """Return what is sent instead of a frame."""
        if fault is Fault.REORDERED:
            self._held.append((self._passed + 1 + self._draw.randint(1, MAX_DISTANCE), frame))
        self.silent = fault in (Fault.DROPPED, Fault.MUTE)
        if self.silent or fault in (Fault.LOST, Fault.REORDERED):
            return []
        if fault is Fault.DUPLICATED:
            return [frame, frame]
        if fault is Fault.OVERSIZED:
            return [oversized(), frame]
        if fault in (Fault.MALFORMED, Fault.MISTYPED):
            corrupt = garble if fault is Fault.MALFORMED else mistype
            return [encode_frame(corrupt(bytes(payload_of(frame)), self._draw))]
        return [frame]

    def _release(self, passed: int) -> list[bytes]:
        due = [frame for at, frame in self._held if at <= passed]
        self._held = [(at, frame) for at, frame in self._held if at > passed]
        return due

    def _draw_until_fault(self) -> int:
        """Draw how many frames pass before the next fault."""
        if not self._rate:
            return 2**62
        return int(math.log(1 - self._draw.random()) / math.log(1 - self._rate)) if self._rate < 1 else 0


def _request_fault(fault: Fault, draw: random.Random) -> RequestFault:
    if fault is Fault.SKEWED:
        return RequestFault(fault, skew_us=_draw_skew_us(draw))
    if fault is Fault.HISTORY_LAGGING:
        return RequestFault(fault, lag_us=draw.randint(*_LAG_US))
    if fault in OF_PAGES:
        return RequestFault(fault, seed=draw.random())
    if fault is Fault.REST_RETRY_AFTER:
        return RequestFault(fault, 429, draw.choice(RETRY_AFTERS))
    retry_after = str(draw.randint(*_RETRY_AFTER_S))
    if fault is Fault.REST_5XX:
        return RequestFault(fault, draw.choice(_SERVER_ERRORS), draw.choice((None, retry_after)))
    return RequestFault(fault, 429 if fault is Fault.REST_429 else 418, retry_after)


def _draw_skew_us(draw: random.Random) -> int:
    return draw.choice((-1, 1)) * draw.randint(*_SKEW_US)
