// What happened to a symbol: the newest signals, firings and orders of the bot, and the signals of the time that the chart shows.
/** @import {Firing, Order, Signal} from "./types.js" */
/** @import {Live} from "./live.js" */
import { addNewest } from "./markers.js";
import { isForbidden } from "./transport.js";
import { encodeSymbol } from "./url_state.js";

const MOST = 1000, LISTED = 100, PAGE = 1000, MAX_PAGES = 5, RETRY_MS = 5000;

const signalKey = (/** @type {Signal} */ signal) => `${signal.strategy}/${signal.number}`;
const firingKey = (/** @type {Firing} */ firing) => `${firing.alert_id}/${firing.number}`;

/** The events of the symbol that is shown, newest first. */
export class Events {
  /**
   * @param {Live} live @param {(path: string, parameters: Record<string, any>) => Promise<any>} get
   * @param {{onChange: () => void, onFiring: (firing: Firing) => void}} events
   */
  constructor(live, get, events) {
    this.live = live; this.get = get; this.events = events;
    this.symbol = "";
    /** @type {Signal[]} */ this.signals = [];
    /** Those of the chart's time, in any order. @type {Map<string, Signal>} */ this.charted = new Map();
    /** @type {Firing[]} */ this.firings = [];
    /** @type {Order[]} */ this.orders = [];
    /** The time of `charted`; none before it has been read. @type {{start: string, end: string}|null} */ this.range = null;
    /** @type {Promise<void>} */ this.covering = Promise.resolve();
    /** @type {(() => void)[]} */ this.stops = [];
  }

  /** Shows another symbol. @param {string} symbol */
  async open(symbol) {
    for (const stop of this.stops) stop();
    Object.assign(this, { symbol, signals: [], charted: new Map(), firings: [], orders: [], range: null });
    this.stops = [
      this.live.watch(`signals:${symbol}`, ({ data }) => this.#takeSignals(Array.isArray(data) ? data : [data])),
      this.live.watch(`alerts:${symbol}`, ({ type, data }) => {
        this.#takeFirings(Array.isArray(data) ? data : [data]);
        if (type === "firing") this.events.onFiring(data);
      }),
    ];
    await this.#readFirings(symbol);
  }

  /** @param {string} symbol */
  async #readFirings(symbol) {
    try {
      const { firings } = await this.get("alerts/firings", { symbol, limit: PAGE });
      if (symbol === this.symbol) this.#takeFirings(firings.reverse());
    } catch (error) { if (!isForbidden(error)) setTimeout(() => { if (symbol === this.symbol) this.#readFirings(symbol); }, RETRY_MS); }
  }

  /** Reads the signals of a time, except for what is known, and drops others. @param {string} start @param {string|null} end null for now */
  cover(start, end) {
    this.covering = this.covering.then(() => this.#cover(start, end));
    return this.covering;
  }

  /** @param {string} start @param {string|null} until */
  async #cover(start, until) {
    const end = until ?? new Date().toISOString(), symbol = this.symbol, known = this.range;
    const parts = !known || start >= known.end || end <= known.start ? [[start, end]] : [[start, known.start], [known.end, end]];
    /** @type {Signal[]} */ const found = [];
    try {
      for (const [from, to] of parts) if (from !== undefined && to !== undefined && from < to) found.push(...await this.#readSignals(symbol, from, to));
    } catch { return; } // the next range reads it
    if (symbol !== this.symbol) return;
    for (const signal of found) this.charted.set(signalKey(signal), signal);
    for (const [key, { event_time }] of this.charted) if (event_time < start || event_time >= end) this.charted.delete(key);
    this.range = { start, end };
    if (until === null) this.#takeSignals(found.slice(-LISTED)); else this.events.onChange();
  }

  /** Reads pages, oldest first. @param {string} symbol @param {string} start @param {string} end @returns {Promise<Signal[]>} */
  async #readSignals(symbol, start, end) {
    const signals = [];
    for (let pages = 0, after = null; pages < MAX_PAGES; pages++) {
      const page = await this.get(`signals/${encodeSymbol(symbol)}`, { start, end, after, limit: PAGE });
      signals.push(...page.signals);
      if (!(after = page.next)) break;
    }
    return signals;
  }

  /** The signals to mark on the chart. */
  get marked() { return [...this.signals.filter((signal) => !this.charted.has(signalKey(signal))), ...this.charted.values()]; }

  /** @param {Order[]} orders */
  takeOrders(orders) { this.orders = orders; this.events.onChange(); }

  /** @param {Signal[]} signals oldest first */
  #takeSignals(signals) {
    this.signals = addNewest(this.signals, signals, signalKey, MOST).sort((a, b) => (a.event_time < b.event_time ? 1 : -1));
    this.events.onChange();
  }

  /** @param {Firing[]} firings oldest first */
  #takeFirings(firings) {
    this.firings = addNewest(this.firings, firings, firingKey, MOST).sort((a, b) => (a.event_time < b.event_time ? 1 : -1));
    this.events.onChange();
  }
}
