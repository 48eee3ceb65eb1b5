// Averages that the server computes: their names, and the values of a range.
import { INTERVALS, isoTime, MAIN_INTERVALS, seconds } from "./times.js";

const KINDS = ["sma", "ema", "wma"], MAX_LENGTH = 500, PAGE = 1000;

/** @typedef {{name: string, kind: string, length: number}} Average */

/** Returns the average of a name such as "ema26" or "EMA 26"; null if there is none. @param {string} text @returns {Average|null} */
export function parseAverage(text) {
  const match = /^\s*([a-z]{3})\s*[(_ ]?\s*(\d{1,3})\)?\s*$/i.exec(text);
  const kind = match?.[1]?.toLowerCase() ?? "", length = Number(match?.[2] ?? 0);
  return KINDS.includes(kind) && length >= 1 && length <= MAX_LENGTH ? { name: kind + length, kind, length } : null;
}

/** Returns a name as it is shown. @param {Average} average */
export const averageTitle = ({ kind, length }) => `${kind.toUpperCase()} ${length}`;

/** Returns whether the server has averages of an interval: of those whose candles it stores. @param {string} interval */
export const hasAverages = (interval) => interval !== "1s" && MAIN_INTERVALS.includes(interval);

/**
 * Reads the values of candles by open time.
 * @param {(path: string, parameters: Record<string, any>) => Promise<any>} get
 * @param {string} symbol encoded @param {string} interval @param {Average} average
 * @param {number} from seconds, inclusive @param {number} to exclusive
 * @returns {Promise<Map<number, number>>}
 */
export async function readAverage(get, symbol, interval, average, from, to) {
  /** @type {Map<number, number>} */ const values = new Map();
  const step = INTERVALS[interval] ?? 60;
  for (let start = from; start < to;) {
    const page = await get(`moving-average/${symbol}`, {
      interval, kind: average.kind, length: average.length, start: isoTime(start), end: isoTime(to), limit: PAGE,
    });
    for (const { open_time, value } of page.averages) values.set(seconds(open_time), value);
    const last = page.averages[page.averages.length - 1];
    if (!page.next) break;
    // A page of the first candles of a symbol, which have no average, is empty.
    start = last ? seconds(last.open_time) + step : start + PAGE * step;
  }
  return values;
}
