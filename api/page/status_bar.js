// The state of the connection: one dot with the latency, a banner with the reason of an outage, and the source of trades.
/** @import {Connection, Trade} from "./types.js" */
/** @import {LiveState} from "./live.js" */
import { byId, setText } from "./dom.js";
import { retryText, SOURCES, staleText, troubleText } from "./freshness.js";
import { seconds } from "./times.js";

const SLOW_MS = 250, GRACE_MS = 700;

/** Tells how current the page is. */
export class StatusBar {
  /** @param {{zone: () => "utc"|"local", symbol: () => string|null, onStale: (stale: string|null) => void}} options */
  constructor(options) {
    this.options = options;
    /** @type {LiveState} */ this.live = { state: "connecting", reason: "", retryAt: null, latencyMs: null };
    /** @type {Connection[]} */ this.connections = [];
    /** When the last trade came, on the clock of the browser. @type {number|null} */ this.tradeAt = null;
    /** @type {string|null} */ this.source = null;
    /** @type {string|null} */ this.waiting = null;
    /** Since when there is a trouble; short ones are not worth a banner. @type {number|null} */ this.troubleAt = null;
    setInterval(() => this.draw(), 500);
  }

  /** @param {LiveState} live */
  show(live) { this.live = live; this.draw(); }

  /** Another symbol is shown. */
  open() { this.tradeAt = null; this.draw(); }

  /** @param {string|null} message what is missing before anything can be shown */
  noSymbols(message) { this.waiting = message; this.draw(); }

  /** @param {Trade} trade @param {boolean} snapshot whether it may have come long ago */
  tookPrice(trade, snapshot) {
    const age = snapshot ? Math.max(0, Date.now() / 1000 - seconds(trade.ingest_time)) : 0;
    this.tradeAt = performance.now() - age * 1000;
    this.draw();
  }

  /** @param {string|null} source */
  showSource(source) {
    this.source = source;
    const words = SOURCES[source ?? ""], badge = byId("source");
    badge.hidden = !words;
    setText(badge, words?.text ?? "");
    badge.title = words?.title ?? "";
  }

  draw() {
    const now = performance.now(), { state, latencyMs } = this.live;
    const trouble = troubleText(this.live, this.connections, this.options.symbol(), this.options.zone());
    this.troubleAt = trouble === null ? null : (this.troubleAt ?? now);
    const lasting = this.troubleAt !== null && now - this.troubleAt >= GRACE_MS;
    // Screen readers read the text whenever it changes: the seconds, and those of the round trip, are beside it.
    setText(byId("banner-text"), lasting ? (trouble ?? "") : "");
    setText(byId("banner-retry"), lasting ? retryText(this.live, now) : "");
    byId("banner").classList.toggle("shown", lasting);
    const node = byId("connection");
    const kind = state === "live" ? (trouble !== null ? "down" : latencyMs !== null && latencyMs > SLOW_MS ? "slow" : "live") : state;
    if (node.className !== kind) node.className = kind;
    const words = this.waiting !== null ? "no symbols yet" : kind === "down" ? "venue down" : state;
    setText(byId("connection-text"), words);
    setText(byId("latency"), state === "live" && latencyMs !== null ? `${latencyMs < 1 ? "<1" : Math.round(latencyMs)} ms` : "");
    node.title = this.waiting ?? trouble ?? "Updates arrive; the time is that of a round trip to the API";
    this.options.onStale(state === "connecting" ? null : staleText(trouble, this.tradeAt === null ? null : (now - this.tradeAt) / 1000));
  }
}
