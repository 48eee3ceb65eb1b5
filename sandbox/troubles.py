"""The faults that have come true at one venue: taken from the plan in turn, and counted."""

from collections import Counter
from itertools import count

from sandbox.faults import Fault, Mishaps, Plan, RequestFault
from sandbox.venue import Answer, Venue


class Troubles:
    """What goes wrong at a venue.

    Args:
        plan: None: nothing does.
        venue: its protocol.
    """

    def __init__(self, plan: Plan | None, venue: Venue) -> None:
        self._plan = plan
        self._venue = venue
        self._sockets = count(1)
        self._requests = count(1)
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> dict[str, int]:
        """How often each fault was seen to."""
        return dict(sorted(self._counts.items()))

    def count(self, fault: Fault) -> None:
        """Count a fault that was seen to."""
        self._counts[fault] += 1

    def next_connection(self) -> Mishaps | None:
        """Return what happens to the next connection."""
        if self._plan is None:
            return None
        mishaps = self._plan.connection(self._venue.name, next(self._sockets))
        if mishaps.skew_us:
            self.count(Fault.SKEWED)
        return mishaps

    def next_subscription(self, mishaps: Mishaps | None) -> Fault | None:
        """Return what becomes of a connection's next subscription; None: it is obeyed."""
        fault = mishaps.subscribe(acknowledges=self._venue.acknowledges) if mishaps else None
        if fault is not None:
            self.count(fault)
        return fault

    def next_request(self) -> RequestFault | None:
        """Return what happens to the next REST request."""
        if self._plan is None:
            return None
        planned = self._plan.request(self._venue.name, next(self._requests))
        if planned is not None:
            self.count(planned.fault)
        return planned

    def fail(self, status: int, retry_after: str | None) -> Answer:
        """Return the failure of a request; 418 only where the venue has it."""
        if status == 418 != self._venue.limits.ban_status:
            status = 429
        extra = {} if retry_after is None else {"Retry-After": retry_after}
        if status >= 500:
            return Answer(status, {"Content-Type": "text/html", **extra}, b"<html>Server error</html>")
        answer = self._venue.refusal(status, "Too many requests")
        return answer._replace(headers={**answer.headers, **extra})
