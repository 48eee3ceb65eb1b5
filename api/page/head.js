// The head: the last price, and the last 24 hours.
/** @import {Day24h, Trade} from "./types.js" */
import { abbreviated, grouped, percentText, signed } from "./decimals.js";
import { byId, setText } from "./dom.js";
import { baseOf, splitSymbol } from "./search.js";
import { durationText } from "./times.js";

const TITLE_MS = 500; // nobody reads titles that change with every trade

/** @param {string} id @param {string} text @param {string} [title] @param {string} [kind] */
function show(id, text, title = "", kind = "") {
  const node = byId(id);
  setText(node, text);
  if (node.title !== title) node.title = title;
  if (node.className !== kind) node.className = kind;
}

/** The price and the facts of the symbol that is shown. */
export class Head {
  constructor() {
    this.digits = 0;
    this.symbol = "";
    /** @type {string|null} */ this.quote = null;
    /** @type {string|null} */ this.price = null;
    /** @type {Day24h|null} */ this.day = null;
    this.direction = "";
    this.titleTimer = 0;
  }

  /** Shows another symbol, of which nothing is known yet. @param {string} symbol @param {string|null} quote */
  open(symbol, quote) {
    Object.assign(this, { symbol, quote, price: null, day: null, direction: "", digits: 0 });
    const { venue, name } = splitSymbol(symbol);
    setText(byId("symbol-name"), name);
    setText(byId("symbol-venue"), venue);
    show("gaps", "–"); show("completeness", "–");
    this.showAll();
  }

  /** @param {Trade} trade */
  takePrice({ price }) {
    if (this.price !== null && +price !== +this.price) this.direction = +price > +this.price ? "up" : "down";
    this.price = price;
    this.showPrice();
  }

  /** @param {Day24h} day */
  takeDay(day) { this.day = day; this.showDay(); }

  /** @param {{minutes: number, incomplete: number, complete: boolean|null}|null} day */
  takeCompleteness(day) {
    if (!day || !day.minutes) return show("completeness", "–", "No trades today");
    if (day.complete === null) return show("completeness", "unknown", "The venue has no trade ids, so that nothing shows whether trades are missing");
    const complete = day.minutes - day.incomplete;
    show("completeness", `${(Math.floor((1000 * complete) / day.minutes) / 10).toFixed(1)}%`,
      `Today: of ${day.minutes} minutes with trades since 00:00 UTC, ${complete} are proven to be complete; the others are open, or may lack trades`, day.incomplete > 1 ? "warn" : "");
  }

  /** @param {import("./gaps.js").Gaps} gaps */
  takeGaps({ missing, text }) { show("gaps", missing ? `${missing.toLocaleString("en-US")} trade${missing === 1 ? "" : "s"}` : "none", `${text}, of any day`, missing ? "warn" : ""); }

  /** @param {string|null} stale why the price may not be current */
  showStale(stale) {
    byId("price").classList.toggle("stale", stale !== null);
    setText(byId("stale"), stale ?? "");
  }

  /** @param {string|null} quote the quote currency */
  setQuote(quote) { this.quote = quote; this.showDay(); }

  /** @param {number} digits */
  setDigits(digits) { this.digits = digits; this.showAll(); }

  showAll() { this.showPrice(); this.showDay(); }

  showPrice() {
    const node = byId("price"), stale = node.classList.contains("stale");
    setText(node, grouped(this.price, this.digits));
    node.className = `${this.direction}${stale ? " stale" : ""}`;
    if (!this.titleTimer) this.titleTimer = setTimeout(() => this.#showTitle(), TITLE_MS);
  }

  #showTitle() {
    this.titleTimer = 0;
    document.title = this.price === null ? "tickplant" : `${grouped(this.price, this.digits)} ${splitSymbol(this.symbol).name} · tickplant`;
  }

  showDay() {
    const day = this.day, partial = day?.partial ? `Of ${durationText(day.covers_s)} only: the first trade is less than 24 hours old. ` : "";
    const base = baseOf(this.symbol, this.quote);
    byId("partial").hidden = !day?.partial;
    setText(byId("partial"), day?.partial ? `of ${durationText(day.covers_s)}` : "");
    const kind = day?.percent === undefined || day.percent === null ? "" : day.percent.startsWith("-") ? "down" : "up";
    show("change", day?.percent == null ? "–" : `${signed(day.change, this.digits)}  ${percentText(+day.percent)}`, partial + (day ? `${day.percent ?? "–"}%` : ""), kind);
    show("high", grouped(day?.high, this.digits), partial);
    show("low", grouped(day?.low, this.digits), partial);
    show("volume", day ? `${abbreviated(day.volume)} ${base ?? ""}` : "–", day ? `${partial}${grouped(day.volume)} ${base ?? ""}` : "");
    show("quote-volume", day ? `${abbreviated(day.quote_volume)} ${this.quote ?? ""}` : "–", day ? `${partial}${grouped(day.quote_volume)} ${this.quote ?? ""}` : "");
    show("trade-count", day ? day.trade_count.toLocaleString("en-US") : "–", partial);
  }
}
