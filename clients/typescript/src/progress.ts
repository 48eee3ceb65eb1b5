import type { Candle, Id, Trade } from "./messages.js";

/** Candles whose states are kept. */
const RECENT = 16;
/** At least so many of the latest trades are recognised when they are repeated. */
const RECENT_TRADES = 5_000;

/** What a live iterator has yielded. */
export interface Progress<Row> {
  /** Where history that may be new starts; undefined if nothing has been yielded. */
  readonly start: string | undefined;
  /**
   * Adds rows, and returns the new ones.
   * @param overlap whether they are stored ones, which may be older than the newest one
   */
  add(rows: readonly Row[], overlap: boolean): Row[];
}

/** The states of the newest candles. */
export class CandleProgress implements Progress<Candle> {
  #recent = new Map<string, string>();

  /** The oldest recent candle, since it may have changed. */
  get start(): string | undefined {
    return this.#recent.size ? [...this.#recent.keys()].sort()[0] : undefined;
  }

  add(rows: readonly Candle[]): Candle[] {
    return rows.filter((candle) => {
      const state = JSON.stringify(candle, Object.keys(candle).sort());
      if (this.#recent.get(candle.open_time) === state) return false;
      this.#recent.set(candle.open_time, state);
      if (this.#recent.size > RECENT) this.#recent.delete(this.start as string);
      return true;
    });
  }
}

/**
 * The newest trade, which trades that arrive late don't change, and the latest ones.
 *
 * Trades are sent live before they are stored. Those that Redis loses then are fetched from the venue, and sent live again.
 */
export class TradeProgress implements Progress<Trade> {
  #newest: Trade | undefined;
  #recent = new Set<string>();
  #older = new Set<string>();

  get start(): string | undefined {
    return this.#newest?.event_time;
  }

  add(rows: readonly Trade[], overlap: boolean): Trade[] {
    return rows.filter((trade) => {
      const position = `${trade.event_time} ${trade.trade_id}`;
      if (this.#newest === undefined || isAfter(trade, this.#newest)) this.#newest = trade;
      else if (overlap || this.#recent.has(position) || this.#older.has(position)) return false;
      this.#recent.add(position);
      if (this.#recent.size === RECENT_TRADES) {
        this.#older = this.#recent;
        this.#recent = new Set();
      }
      return true;
    });
  }
}

/** Returns whether a trade is after another; times of the API have one length, so they compare as text. */
function isAfter(trade: Trade, other: Trade): boolean {
  if (trade.event_time !== other.event_time) return trade.event_time > other.event_time;
  const big = (id: Id) => BigInt(id);
  return big(trade.trade_id) > big(other.trade_id);
}
