/** What the API sends. Decimals are text with all digits; times are RFC 3339 in UTC. */

/** An id of a trade; text if a number can't hold it exactly. */
export type Id = number | string;
/** The aggressor's side. */
export type Side = "buy" | "sell";

export interface Candle {
  /** Inclusive. */
  open_time: string;
  /** Exclusive. */
  close_time: string;
  open: string;
  high: string;
  low: string;
  close: string;
  volume: string;
  quote_volume: string;
  taker_buy_volume: string | null;
  taker_buy_quote_volume: string | null;
  vwap: string | null;
  trade_count: number;
  first_trade_id: Id | null;
  last_trade_id: Id | null;
  closed: boolean;
  /** Whether trade ids prove that no trade is missing; null if it has closed but the venue has no ids. */
  complete: boolean | null;
  /** How many of its trades arrived after it had closed. */
  revision: number;
}

export interface Trade {
  trade_id: Id;
  price: string;
  size: string;
  side: Side | null;
  /** When it happened, by the venue's clock. */
  event_time: string;
  /** When tickplant received it. */
  ingest_time: string;
}

interface Update<Type extends string, Data> {
  type: Type;
  channel: string;
  /** Not in polled channels. */
  cursor?: string;
  data: Data;
}

/** A message of a channel, or a `status`; see docs/websocket.md. */
export type Message =
  | (Update<"snapshot", unknown> & { recovered?: boolean })
  | { type: "resumed"; channel: string; cursor: string; recovered: true }
  | Update<"candle", Candle | Candle[]>
  | Update<"trades", Trade[]>
  | Update<"price", Trade>
  | Update<"gap" | "signal" | "firing" | "account" | "unified" | "stats", Record<string, unknown>>
  | Update<"connections", Record<string, unknown>[]>
  | { type: "status"; state: "live" | "stalled"; channels?: string[] };

/** Answers to requests. */
export type Control =
  | { type: "ack"; channels: string[] }
  | { type: "pong" }
  | { type: "error"; code: string; message: string; near?: string[] };

/** Where to start: a cursor, or one for each channel by its full name. */
export type Since = string | Readonly<Record<string, string>>;

/** Parses JSON; integers that a number can't hold exactly become text. */
export function parseExact(text: string): unknown {
  if (!/[:[,]\s*-?\d{16}/.test(text)) return JSON.parse(text);
  const quoted = text.replace(/"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])/g, (part) =>
    part.startsWith('"') || Number.isSafeInteger(Number(part)) ? part : `"${part}"`);
  return JSON.parse(quoted);
}
