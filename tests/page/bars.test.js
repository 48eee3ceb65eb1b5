import assert from "node:assert/strict";
import test from "node:test";
import { Bars, MAX_EMPTY } from "../../api/page/bars.js";
import { INTERVALS } from "../../api/page/times.js";

const T0 = Date.parse("2024-08-08T00:00:00Z") / 1000;
const candle = (minute, fields = {}) => ({
  open_time: new Date((T0 + minute * 60) * 1000).toISOString(), open: "1", high: "2", low: "1", close: "2", volume: "1",
  trade_count: 1, first_trade_id: minute * 10, last_trade_id: minute * 10 + 5, closed: true, complete: true, revision: 0, ...fields,
});
const range = (from, to) => Array.from({ length: to - from }, (_, index) => candle(from + index));
const minutes = (bars) => bars.list.map((bar) => ((bar.time - T0) / 60) * (bar.candle ? 1 : -1));

test("intervals without trades are empty places", () => {
  const bars = new Bars(60);
  bars.replace([candle(1), candle(4), candle(5)]);
  assert.deepEqual(minutes(bars), [1, -2, -3, 4, 5]);
});

test("a long stretch without trades is shortened", () => {
  const bars = new Bars(60);
  bars.replace([candle(0), candle(100_000)]);
  assert.equal(bars.list.length, MAX_EMPTY + 2);
  assert.equal(bars.indexOf(T0 + 99_999 * 60), MAX_EMPTY);
});

test("older and newer pages join without gaps or duplicates", () => {
  const bars = new Bars(60);
  bars.replace(range(20, 30));
  bars.addOlder([...range(10, 15), candle(17), candle(20)]);
  bars.addNewer([candle(29), candle(31)]);
  assert.deepEqual(minutes(bars), [10, 11, 12, 13, 14, -15, -16, 17, -18, -19, ...range(20, 30).map((_, index) => 20 + index), -30, 31]);
});

test("the window is bounded, on the side that is not looked at", () => {
  const bars = new Bars(60, 100);
  bars.replace(range(1000, 1080));
  bars.addOlder(range(940, 1000));
  assert.equal(bars.list.length, 100);
  assert.equal(bars.first.time, T0 + 940 * 60);
  assert.equal(bars.atNewest, false);
  assert.equal(bars.update(candle(1081)), "outside");
  bars.addNewer(range(1040, 1081));
  assert.equal(bars.last.time, T0 + 1080 * 60);
  assert.equal(bars.list.length, 100);
});

test("updates append, change, and fill places in between", () => {
  const bars = new Bars(60);
  bars.replace([candle(1), candle(3)]);
  assert.equal(bars.update(candle(3, { close: "9" })), "changed");
  assert.equal(bars.update(candle(2)), "inserted");
  assert.equal(bars.update(candle(6)), "appended");
  assert.equal(bars.update(candle(0)), "outside");
  assert.deepEqual(minutes(bars), [1, 2, 3, -4, -5, 6]);
  assert.equal(bars.list[2].candle.close, "9");
});

test("an update in a shortened stretch is inserted in order", () => {
  const bars = new Bars(60);
  bars.replace([candle(0), candle(100_000)]);
  assert.equal(bars.update(candle(50)), "inserted");
  assert.ok(bars.list.every((bar, index) => !index || bar.time > bars.list[index - 1].time));
});

test("reading again corrects, but never replaces a newer state", () => {
  const bars = new Bars(60);
  bars.replace([candle(1), candle(2, { trade_count: 9 })]);
  bars.merge([candle(1, { trade_count: 2, revision: 1 }), candle(2, { trade_count: 5 }), candle(3)]);
  assert.deepEqual(bars.list.map((bar) => bar.candle.trade_count), [2, 9, 1]);
});

test("reading again after a long outage starts anew, so that no candle in between is lacking", () => {
  const bars = new Bars(60);
  bars.replace(range(0, 10));
  bars.merge(range(500, 510));
  assert.equal(bars.first.time, T0 + 500 * 60);
});

test("indexes of moments", () => {
  const bars = new Bars(60);
  bars.replace(range(0, 5));
  assert.deepEqual([-1, 0, 59, 60, 299, 9999].map((at) => bars.indexBefore(T0 + at)), [-1, 0, 0, 1, 4, 4]);
});

test("calendar months follow each other, however long they are", () => {
  const bars = new Bars(INTERVALS["1M"]);
  const month = (text, fields) => candle(0, { open_time: `${text}-01T00:00:00.000000Z`, ...fields });
  bars.replace([month("2023-12"), month("2024-01"), month("2024-04")]);
  assert.deepEqual(bars.list.map(({ time, candle: own }) => new Date(time * 1000).toISOString().slice(0, 10) + (own ? "" : " empty")),
    ["2023-12-01", "2024-01-01", "2024-02-01 empty", "2024-03-01 empty", "2024-04-01"]);
  bars.merge([month("2024-04"), month("2024-05")]);
  assert.equal(bars.list.length, 6);
  assert.deepEqual([bars.edge("first"), bars.edge("last")], ["2023-12-01T00:00:00.000Z", "2024-06-01T00:00:00.000Z"]);
  bars.merge([month("2024-08"), month("2024-09")]); // July is lacking
  assert.equal(bars.list.length, 2);
});
