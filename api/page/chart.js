// The chart: candles, volume, averages, markers and lines, drawn by the chart library.
/** @import {Bar, Candle} from "./types.js" */
/** @import {Colors} from "./theme.js" */
/** @import {Marker} from "./markers.js" */
/** @import {Zone} from "./times.js" */
import { abbreviated, grouped } from "./decimals.js";
import { QualityMarks } from "./quality_marks.js";
import { axisText, openTimeText } from "./times.js";
import { getFile } from "./transport.js";

const LIBRARY = new URL("./lightweight-charts.js", import.meta.url).href, BAR_SPACING = 8, RIGHT_OFFSET = 6;

/** Loads the chart library. @returns {Promise<any>} @throws {Error} with a message for the user */
export async function loadLibrary() {
  try { await import(LIBRARY); } catch {
    await getFile(LIBRARY); // its error says what is missing
    throw new Error("the chart library can't be loaded");
  }
  return /** @type {any} */ (globalThis).LightweightCharts;
}

/** The chart of one symbol and interval. Prices become numbers only here, to be drawn. */
export class Chart {
  /**
   * @param {any} library @param {HTMLElement} container @param {Colors} colors
   * @param {{onRange: () => void, onCursor: (index: number|null) => void}} events
   */
  constructor(library, container, colors, events) {
    this.library = library;
    /** @type {readonly Bar[]} */ this.bars = [];
    this.digits = 2; this.step = 60;
    /** @type {Zone} */ this.zone = "utc";
    this.colors = colors;
    /** @type {Map<string, any>} */ this.averages = new Map();
    /** @type {any[]} */ this.alertLines = [];
    this.chart = library.createChart(container, {
      autoSize: true,
      layout: { attributionLogo: false, fontSize: 11, fontFamily: getComputedStyle(container).fontFamily },
      crosshair: { mode: library.CrosshairMode.Normal },
      rightPriceScale: { minimumWidth: 76 },
      timeScale: {
        barSpacing: BAR_SPACING, rightOffset: RIGHT_OFFSET, minBarSpacing: 0.5, timeVisible: true,
        tickMarkFormatter: (/** @type {number} */ at, /** @type {number} */ kind) => axisText(at, kind, this.zone),
      },
      localization: {
        timeFormatter: (/** @type {number} */ at) => openTimeText(at, this.step, this.zone),
      },
    });
    this.candles = this.chart.addSeries(library.CandlestickSeries, { priceLineVisible: false, lastValueVisible: false });
    this.volume = this.chart.addSeries(library.HistogramSeries, {
      priceLineVisible: false, lastValueVisible: false, priceFormat: { type: "custom", formatter: (/** @type {number} */ size) => abbreviated(size), minMove: 1e-8 },
    }, 1);
    this.candles.priceScale().applyOptions({ scaleMargins: { top: 0.12, bottom: 0.06 } }); // room for the legend and the rail
    this.chart.panes()[0].setStretchFactor(5);
    this.chart.panes()[1].setStretchFactor(1);
    this.lastPrice = null;
    this.markers = library.createSeriesMarkers(this.candles, []);
    this.quality = new QualityMarks();
    this.candles.attachPrimitive(this.quality);
    this.chart.timeScale().subscribeVisibleLogicalRangeChange(events.onRange);
    this.chart.subscribeCrosshairMove((/** @type {any} */ move) => events.onCursor(move.logical ?? null));
    this.setColors(colors);
  }

