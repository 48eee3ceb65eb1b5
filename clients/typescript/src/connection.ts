import { Backoff, sleep } from "./backoff.js";
import { PlantError, TemporaryError } from "./errors.js";
import type { Message } from "./messages.js";
import type { Subscription } from "./subscription.js";

/** The API key is missing or not valid. */
const UNAUTHORIZED = 3000;
const PING_MS = 5000, SILENT_MS = 15_000;
/** A consumer this far behind gets another connection, with its cursors, once it has caught up. */
const MAX_WAITING = 4096;

export interface Endpoint {
  url: string;
  key: string | undefined;
  WebSocket: typeof WebSocket;
}

/**
 * Yields all messages of a subscription, whatever happens to connections, until the signal aborts.
 * @throws {PlantError} the API refuses the subscription or the key
 */
export async function* follow(endpoint: Endpoint, subscription: Subscription, signal?: AbortSignal): AsyncGenerator<Message, void, undefined> {
  const backoff = new Backoff();
  while (!signal?.aborted) {
    try {
      for await (const text of frames(endpoint, subscription, signal)) {
        const message = subscription.receive(text);
        if (message === undefined) continue;
        backoff.reset();
        yield message;
      }
    } catch (error) {
      if (!(error instanceof TemporaryError)) throw error;
    }
    await sleep(backoff.next(), signal);
  }
}

/** Yields the frames of one connection until it ends. */
async function* frames({ url, key, WebSocket }: Endpoint, subscription: Subscription, signal?: AbortSignal): AsyncGenerator<string, void, undefined> {
  const socket = new WebSocket(url);
  let waiting: string[] = [], ended = false, heardAt = Date.now();
  let refusal: PlantError | undefined;
  let wake = () => {};
  const end = () => { ended = true; wake(); };
  const send = (request: object) => { if (socket.readyState === 1) socket.send(JSON.stringify(request)); };
  // Browsers don't tell a program of a connection that is dead, nor can they ping.
  const timer = setInterval(() => {
    if (Date.now() - heardAt > SILENT_MS) end();
    else send({ op: "ping", id: 0 });
  }, PING_MS);
  socket.onopen = () => {
    // As a message, since browsers can't set headers, nor see why a handshake was refused.
    if (key !== undefined) send({ op: "auth", id: 0, key });
    send(subscription.request());
  };
  socket.onmessage = ({ data }) => {
    heardAt = Date.now();
    if (ended) return;
    waiting.push(String(data));
    if (waiting.length > MAX_WAITING) end();
    else wake();
  };
  socket.onerror = end;
  socket.onclose = ({ code, reason }) => {
    if (code === UNAUTHORIZED) refusal = new PlantError("unauthorized", reason || "the API key is not valid");
    end();
  };
  signal?.addEventListener("abort", end);
  try {
    for (;;) {
      const batch = waiting;
      waiting = [];
      for (const text of batch) {
        if (signal?.aborted) return;
        yield text;
      }
      if (waiting.length) continue;
      if (refusal) throw refusal;
      if (ended || signal?.aborted) return;
      await new Promise<void>((resolve) => { wake = resolve; });
    }
  } finally {
    ended = true;
    clearInterval(timer);
    signal?.removeEventListener("abort", end);
    socket.onerror = () => {};
    socket.close();
  }
}
