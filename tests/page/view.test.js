import assert from "node:assert/strict";
import test from "node:test";
import { parseAverage, readAverage } from "../../api/page/averages.js";
import { shownRows, sparkline, updatedRow } from "../../api/page/overview_rows.js";
import { baseOf, findSymbols } from "../../api/page/search.js";
import { axisText, clock, durationText, openTimeText } from "../../api/page/times.js";
import { address, parseExact } from "../../api/page/transport.js";
import { DEFAULTS, formatView, parseView } from "../../api/page/url_state.js";

test("the address says what is shown, whatever characters a symbol has", () => {
  for (const symbol of ["binance:BTCUSDT", "kraken:BTC/USD", "kraken:A%2F/B&C:'<b>?#"]) {
    const view = { ...DEFAULTS, symbol, interval: "4h", averages: ["ema26"], log: true, zone: "local", theme: "light", tab: "bot", to: "2024-08-08T00:00:00.000Z" };
    assert.deepEqual(parseView(formatView(view)), view);
  }
  assert.equal(formatView({ ...DEFAULTS, symbol: "binance:BTCUSDT" }), "#binance:BTCUSDT/1m");
});

test("an address that makes no sense is as good as none", () => {
  for (const hash of ["", "#%", "#/", "#x", "#binance:BTCUSDT/constructor?tab=x&zone=y&to=z&ma=__proto__,sma0"]) {
    const { symbol, ...rest } = parseView(hash);
    const { symbol: _, ...defaults } = DEFAULTS;
    assert.ok(symbol === null || symbol === "binance:BTCUSDT");
    assert.deepEqual({ ...rest, averages: [] }, { ...defaults, averages: [] });
  }
  assert.deepEqual(parseView("#a:X/1m?ma=").averages, []);
});

test("averages have a kind and a length", () => {
  assert.deepEqual(["sma7", "EMA 26", "wma(500)", "sma0", "sma501", "rsi14", "sma"].map((text) => parseAverage(text)?.name), ["sma7", "ema26", "wma500", undefined, undefined, undefined, undefined]);
});

test("an average of many candles is read page by page, also before it has values", async () => {
  const asked = [];
  const minute = (number) => new Date(number * 60_000).toISOString();
  const get = async (_, { start, end }) => {
    asked.push(start);
    const from = Date.parse(start) / 60_000, to = Math.min(from + 1000, Date.parse(end) / 60_000);
    const averages = [];
    for (let number = Math.max(from, 1200); number < to; number++) averages.push({ open_time: minute(number), value: number });
    return { averages, next: to < Date.parse(end) / 60_000 ? "more" : null };
  };
  const values = await readAverage(get, "a:X", "1m", parseAverage("sma7"), 0, 2500 * 60);
  assert.equal(asked.length, 3);
  assert.equal(values.size, 1300);
  assert.equal(values.get(1200 * 60), 1200);
});

test("symbols are found by prefix, by part, without separators, and by letters in order", () => {
  const symbols = ["binance:BTCUSDT", "binance:ETHUSDT", "kraken:BTC/USD", "coinbase:ETH-BTC"];
  assert.deepEqual(findSymbols(symbols, "btc"), ["binance:BTCUSDT", "kraken:BTC/USD", "coinbase:ETH-BTC"]);
  assert.deepEqual(findSymbols(symbols, "btcusd"), ["kraken:BTC/USD", "binance:BTCUSDT"]);
  assert.deepEqual(findSymbols(symbols, "kraken"), ["kraken:BTC/USD"]);
  assert.deepEqual(findSymbols(symbols, "eusdt"), ["binance:ETHUSDT"]);
  assert.deepEqual(findSymbols(symbols, "xyz"), []);
  assert.deepEqual([baseOf("binance:BTCUSDT", "USDT"), baseOf("kraken:BTC/USD", "USD"), baseOf("a:X", null)], ["BTC", "BTC", null]);
});

const row = (symbol, percent, quote_volume, missing_trades) => ({ symbol, percent, quote_volume, missing_trades, closes: ["1", "2"], last: "2" });

test("the overview is sorted by each column, with unknown values last in both directions", () => {
  const rows = [row("a:B", "-1.5", "20", 0), row("a:A", null, "100", null), row("a:C", "3", "9", 5)];
  const order = (column, descending) => shownRows(rows, { column, descending, typed: "" }).map(({ symbol }) => symbol.slice(2)).join("");
  assert.deepEqual([order("symbol", false), order("percent", true), order("percent", false), order("quote_volume", true), order("missing", true), order("missing", false)],
    ["ABC", "CBA", "BCA", "ABC", "CBA", "BCA"]);
  assert.deepEqual(shownRows(rows, { column: "symbol", descending: false, typed: "c" }).map(({ symbol }) => symbol), ["a:C"]);
  assert.deepEqual(updatedRow(rows[0], { last: "5" }).closes, ["1", "5"]);
  assert.equal(sparkline(["1", "3", "2"], 10, 12), "0.0,11.0 5.0,1.0 10.0,6.0");
  assert.equal(sparkline(["1"], 10, 12), "");
});

test("times are shown in UTC, or as the clock on the wall", () => {
  const at = Date.parse("2024-08-08T23:54:15.342Z") / 1000;
  assert.equal(clock(at, "utc", true), "23:54:15.342");
  assert.equal(openTimeText(at - 15.342, 60, "utc"), "2024-08-08 23:54");
  assert.equal(openTimeText(0, 86400, "utc"), "1970-01-01");
  const local = new Date(at * 1000);
  assert.equal(clock(at, "local").slice(0, 2), String(local.getHours()).padStart(2, "0"));
  assert.deepEqual([axisText(0, 0, "utc"), axisText(0, 1, "utc"), axisText(86400, 2, "utc"), axisText(3600, 3, "utc"), axisText(3601, 4, "utc")], ["1970", "Jan", "2 Jan", "01:00", "01:00:01"]);
  assert.deepEqual([5, 90, 3600 * 3 + 720, 90_000].map(durationText), ["5 s", "1 min", "3 h 12 min", "1 d 1 h"]);
});

test("integers that a number can't hold stay exact, and texts that look like them are left alone", () => {
  assert.deepEqual(parseExact('{"a":9007199254740993,"b":[123,9223372036854775807],"c":"x:9223372036854775807,","d":12345678901234567.5}'),
    { a: "9007199254740993", b: [123, "9223372036854775807"], c: "x:9223372036854775807,", d: 12345678901234567.5 });
  assert.deepEqual(parseExact('{"a":"\\"9223372036854775807","b":1795167827449000}'), { a: '"9223372036854775807', b: 1795167827449000 });
});

test("parameters without a value are omitted, others encoded", () => {
  assert.equal(address("gaps", { symbol: "kraken:A&B", after: null, limit: 5 }), "/api/v1/gaps?symbol=kraken%3AA%26B&limit=5");
});
