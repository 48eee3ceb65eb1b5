// The tabs of the panels, and the list of signals.
/** @import {Signal} from "./types.js" */
import { grouped } from "./decimals.js";
import { byId, element } from "./dom.js";
import { clock, dateText, seconds } from "./times.js";
import { TABS } from "./url_state.js";

const SHOWN_SIGNALS = 100;

/** The tabs. */
export class Tabs {
  /** @param {(tab: typeof TABS[number]) => void} choose */
  constructor(choose) {
    for (const tab of TABS) byId(`tab-${tab}`).addEventListener("click", () => choose(tab));
    byId("tabs").addEventListener("keydown", (event) => {
      const at = TABS.findIndex((tab) => byId(`tab-${tab}`) === document.activeElement);
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const next = step && at >= 0 ? TABS[(at + step + TABS.length) % TABS.length] : undefined;
      if (next === undefined) return;
      event.preventDefault();
      choose(next);
      byId(`tab-${next}`).focus();
    });
  }

  /** @param {string} chosen */
  show(chosen) {
    for (const tab of TABS) {
      const button = byId(`tab-${tab}`);
      button.setAttribute("aria-selected", String(tab === chosen));
      button.tabIndex = tab === chosen ? 0 : -1;
      byId(`panel-${tab}`).hidden = tab !== chosen;
    }
  }
}

/** Lists signals. @param {Signal[]} signals newest first @param {"utc"|"local"} zone @param {number} digits */
export function showSignals(signals, zone, digits) {
  byId("signal-empty").hidden = signals.length > 0;
  byId("signal-list").replaceChildren(...signals.slice(0, SHOWN_SIGNALS).map(({ side, strategy, price, event_time }) => {
    const at = seconds(event_time);
    return element("li", { className: side }, element("time", { textContent: `${dateText(at, zone).slice(5)} ${clock(at, zone)}` }),
      element("b", { textContent: side }), element("span", { textContent: strategy }), element("span", { className: "number", textContent: grouped(price, digits) }));
  }));
}
