// CSV of the candles that are shown, exactly as the API returned them.
/** @import {Candle} from "./types.js" */
import { seconds } from "./times.js";

/** @type {(keyof Candle)[]} */
const COLUMNS = [
  "open_time", "close_time", "open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume",
  "taker_buy_quote_volume", "vwap", "trade_count", "first_trade_id", "last_trade_id", "closed", "complete", "revision",
];

/**
 * Returns the text of a file; what is null is empty.
 * @param {Candle[]} candles @param {{name: string, values: Map<number, number>}[]} averages @returns {string}
 */
export function csvOf(candles, averages) {
  const lines = [[...COLUMNS, ...averages.map(({ name }) => name)].join(",")];
  for (const candle of candles) {
    const time = seconds(candle.open_time);
    lines.push([...COLUMNS.map((name) => candle[name] ?? ""), ...averages.map(({ values }) => values.get(time) ?? "")].join(","));
  }
  return lines.join("\r\n") + "\r\n";
}

/** Returns the name of the file. @param {string} symbol @param {string} interval @param {Candle[]} candles */
export function csvName(symbol, interval, candles) {
  const plain = (/** @type {string|undefined} */ text) => (text ?? "").slice(0, 19).replace(/[-:]/g, "");
  return `${symbol.replace(/[^A-Za-z0-9.]+/g, "_")}_${interval}_${plain(candles[0]?.open_time)}_${plain(candles[candles.length - 1]?.open_time)}.csv`;
}
