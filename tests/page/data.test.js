import assert from "node:assert/strict";
import test from "node:test";
import { changes, conditionText, creation, formOf } from "../../api/page/alert_fields.js";
import { AverageLines } from "../../api/page/average_lines.js";
import { Bars } from "../../api/page/bars.js";
import { CandleFeed } from "../../api/page/candle_feed.js";
import { csvName, csvOf } from "../../api/page/csv.js";
import { bestConnection, retryText, staleText, troubleText } from "../../api/page/freshness.js";
import { Events } from "../../api/page/events.js";
import { gapBands, Gaps } from "../../api/page/gaps.js";
import { addNewest, markersOf } from "../../api/page/markers.js";
import { Tape } from "../../api/page/tape_model.js";

const T0 = Date.parse("2024-08-08T00:00:00Z") / 1000;
const iso = (at) => new Date((T0 + at) * 1000).toISOString();
const candle = (minute, fields = {}) => ({
  open_time: iso(minute * 60), close_time: iso(minute * 60 + 60), open: "1.10", high: "2", low: "1", close: "2", volume: "1", quote_volume: "2", taker_buy_volume: null,
  taker_buy_quote_volume: null, vwap: "1.5", trade_count: 5, first_trade_id: minute * 10, last_trade_id: minute * 10 + 9, closed: true, complete: true, revision: 0, ...fields,
});

test("the rate of trades is right from the start, and over the time that is covered", () => {
  const tape = new Tape();
  const trade = (at) => ({ trade_id: 1, price: "1", size: "1", side: "buy", event_time: iso(at) });
  tape.take([trade(0), trade(0.1)], true);
  assert.equal(tape.rate(T0 + 0.5), null);
  tape.take([trade(1), trade(1.5)], false);
  assert.equal(tape.rate(T0 + 2), 2);
  assert.equal(tape.rate(T0 + 10.05), 3 / 10);
  assert.equal(tape.rate(T0 + 60), 0);
  tape.take(Array.from({ length: 300 }, (_, number) => trade(60 + number)), false);
  assert.equal(tape.trades.length, 200);
  assert.equal(tape.trades[0].event_time, iso(359));
});

const gap = (first_id, last_id, after, state = "open") => ({ symbol: "a:X", first_id, last_id, missing: last_id - first_id + 1, state, after_time: iso(after), reason: null });

test("a gap's new state replaces those with which it shares ids", () => {
  const gaps = new Gaps();
  gaps.take([gap(1, 1363, 0), gap(2000, 2000, 60)]);
  assert.equal(gaps.text, "2 gaps, 1,364 trades missing");
  gaps.take(gap(1, 1000, 0, "healed"));
  assert.equal(gaps.text, "1 gap, 1 trade missing");
});

test("a gap lies between the last trade before it and the first one after it", () => {
  const bars = new Bars(60);
  bars.replace([candle(0), candle(1, { last_trade_id: 15 }), candle(5, { first_trade_id: 31, last_trade_id: 39 }), candle(6, { first_trade_id: 40, last_trade_id: 49 })]);
  const at = (gaps) => gapBands(bars.list, (time) => bars.indexBefore(time), gaps).map(({ from, to }) => [from, to]);
  assert.deepEqual(at([gap(16, 30, 100)]), [[1, 5]]);
  assert.deepEqual(at([gap(42, 44, 365)]), [[6, 6]]);
  assert.deepEqual(at([gap(50, 60, 400)]), [[6, 6]]);
  assert.deepEqual(at([gap(1, 2, -500)]), []);
});

test("events are marked at their candles, in order of time", () => {
  const barTime = (time) => (time < T0 ? null : Math.floor(time / 60) * 60);
  const markers = markersOf({
    signals: [{ side: "sell", strategy: "cross", number: 2, event_time: iso(130) }, { side: "buy", strategy: "cross", number: 1, event_time: iso(-1) }],
    firings: [{ alert_id: "x", number: 1, event_time: iso(65), note: "", kind: "above" }],
    orders: [{ side: "buy", number: 1, fill: { event_time: iso(10) } }, { side: "buy", number: 2, fill: null }],
  }, barTime, { up: "green", down: "red", alert: "amber" });
  assert.deepEqual(markers.map(({ time, position, text, color }) => [time - T0, position, text, color]),
    [[0, "belowBar", "bought", "green"], [60, "aboveBar", "alert", "amber"], [120, "aboveBar", "cross", "red"]]);
  assert.deepEqual(addNewest([2, 1], [2, 3, 4], String, 3), [4, 3, 2]);
});

