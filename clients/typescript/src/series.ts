import { Backoff, sleep } from "./backoff.js";
import { PlantError, TemporaryError } from "./errors.js";
import type { Page, Parameters, Rest } from "./history.js";
import type { Message } from "./messages.js";
import type { Progress } from "./progress.js";
import { Subscription } from "./subscription.js";

/** A range of time: RFC 3339, or dates. */
export interface Range {
  /** Inclusive; the oldest if not given. */
  start?: string | Date;
  /** Exclusive; the newest if not given. */
  end?: string | Date;
}

export interface LiveOptions {
  /** A cursor at which live changes start. */
  since?: string;
  /** Ends iterators. */
  signal?: AbortSignal;
}

export interface CandleOptions extends LiveOptions {
  /** Only candles that have closed: each again whenever it changes afterwards. */
  closed?: boolean;
}

/** Candles or trades. */
export interface Kind<Row> {
  resource: "ohlcv" | "trades";
  rows: (page: Page) => Row[];
  progress: () => Progress<Row>;
}

interface Source<Row> {
  kind: Kind<Row>;
  rest: Rest;
  follow: (subscription: Subscription, signal?: AbortSignal) => AsyncGenerator<Message, void, undefined>;
  symbol: string;
  channel: string;
  parameters: Parameters;
  wanted: (row: Row) => boolean;
  options: LiveOptions;
}

/**
 * Candles or trades of a symbol. `for await` yields them live: first the newest ones, unless `since` says where to
 * start, then every change, without gaps or duplicates over any number of connections.
 */
export class Series<Row> implements AsyncIterable<Row> {
  constructor(private readonly source: Source<Row>) {}

  /**
   * Yields what is stored, oldest first.
   * @throws {PlantError} the API refuses the request, or can't be reached
   */
  async *history({ start, end }: Range = {}): AsyncGenerator<Row, void, undefined> {
    for await (const page of this.#pages(timeText(start), timeText(end)))
      for (const row of this.source.kind.rows(page)) if (this.source.wanted(row)) yield row;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Row, void, undefined> {
    const { kind, channel, wanted, options: { since, signal } } = this.source;
    const progress = kind.progress(), subscription = new Subscription([channel], since), backoff = new Backoff();
    while (!signal?.aborted) {
      for await (const message of this.source.follow(subscription, signal)) {
        if (message.type === "status") continue;
        const isSnapshot = message.type === "snapshot";
        if (isSnapshot && progress.start !== undefined) {
          let resumeAt: string | null = null;
          for await (const page of this.#missed(progress)) {
            for (const row of progress.add(kind.rows(page), true)) if (wanted(row)) yield row;
            resumeAt = page.cursor;
          }
          if (message.cursor && resumeAt) {
            subscription.cursors.set(message.channel, resumeAt);
            break;
          }
        } else if (isSnapshot && message.recovered === false && since !== undefined) {
          throw new PlantError("not_recoverable",
            `changes after the cursor ${since} are no longer available: read history, and start without a cursor`);
        }
        if (!isSnapshot) backoff.reset();
        const data = ("data" in message ? message.data : null) ?? [];
        const rows = (Array.isArray(data) ? data : [data]) as Row[];
        for (const row of progress.add(rows, isSnapshot)) if (wanted(row)) yield row;
      }
      await sleep(backoff.next(), signal);
    }
  }

  #pages(start: string | undefined, end?: string): AsyncGenerator<Page, void, undefined> {
    const { rest, kind, symbol, parameters, options: { signal } } = this.source;
    return rest.pages(kind.resource, symbol, { ...parameters, start, end }, signal);
  }

  /** Yields pages of what may have been missed, until there are no more. */
  async *#missed(progress: Progress<Row>): AsyncGenerator<Page, void, undefined> {
    const { signal } = this.source.options, backoff = new Backoff();
    while (!signal?.aborted) {
      try {
        yield* this.#pages(progress.start);
        return;
      } catch (error) {
        if (signal?.aborted) return;
        if (!(error instanceof TemporaryError)) throw error;
      }
      await sleep(backoff.next(), signal);
    }
  }
}

const timeText = (time: string | Date | undefined) => time instanceof Date ? time.toISOString() : time;