  /** @param {Bar} bar */
  #point({ time, candle }) {
    return candle ? { time, open: +candle.open, high: +candle.high, low: +candle.low, close: +candle.close } : { time };
  }

  /** @param {Bar} bar */
  #volumePoint({ time, candle }) {
    return candle ? { time, value: +candle.volume, color: +candle.close >= +candle.open ? this.colors.upSoft : this.colors.downSoft } : { time };
  }

  /**
   * Draws other bars; the moments in view stay in view.
   * @param {readonly Bar[]} bars @param {"stay"|"newest"} view
   */
  setBars(bars, view) {
    const scale = this.chart.timeScale(), range = view === "stay" ? scale.getVisibleLogicalRange() : null;
    const before = range && this.bars.length ? this.#anchor(range.from) : null;
    this.bars = bars.slice();
    this.candles.setData(bars.map((bar) => this.#point(bar)));
    this.volume.setData(bars.map((bar) => this.#volumePoint(bar)));
    this.quality.bars = this.bars;
    if (range && before) {
      const index = this.#position(before.time);
      const shift = index - before.index;
      if (shift) scale.setVisibleLogicalRange({ from: range.from + shift, to: range.to + shift });
    } else this.goToNow();
  }

  /** @param {number} logical */
  #anchor(logical) {
    const index = Math.min(this.bars.length - 1, Math.max(0, Math.round(logical)));
    return { index, time: /** @type {Bar} */ (this.bars[index]).time };
  }

  /** @param {number} time */
  #position(time) {
    let low = 0, high = this.bars.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (/** @type {Bar} */ (this.bars[middle]).time < time) low = middle + 1; else high = middle;
    }
    return low;
  }

  /**
   * Draws bars whose places exist already or follow the last one.
   * @param {readonly Bar[]} bars all @param {number} from index of the first that changed
   */
  updateBars(bars, from) {
    for (let index = from; index < bars.length; index++) {
      const bar = /** @type {Bar} */ (bars[index]), known = index < this.bars.length - 1;
      this.candles.update(this.#point(bar), known);
      this.volume.update(this.#volumePoint(bar), known);
    }
    this.bars = this.quality.bars = bars.slice();
  }

  /** Draws one bar again. @param {number} index @param {Bar} bar */
  updateBar(index, bar) {
    const earlier = index < this.bars.length - 1;
    /** @type {Bar[]} */ (this.bars)[index] = bar;
    this.candles.update(this.#point(bar), earlier);
    this.volume.update(this.#volumePoint(bar), earlier);
  }

  /** Draws averages. @param {{name: string, values: Map<number, number>, color: string}[]} averages */
  setAverages(averages) {
    const names = new Set(averages.map(({ name }) => name));
    for (const [name, series] of this.averages) {
      if (!names.has(name)) { this.chart.removeSeries(series); this.averages.delete(name); }
    }
    for (const { name, values, color } of averages) {
      let series = this.averages.get(name);
      if (!series) {
        series = this.chart.addSeries(this.library.LineSeries, { lineWidth: 1, priceLineVisible: false, lastValueVisible: false, crosshairMarkerVisible: false });
        this.averages.set(name, series);
      }
      series.applyOptions({ color, priceFormat: this.#priceFormat() });
      series.setData(this.bars.flatMap(({ time }) => { const value = values.get(time); return value === undefined ? [] : [{ time, value }]; }));
    }
  }

  /** Adds the newest value of an average. @param {string} name @param {number} time @param {number} value */
  updateAverage(name, time, value) {
    const series = this.averages.get(name), last = series?.data().at(-1)?.time ?? 0;
    series?.update({ time, value }, time < last);
  }

  /** @param {Marker[]} markers */
  setMarkers(markers) { this.markers.setMarkers(markers); }

  /** @param {{from: number, to: number}[]} bands */
  setGaps(bands) { this.quality.bands = bands; this.quality.changed(); }

  /** Draws the last price as a line. @param {string|null} price @param {boolean} current */
  setPrice(price, current) {
    if (price === null) { if (this.lastPrice) this.candles.removePriceLine(this.lastPrice); this.lastPrice = null; return; }
    const options = { price: +price, color: current ? this.colors.accent : this.colors.quiet, lineWidth: 1, lineStyle: 1, axisLabelVisible: true, title: "" };
    if (this.lastPrice) this.lastPrice.applyOptions(options); else this.lastPrice = this.candles.createPriceLine(options);
  }

  /** Draws the thresholds of alerts. @param {{price: string}[]} alerts */
  setAlerts(alerts) {
    for (const line of this.alertLines) this.candles.removePriceLine(line);
    this.alertLines = alerts.map(({ price }) => this.candles.createPriceLine({
      price: +price, color: this.colors.warn, lineWidth: 1, lineStyle: 2, axisLabelVisible: true, title: "alert",
    }));
  }

  #priceFormat() {
    const digits = this.digits;
    return { type: "custom", minMove: 10 ** -digits, formatter: (/** @type {number} */ price) => grouped(price.toFixed(digits), digits) };
  }

  /** @param {number} digits decimal places of the instrument's prices */
  setDigits(digits) {
    this.digits = digits;
    this.candles.applyOptions({ priceFormat: this.#priceFormat() });
    for (const series of this.averages.values()) series.applyOptions({ priceFormat: this.#priceFormat() });
  }

  /** @param {number} step length of the interval in seconds @param {Zone} zone */
  setTimes(step, zone) {
    this.step = step; this.zone = zone;
    this.chart.applyOptions({ timeScale: { secondsVisible: step < 60, timeVisible: step < 86400 || zone === "local" } });
  }

  /** @param {boolean} log */
  setLog(log) {
    const { Logarithmic, Normal } = this.library.PriceScaleMode;
    this.chart.priceScale("right").applyOptions({ mode: log ? Logarithmic : Normal });
  }

  /** @param {Colors} colors */
  setColors(colors) {
    this.colors = colors;
    this.quality.colors = colors;
    const line = { color: colors.grid };
    this.chart.applyOptions({
      layout: { background: { color: colors.panel }, textColor: colors.quiet, panes: { separatorColor: colors.line, separatorHoverColor: colors.line } },
      grid: { vertLines: line, horzLines: line },
      crosshair: { vertLine: { color: colors.quiet, labelBackgroundColor: colors.quiet }, horzLine: { color: colors.quiet, labelBackgroundColor: colors.quiet } },
      rightPriceScale: { borderColor: colors.line }, timeScale: { borderColor: colors.line },
    });
    this.candles.applyOptions({ upColor: colors.up, downColor: colors.down, wickUpColor: colors.up, wickDownColor: colors.down, borderVisible: false });
    this.volume.setData(this.bars.map((bar) => this.#volumePoint(bar)));
  }

  /** Shows the newest bars. */
  goToNow() { this.chart.timeScale().applyOptions({ barSpacing: BAR_SPACING }); this.chart.timeScale().scrollToPosition(RIGHT_OFFSET, false); }

  /** Returns the visible bars, and how many loaded ones lie on each side; null before any is drawn. */
  visible() {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (!range || !this.bars.length) return null;
    const from = Math.max(0, Math.ceil(range.from)), to = Math.min(this.bars.length - 1, Math.floor(range.to));
    return { from, to, before: Math.floor(range.from), after: this.bars.length - 1 - Math.ceil(range.to) };
  }

  /** Scrolls by bars, or zooms. @param {number} bars @param {number} [zoom] factor of the width of bars */
  move(bars, zoom = 1) {
    const scale = this.chart.timeScale();
    if (zoom !== 1) scale.applyOptions({ barSpacing: Math.min(60, Math.max(0.5, scale.options().barSpacing * zoom)) });
    if (bars) scale.scrollToPosition(scale.scrollPosition() + bars, false);
  }

  /** Puts the crosshair on a bar. @param {number} index */
  setCursor(index) {
    const bar = this.bars[index];
    if (bar?.candle) this.chart.setCrosshairPosition(+bar.candle.close, bar.time, this.candles);
  }
}
