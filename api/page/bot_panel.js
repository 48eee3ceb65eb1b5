// The paper bot: its switch, its account of the symbol, its equity and orders.
/** @import {Order} from "./types.js" */
import { compare, grouped, signed, subtract } from "./decimals.js";
import { byId, element, inputOf, notify, setText, svgLine } from "./dom.js";
import { sparkline } from "./overview_rows.js";
import { clock, dateText, seconds } from "./times.js";
import { get, patch } from "./transport.js";
import { encodeSymbol } from "./url_state.js";

const ORDERS = 1000, SHOWN = 50, SWITCH_MS = 1000, EQUITY = /** @type {const} */ ([320, 80]);

/** The bot, as far as it concerns the symbol that is shown. */
export class BotPanel {
  /** @param {(orders: Order[]) => void} onOrders */
  constructor(onOrders) {
    this.onOrders = onOrders;
    this.symbol = "";
    /** @type {string|null} */ this.quote = null;
    /** @type {"utc"|"local"} */ this.zone = "utc";
    /** @type {Order[]} */ this.orders = [];
    /** @type {any} */ this.account = null;
    /** @type {any} */ this.switching = null;
    byId("bot-switch").addEventListener("click", () => this.#switch());
  }

  /** @param {string} symbol @param {string|null} quote */
  async open(symbol, quote) {
    Object.assign(this, { symbol, quote, orders: [], account: null });
    this.onOrders([]);
    this.draw();
    await this.refresh();
  }

  async refresh() {
    const symbol = this.symbol;
    try {
      const [bot, { equity }] = await Promise.all([get("bot", { symbol, orders: ORDERS }), get(`bot/equity/${encodeSymbol(symbol)}`, { limit: 1000 })]);
      if (symbol !== this.symbol) return;
      this.orders = bot.orders;
      this.account = bot.accounts[0] ?? null;
      this.#showSwitch(bot.switch);
      this.#showEquity(equity);
      this.onOrders(this.orders);
    } catch { /* the banner says why; the account's next change reads again */ }
    this.draw();
  }

  /** Takes the account's new state. @param {any} account */
  take(account) {
    const orders = this.account?.orders, before = this.account?.equity;
    this.account = account;
    if (account && (account.orders !== orders || before === undefined)) this.refresh();
    this.draw();
  }

  draw() {
    const account = this.account;
    byId("bot-account").hidden = byId("bot-details").hidden = !account;
    byId("bot-empty").hidden = !!account;
    if (account) {
      const gain = subtract(account.equity, account.initial_cash);
      const kind = ["down", "", "up"][compare(gain, "0") + 1] ?? "";
      this.#facts([
        [`Equity${this.quote ? ` (${this.quote})` : ""}`, grouped(account.equity), ""], ["Since the start", signed(gain), kind],
        ["Cash", grouped(account.cash), ""], ["Position", grouped(account.position), ""],
        ["Profit of sells", signed(account.profit), ""], ["Fees", grouped(account.fees), ""],
      ]);
      setText(byId("bot-halted"), account.halted ? "Halted until the next UTC day: the maximum daily loss was reached." : "");
    }
    byId("order-list").replaceChildren(...this.orders.slice(0, SHOWN).map((order) => {
      const at = seconds(order.event_time);
      const result = order.fill ? `${grouped(order.fill.size)} at ${grouped(order.fill.price)}` : order.state === "refused" ? `refused: ${order.reason ?? ""}` : "open";
      return element("li", { className: order.side },
        element("time", { textContent: `${dateText(at, this.zone).slice(5)} ${clock(at, this.zone)}` }),
        element("b", { textContent: order.side }), element("span", { textContent: result, title: `${order.strategy}: ${result}` }));
    }));
  }

  /** @param {[string, string, string][]} facts */
  #facts(facts) {
    byId("bot-account").replaceChildren(...facts.map(([label, value, kind]) => element("div", {}, element("dt", { textContent: label }), element("dd", { className: kind, textContent: value }))));
  }

  /** @param {{time: string, equity: string}[]} equity */
  #showEquity(equity) {
    const points = equity.map((each) => each.equity), first = points[0], last = points[points.length - 1];
    const kind = first !== undefined && last !== undefined && compare(last, first) < 0 ? "down" : "up";
    byId("bot-equity").replaceChildren(...(points.length > 1 ? [svgLine(sparkline(points, ...EQUITY), ...EQUITY, kind)] : []));
    byId("bot-equity").setAttribute("aria-label", last === undefined ? "No equity yet" : `Equity from ${grouped(first)} to ${grouped(last)}`);
  }

  /** @param {any} switching */
  #showSwitch(switching) {
    this.switching = switching;
    const button = byId("bot-switch");
    button.setAttribute("aria-checked", String(switching.enabled));
    const changing = switching.arrived ? "" : switching.enabled ? ", starting" : ", stopping";
    setText(byId("bot-state"), `${switching.enabled ? "On" : "Off"}${changing}${switching.reason ? ` · ${switching.reason}` : ""}`);
    if (!switching.arrived) setTimeout(() => this.refresh(), SWITCH_MS);
  }

  async #switch() {
    try {
      this.#showSwitch(await patch("bot", { enabled: !(this.switching?.enabled ?? true), reason: inputOf("bot-reason").value.trim() }));
      inputOf("bot-reason").value = "";
    } catch (error) { notify(/** @type {Error} */ (error).message, "error"); }
  }
}
