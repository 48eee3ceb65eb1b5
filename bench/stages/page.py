"""Stage `page`: the page in Chromium: first candles, frames while updates come, scrolling through a year."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from msgspec import Raw

from bench.browser import CHROMIUM, Browser, browser
from bench.plant import SETTINGS, BenchPlant
from bench.results import Aim, Result
from bench.stage import Bench
from db.pool import DatabaseConnection, transaction
from tickplant import wire
from tickplant.clock import now_us
from tickplant.intervals import MINUTE_US, floor
from tickplant.local.folder import free_port
from tickplant.market import SymbolId, Trade, fold
from tickplant.streams import live_stream, partition_of
from tickplant.wire import LiveEntry, LiveUpdate

_SYMBOL: Final = SymbolId("binance", "BTCUSDT")
_FIRST_MS: Final = 1000
_LATE_FRAME_MS: Final = 25
"""A frame at 60 Hz takes 16.7 ms: above this one was dropped."""

_STORE: Final = """
insert into closed_candles
select 'binance', 'BTCUSDT', '1m', at, p, p + 5.25, p - 4.75, p + d, 12.5, 12.5 * p, 100, at,
    n * 100, at + interval '59 seconds', n * 100 + 99, 0, true, true, 6.25, 6.25 * p
from (
    select n, date_trunc('minute', now()) - ($1 - n) * interval '1 minute' as at,
        60000.25 + round((1000 * sin(n / 500.0))::numeric, 2) as p, round((5 * sin(n))::numeric, 2) as d
    from generate_series(0, $1::int - 1) n
) made
"""
_STORE_LEDGER: Final = """
insert into ledger (venue, symbol, partition, first_trade_id, last_trade_id, missing, watermark, numbered)
values ('binance', 'BTCUSDT', $1, 0, $2, '{}', date_trunc('minute', now()), true)
"""
_WATCH: Final = """
window.frames_ = [];
(function watch(before) {
  requestAnimationFrame((now) => { window.frames_.push(now - before); watch(now); });
})(performance.now());
true"""
_SCROLL: Final = """new Promise((done) => {
  const until = performance.now() + %d;
  (function scroll() {
    const options = {key: 'PageUp', bubbles: true};
    document.querySelector('#chart').dispatchEvent(new KeyboardEvent('keydown', options));
    if (performance.now() < until) requestAnimationFrame(scroll); else done(true);
  })();
})"""
_DRAWN: Final = "performance.getEntriesByName('candles-drawn')[0]?.startTime"


async def measure_page(bench: Bench) -> list[Result]:
    """Measure the page of one symbol with a history of minutes."""
    if CHROMIUM is None:
        bench.skip("page", "no Chromium on the PATH")
        return []
    plant, sizes = bench.plant, bench.sizes
    await plant.empty()
    partition = partition_of(*_SYMBOL, SETTINGS.partitions)
    async with plant.open_pool() as pool, transaction(pool) as connection:
        await store_minutes(connection, sizes.page_candles, partition)
    port = free_port()
    settings = {"TICKPLANT_SYMBOLS": str(_SYMBOL), "TICKPLANT_API_PORT": str(port)}
    with TemporaryDirectory(prefix="tickplant-bench-", ignore_cleanup_errors=True) as folder:
        async with plant.processes("api", venue=None, **settings), browser(Path(folder), 1280) as tab:
            await plant.until_listening(port)
            return await _measure(bench, tab, f"http://127.0.0.1:{port}/")


async def store_minutes(connection: DatabaseConnection, candles: int, partition: int) -> None:
    """Store the newest minutes of binance:BTCUSDT, and what a worker knows of them."""
    await connection.execute(_STORE, candles)
    await connection.execute(_STORE_LEDGER, partition, 100 * candles)
    await connection.execute("analyze closed_candles")


async def _measure(bench: Bench, tab: Browser, address: str) -> list[Result]:
    sizes = bench.sizes
    for _ in range(2):  # the second time everything is warm
        await tab.open(address)
        await tab.until(f"{_DRAWN} > 0")
    paint = await tab.run("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    drawn = await tab.run(_DRAWN)
    await tab.run(_WATCH)
    await _publish(bench.plant, sizes.page_updates_per_s, sizes.page_s)
    late = await _take_frames(tab)
    await tab.run(_SCROLL % (1000 * sizes.page_s))
    scrolled = await _take_frames(tab)
    first = await tab.run("document.querySelector('#legend').textContent.slice(0, 16)")
    updates = f"{sizes.page_updates_per_s:g} updates/s"
    return [
        Result("page", "first contentful paint", paint, "ms", aims=(Aim(_FIRST_MS, at_most=True),)),
        Result("page", "1,000 candles drawn", drawn, "ms", aims=(Aim(_FIRST_MS, at_most=True),)),
        Result("page", f"{updates}: late frames", late[0], "%", notes=(f"longest frame: {late[1]:.0f} ms",)),
        Result(
            "page",
            f"scrolling back through {sizes.page_candles:,} candles: late frames",
            scrolled[0],
            "%",
            notes=(f"longest frame: {scrolled[1]:.0f} ms; the newest candle loaded is {first}",),
        ),
    ]


async def _take_frames(tab: Browser) -> tuple[float, float]:
    """Return the share of late frames in percent, and the longest frame in milliseconds."""
    frames = await tab.run("window.frames_.splice(0).slice(1)") or [0.0]
    late = sum(frame > _LATE_FRAME_MS for frame in frames)
    return 100 * late / len(frames), max(frames)


async def _publish(plant: BenchPlant, per_s: float, seconds: float) -> None:
    """Publish trades with the candle that they change, as a worker does."""
    clock_s = asyncio.get_running_loop().time
    stream = live_stream(partition_of(*_SYMBOL, SETTINGS.partitions))
    started_s, trades = clock_s(), []
    minute_us = floor(now_us(), MINUTE_US)
    for number in range(int(per_s * seconds)):
        await asyncio.sleep(max(0.0, started_s + number / per_s - clock_s()))
        time_us = minute_us + number
        price = f"600{number % 90 + 10}.06000000"
        trade = Trade(*_SYMBOL, 10**9 + number, price, "0.02209000", "buy", time_us, now_us())
        trades.append(trade)
        update = LiveUpdate(
            (LiveEntry(f"{number + 1}-0", Raw(wire.encode_trades([trade]))),),
            (trade,),
            tuple(fold(trades)),
            (),
        )
        await plant.redis.xadd(stream, {wire.UPDATE: wire.encode_update(update)})
