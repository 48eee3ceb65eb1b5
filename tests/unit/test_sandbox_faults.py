"""Faults follow from a seed, and each does what its name says."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.faults import (
    DEFAULT_CHANCES,
    MAX_DISTANCE,
    OF_FRAMES,
    ConnectionFaults,
    Fault,
    FaultPlan,
    PassedFrames,
)
from sandbox.frame_faults import OVERSIZED_BYTES
from sandbox.frames import encode_frame, payload_of, split_frames

FRAMES = [encode_frame(b'{"e":"trade","t":%d,"p":"1.50","m":true}' % number) for number in range(2000)]
SEEDS = st.integers(0, 2**32)


def plan(seed: int, **chances: float) -> FaultPlan:
    return FaultPlan(seed, {Fault(name.replace("_", "-")): chance for name, chance in chances.items()})


def pass_all(faults: ConnectionFaults, frames: Sequence[bytes] = FRAMES, size: int = 50) -> PassedFrames:
    """Send frames in batches; return all that comes out and all that was done."""
    passage = PassedFrames([], [])
    for start in range(0, len(frames), size):
        part = faults.pass_on(frames[start : start + size])
        passage.frames.extend(part.frames)
        passage.faults.extend(part.faults)
    passage.frames.extend(faults.release())
    return passage


def read(frame: bytes) -> Any:
    return json.loads(bytes(payload_of(frame)))


def ids(frames: Sequence[bytes]) -> list[int]:
    return [read(frame)["t"] for frame in frames]


def test_frames_are_split_where_they_were_joined() -> None:
    frames = [encode_frame(b"x" * length) for length in (0, 1, 125, 126, 127, 65_535, 65_536, 3)]
    assert [bytes(frame) for frame in split_frames(memoryview(b"".join(frames)))] == frames
    assert list(split_frames(b"")) == []


@given(SEEDS, st.integers(1, 300))
def test_the_same_seed_does_the_same_however_frames_are_batched(seed: int, size: int) -> None:
    whole = FaultPlan(seed, DEFAULT_CHANCES)
    first = pass_all(whole.connection("kraken", 3))
    again = pass_all(FaultPlan(seed, DEFAULT_CHANCES).connection("kraken", 3), size=size)
    assert again == first


def test_connections_venues_and_seeds_differ() -> None:
    outcomes = [
        tuple(pass_all(FaultPlan(seed, DEFAULT_CHANCES).connection(venue, number)).faults)
        for seed in (1, 2)
        for venue in ("binance", "kraken")
        for number in (1, 2)
    ]
    assert len(set(outcomes)) == len(outcomes)


def test_without_chances_nothing_happens() -> None:
    faults = plan(1).connection("binance", 1)
    assert pass_all(faults) == PassedFrames(FRAMES, [])
    assert faults.subscribe(acknowledges=True) is None
    assert faults.skew_us == 0
    assert plan(1).request("binance", 1) is None


@pytest.mark.parametrize("fault", OF_FRAMES)
def test_a_fault_comes_as_often_as_its_chance(fault: Fault) -> None:
    found = [
        pass_all(FaultPlan(seed, {fault: 0.01}).connection("binance", 1), FRAMES[:100]).faults
        for seed in range(300)
    ]
    assert {each for faults in found for each in faults} == {fault}
    once = fault in (Fault.DROPPED, Fault.MUTE)
    expected = 300 * ((1 - 0.99**100) if once else 1)
    assert 0.75 * expected < sum(map(len, found)) < 1.25 * expected


@given(SEEDS)
def test_lost_frames_are_left_out(seed: int) -> None:
    passage = pass_all(plan(seed, lost=0.05).connection("binance", 1))
    assert len(passage.frames) == len(FRAMES) - len(passage.faults)
    assert ids(passage.frames) == sorted(set(ids(passage.frames)))


@given(SEEDS)
def test_duplicated_frames_come_twice(seed: int) -> None:
    passage = pass_all(plan(seed, duplicated=0.05).connection("binance", 1))
    assert len(passage.frames) == len(FRAMES) + len(passage.faults)
    assert list(dict.fromkeys(passage.frames)) == FRAMES


@given(SEEDS)
def test_reordered_frames_move_by_a_bounded_distance_and_none_is_lost(seed: int) -> None:
    passage = pass_all(plan(seed, reordered=0.1).connection("binance", 1), FRAMES[:300])
    found = ids(passage.frames)
    assert sorted(found) == list(range(300))
    for place, number in enumerate(found):
        overtaking = sum(other > number for other in found[:place])
        assert overtaking <= 2 * MAX_DISTANCE


@given(SEEDS)
def test_malformed_frames_are_no_json(seed: int) -> None:
    passage = pass_all(plan(seed, malformed=1).connection("binance", 1), FRAMES[:50])
    assert len(passage.frames) == 50
    for frame in passage.frames:
        with pytest.raises(json.JSONDecodeError):
            read(frame)


@given(SEEDS)
def test_mistyped_frames_have_one_value_of_another_type(seed: int) -> None:
    passage = pass_all(plan(seed, mistyped=1).connection("binance", 1), FRAMES[:50])
    for frame, original in zip(passage.frames, FRAMES, strict=False):
        before, after = read(original), read(frame)
        assert before.keys() == after.keys()
        changed = [
            key for key in before if before[key] != after[key] or type(before[key]) is not type(after[key])
        ]
        assert len(changed) == 1
        assert type(before[changed[0]]) is not type(after[changed[0]])


def test_an_oversized_frame_comes_in_addition() -> None:
    passage = pass_all(plan(1, oversized=1).connection("binance", 1), FRAMES[:2])
    assert passage.frames[1::2] == FRAMES[:2]
    assert len(passage.frames[0]) > OVERSIZED_BYTES
    assert read(passage.frames[0]).keys() == {"noise"}


@pytest.mark.parametrize("name", ["dropped", "mute"])
def test_after_the_end_nothing_comes(name: str) -> None:
    faults = plan(5, **{name: 0.01}).connection("binance", 1)
    passage = pass_all(faults)
    assert passage.faults == [Fault(name)]
    assert passage.frames == FRAMES[: len(passage.frames)]
    assert 0 < len(passage.frames) < len(FRAMES)
    assert faults.silent


def test_slow_and_shut_down_connections_lose_nothing() -> None:
    passage = plan(1, slow=0.5, shutdown=0.5).connection("binance", 1).pass_on(FRAMES[:100])
    assert passage.frames == FRAMES[:100]
    assert set(passage.faults) == {Fault.SLOW, Fault.SHUTDOWN}
    assert passage.slow_s > 0


def test_subscriptions_are_refused_or_ignored_once() -> None:
    faults = plan(1, refused=1, ignored=1).connection("kraken", 1)
    answers = [faults.subscribe(acknowledges=True) for _ in range(3)]
    assert answers == [Fault.REFUSED, Fault.IGNORED, None]
    silent = plan(1, ignored=1).connection("finnhub", 1)
    assert silent.subscribe(acknowledges=False) is None


def test_clocks_are_off_by_seconds() -> None:
    skews = [plan(seed, skewed=1).connection("coinbase", 1).skew_us for seed in range(100)]
    assert all(1_000_000 <= abs(skew) <= 10_000_000 for skew in skews)
    assert min(skews) < 0 < max(skews)


def test_requests_fail_by_their_number() -> None:
    broken = plan(1, rest_429=0.2, rest_418=0.1, rest_5xx=0.2, skewed=0.1)
    found = [broken.request("coinbase", number) for number in range(1000)]
    assert found == [broken.request("coinbase", number) for number in range(1000)]
    counts = Counter(None if each is None else each.fault for each in found)
    assert counts.keys() == {None, Fault.REST_429, Fault.REST_418, Fault.REST_5XX, Fault.SKEWED}
    assert counts[None] > 400
    for each in found:
        if each is not None and each.fault is Fault.REST_429:
            assert each.status == 429
            assert each.retry_after
        if each is not None and each.fault is Fault.REST_5XX:
            assert each.status in (500, 502, 503, 504)


def test_every_fault_has_a_usual_chance() -> None:
    assert DEFAULT_CHANCES.keys() == set(Fault) - {Fault.REST_RETRY_AFTER}  # some of those ban for long
    assert all(0 < chance < 1 for chance in DEFAULT_CHANCES.values())


def test_a_chance_of_one_affects_every_frame() -> None:
    faults = ConnectionFaults(random.Random(1), {Fault.LOST: 1.0})
    assert pass_all(faults).frames == []
