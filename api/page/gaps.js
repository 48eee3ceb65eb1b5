// Missing trades: their number, and where they belong on the time axis.
/** @import {Bar, Gap, Id} from "./types.js" */
import { seconds } from "./times.js";

/** The gaps of a symbol that are not healed. */
export class Gaps {
  constructor() {
    /** @type {Gap[]} */ this.list = [];
  }

  /** Takes a snapshot, or a gap's new state, which replaces those with which it shares ids. @param {Gap|Gap[]} data */
  take(data) {
    if (Array.isArray(data)) this.list = data.filter((gap) => gap.state !== "healed");
    else {
      const first = BigInt(data.first_id), last = BigInt(data.last_id);
      this.list = this.list.filter((gap) => BigInt(gap.last_id) < first || BigInt(gap.first_id) > last);
      if (data.state !== "healed") this.list.push(data);
    }
  }

  /** How many trades are missing. */
  get missing() { return this.list.reduce((sum, gap) => sum + gap.missing, 0); }

  /** Says how much is missing. */
  get text() {
    const trades = this.missing;
    if (!this.list.length) return "No trades missing";
    const count = (/** @type {number} */ number, /** @type {string} */ word) => `${number.toLocaleString("en-US")} ${word}${number === 1 ? "" : "s"}`;
    return `${count(this.list.length, "gap")}, ${count(trades, "trade")} missing`;
  }
}

/** @param {Id} a @param {Id} b */
const above = (a, b) => (typeof a === "number" && typeof b === "number" ? a > b : BigInt(a) > BigInt(b));

/**
 * Returns where gaps are: from the bar of the last trade before each to that of the first one after it.
 * @param {readonly Bar[]} bars @param {(time: number) => number} indexBefore @param {readonly Gap[]} gaps
 * @returns {{from: number, to: number, gap: Gap}[]} indexes of bars, inclusive; gaps outside of the bars are left out
 */
export function gapBands(bars, indexBefore, gaps) {
  const bands = [];
  for (const gap of gaps) {
    const from = indexBefore(seconds(gap.after_time));
    if (from < 0) continue;
    let to = from;
    while (to < bars.length - 1) {
      const last = bars[to]?.candle?.last_trade_id;
      if (last !== undefined && last !== null && above(last, gap.last_id)) break;
      to++;
    }
    bands.push({ from, to, gap });
  }
  return bands;
}