test("CSV has the API's texts, and nothing for what is null", () => {
  const text = csvOf([candle(0, { close: "2.00000000" })], [{ name: "sma7", values: new Map([[T0, 1.25]]) }]);
  const [head, line, rest] = text.split("\r\n");
  assert.equal(head, "open_time,close_time,open,high,low,close,volume,quote_volume,taker_buy_volume,taker_buy_quote_volume,vwap,trade_count,first_trade_id,last_trade_id,closed,complete,revision,sma7");
  assert.equal(line, `${iso(0)},${iso(60)},1.10,2,1,2.00000000,1,2,,,1.5,5,0,9,true,true,0,1.25`);
  assert.equal(rest, "");
  assert.equal(csvName("kraken:BTC/USD", "1m", [candle(0), candle(1)]), "kraken_BTC_USD_1m_20240808T000000_20240808T000100.csv");
});

const FORM = { kind: "crosses_above", price: "62,000.50", percent: "", window: "5", silence: "60", repeat: true, cooldown: "10", notify: "", note: " sell half " };

test("alerts are made with the fields of their kind, and prices as typed", () => {
  assert.deepEqual(creation("a:X", FORM), { symbol: "a:X", kind: "crosses_above", price: "62000.50", repeat: true, cooldown_s: 600, notify: [], note: "sell half" });
  assert.deepEqual(creation("a:X", { ...FORM, kind: "percent_change", percent: "−2.5", repeat: false }), { symbol: "a:X", kind: "percent_change", percent: "-2.5", window_s: 300, repeat: false, cooldown_s: 0, notify: [], note: "sell half" });
  assert.throws(() => creation("a:X", { ...FORM, price: " " }), /Enter a price/);
  assert.throws(() => creation("a:X", { ...FORM, kind: "silence", silence: "1.5" }), /whole number/);
});

test("editing sends only what differs, since an unchanged threshold would restart the alert", () => {
  const alert = { kind: "above", price: "62000", percent: null, window_s: null, silence_s: null, repeat: false, cooldown_s: 0, notify: ["ops", "me"], note: "" };
  assert.deepEqual(changes(alert, formOf(alert)), {});
  assert.deepEqual(changes(alert, { ...formOf(alert), note: "x" }), { note: "x" });
  assert.deepEqual(changes(alert, { ...formOf(alert), notify: " ops, desk " }), { notify: ["ops", "desk"] });
  assert.equal(conditionText(alert), "Price is above 62,000");
  assert.equal(conditionText({ ...alert, kind: "percent_change", price: null, percent: "-2.5", window_s: 300 }), "Price falls by 2.5% in 5 min");
});

const LIVE = { state: "live", reason: "", retryAt: null, latencyMs: 1 };
const connection = (state, fields = {}) => ({ venue: "binance", symbols: ["binance:X"], state, since: iso(0), reason: "no route to host", problems: [], ...fields });

test("what is wrong is told with its reason", () => {
  const told = (live, connections) => troubleText(live, connections, "binance:X", "utc");
  assert.equal(told(LIVE, []), null);
  assert.equal(told(LIVE, [connection("down"), connection("live")]), null);
  assert.equal(told(LIVE, [connection("down")]), "binance has been down since 00:00:00 UTC: no route to host");
  assert.equal(told(LIVE, [connection("live", { problems: [{ symbol: "binance:X", state: "halted", reason: "BREAK" }] })]), "binance: X is halted: BREAK");
  const lost = { ...LIVE, state: "reconnecting", reason: "the API restarts", retryAt: 3500 };
  assert.match(told(lost, []), /^Reconnecting: the API restarts\./);
  assert.deepEqual([retryText(lost, 1000), retryText(lost, 3500), retryText(LIVE, 1000)], ["Next attempt in 3 s.", "", ""]);
  assert.match(told({ ...LIVE, state: "stalled", reason: "Redis is unavailable" }, [connection("down")]), /Redis is unavailable/);
  assert.equal(bestConnection([connection("down"), connection("connecting")], "binance:X").state, "connecting");
  assert.deepEqual([staleText(null, 59), staleText(null, 61), staleText("x", 0)], [null, "no trade for 1 min", "not current"]);
});

/** A feed on answers that the test gives. */
function feedOn(pages) {
  const seen = [], channels = [];
  const live = { watch: (channel, handler, cursor) => { channels.push({ channel, handler, cursor }); return () => channels.push({ channel, stopped: true }); } };
  const feed = new CandleFeed(live, async (path, parameters) => { seen.push({ path, ...parameters }); return pages.shift(); }, { onReset() {}, onCandle: (index, kind) => seen.push([index, kind]), onError() {} });
  return { feed, seen, channels };
}
const page = (from, to, next = null, cursor = "c") => ({ candles: Array.from({ length: to - from }, (_, index) => candle(from + index)), next, cursor });

