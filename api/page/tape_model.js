// The newest trades, and their rate.
/** @import {Trade} from "./types.js" */
import { seconds } from "./times.js";

const WINDOW_S = 10;

/** The newest trades of a symbol, newest first. */
export class Tape {
  /** @param {number} [most] trades that are kept */
  constructor(most = 200) {
    this.most = most;
    /** @type {Trade[]} */ this.trades = [];
    /** Times of trades of the last seconds, by the venue's clock. @type {number[]} */ this.times = [];
    /** Since when every trade has been received, by the venue's clock. @type {number|null} */ this.since = null;
  }

  /**
   * Takes trades in order; those of a snapshot replace everything.
   * @param {Trade[]} trades oldest first @param {boolean} snapshot
   */
  take(trades, snapshot) {
    if (snapshot) {
      this.trades = [];
      this.times = [];
      this.since = trades[0] ? seconds(trades[0].event_time) : null;
    }
    const first = trades[0];
    if (!first) return;
    this.since ??= seconds(first.event_time);
    this.trades = [...trades.slice(-this.most).reverse(), ...this.trades].slice(0, this.most);
    for (const trade of trades) this.times.push(seconds(trade.event_time));
  }

  /**
   * Returns trades a second over the last ten seconds, or over the time covered so far if that is shorter;
   * null before a second is covered.
   * @param {number} now the venue's present time, in seconds @returns {number|null}
   */
  rate(now) {
    const start = now - WINDOW_S;
    this.times = this.times.filter((time) => time > start);
    if (this.since === null) return null;
    const covered = Math.min(WINDOW_S, now - this.since);
    return covered < 1 ? null : this.times.length / covered;
  }
}
