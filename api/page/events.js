// What happened to a symbol: signals, firings and the bot's orders, of the time that the chart shows.
/** @import {Firing, Order, Signal} from "./types.js" */
/** @import {Live} from "./live.js" */
import { addNewest } from "./markers.js";
import { isForbidden } from "./transport.js";
import { encodeSymbol } from "./url_state.js";

const MOST = 5000, PAGE = 1000, RETRY_MS = 5000;

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
    /** @type {Firing[]} */ this.firings = [];
    /** @type {Order[]} */ this.orders = [];
    /** The oldest time whose signals have been read; null for none. @type {string|null} */ this.since = null;
    /** @type {(() => void)[]} */ this.stops = [];
  }

  /** Shows another symbol. @param {string} symbol */
  async open(symbol) {
    for (const stop of this.stops) stop();
    Object.assign(this, { symbol, signals: [], firings: [], orders: [], since: null });
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

  /** Reads the signals since a time, unless that was done. @param {string} start */
  async reach(start) {
    if (this.since !== null && start >= this.since) return;
    const symbol = this.symbol, end = this.since;
    this.since = start;
    try {
      const { signals } = await this.get(`signals/${encodeSymbol(symbol)}`, { start, end, limit: PAGE });
      if (symbol !== this.symbol) return;
      this.#takeSignals(signals);
    } catch { if (symbol === this.symbol) this.since = end; }
  }

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
