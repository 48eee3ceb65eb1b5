// The market overview: all symbols, of which only the rows in view exist and are subscribed to.
/** @import {Row, Column} from "./overview_rows.js" */
/** @import {Live} from "./live.js" */
import { abbreviated, grouped, percentText, Precision } from "./decimals.js";
import { byId, eachFrame, element, inputOf, setText, svgLine } from "./dom.js";
import { shownRows, sparkline, updatedRow } from "./overview_rows.js";
import { splitSymbol } from "./search.js";

const ROW_PX = 36, SPARE = 3, REFRESH_MS = 30_000, SPARK = /** @type {const} */ ([56, 22]);

/** The table of symbols. */
export class OverviewPanel {
  /** @param {Live} live @param {() => Promise<{symbols: Row[]}>} read @param {(symbol: string) => void} choose */
  constructor(live, read, choose) {
    this.live = live; this.read = read; this.choose = choose;
    /** @type {Map<string, Row>} */ this.rows = new Map();
    /** @type {Map<string, Precision>} */ this.precisions = new Map();
    /** @type {Map<string, () => void>} */ this.watched = new Map();
    /** @type {Column} */ this.column = "quote_volume";
    this.descending = true;
    this.selected = "";
    /** @type {Map<string, HTMLElement>} */ this.nodes = new Map();
    const spacer = () => element("tr", { className: "spacer", "aria-hidden": "true" }, element("td"));
    this.spacers = /** @type {const} */ ([spacer(), spacer()]);
    this.box = byId("overview-scroll");
    this.draw = eachFrame(() => this.#draw());
    this.box.addEventListener("scroll", this.draw);
    new ResizeObserver(this.draw).observe(this.box);
    inputOf("overview-filter").addEventListener("input", this.draw);
    for (const button of byId("overview-head").querySelectorAll("button")) button.addEventListener("click", () => this.#sort(/** @type {Column} */ (button.value)));
    byId("overview-body").addEventListener("click", (event) => {
      const row = /** @type {HTMLElement} */ (event.target).closest("tr");
      if (row?.dataset.symbol) this.choose(row.dataset.symbol);
    });
    setInterval(() => { if (!document.hidden) this.refresh(); }, REFRESH_MS);
  }

  /** Reads everything again; keeps what is known if that fails. */
  async refresh() {
    try {
      const { symbols } = await this.read();
      this.rows = new Map(symbols.map((row) => [row.symbol, row]));
      for (const { symbol, closes, last } of symbols) this.precisionOf(symbol).learn([...closes, last]);
    } catch { /* the banner says why */ }
    this.draw();
  }

  /** @param {string} symbol */
  precisionOf(symbol) {
    let found = this.precisions.get(symbol);
    if (!found) this.precisions.set(symbol, (found = new Precision()));
    return found;
  }

  /** @param {Column} column */
  #sort(column) {
    this.descending = this.column === column ? !this.descending : column !== "symbol";
    this.column = column;
    this.box.scrollTop = 0;
    this.draw();
  }

  #draw() {
    for (const cell of byId("overview-head").querySelectorAll("th")) {
      const button = cell.querySelector("button");
      if (button) cell.setAttribute("aria-sort", button.value !== this.column ? "none" : this.descending ? "descending" : "ascending");
    }
    const rows = shownRows([...this.rows.values()], { column: this.column, descending: this.descending, typed: inputOf("overview-filter").value });
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW_PX) - SPARE);
    const shown = this.box.clientHeight ? rows.slice(first, first + Math.ceil(this.box.clientHeight / ROW_PX) + 2 * SPARE) : [];
    const table = byId("overview-table");
    table.setAttribute("aria-rowcount", String(rows.length + 1));
    this.spacers.forEach((spacer, index) => { spacer.style.height = `${(index ? rows.length - first - shown.length : first) * ROW_PX}px`; });
    const nodes = [this.spacers[0], ...shown.map((row, index) => this.#row(row, first + index + 2)), this.spacers[1]];
    const body = byId("overview-body");
    if (nodes.length !== body.children.length || nodes.some((node, index) => node !== body.children[index])) {
      const focused = document.activeElement;
      body.replaceChildren(...nodes);
      if (focused instanceof HTMLElement && body.contains(focused)) focused.focus({ preventScroll: true });
    }
    for (const symbol of this.nodes.keys()) if (!shown.some((row) => row.symbol === symbol)) this.nodes.delete(symbol);
    byId("overview-empty").hidden = rows.length > 0;
    setText(byId("overview-empty"), this.rows.size ? "No symbol matches." : "No trades yet");
    this.#watch(shown.map(({ symbol }) => symbol));
  }

  /** Returns the row of a symbol, with its newest values; a row keeps its element, so that clicks and focus last. @param {Row} row @param {number} position */
  #row(row, position) {
    let node = this.nodes.get(row.symbol);
    if (!node) this.nodes.set(row.symbol, (node = newRow(row.symbol)));
    const kind = row.percent === null ? "" : row.percent.startsWith("-") ? "down" : "up", missing = row.missing_trades;
    const [spark, price, volume, gaps] = /** @type {any} */ ([...node.querySelectorAll("td")]);
    node.setAttribute("aria-rowindex", String(position));
    node.classList.toggle("selected", row.symbol === this.selected);
    const points = sparkline(row.open === null ? row.closes : [row.open, ...row.closes], ...SPARK);
    if (spark.dataset.points !== points) {
      spark.dataset.points = points;
      spark.replaceChildren(svgLine(points, ...SPARK, kind));
    }
    const [last, percent] = /** @type {[HTMLElement, HTMLElement]} */ ([...price.children]);
    setText(last, grouped(row.last, this.precisionOf(row.symbol).digits));
    last.title = last.textContent ?? "";
    setText(percent, row.percent === null ? "–" : percentText(+row.percent));
    percent.className = kind;
    percent.title = row.partial ? "Of less than 24 hours" : "";
    setText(volume, abbreviated(row.quote_volume));
    volume.title = `${grouped(row.quote_volume)} ${row.quote ?? ""}`;
    setText(gaps, missing === null ? "–" : abbreviatedCount(missing));
    gaps.className = missing ? "warn" : "quiet";
    gaps.title = missing === null ? "Unknown: the venue has no trade ids" : `${missing.toLocaleString("en-US")} trades missing; gaps that are not healed: ${row.gaps}`;
    return node;
  }

  /** Subscribes to the rows in view, and no others. @param {string[]} symbols */
  #watch(symbols) {
    const wanted = new Set(symbols);
    for (const [symbol, stop] of this.watched) if (!wanted.has(symbol)) { stop(); this.watched.delete(symbol); }
    for (const symbol of wanted) {
      if (this.watched.has(symbol)) continue;
      this.watched.set(symbol, this.live.watch(`stats:${symbol}`, ({ data }) => {
        const row = this.rows.get(symbol);
        if (!row || !data) return;
        this.precisionOf(symbol).learn([data.last]);
        this.rows.set(symbol, updatedRow(row, data));
        this.draw();
      }));
    }
  }
}

/** @param {number} count */
const abbreviatedCount = (count) => (count < 10_000 ? count.toLocaleString("en-US") : abbreviated(count));

/** Creates the row of a symbol, without values. @param {string} symbol */
function newRow(symbol) {
  const { venue, name } = splitSymbol(symbol);
  const row = element("tr", {},
    element("th", { scope: "row" }, element("button", { className: "name", type: "button", title: symbol }, element("b", { textContent: name }), element("small", { textContent: venue }))),
    element("td"), element("td", {}, element("b"), element("small")), element("td"), element("td"));
  row.dataset.symbol = symbol;
  return row;
}
