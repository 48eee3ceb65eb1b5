"""The faults of one venue: taken from the plan in turn, and counted."""

from collections import Counter
from itertools import count

from sandbox.faults import ConnectionFaults, Fault, FaultPlan, RequestFault
from sandbox.venue import Answer, SandboxVenue


class VenueFaults:
    """The faults of a venue.

    Args:
        plan: None: there are none.
        venue: its protocol.
    """

    def __init__(self, plan: FaultPlan | None, venue: SandboxVenue) -> None:
        self._plan = plan
        self._venue = venue
        self._sockets = count(1)
        self._requests = count(1)
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> dict[str, int]:
        """How often each fault was injected."""
        return dict(sorted(self._counts.items()))

    def count(self, fault: Fault) -> None:
        """Count an injected fault."""
        self._counts[fault] += 1

    def next_connection(self) -> ConnectionFaults | None:
        """Return the faults of the next connection; None: there are none."""
        if self._plan is None:
            return None
        faults = self._plan.connection(self._venue.name, next(self._sockets))
        if faults.skew_us:
            self.count(Fault.SKEWED)
        return faults

    def next_subscription(self, faults: ConnectionFaults | None) -> Fault | None:
        """Return the fault of a connection's next subscription; None: it succeeds."""
        fault = faults.subscribe(acknowledges=self._venue.acknowledges) if faults else None
        if fault is not None:
            self.count(fault)
        return fault

    def next_request(self) -> RequestFault | None:
        """Return the fault of the next REST request; None: it is answered."""
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
