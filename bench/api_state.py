"""Memory of the API process, and its counters of slow clients."""

import asyncio
from collections.abc import Mapping

from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from bench.cpu import memory_mb
from bench.http_load import open_http


class SlowClientCounts(Struct, frozen=True):
    """What the API has done to slow clients since it started."""

    conflations: int
    """Updates replaced by newer ones."""
    closed: Mapping[str, int]
    """Clients closed, by reason."""

    def since(self, earlier: "SlowClientCounts") -> "SlowClientCounts":
        """Return the difference to earlier counts."""
        closed = {reason: count - earlier.closed.get(reason, 0) for reason, count in self.closed.items()}
        return SlowClientCounts(
            self.conflations - earlier.conflations, {reason: n for reason, n in closed.items() if n}
        )


async def read_slow_client_counts(port: int) -> SlowClientCounts:
    """Read the counters of an API on loopback."""
    async with open_http(port) as http:
        text = (await http.get("/metrics")).decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    conflations = sum(s.value for s in samples if s.name == "tickplant_api_conflations_total")
    closed = {
        s.labels["reason"]: int(s.value) for s in samples if s.name == "tickplant_api_dropped_clients_total"
    }
    return SlowClientCounts(int(conflations), closed)


class ApiMemory:
    """The memory of the API process from now on.

    Attributes:
        before_mb: at the start.
        peak_mb: the most that `watch` has seen.
    """

    def __init__(self) -> None:
        """Measure it for the first time."""
        self.before_mb = self.peak_mb = api_memory_mb()

    async def watch(self) -> None:
        """Measure it a few times a second, until cancelled."""
        while True:
            await asyncio.sleep(0.25)
            self.peak_mb = max(self.peak_mb, api_memory_mb())


def api_memory_mb() -> float:
    """Return the memory of the API process now."""
    return memory_mb()["api"]
