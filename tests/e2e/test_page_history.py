"""The page scrolls back through a long history of minutes: complete, in bounded memory."""

import json
import os
from pathlib import Path
from typing import Any, Final

import asyncpg
from api_plant import BTC, PARTITIONS, live, running_plant
from browser import browser, needs_chromium
from conftest import on_one_variant

from bench.stages.page import store_minutes
from tickplant.streams import partition_of

pytestmark = [on_one_variant, needs_chromium]

CANDLES: Final = int(os.environ.get("TICKPLANT_TEST_PAGE_CANDLES", "20000"))
"""525600 is a year."""
WINDOW: Final = 12_000
"""The most bars that the page holds."""

_CAPTURE_CHART: Final = """
let library;
Object.defineProperty(globalThis, 'LightweightCharts', {
  get: () => library,
  set: (value) => {
    library = {...value, createChart: (...options) => (globalThis.chart = value.createChart(...options))};
  },
});
"""
"""Makes the chart, as the library knows it, a global variable."""

_SCROLL_BACK: Final = """new Promise((done, fail) => {
  const series = () => chart.panes()[0].getSeries();
  const found = new Map(), result = {longest: 0, averages: 0, wrong: [], frames: []};
  let ends = '', before = performance.now(), moved = before;
  (function step(now) {
    result.frames.push(now - before);
    before = now;
    const [candles, ...averages] = series().map((each) => each.data());
    const now_ends = `${candles[0].time}/${candles.at(-1).time}/${candles.length}`;
    if (now_ends !== ends) {
      ends = now_ends;
      moved = now;
      result.longest = Math.max(result.longest, candles.length);
      result.averages = Math.max(result.averages, ...averages.map((each) => each.length));
      candles.forEach(({time, close}, index) => {
        if (index && time <= candles[index - 1].time) result.wrong.push(time);
        if (close === undefined) return;
        if (found.has(time) && found.get(time) !== close) result.wrong.push(time);
        found.set(time, close);
      });
    }
    if (candles[0].time <= OLDEST) return done({...result, candles: [...found]});
    if (now - moved > 30_000) return fail(new Error(`nothing older has come in 30 s: ${ends}`));
    const key = {key: 'PageUp', bubbles: true}, node = document.querySelector('#chart');
    for (let pages = 0; pages < 8; pages++) node.dispatchEvent(new KeyboardEvent('keydown', key));
    requestAnimationFrame(step);
  })(before);
})"""


async def test_every_stored_minute_is_drawn_once_while_scrolling_back(
    redis_url: str, database_url: str, tmp_path: Path
) -> None:
    async with (
        running_plant(redis_url, database_url, symbols=[BTC]) as plant,
        browser(tmp_path, 1280) as tab,
    ):
        stored = await _store(database_url)
        await live(plant)
        await tab.send("Page.addScriptToEvaluateOnNewDocument", source=_CAPTURE_CHART)
        await tab.open(plant.address)
        await tab.until("performance.getEntriesByName('candles-drawn').length > 0")
        found: dict[str, Any] = await tab.run(_SCROLL_BACK.replace("OLDEST", str(min(stored))))
        assert found["wrong"] == []
        drawn = {int(time): close for time, close in found["candles"]}
        assert len(drawn) == len(stored)
        assert drawn == stored
        assert found["longest"] <= WINDOW
        assert 0 < found["averages"] <= WINDOW
        await tab.press("n")
        newest = f"chart.panes()[0].getSeries()[0].data().some(({{time}}) => time === {max(stored)})"
        await tab.until(newest)
        assert tab.errors == []
        await _print_measures(tab, found["frames"])


async def _store(database_url: str) -> dict[int, float]:
    """Store minutes, some of them without trades; return the closes by open time."""
    connection = await asyncpg.connect(database_url)
    await store_minutes(connection, CANDLES, partition_of(*BTC, PARTITIONS))
    await connection.execute(
        "delete from closed_candles where first_trade_id / 100 between 1500 and 1503"
        " or first_trade_id / 100 between 5000 and 7000"
    )
    rows = await connection.fetch(
        "select extract(epoch from open_time)::bigint, close::float8 from closed_candles"
    )
    await connection.close()
    return dict(map(tuple, rows))


async def _print_measures(tab: Any, frames: list[float]) -> None:
    await tab.send("HeapProfiler.collectGarbage")
    heap = await tab.send("Runtime.getHeapUsage")
    frames = sorted(frames[1:])
    print(
        json.dumps(
            {
                "frames": len(frames),
                "p50_ms": frames[len(frames) // 2],
                "p99_ms": frames[len(frames) * 99 // 100],
                "longest_ms": frames[-1],
                "heap_mb": heap["usedSize"] / 2**20,
            }
        )
    )
