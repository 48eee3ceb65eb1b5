"""What a changed candle corrects is computed in slices, since it can be much."""

from db.corrections import MAX_STEPS, CandleKey, group_changes, recompute_groups
from tickplant.averages import AverageSpec, AverageSpecs, average
from tickplant.intervals import MINUTE_US


def test_no_slice_takes_long_and_together_they_are_everything() -> None:
    spec, count = AverageSpec("ema", 100), 3_100
    specs = AverageSpecs((spec,), ("1m",))
    times_us = [minute * MINUTE_US for minute in range(count)]
    closes = [float(minute % 97) for minute in range(count)]
    (stretch,) = group_changes([CandleKey("x", "y", "1m", times_us[1_500])], specs)
    averages: dict[tuple[CandleKey, str], float | None] = {}
    parts = list(recompute_groups([(stretch, (times_us, closes))], specs))
    assert len(parts) > 2
    for part in parts:
        assert len(part.averages) * spec.window < MAX_STEPS + 2 * spec.window
        averages |= part.averages
    assert averages == {
        (stretch.candle(times_us[index]), spec.name): average(spec, closes[: index + 1])
        for index in range(1_500, 1_500 + spec.window)
    }
