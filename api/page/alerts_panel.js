// Alerts: made, edited, silenced and watched.
/** @import {Alert, Firing} from "./types.js" */
/** @import {AlertForm} from "./alert_fields.js" */
import { changes, conditionText, creation, formOf, KINDS, repetitionText, STATES } from "./alert_fields.js";
import { grouped } from "./decimals.js";
import { byId, dialogOf, element, inputOf, notify } from "./dom.js";
import { splitSymbol } from "./search.js";
import { clock, dateText, seconds } from "./times.js";
import { get, isForbidden, patch, post, remove } from "./transport.js";

const PENDING_MS = 1000, LIMIT = 200;

/** The alerts of the symbol that is shown. */
export class AlertsPanel {
  /** @param {{price: () => string|null, onAlerts: (alerts: Alert[]) => void}} options */
  constructor({ price, onAlerts }) {
    this.price = price; this.onAlerts = onAlerts;
    this.symbol = "";
    /** @type {"utc"|"local"} */ this.zone = "utc";
    /** @type {Alert[]} */ this.alerts = [];
    /** @type {Firing[]} */ this.firings = [];
    /** @type {string[]} of notification targets */ this.tags = [];
    /** @type {Alert|null} */ this.edited = null;
    this.timer = 0;
    byId("alert-new").addEventListener("click", () => this.edit(null));
    byId("alert-kind").replaceChildren(...Object.entries(KINDS).map(([kind, { title }]) => new Option(title, kind)));
    byId("alert-kind").addEventListener("change", () => this.#showFields());
    byId("alert-repeat").addEventListener("change", () => this.#showFields());
    byId("alert-cancel").addEventListener("click", () => dialogOf("alert-dialog").close());
    byId("alert-form").addEventListener("submit", (event) => { event.preventDefault(); this.#save(); });
  }

  /** @param {string} symbol */
  async open(symbol) {
    this.symbol = symbol;
    this.alerts = [];
    this.firings = [];
    this.draw();
    this.onAlerts([]);
    await this.refresh();
  }

  /** Reads the alerts again, and once more while workers have not yet applied all. */
  async refresh() {
    const symbol = this.symbol;
    clearTimeout(this.timer);
    try {
      const page = await get("alerts", { symbol, limit: LIMIT });
      if (symbol !== this.symbol) return;
      this.alerts = page.alerts;
      this.tags = page.notify_tags;
      this.#offerTags(); // the form may be open already
      if (this.alerts.some(({ state }) => state === "pending")) this.timer = setTimeout(() => this.refresh(), PENDING_MS);
    } catch (error) {
      // What a key may not do, it may not do later either.
      byId("alert-empty").textContent = isForbidden(error) ? /** @type {Error} */ (error).message : "No alerts of this symbol.";
      if (!isForbidden(error)) this.timer = setTimeout(() => this.refresh(), 5 * PENDING_MS);
    }
    this.draw();
    this.onAlerts(this.alerts);
  }

  /** @param {Firing[]} firings newest first */
  takeFirings(firings) { this.firings = firings; this.draw(); }

  draw() {
    byId("alert-list").replaceChildren(...this.alerts.map((alert) => this.#item(alert)));
    byId("alert-empty").hidden = this.alerts.length > 0;
    byId("firing-list").replaceChildren(...this.firings.slice(0, 50).map((firing) => {
      const at = seconds(firing.event_time);
      return element("li", {}, element("time", { textContent: `${dateText(at, this.zone)} ${clock(at, this.zone)}` }),
        element("span", { textContent: `${KINDS[firing.kind]?.title ?? firing.kind}${firing.threshold === null ? "" : " " + grouped(firing.threshold)}${firing.note ? `: ${firing.note}` : ""}` }),
        element("b", { textContent: firing.price === null ? "" : grouped(firing.price) }));
    }));
    byId("firing-empty").hidden = this.firings.length > 0;
  }

  /** @param {Alert} alert */
  #item(alert) {
    const able = alert.state !== "inactive" && alert.state !== "fired";
    const button = (/** @type {string} */ text, /** @type {() => void} */ action) => {
      const node = element("button", { type: "button", textContent: text, "aria-label": `${text}: ${conditionText(alert)}` });
      node.addEventListener("click", action);
      return node;
    };
    return element("li", { className: alert.state },
      element("div", {}, element("b", { textContent: conditionText(alert) }), element("small", { textContent: [repetitionText(alert), alert.notify.length ? `notifies ${alert.notify.join(", ")}` : "", alert.note].filter(Boolean).join(" · ") })),
      element("span", { className: `chip ${alert.state}`, textContent: STATES[alert.state], title: `Has fired ${alert.firings} times` }),
      element("div", { className: "actions" },
        button(able ? "Silence" : "Watch", () => this.#change(() => patch(`alerts/${alert.alert_id}`, { active: !able }))),
        button("Edit", () => this.edit(alert)),
        button("Delete", () => this.#change(() => remove(`alerts/${alert.alert_id}`)))));
  }

  /** @param {() => Promise<unknown>} request */
  async #change(request) {
    try { await request(); } catch (error) { notify(/** @type {Error} */ (error).message, "error"); }
    await this.refresh();
  }

  /** Opens the form. @param {Alert|null} alert null for a new one */
  edit(alert) {
    if (!this.symbol) return notify("There is no symbol yet.");
    this.edited = alert;
    const price = this.price();
    const form = alert ? formOf(alert) : { kind: "crosses_above", price: price === null ? "" : grouped(price).replaceAll(",", ""), percent: "", window: "5", silence: "60", repeat: false, cooldown: "0", notify: "", note: "" };
    byId("alert-title").textContent = `${alert ? "Edit alert" : "New alert"} · ${splitSymbol(this.symbol).name}`;
    for (const [name, value] of Object.entries(form)) {
      const input = inputOf(`alert-${name}`);
      if (typeof value === "boolean") input.checked = value; else input.value = value;
    }
    inputOf("alert-kind").disabled = alert !== null;
    byId("alert-error").textContent = "";
    this.#offerTags();
    this.#showFields();
    dialogOf("alert-dialog").showModal();
  }

  #offerTags() {
    inputOf("alert-notify").placeholder = this.tags.join(", ");
    byId("alert-notify-tags").replaceChildren(...this.tags.map((tag) => new Option(tag)));
    byId("alert-notify-row").hidden = this.tags.length === 0 && inputOf("alert-notify").value === "";
  }

  #showFields() {
    const fields = KINDS[inputOf("alert-kind").value]?.fields ?? [];
    const shown = { price: "price", percent: "percent", window: "window_s", silence: "silence_s" };
    for (const [name, field] of Object.entries(shown)) byId(`alert-${name}-row`).hidden = !fields.includes(field);
    byId("alert-cooldown-row").hidden = !inputOf("alert-repeat").checked;
  }

  /** @returns {AlertForm} */
  #form() {
    const value = (/** @type {string} */ name) => inputOf(`alert-${name}`).value;
    return { kind: value("kind"), price: value("price"), percent: value("percent"), window: value("window"), silence: value("silence"), repeat: inputOf("alert-repeat").checked, cooldown: value("cooldown"), notify: value("notify"), note: value("note") };
  }

  async #save() {
    try {
      if (this.edited) {
        const changed = changes(this.edited, this.#form());
        if (Object.keys(changed).length) await patch(`alerts/${this.edited.alert_id}`, changed);
      } else await post("alerts", creation(this.symbol, this.#form()));
      dialogOf("alert-dialog").close();
      await this.refresh();
    } catch (error) { byId("alert-error").textContent = /** @type {Error} */ (error).message; }
  }
}
