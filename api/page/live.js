// The websocket: subscriptions that survive reconnecting without gaps, and the state of the connection.

/**
 * @typedef {Object} LiveState
 * @property {"connecting"|"live"|"stalled"|"reconnecting"} state
 * @property {string} reason why it is not live
 * @property {number|null} retryAt when the next attempt starts, on the clock of `now`
 * @property {number|null} latencyMs the last round trip
 */
/** @typedef {(message: any) => void} Handler Receives the messages of a channel. */
/** @typedef {{handlers: Set<Handler>, cursor: string|null}} Subscription */

const PING_MS = 5000, SILENT_MS = 12_000, RETRY_MS = 500, MAX_RETRY_MS = 10_000, CHANNELS_AT_ONCE = 128;

const CLOSE_REASONS = /** @type {Record<number, string>} */ ({
  1006: "the connection was lost",
  1008: "the page sent too many requests",
  1011: "an internal error of the API",
  1012: "the API restarts",
  3000: "the API key is missing, invalid or revoked",
  4008: "this browser reads too slowly",
});

/** A connection that is kept open. */
export class Live {
  /**
   * @param {Object} options
   * @param {() => WebSocket} options.open @param {(state: LiveState) => void} options.onState
   * @param {(text: string) => any} [options.parse]
   * @param {() => number} [options.now] a clock in milliseconds
   * @param {(action: () => void, ms: number) => any} [options.later] @param {() => number} [options.random]
   */
  constructor({ open, onState, parse = JSON.parse, now = () => performance.now(), later = (action, ms) => setTimeout(action, ms), random = Math.random }) {

    this.open = open; this.onState = onState; this.parse = parse; this.now = now; this.later = later; this.random = random;
    /** @type {Map<string, Subscription>} */ this.subscriptions = new Map();
    /** @type {Set<string>} */ this.wanted = new Set();
    /** @type {LiveState} */ this.state = { state: "connecting", reason: "", retryAt: null, latencyMs: null };
    /** @type {WebSocket|null} */ this.socket = null;
    this.attempts = 0;
    this.number = 0;
    this.heardAt = 0;
    this.pingedAt = 0;
    this.pingId = 0;
  }

  /** Connects; from then on the connection is opened again whenever it ends. */
  connect() {
    const socket = this.open();
    this.socket = socket;
    this.heardAt = this.now();
    socket.onopen = () => {
      this.attempts = 0;
      this.heardAt = this.now();
      this.#show({ state: "live", reason: "", retryAt: null });
      this.wanted = new Set(this.subscriptions.keys());
      this.#subscribe();
      this.#ping(socket);
    };
    socket.onmessage = (event) => this.#receive(this.parse(event.data));
    socket.onclose = (event) => {
      if (socket !== this.socket) return;
      this.socket = null;
      const wait = Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** this.attempts++) * (0.5 + this.random() / 2);
      const reason = event.reason || CLOSE_REASONS[event.code] || `it was closed with code ${event.code}`;
      this.#show({ state: "reconnecting", reason: this.attempts > 1 ? "the API can't be reached" : reason, retryAt: this.now() + wait, latencyMs: null });
      this.later(() => this.connect(), wait);
    };
  }

  /**
   * Receives a channel's messages until the returned function is called.
   * @param {string} channel @param {Handler} handler
   * @param {string|null} [cursor] continues there, without a snapshot if possible
   * @returns {() => void}
   */
  watch(channel, handler, cursor = null) {
    const known = this.subscriptions.get(channel);
    if (known) known.handlers.add(handler);
    else {
      this.subscriptions.set(channel, { handlers: new Set([handler]), cursor });
      this.#soon(channel);
    }
    return () => {
      const subscription = this.subscriptions.get(channel);
      if (!subscription?.handlers.delete(handler) || subscription.handlers.size) return;
      this.subscriptions.delete(channel);
      if (this.wanted.delete(channel)) return;
      this.#send({ op: "unsubscribe", id: ++this.number, channels: [channel] });
    };
  }

  /** Subscribes to a channel together with others that are requested now. @param {string} channel */
  #soon(channel) {
    if (!this.wanted.size) queueMicrotask(() => this.#subscribe());
    this.wanted.add(channel);
  }

  #subscribe() {
    if (this.socket?.readyState !== 1) return;
    const channels = [...this.wanted];
    this.wanted.clear();
    for (let start = 0; start < channels.length; start += CHANNELS_AT_ONCE) {
      const some = channels.slice(start, start + CHANNELS_AT_ONCE);
      const since = some.map((channel) => [channel, this.subscriptions.get(channel)?.cursor]).filter(([, cursor]) => cursor);
      this.#send({ op: "subscribe", id: ++this.number, channels: some, ...(since.length && { since: Object.fromEntries(since) }) });
    }
  }

  /** @param {object} request */
  #send(request) {
    if (this.socket?.readyState === 1) this.socket.send(JSON.stringify(request));
  }

  /** Measures the round trip periodically, and ends a connection that no longer answers. @param {WebSocket} socket */
  #ping(socket) {
    if (socket !== this.socket) return;
    if (this.now() - this.heardAt > SILENT_MS) return socket.close();
    this.pingedAt = this.now();
    this.pingId = ++this.number;
    this.#send({ op: "ping", id: this.pingId });
    this.later(() => this.#ping(socket), PING_MS);
  }

  /** @param {any} message */
  #receive(message) {
    this.heardAt = this.now();
    if (message.type === "pong") {
      if (message.id === this.pingId) this.#show({ latencyMs: this.now() - this.pingedAt });
    } else if (message.type === "status") {
      const stalled = message.state === "stalled";
      const cause = message.channels ? "another program has taken a key in Redis, so some updates do not arrive" : "Redis is unavailable, so no updates arrive";
      this.#show({ state: stalled ? "stalled" : "live", reason: stalled ? cause : "" });
    } else if (message.type === "error") this.#refused(message);
    else if (message.channel) {
      const subscription = this.subscriptions.get(message.channel);
      if (!subscription) return;
      if (message.cursor) subscription.cursor = message.cursor;
      if ("data" in message) for (const handler of [...subscription.handlers]) handler(message); // "resumed" has none
    }
  }

  /** Tries again what may work later. @param {{code: string, channel?: string}} message */
  #refused({ code, channel }) {
    const subscription = channel === undefined ? undefined : this.subscriptions.get(channel);
    if (!subscription || channel === undefined) return;
    if (code === "bad_cursor") {
      subscription.cursor = null;
      this.#soon(channel);
    } else if (code === "unavailable") this.later(() => { if (this.subscriptions.has(channel)) this.#soon(channel); }, 2000);
  }

  /** @param {Partial<LiveState>} change */
  #show(change) {
    this.state = { ...this.state, ...change };
    this.onState(this.state);
  }
}
