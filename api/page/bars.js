// The candles that are loaded, in order of time, with empty places where nothing was traded.
/** @import {Bar, Candle} from "./types.js" */
import { distance, isoTime, later, seconds } from "./times.js";

/** Longer stretches without trades are shortened to this many empty places. */
export const MAX_EMPTY = 240;

/**
 * Returns the places on the axis after one bar, up to and with a candle.
 * @param {number|null} before time of the bar before; null for none
 * @param {Candle} candle @param {number} step @returns {Bar[]}
 */
function places(before, candle, step) {
  const time = seconds(candle.open_time);
  /** @type {Bar[]} */ const bars = [];
  if (before !== null) {
    const empty = Math.min(distance(before, time, step) - 1, MAX_EMPTY);
    for (let number = empty; number > 0; number--) bars.push({ time: later(time, step, -number), candle: null });
  }
  bars.push({ time, candle });
  return bars;
}

/** Returns whether a candle read over REST is at least as new as another. @param {Candle} read @param {Candle} known */
const newer = (read, known) => read.trade_count >= known.trade_count && (read.closed || !known.closed);

/** A window of the history of one symbol and interval; it holds a bounded number of bars. */
export class Bars {
  /** @param {number} step length of the interval in seconds @param {number} [capacity] */
  constructor(step, capacity = 12_000) {
    this.step = step;
    this.capacity = capacity;
    /** @type {Bar[]} */ this.list = [];
    /** Whether the window ends with the newest candle, so that live updates continue it. */
    this.atNewest = true;
    /** Whether there is nothing older. */
    this.atOldest = false;
  }

  get first() { return this.list[0] ?? null; }
  get last() { return this.list[this.list.length - 1] ?? null; }

  /** Returns the newest candle. @returns {Candle|null} */
  get newest() { return this.last?.candle ?? null; }

  /** Replaces everything. @param {Candle[]} candles oldest first */
  replace(candles) {
    this.list = this.#padded(candles);
    this.atNewest = true;
    this.atOldest = false;
  }

  /** Adds older candles; if there are too many bars then, the newest ones are dropped. @param {Candle[]} candles */
  addOlder(candles) {
    const first = this.first;
    const older = first ? candles.filter((candle) => seconds(candle.open_time) < first.time) : candles;
    const padded = this.#padded(older);
    const last = padded[padded.length - 1];
    const joint = first?.candle && last ? places(last.time, first.candle, this.step).slice(0, -1) : [];
    this.list = [...padded, ...joint, ...this.list];
    if (this.list.length > this.capacity) {
      this.list.length = this.capacity;
      while (this.last && !this.last.candle) this.list.pop();
      this.atNewest = false;
    }
  }

  /** Adds newer candles; if there are too many bars then, the oldest ones are dropped. @param {Candle[]} candles */
  addNewer(candles) {
    for (const candle of candles) {
      const last = this.last;
      if (!last || seconds(candle.open_time) > last.time) this.list.push(...places(last?.time ?? null, candle, this.step));
    }
    const excess = this.list.length - this.capacity;
    if (excess > 0) {
      this.list.splice(0, excess);
      while (this.first && !this.first.candle) this.list.shift();
      this.atOldest = false;
    }
  }

  /** Takes the newest page, read again; starts anew if candles before it are lacking. @param {Candle[]} candles oldest first */
  merge(candles) {
    const first = candles[0];
    if (!first || !this.last || seconds(first.open_time) > later(this.last.time, this.step)) this.replace(candles);
    else this.take(candles);
  }

  /** Takes candles, except for those of which a newer state is known. @param {Candle[]} candles oldest first */
  take(candles) {
    for (const candle of candles) {
      const known = this.list[this.indexOf(seconds(candle.open_time))]?.candle;
      if (!known || newer(candle, known)) this.update(candle);
    }
  }

  /**
   * Takes a candle's new state.
   * @param {Candle} candle
   * @returns {"appended"|"changed"|"inserted"|"outside"} what became of it; "outside" if the window doesn't reach there
   */
  update(candle) {
    const time = seconds(candle.open_time), last = this.last;
    if (!last || time > last.time) {
      if (!this.atNewest) return "outside";
      this.addNewer([candle]);
      return "appended";
    }
    if (this.first && time < this.first.time) return "outside";
    const index = this.indexOf(time), bar = this.list[index];
    if (bar) {
      const known = bar.candle !== null;
      bar.candle = candle;
      return known ? "changed" : "inserted";
    }
    this.list.splice(this.#position(time), 0, { time, candle });
    return "inserted";
  }

  /** Returns the index of the bar at a time, or -1. @param {number} time @returns {number} */
  indexOf(time) {
    const index = this.#position(time);
    return this.list[index]?.time === time ? index : -1;
  }

  /** Returns the index of the last bar at or before a time, or -1. @param {number} time @returns {number} */
  indexBefore(time) {
    const index = this.#position(time);
    return this.list[index]?.time === time ? index : index - 1;
  }

  /** Returns the time of an end of the window, as the API writes it. @param {"first"|"last"} end @returns {string|null} */
  edge(end) {
    const bar = this[end];
    return bar ? isoTime(end === "last" ? later(bar.time, this.step) : bar.time) : null;
  }

  /** @param {Candle[]} candles @returns {Bar[]} */
  #padded(candles) {
    /** @type {Bar[]} */ const bars = [];
    for (const candle of candles) bars.push(...places(bars.length ? /** @type {Bar} */ (bars[bars.length - 1]).time : null, candle, this.step));
    return bars;
  }

  /** Returns the index of the first bar not before a time. @param {number} time @returns {number} */
  #position(time) {
    let low = 0, high = this.list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (/** @type {Bar} */ (this.list[middle]).time < time) low = middle + 1; else high = middle;
    }
    return low;
  }
}
