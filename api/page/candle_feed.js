// Loads candles: the newest, older ones while scrolling back, and live changes.
/** @import {Candle} from "./types.js" */
/** @import {Live} from "./live.js" */
import { Bars } from "./bars.js";
import { INTERVALS, isoTime, seconds } from "./times.js";
import { encodeSymbol } from "./url_state.js";

const PAGE = 1000, PAGE_OF_SECONDS = 300, MAX_PAGES = 4, SECONDS_MS = 1000, RETRY_MS = 2000;

/**
 * @typedef {Object} FeedEvents
 * @property {(view: "newest"|"stay") => void} onReset bars were loaded or dropped
 * @property {(index: number, kind: "appended"|"changed"|"inserted") => void} onCandle one changed; index in the list after it
 * @property {(error: Error|null) => void} onError the last request failed, or succeeded again
 */

/** The candles of the symbol and interval that is shown. */
export class CandleFeed {
  /** @param {Live} live @param {(path: string, parameters: Record<string, any>) => Promise<any>} get @param {FeedEvents} events */
  constructor(live, get, events) {
    this.live = live; this.get = get; this.events = events;
    this.bars = new Bars(60);
    this.symbol = ""; this.interval = "1m";
    this.turn = 0; // rises with each symbol or interval, so that late answers are recognised
    this.loading = false;
    /** Whether the first page has come. */ this.opened = false;
    this.pages = 1;
    this.stop = () => {};
  }

  /**
   * Shows another symbol or interval.
   * @param {string} symbol @param {string} interval @param {string|null} until the newest candle to load; null for now
   */
  async open(symbol, interval, until) {
    const turn = ++this.turn;
    this.stop();
    this.stop = () => {};
    Object.assign(this, { symbol, interval, pages: 1, loading: false, opened: false });
    this.bars = new Bars(INTERVALS[interval] ?? 60);
    this.events.onReset("newest");
    const page = await this.#read({ end: until }, turn);
    if (turn !== this.turn) return;
    if (!page) { setTimeout(() => { if (turn === this.turn) this.open(symbol, interval, until); }, RETRY_MS); return; }
    this.opened = true;
    this.bars.replace(page.candles);
    this.bars.atNewest = until === null;
    this.bars.atOldest = page.next === null;
    this.events.onReset("newest");
    if (interval === "1s") this.stop = this.#poll(turn);
    else this.stop = this.live.watch(`candles:${symbol}:${interval}`, (message) => this.#receive(message, turn), until === null ? page.cursor : null);
  }

  /** Returns to the newest candles. */
  async toNewest() {
    if (!this.bars.atNewest) await this.open(this.symbol, this.interval, null);
  }

  /** Loads older candles: more at once, the longer somebody scrolls. */
  async loadOlder() {
    const turn = this.turn, end = this.bars.edge("first");
    if (this.loading || this.bars.atOldest || end === null) return;
    this.loading = true;
    /** @type {Candle[][]} */ const pages = [];
    let before = end, rest = true;
    for (let count = 0; count < this.pages && rest; count++) {
      const page = await this.#read({ end: before }, turn);
      if (turn !== this.turn) return;
      if (!page) break;
      pages.unshift(page.candles);
      rest = page.next !== null && page.candles.length > 0;
      before = page.candles[0]?.open_time ?? before;
    }
    this.loading = false;
    if (!pages.length) return;
    this.pages = Math.min(MAX_PAGES, this.pages * 2);
    this.bars.addOlder(pages.flat());
    this.bars.atOldest = !rest;
    this.events.onReset("stay");
  }

  /** Loads newer candles, after older ones have displaced them. */
  async loadNewer() {
    const turn = this.turn, start = this.bars.edge("last");
    if (this.loading || this.bars.atNewest || start === null) return;
    this.loading = true;
    const page = await this.#read({ start }, turn);
    if (turn !== this.turn) return;
    this.loading = false;
    if (!page) return;
    this.bars.addNewer(page.candles);
    this.bars.atNewest = page.next === null;
    this.events.onReset("stay");
    if (this.bars.atNewest) await this.#refresh(turn); // changes since the page was read were not taken
  }

  /** Reads a page; null if that failed. @param {Record<string, any>} parameters @param {number} turn */
  async #read(parameters, turn) {
    try {
      const page = await this.get(`ohlcv/${encodeSymbol(this.symbol)}`, { interval: this.interval, limit: this.interval === "1s" ? PAGE_OF_SECONDS : PAGE, ...parameters });
      if (turn === this.turn) this.events.onError(null);
      return page;
    } catch (error) {
      if (turn === this.turn) this.events.onError(/** @type {Error} */ (error));
      return null;
    }
  }

  /** @param {any} message @param {number} turn */
  #receive(message, turn) {
    if (turn !== this.turn || !message.data) return;
    if (message.type === "snapshot") this.#refresh(turn, message.data);
    else for (const candle of [message.data].flat()) this.#take(candle);
  }

  /** @param {Candle} candle */
  #take(candle) {
    const bars = this.bars, before = bars.last?.time ?? -Infinity;
    const kind = bars.update(candle);
    if (kind === "outside") return;
    this.events.onCandle(kind === "appended" ? bars.indexOf(before) + 1 : bars.indexOf(seconds(candle.open_time)), kind);
  }

  /**
   * Reads the newest candles again: a snapshot has only two, but these may be newer than what is stored.
   * @param {number} turn @param {Candle[]} [snapshot]
   */
  async #refresh(turn, snapshot = []) {
    if (!this.bars.atNewest) return;
    const page = await this.#read({}, turn);
    if (turn !== this.turn) return;
    if (page) this.bars.merge(page.candles);
    this.bars.take(snapshot);
    this.events.onReset("stay");
  }

  /** Reads candles of a second periodically; they have no channel. @param {number} turn */
  #poll(turn) {
    const timer = setInterval(async () => {
      if (!this.bars.atNewest || document.hidden) return;
      const newest = this.bars.newest;
      const page = await this.#read(newest ? { start: isoTime(seconds(newest.open_time) - 5) } : {}, turn);
      if (!page || turn !== this.turn) return;
      for (const candle of page.candles) {
        const known = this.bars.list[this.bars.indexOf(seconds(candle.open_time))]?.candle;
        if (!known || JSON.stringify(known) !== JSON.stringify(candle)) this.#take(candle);
      }
    }, SECONDS_MS);
    return () => clearInterval(timer);
  }
}