test("live updates continue where history ends, and late corrections are taken in place", async () => {
  const { feed, seen, channels } = feedOn([page(0, 3, "more")]);
  await feed.open("a:X", "1m", null);
  assert.deepEqual([channels[0].channel, channels[0].cursor], ["candles:a:X:1m", "c"]);
  channels[0].handler({ type: "candle", data: candle(3) });
  channels[0].handler({ type: "candle", data: candle(1, { revision: 1, trade_count: 6 }) });
  assert.deepEqual(seen.slice(1), [[3, "appended"], [1, "changed"]]);
  assert.equal(feed.bars.list[1].candle.revision, 1);
});

test("a snapshot says nothing of what changed before it, so that candles are read again", async () => {
  const { feed, seen, channels } = feedOn([page(0, 3), page(1, 5)]);
  await feed.open("a:X", "1m", null);
  channels[0].handler({ type: "snapshot", recovered: false, data: [candle(4), candle(5, { closed: false })] });
  await new Promise((done) => setImmediate(done));
  assert.equal(seen.length, 2);
  assert.deepEqual(feed.bars.list.map((bar) => bar.candle.closed), [true, true, true, true, true, false]);
});

test("scrolling back loads more pages at once, until there is nothing older", async () => {
  const { feed, seen } = feedOn([page(90, 100, "x"), page(80, 90, "x"), page(70, 80, "x"), page(60, 70, null)]);
  await feed.open("a:X", "1m", null);
  await feed.loadOlder();
  await feed.loadOlder();
  await feed.loadOlder();
  assert.deepEqual(seen.map(({ end }) => end ?? null), [null, iso(90 * 60), iso(80 * 60), iso(70 * 60)]);
  assert.equal(feed.bars.list.length, 40);
  assert.equal(feed.bars.atOldest, true);
});

test("answers for a symbol that is no longer shown are ignored", async () => {
  const { feed } = feedOn([page(0, 3), page(50, 52)]);
  const first = feed.open("a:X", "1m", null);
  await feed.open("a:Y", "1m", null);
  await first;
  assert.equal(feed.symbol, "a:Y");
  assert.equal(feed.bars.list.length, 2);
});

/** Values of every minute in a range. */
const averagesOf = async (path, { start, end }) => {
  const averages = [];
  for (let at = Date.parse(start) / 1000; at < Date.parse(end) / 1000; at += 60) averages.push({ open_time: new Date(at * 1000).toISOString(), value: at - T0 });
  return { averages: averages.slice(0, 1000), next: averages.length > 1000 ? "more" : null };
};

test("averages are kept for the loaded candles only, and read again where they were dropped", async () => {
  const reads = [];
  const lines = new AverageLines((path, parameters) => { reads.push([parameters.start, parameters.end]); return averagesOf(path, parameters); }, () => {});
  lines.open("a:X", "1m");
  const minutes = () => { const times = [...lines.lines.get("sma7").values.keys()].sort((a, b) => a - b); return [(times[0] - T0) / 60, (times.at(-1) - T0) / 60, times.length]; };
  await lines.cover(["sma7"], T0 + 5000 * 60, T0 + 6000 * 60);
  await lines.cover(["sma7"], T0 + 3500 * 60, T0 + 5500 * 60);
  assert.deepEqual(minutes(), [3500, 5499, 2000]);
  reads.length = 0;
  await lines.cover(["sma7"], T0 + 4000 * 60, T0 + 6000 * 60);
  assert.deepEqual(minutes(), [4000, 5999, 2000]);
  assert.equal(reads[0][0], iso(5500 * 60));
});

test("signals of the chart's time are all read, page by page, and dropped when it has moved on", async () => {
  const signal = (number) => ({ strategy: "cross", number, side: "buy", event_time: iso(number * 60) });
  const stored = Array.from({ length: 4000 }, (_, number) => signal(number));
  const reads = [];
  const get = async (path, { start, end, after, limit }) => {
    if (path === "alerts/firings") return { firings: [] };
    reads.push([start, end]);
    const left = stored.filter(({ event_time }) => event_time >= start && event_time < end).slice(after ?? 0);
    return { signals: left.slice(0, limit), next: left.length > limit ? (after ?? 0) + limit : null };
  };
  const events = new Events({ watch: () => () => {} }, get, { onChange() {}, onFiring() {} });
  await events.open("a:X");
  await events.cover(iso(1000 * 60), iso(3500 * 60));
  assert.equal(events.marked.length, 2500);
  reads.length = 0;
  await events.cover(iso(500 * 60), iso(2000 * 60));
  assert.deepEqual(reads, [[iso(500 * 60), iso(1000 * 60)]]);
  const numbers = events.marked.map(({ number }) => number).sort((a, b) => a - b);
  assert.deepEqual([numbers[0], numbers.at(-1), numbers.length, new Set(numbers).size], [500, 1999, 1500, 1500]);
});
