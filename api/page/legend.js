// The legend: the candle under the crosshair, with the exact texts of the API.
/** @import {Bar} from "./types.js" */
/** @import {Zone} from "./times.js" */
import { compare, grouped, percentText, subtract } from "./decimals.js";
import { element } from "./dom.js";
import { openTimeText, zoneName } from "./times.js";

/**
 * @typedef {Object} LegendOptions
 * @property {number} digits @property {number} step @property {Zone} zone
 * @property {{title: string, color: string, value: number|undefined}[]} averages
 */

/** Returns what is known about a candle's completeness. @param {Bar} bar @returns {{text: string, kind: string}} */
export function stateOf({ candle }) {
  if (!candle) return { text: "no trades", kind: "" };
  const late = candle.revision ? `, ${candle.revision} late trade${candle.revision === 1 ? "" : "s"} added` : "";
  if (!candle.closed) return { text: "open", kind: "" };
  if (candle.complete === false) return { text: "may lack trades" + late, kind: "warn" };
  return { text: (candle.complete ? "complete" : "completeness unknown") + late, kind: "" };
}

/** Returns the parts of a legend. @param {Bar} bar @param {LegendOptions} options */
export function legendParts(bar, { digits, step, zone, averages }) {
  const { candle, time } = bar;
  /** @type {{label: string, value: string, kind?: string, color?: string}[]} */
  const parts = [{ label: "", value: `${openTimeText(time, step, zone)} ${zoneName(zone)}`, kind: "time" }];
  if (candle) {
    const kind = compare(candle.close, candle.open) < 0 ? "down" : "up";
    for (const [label, text] of /** @type {[string, string][]} */ ([["O", candle.open], ["H", candle.high], ["L", candle.low], ["C", candle.close]])) {
      parts.push({ label, value: grouped(text, digits), kind });
    }
    const change = +candle.open ? (100 * +subtract(candle.close, candle.open)) / +candle.open : 0;
    parts.push({ label: "", value: percentText(change), kind });
    parts.push({ label: "Vol", value: grouped(candle.volume), kind });
    parts.push({ label: "Trades", value: candle.trade_count.toLocaleString("en-US") });
  }
  parts.push({ label: "", value: stateOf(bar).text, kind: stateOf(bar).kind });
  for (const { title, color, value } of averages) {
    if (value !== undefined) parts.push({ label: title, value: grouped(value.toFixed(digits + 1)), color });
  }
  return parts;
}

/** Shows a candle. @param {HTMLElement} node @param {Bar|null} bar @param {LegendOptions} options */
export function showLegend(node, bar, options) {
  node.replaceChildren(...(bar ? legendParts(bar, options) : []).map(({ label, value, kind, color }) => {
    const item = element("span", { className: `item ${kind ?? ""}` }, ...(label ? [element("i", { textContent: label })] : []), element("b", { textContent: value }));
    if (color) item.style.color = color;
    return item;
  }));
}

/** Returns a candle as a sentence, for screen readers. @param {Bar} bar @param {LegendOptions} options */
export const spokenCandle = (bar, options) => legendParts(bar, options)
  .map(({ label, value }) => `${/** @type {any} */ ({ O: "open", H: "high", L: "low", C: "close", Vol: "volume" })[label] ?? label} ${value}`.trim()).join(", ");
