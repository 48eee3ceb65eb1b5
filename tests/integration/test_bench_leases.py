"""The simulation of leases, small: dead workers' partitions move within a lease, stopped ones' at once."""

from conftest import PARTITIONS

from bench.leases import Conditions, report, simulate

SMALL = Conditions(
    partitions=PARTITIONS, workers=3, seconds=30, deaths_per_minute=8, stops_per_minute=8, restart_s=2, seed=3
)
HEARTBEAT_S = SMALL.lease_s / 10


async def test_partitions_of_workers_that_die_move_within_a_lease(database_url: str, redis_url: str) -> None:
    outcome = await simulate(SMALL, database_url, redis_url)
    assert outcome.after_deaths_s
    assert outcome.after_stops_s
    # The lease was extended at most one heartbeat before the death, and is taken at most one after its end.
    assert SMALL.lease_s - HEARTBEAT_S <= min(outcome.after_deaths_s)
    assert max(outcome.after_deaths_s) <= SMALL.lease_s + 2 * HEARTBEAT_S
    assert max(outcome.after_stops_s) <= 2 * HEARTBEAT_S
    assert outcome.most_held <= -(-SMALL.partitions // SMALL.workers)
    assert "after a death" in report(SMALL, outcome)
