"""What is exposed of an owner's work: lag and failures."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from db.leases import Lease
from tickplant.clock import now_us
from tickplant.errors import LeaseLostError
from workers.partition_metrics import PartitionMetrics

LABELS = {"role": "made_up", "partition": "7"}


def sample(what: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"tickplant_worker_{what}", labels or LABELS)


def entry(ago_s: int) -> str:
    return f"{now_us() // 1000 - ago_s * 1000}-0"


@pytest.fixture
def exposed() -> PartitionMetrics:
    return PartitionMetrics(Lease("made_up", 7, "somebody", 1, "0-0"), [])


def test_lag_is_the_age_of_the_oldest_entry_that_is_not_committed(exposed: PartitionMetrics) -> None:
    assert sample("lag_seconds") == 0
    exposed.note_read([entry(50), entry(40)])
    assert sample("lag_seconds") == pytest.approx(50, abs=5)
    with exposed.committing():
        exposed.note_read([entry(20)])
        assert sample("lag_seconds") == pytest.approx(50, abs=5)
        exposed.note_unread(10)
        assert sample("lag_entries") == 13
    assert sample("lag_seconds") == pytest.approx(20, abs=5)
    with exposed.committing():
        pass
    assert sample("lag_seconds") == 0
    exposed.note_unread(0)
    assert sample("lag_entries") == 0
    exposed.remove()
    assert sample("lag_seconds") is None


@pytest.mark.parametrize(
    ("error", "failures"), [(OSError, 1), (LeaseLostError, 0), (asyncio.CancelledError, 0)]
)
def test_only_what_goes_wrong_is_a_failed_commit(
    exposed: PartitionMetrics, error: type[BaseException], failures: int
) -> None:
    before = sample("commit_failures_total", role="made_up") or 0
    exposed.note_read([entry(30)])
    with pytest.raises(error), exposed.committing():
        raise error
    assert sample("commit_failures_total", role="made_up") == before + failures
    assert sample("lag_seconds") == pytest.approx(30, abs=5), "it is still not committed"
    exposed.remove()
