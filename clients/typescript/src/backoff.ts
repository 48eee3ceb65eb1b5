const FIRST_MS = 200, LONGEST_MS = 10_000;

/** The waits between tries: uniform between 0 and a bound that doubles up to a limit. */
export class Backoff {
  #tries = 0;

  constructor(private readonly random: () => number = Math.random) {}

  next(): number {
    return this.random() * Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#tries++);
  }

  /** Starts again with the shortest wait, after a success. */
  reset(): void {
    this.#tries = 0;
  }
}

/** Waits; less if the signal aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });
}
