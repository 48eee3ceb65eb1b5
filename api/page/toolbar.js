// The controls above the chart, and the keyboard.
/** @import {View} from "./url_state.js" */
import { averageTitle, parseAverage } from "./averages.js";
import { byId, dialogOf, element, inputOf } from "./dom.js";
import { INTERVALS, MAIN_INTERVALS } from "./times.js";

const PRESETS = ["sma7", "sma25", "sma99", "ema12", "ema26", "wma20"];

/**
 * @typedef {Object} Actions
 * @property {(change: Partial<View>) => void} change
 * @property {(typed?: string) => void} search
 * @property {() => void} now @property {() => void} csv @property {() => void} theme
 * @property {(bars: number, zoom?: number) => void} move
 * @property {(step: number) => void} cursor
 */

/** The controls. */
export class Toolbar {
  /** @param {Actions} actions @param {() => View} view */
  constructor(actions, view) {
    this.actions = actions; this.view = view;
    for (const button of byId("intervals").querySelectorAll("button")) {
      button.addEventListener("click", () => actions.change({ interval: button.value, to: null }));
    }
    const more = inputOf("more-intervals");
    more.append(...Object.keys(INTERVALS).filter((name) => !MAIN_INTERVALS.includes(name)).map((name) => new Option(name, name)));
    more.addEventListener("change", () => { if (more.value) actions.change({ interval: more.value, to: null }); });
    const click = (/** @type {string} */ id, /** @type {() => void} */ action) => byId(id).addEventListener("click", action);
    click("symbol", () => actions.search());
    click("log", () => actions.change({ log: !view().log }));
    click("zone", () => actions.change({ zone: view().zone === "utc" ? "local" : "utc" }));
    click("theme", actions.theme);
    click("csv", actions.csv);
    click("now", actions.now);
    click("help", () => dialogOf("help-dialog").showModal());
    click("averages", () => { this.#listAverages(); dialogOf("averages-dialog").showModal(); });
    for (const dialog of document.querySelectorAll("dialog")) {
      dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
      dialog.querySelector(".close")?.addEventListener("click", () => dialog.close());
    }
    byId("average-form").addEventListener("submit", (event) => { event.preventDefault(); this.#addAverage(); });
    byId("chart").addEventListener("keydown", (event) => this.#chartKey(event));
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Shows which settings hold. @param {View} view */
  show({ interval, log, zone, averages }) {
    for (const button of byId("intervals").querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.value === interval));
    inputOf("more-intervals").value = MAIN_INTERVALS.includes(interval) ? "" : interval;
    byId("log").setAttribute("aria-pressed", String(log));
    byId("zone").textContent = zone === "utc" ? "UTC" : "Local";
    byId("averages-count").textContent = String(averages.length);
  }

  #listAverages() {
    const shown = this.view().averages;
    byId("average-list").replaceChildren(...[...new Set([...PRESETS, ...shown])].map((name) => this.#average(name)));
    byId("average-error").textContent = "";
  }

  /** @param {string} name */
  #average(name) {
    const average = parseAverage(name);
    const box = element("input", { type: "checkbox", checked: this.view().averages.includes(name) });
    box.addEventListener("change", () => {
      const others = this.view().averages.filter((other) => other !== name);
      this.actions.change({ averages: box.checked ? [...others, name].slice(-8) : others });
    });
    return element("label", {}, box, average ? averageTitle(average) : name);
  }

  #addAverage() {
    const input = inputOf("average-input"), average = parseAverage(input.value);
    if (!average) { byId("average-error").textContent = "Write sma, ema or wma and a length from 1 to 500, such as ema 50"; return; }
    this.actions.change({ averages: [...this.view().averages.filter((name) => name !== average.name), average.name].slice(-8) });
    input.value = "";
    this.#listAverages();
  }

  /** @param {KeyboardEvent} event */
  #chartKey(event) {
    const { move, cursor } = this.actions;
    const action = {
      ArrowLeft: () => (event.shiftKey ? move(-20) : cursor(-1)), ArrowRight: () => (event.shiftKey ? move(20) : cursor(1)),
      PageUp: () => move(-60), PageDown: () => move(60), "+": () => move(0, 1.25), "=": () => move(0, 1.25), "-": () => move(0, 0.8), End: this.actions.now,
    }[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const typing = event.target instanceof HTMLElement && event.target.closest("input, select, textarea, dialog");
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k" && !typing) { event.preventDefault(); return this.actions.search(); }
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return undefined;
    const interval = MAIN_INTERVALS[Number(event.key) - 1];
    if (interval !== undefined) return this.actions.change({ interval, to: null });
    const action = {
      "/": () => this.actions.search(), "?": () => dialogOf("help-dialog").showModal(), l: () => byId("log").click(), u: () => byId("zone").click(),
      t: this.actions.theme, c: this.actions.csv, n: this.actions.now, m: () => byId("averages").click(), a: () => byId("alert-new").click(),
    }[event.key];
    if (!action) return undefined;
    event.preventDefault();
    return action();
  }
}
