// The averages that are shown: read from the server for the loaded candles, and again as candles close.
/** @import {Average} from "./averages.js" */
import { hasAverages, parseAverage, readAverage } from "./averages.js";
import { encodeSymbol } from "./url_state.js";

/** @typedef {{average: Average, values: Map<number, number>, from: number, to: number}} Line */

/** The values of averages by open time. */
export class AverageLines {
  /** @param {(path: string, parameters: Record<string, any>) => Promise<any>} get @param {() => void} onChange */
  constructor(get, onChange) {
    this.get = get; this.onChange = onChange;
    this.symbol = ""; this.interval = "1m";
    this.turn = 0;
    this.covers = 0;
    /** @type {Map<string, Line>} */ this.lines = new Map();
  }

  /** Shows another symbol or interval. @param {string} symbol @param {string} interval */
  open(symbol, interval) {
    Object.assign(this, { symbol, interval, turn: this.turn + 1 });
    this.lines.clear();
  }

  /**
   * Reads what is not known of a range, and drops what is outside of it.
   * @param {string[]} names @param {number} from seconds, inclusive @param {number} to exclusive
   */
  async cover(names, from, to) {
    const call = ++this.covers, wanted = hasAverages(this.interval) ? names : [];
    for (const name of this.lines.keys()) if (!wanted.includes(name)) this.lines.delete(name);
    await Promise.all(wanted.map(async (name) => {
      const average = parseAverage(name);
      if (!average) return;
      const line = this.lines.get(name);
      if (!line || from > line.to || to < line.from) {
        this.lines.set(name, { average, values: new Map(), from, to: from });
        await this.#read(name, from, to);
      } else {
        if (from < line.from) await this.#read(name, from, line.from);
        if (to > line.to) await this.#read(name, line.to, to);
        if (call === this.covers) keepRange(line, from, to);
      }
    }));
    this.onChange();
  }

  /** Reads the values again from a candle on, after it has changed. @param {number} from @param {number} to */
  async again(from, to) {
    await Promise.all([...this.lines.keys()].map((name) => this.#read(name, from, to)));
    this.onChange();
  }

  /** @param {string} name @param {number} from @param {number} to */
  async #read(name, from, to) {
    const turn = this.turn, line = this.lines.get(name);
    if (!line) return;
    try {
      const values = await readAverage(this.get, encodeSymbol(this.symbol), this.interval, line.average, from, to);
      if (turn !== this.turn) return;
      for (const [time, value] of values) line.values.set(time, value);
      // Candles that are still open have no value yet: they are read again.
      const last = Math.max(...(values.size ? [...values.keys()].slice(-1) : [from - 1])) + 1;
      line.from = Math.min(line.from, from);
      line.to = Math.max(line.to, Math.min(to, last));
    } catch { /* read again with the next candle that closes */ }
  }
}

/** Drops the values outside of a range. @param {Line} line @param {number} from @param {number} to */
function keepRange(line, from, to) {
  if (line.from >= from && line.to <= to) return;
  for (const time of line.values.keys()) if (time < from || time >= to) line.values.delete(time);
  line.from = Math.max(line.from, from);
  line.to = Math.min(line.to, to);
}
