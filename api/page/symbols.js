// The symbols of the plant, and the source of its trades.
/** @import {Row} from "./overview_rows.js" */

const PAGE = 1000, MAX_RETRY_MS = 5000, SOURCE_MS = 2000;

const wait = (/** @type {number} */ ms) => new Promise((done) => { setTimeout(done, ms); });

/** The list of symbols. */
export class Symbols {
  /** @param {(path: string, parameters?: Record<string, any>) => Promise<any>} get */
  constructor(get) {
    this.get = get;
    /** @type {string[]} */ this.names = [];
    /** The symbol to show if none is chosen: the first that has traded. @type {string|null} */ this.preferred = null;
    /** @type {string|null} */ this.source = null;
    /** @type {Map<string, string|null>} */ this.quotes = new Map();
  }

  /** Reads the list; tries again until there is one. @param {(message: string) => void} onWait says what it waits for */
  async load(onWait) {
    for (let tries = 0; ; tries++) {
      try {
        const symbols = await this.#read();
        if (symbols.length) {
          this.names = symbols.map(({ symbol }) => symbol);
          this.preferred = (symbols.find((each) => each.last_trade_id !== null) ?? symbols[0])?.symbol ?? null;
          this.source = symbols[0]?.source ?? null;
          return;
        }
        onWait("No symbols yet: the plant has received no trades, and its settings name no symbols");
      } catch (error) { onWait(`Waiting for the servers: ${/** @type {Error} */ (error).message}`); }
      await wait(Math.min(MAX_RETRY_MS, 500 * 2 ** tries));
    }
  }

  /** @returns {Promise<{symbol: string, source: string|null, last_trade_id: import("./types.js").Id|null}[]>} */
  async #read() {
    const symbols = [];
    for (let after = null; ;) {
      const page = await this.get("symbols", { limit: PAGE, after });
      symbols.push(...page.symbols);
      if (!(after = page.next)) return symbols;
    }
  }

  /** Reports the source of trades; it is unknown before the first one. @param {(source: string|null) => void} onSource */
  async watchSource(onSource) {
    while (this.source === null) {
      await wait(SOURCE_MS);
      try { this.source = (await this.get("symbols", { limit: 1 })).symbols[0]?.source ?? null; } catch { /* later */ }
    }
    onSource(this.source);
  }

  /** Learns the quote currencies, and the symbols that have come since the list was read. @param {Row[]} rows */
  learn(rows) {
    for (const { symbol, quote } of rows) this.quotes.set(symbol, quote);
    this.names = [...new Set([...this.names, ...rows.map(({ symbol }) => symbol)])];
  }

  /** Returns the quote currency of a symbol; null if unknown. @param {string} symbol */
  quoteOf(symbol) { return this.quotes.get(symbol) ?? null; }
}
