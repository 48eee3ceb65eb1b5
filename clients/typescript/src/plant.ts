import { follow, type Endpoint } from "./connection.js";
import { PlantError } from "./errors.js";
import { Rest, type Parameters } from "./history.js";
import type { Candle, Message, Since, Trade } from "./messages.js";
import { CandleProgress, TradeProgress } from "./progress.js";
import { Series, type CandleOptions, type Kind, type LiveOptions } from "./series.js";
import { Subscription } from "./subscription.js";

export type { LiveOptions };

export interface PlantOptions {
  /** An API key, where one is needed. */
  key?: string;
  /** The class of websockets, where the runtime has none. */
  WebSocket?: typeof WebSocket;
}

const CANDLES: Kind<Candle> = { resource: "ohlcv", rows: (page) => page.candles ?? [], progress: () => new CandleProgress() };
const TRADES: Kind<Trade> = { resource: "trades", rows: (page) => page.trades ?? [], progress: () => new TradeProgress() };

/** An API of tickplant. Every live iterator has a websocket of its own: one that reads slowly delays no other. */
export class Plant {
  readonly #rest: Rest;
  readonly #base: string;
  readonly #options: PlantOptions;

  /** Prepares a client; nothing is requested yet. @param url the API's address */
  constructor(url = "http://127.0.0.1:8080", options: PlantOptions = {}) {
    this.#base = url.replace(/\/+$/, "");
    this.#options = options;
    this.#rest = new Rest(this.#base, options.key);
  }

  /**
   * Returns candles of a symbol.
   * @param symbol `venue:symbol`; the venue may be omitted if only one has the symbol
   * @param interval such as `1m`
   */
  candles(symbol: string, interval = "1m", options: CandleOptions = {}): Series<Candle> {
    return new Series({
      kind: CANDLES, rest: this.#rest, follow: this.#follow, symbol, channel: `candles:${symbol}:${interval}`,
      parameters: { interval }, wanted: (candle) => candle.closed || !options.closed, options,
    });
  }

  /** Returns trades of a symbol. */
  trades(symbol: string, options: LiveOptions = {}): Series<Trade> {
    return new Series({
      kind: TRADES, rest: this.#rest, follow: this.#follow, symbol, channel: `trades:${symbol}`,
      parameters: {}, wanted: () => true, options,
    });
  }

  /**
   * Yields all messages of channels over one websocket, which is opened again whenever it ends.
   * @param channels such as `price:binance:BTCUSDT`; see docs/websocket.md
   * @throws {PlantError} the API refuses a channel
   */
  messages(channels: readonly string[], options: { since?: Since; signal?: AbortSignal } = {}): AsyncGenerator<Message, void, undefined> {
    return this.#follow(new Subscription(channels, options.since), options.signal);
  }

  /**
   * Returns an answer of the API, with decimals as text.
   * @param path below `/api/v1/`, such as `price/binance:BTCUSDT`
   * @throws {PlantError} the API refuses the request, or can't be reached
   */
  get(path: string, parameters?: Parameters): Promise<unknown> {
    return this.#rest.get(path, parameters);
  }

  readonly #follow = (subscription: Subscription, signal?: AbortSignal) => follow(this.#endpoint(), subscription, signal);

  #endpoint(): Endpoint {
    const Class = this.#options.WebSocket ?? globalThis.WebSocket;
    if (Class === undefined) throw new PlantError("no_websocket",
      "this runtime has no WebSocket: start Node 20 with --experimental-websocket, use Node 22, or pass the option WebSocket");
    return { url: this.#base.replace(/^http/, "ws") + "/ws", key: this.#options.key, WebSocket: Class };
  }
}
