// Draws on the chart what is not complete: a rail below candles that may lack trades, and bands where trades are missing.
/** @import {Bar} from "./types.js" */

const RAIL = 4;

/** Returns whether trades of a candle may be missing. @param {Bar|undefined} bar */
export const isIncomplete = (bar) => bar?.candle?.closed === true && bar.candle.complete === false;

/** A primitive of the chart library, attached to the series of candles. */
export class QualityMarks {
  constructor() {
    /** @type {readonly Bar[]} */ this.bars = [];
    /** @type {{from: number, to: number}[]} */ this.bands = [];
    this.colors = { warn: "", gap: "" };
    /** @type {any} */ this.attachedTo = null;
    const marks = this;
    this.views = [{
      zOrder: () => "bottom",
      renderer: () => ({ draw: (/** @type {any} */ target) => target.useBitmapCoordinateSpace((/** @type {any} */ scope) => marks.draw(scope)) }),
    }];
  }

  /** @param {any} parameters of the library: the chart and requestUpdate */
  attached(parameters) { this.attachedTo = parameters; }
  detached() { this.attachedTo = null; }
  updateAllViews() { /* everything is read while drawing */ }
  paneViews() { return this.views; }
  /** Draws again. */
  changed() { this.attachedTo?.requestUpdate(); }

  /** @param {{context: CanvasRenderingContext2D, bitmapSize: {width: number, height: number}, horizontalPixelRatio: number, verticalPixelRatio: number}} scope */
  draw({ context, bitmapSize, horizontalPixelRatio: ratio, verticalPixelRatio: tall }) {
    const scale = this.attachedTo?.chart.timeScale(), range = scale?.getVisibleLogicalRange();
    if (!range) return;
    const half = scale.options().barSpacing / 2;
    const from = Math.max(0, Math.floor(range.from)), to = Math.min(this.bars.length - 1, Math.ceil(range.to));
    const x = (/** @type {number} */ index) => scale.logicalToCoordinate(index);
    const fill = (/** @type {number} */ first, /** @type {number} */ last, /** @type {number} */ top, /** @type {number} */ height) => {
      const left = Math.round((x(first) - half) * ratio);
      context.fillRect(left, top, Math.max(1, Math.round((x(last) + half) * ratio) - left), height);
    };
    context.fillStyle = this.colors.gap;
    for (const band of this.bands) {
      if (band.to >= from && band.from <= to) fill(Math.max(band.from, from), Math.min(band.to, to), 0, bitmapSize.height);
    }
    context.fillStyle = this.colors.warn;
    const height = Math.round(RAIL * tall), top = bitmapSize.height - height;
    for (let index = from; index <= to; index++) {
      if (!isIncomplete(this.bars[index])) continue;
      const first = index;
      while (index < to && isIncomplete(this.bars[index + 1])) index++;
      fill(first, index, top, height);
    }
  }
}
