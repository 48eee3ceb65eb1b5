import { errorOfResponse, TemporaryError } from "./errors.js";
import { parseExact, type Candle, type Trade } from "./messages.js";

const PAGE_LENGTH = 1000, TIMEOUT_MS = 30_000;

export type Parameters = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** A page of candles or trades, oldest first. */
export interface Page {
  candles?: Candle[];
  trades?: Trade[];
  /** Leads to the next page. */
  next: string | null;
  /** Where live changes continue from this answer. */
  cursor: string | null;
}

/** The API over HTTP. */
export class Rest {
  constructor(private readonly base: string, private readonly key: string | undefined) {}

  /**
   * Returns an answer.
   * @param path below `/api/v1/`
   * @param parameters those without a value are left out
   */
  async get(path: string, parameters: Parameters = {}, signal?: AbortSignal): Promise<unknown> {
    const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined);
    const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    const aborted = signal && AbortSignal.any([signal, timeout]);
    let response: Response, text: string;
    try {
      response = await fetch(`${this.base}/api/v1/${path}${query && "?" + query}`, {
        headers: this.key === undefined ? {} : { Authorization: `Bearer ${this.key}` },
        signal: aborted ?? timeout,
      });
      text = await response.text();
    } catch (error) {
      signal?.throwIfAborted();
      throw new TemporaryError("unreachable", `the API can't be reached: ${error}`);
    }
    if (!response.ok) throw errorOfResponse(response.status, text);
    return parseExact(text);
  }

  /** Yields the pages of a time range, from its start on. */
  async *pages(resource: "ohlcv" | "trades", symbol: string, parameters: Parameters, signal?: AbortSignal): AsyncGenerator<Page, void, undefined> {
    const path = `${resource}/${symbol.split("/").map(encodeURIComponent).join("/")}`;
    let after: string | null = null;
    do {
      // Only with a start do pages lead forward.
      const page = await this.get(path, { limit: PAGE_LENGTH, ...parameters, start: parameters.start ?? "1970-01-01T00:00:00Z", after }, signal) as Page;
      yield page;
      after = page.next;
    } while (after !== null);
  }
}
