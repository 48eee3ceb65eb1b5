// The chart with its data: candles, averages, events and gaps come together here.
/** @import {Alert, Bar, Candle, Gap} from "./types.js" */
/** @import {Events} from "./events.js" */
/** @import {Live} from "./live.js" */
/** @import {View} from "./url_state.js" */
import { averageTitle } from "./averages.js";
import { AverageLines } from "./average_lines.js";
import { CandleFeed } from "./candle_feed.js";
import { Chart, loadLibrary } from "./chart.js";
import { byId, eachFrame, setText } from "./dom.js";
import { gapBands } from "./gaps.js";
import { showLegend, spokenCandle } from "./legend.js";
import { markersOf } from "./markers.js";
import { colors } from "./theme.js";
import { DEFAULTS } from "./url_state.js";
import { isoTime, later } from "./times.js";

const PREFETCH = 700, ADDRESS_MS = 400;

/** The chart of the symbol and interval that is shown. */
export class ChartView {
  /**
   * @param {Live} live @param {(path: string, parameters?: Record<string, any>) => Promise<any>} get
   * @param {{onPrices: (prices: (string|null)[]) => void, onLoaded: (start: string, end: string|null) => void, onView: (to: string|null) => void}} events
   */
  constructor(live, get, events) {
    this.events = events;
    /** @type {Chart|null} */ this.chart = null;
    /** @type {View} */ this.view = DEFAULTS;
    this.digits = 0;
    this.colors = colors();
    /** @type {string|null} */ this.price = null;
    this.current = true;
    /** @type {Alert[]} */ this.alerts = [];
    /** @type {Gap[]} */ this.gaps = [];
    /** @type {Events|null} */ this.happened = null;
    /** @type {number|null} */ this.cursor = null;
    this.spoken = false;
    /** @type {string|null} */ this.error = null;
    /** What the next frame draws: changed bars by index, all from an index on, or all. @type {{all: "newest"|"stay"|null, changed: Set<number>, from: number}} */
    this.pending = { all: null, changed: new Set(), from: Infinity };
    this.feed = new CandleFeed(live, get, {
      onReset: (view) => { this.pending.all = this.pending.all === "newest" ? "newest" : view; this.#learn(this.feed.bars.list); this.draw(); this.#loaded(); },
      onCandle: (index, kind) => this.#candle(index, kind),
      onError: (error) => { this.error = error?.message ?? null; this.draw(); },
    });
    this.averages = new AverageLines(get, () => { this.averagesChanged = true; this.draw(); });
    this.averagesChanged = this.eventsChanged = this.rangeChanged = false;
    /** @type {number|undefined} */ this.closedFrom = undefined;
    /** @type {number|undefined} */ this.closedTimer = undefined;
    this.draw = eachFrame(() => this.#draw());
    this.addressTimer = 0;
  }

  /** Loads the chart library. */
  async load() {
    try {
      const library = await loadLibrary();
      this.chart = new Chart(library, byId("chart"), this.colors, {
        onRange: () => { this.rangeChanged = true; this.draw(); },
        onCursor: (index) => { this.cursor = index; this.draw(); },
      });
      this.setOptions(this.view);
      this.chart.setDigits(this.digits);
      this.chart.setAlerts(this.#lines());
      this.pending.all = "newest";
      this.eventsChanged = this.averagesChanged = true;
      this.draw();
    } catch (error) { setText(byId("chart-message"), `No chart: ${/** @type {Error} */ (error).message}`); byId("chart-message").hidden = false; }
  }

  /** Shows a symbol and interval. @param {string} symbol @param {string} interval @param {string|null} until */
  open(symbol, interval, until) {
    this.price = null;
    this.gaps = symbol === this.feed.symbol ? this.gaps : [];
    this.averages.open(symbol, interval);
    this.feed.open(symbol, interval, until);
  }

  /** @param {View} view */
  setOptions(view) {
    const before = this.view;
    this.view = view;
    if (!this.chart) return;
    this.chart.setLog(view.log);
    this.chart.setTimes(this.feed.bars.step, view.zone);
    if (view.averages !== before.averages) this.#coverAverages();
    this.draw();
  }

  /** @param {number} digits */
  setDigits(digits) { this.digits = digits; this.chart?.setDigits(digits); this.averagesChanged = true; this.draw(); }
  /** @param {string} price */
  setPrice(price) { this.price = price; this.draw(); }
  /** @param {boolean} current */
  setCurrent(current) { if (current !== this.current) { this.current = current; this.draw(); } }
  /** @param {Alert[]} alerts */
  setAlerts(alerts) { this.alerts = alerts; this.chart?.setAlerts(this.#lines()); }
  /** @param {Gap[]} gaps */
  setGaps(gaps) { this.gaps = gaps; this.eventsChanged = true; this.draw(); }
  /** @param {Events} events */
  setEvents(events) { this.happened = events; this.eventsChanged = true; this.draw(); }

  setColors() {
    this.colors = colors();
    this.chart?.setColors(this.colors);
    this.averagesChanged = this.eventsChanged = true;
    this.chart?.setAlerts(this.#lines());
    this.draw();
  }

  async goToNow() { await this.feed.toNewest(); this.chart?.goToNow(); }
  /** @param {number} bars @param {number} [zoom] */
  move(bars, zoom) { this.chart?.move(bars, zoom); }

  /** Moves the crosshair to the next candle, and reads it out. @param {number} step */
  moveCursor(step) {
    const bars = this.feed.bars.list, visible = this.chart?.visible();
    if (!visible) return;
    let index = this.cursor === null ? visible.to : this.cursor + step;
    while (bars[index] && !bars[index]?.candle) index += step;
    const bar = bars[index];
    if (!bar) return;
    if (index < visible.from || index > visible.to) this.chart?.move(step);
    this.chart?.setCursor(index);
    this.cursor = index;
    setText(byId("spoken"), spokenCandle(bar, this.#legendOptions(bar)));
    this.draw();
  }

  /** Returns the candles in view, and their averages. @returns {{candles: Candle[], averages: {name: string, values: Map<number, number>}[]}} */
  shown() {
    const visible = this.chart?.visible(), bars = this.feed.bars.list;
    const candles = visible ? bars.slice(visible.from, visible.to + 1).flatMap(({ candle }) => candle ?? []) : [];
    return { candles, averages: [...this.averages.lines].map(([name, { values }]) => ({ name, values })) };
  }

  /** @param {number} index @param {"appended"|"changed"|"inserted"} kind */
  #candle(index, kind) {
    const bars = this.feed.bars.list, bar = bars[index];
    if (kind === "inserted" || (kind === "appended" && bars.length <= (this.chart?.bars.length ?? 0))) this.pending.all ??= "stay";
    else if (kind === "appended") this.pending.from = Math.min(this.pending.from, index);
    else this.pending.changed.add(index);
    this.#learn(bars.slice(index));
    if (bar?.candle?.closed && this.view.averages.length) this.#averagesFrom(bar.time);
    this.draw();
  }

  /** Reads averages again from a candle that has closed or was corrected. @param {number} time */
  #averagesFrom(time) {
    this.closedFrom = Math.min(this.closedFrom ?? Infinity, time);
    this.closedTimer ??= setTimeout(() => {
      const from = this.closedFrom ?? time;
      this.closedTimer = this.closedFrom = undefined;
      const end = this.feed.bars.last;
      if (end) this.averages.again(from, end.time + this.feed.bars.step);
    }, 300);
  }

  /** @param {Bar[]} bars */
  #learn(bars) {
    if (bars.length) this.events.onPrices(bars.flatMap(({ candle }) => (candle ? [candle.open, candle.high, candle.low, candle.close] : [])));
  }

  #loaded() {
    this.chart?.setTimes(this.feed.bars.step, this.view.zone);
    this.#coverAverages();
    const { bars } = this.feed, start = bars.edge("first");
    if (start !== null) this.events.onLoaded(start, bars.atNewest ? null : bars.edge("last"));
    this.eventsChanged = true;
  }

  #coverAverages() {
    const { first, last, step } = this.feed.bars;
    if (first && last) this.averages.cover(this.view.averages, first.time, last.time + step);
  }

  #lines() { return this.alerts.flatMap(({ price, state }) => (price !== null && (state === "active" || state === "pending") ? [{ price }] : [])); }

  #draw() {
    const chart = this.chart, { bars } = this.feed, { pending } = this;
    const message = this.error ?? (bars.list.length ? "" : this.feed.opened ? "No candles yet" : "Loading candles");
    if (chart) { setText(byId("chart-message"), message); byId("chart-message").hidden = !message; }
    if (!chart) return this.#drawLegend();
    if (pending.all) { chart.setBars(bars.list, pending.all); this.averagesChanged = this.eventsChanged = true; }
    else {
      for (const index of [...pending.changed].sort((a, b) => a - b)) { const bar = bars.list[index]; if (bar && index < chart.bars.length) chart.updateBar(index, bar); }
      if (pending.from < Infinity) chart.updateBars(bars.list, Math.min(pending.from, chart.bars.length));
    }
    if (bars.list.length && !performance.getEntriesByName("candles-drawn").length) performance.mark("candles-drawn"); // for the benchmark
    this.pending = { all: null, changed: new Set(), from: Infinity };
    chart.setPrice(this.price, this.current);
    if (this.averagesChanged) chart.setAverages(this.#averageLines());
    if (this.eventsChanged) this.#drawEvents(chart);
    this.averagesChanged = this.eventsChanged = false;
    if (this.rangeChanged) this.#followRange(chart);
    this.rangeChanged = false;
    return this.#drawLegend();
  }

  /** @param {Chart} chart */
  #drawEvents(chart) {
    const { bars } = this.feed, { happened } = this;
    const barTime = (/** @type {number} */ time) => {
      const bar = bars.list[bars.indexBefore(time)];
      return bar && later(bar.time, bars.step) > time ? bar.time : null;
    };
    chart.setMarkers(happened ? markersOf({ ...happened, signals: happened.marked }, barTime, { up: this.colors.up, down: this.colors.down, alert: this.colors.warn }) : []);
    chart.setGaps(gapBands(bars.list, (time) => bars.indexBefore(time), this.gaps));
  }

  /** @param {Chart} chart */
  #followRange(chart) {
    const visible = chart.visible();
    if (!visible) return;
    if (visible.before < PREFETCH) this.feed.loadOlder();
    if (visible.after < PREFETCH) this.feed.loadNewer();
    const atNow = this.feed.bars.atNewest && visible.after <= 0, bar = this.feed.bars.list[visible.to];
    byId("now").hidden = atNow;
    clearTimeout(this.addressTimer);
    this.addressTimer = setTimeout(() => this.events.onView(atNow || !bar ? null : isoTime(later(bar.time, this.feed.bars.step))), ADDRESS_MS);
  }

  #averageLines() {
    return this.view.averages.flatMap((name, index) => {
      const line = this.averages.lines.get(name);
      return line ? [{ name, values: line.values, title: averageTitle(line.average), color: this.colors.averages[index % this.colors.averages.length] ?? "" }] : [];
    });
  }

  /** @param {Bar} bar */
  #legendOptions(bar) {
    const averages = this.#averageLines().map(({ title, color, values }) => ({ title, color, value: values.get(bar.time) }));
    return { digits: this.digits, step: this.feed.bars.step, zone: this.view.zone, averages };
  }

  #drawLegend() {
    const list = this.feed.bars.list, bar = list[this.cursor ?? -1] ?? this.feed.bars.last;
    if (bar) showLegend(byId("legend"), bar, this.#legendOptions(bar)); else byId("legend").replaceChildren();
  }
}
