// What is shown, as the fragment of the page's address: #binance:BTCUSDT/1m?log=1&zone=local
import { INTERVALS } from "./times.js";
import { parseAverage } from "./averages.js";

export const TABS = /** @type {const} */ (["market", "alerts", "signals", "bot"]);

/**
 * @typedef {Object} View
 * @property {string|null} symbol @property {string} interval
 * @property {string[]} averages @property {boolean} log @property {"utc"|"local"} zone
 * @property {"dark"|"light"|null} theme null follows the system
 * @property {typeof TABS[number]} tab
 * @property {string|null} to the right end of the chart; null for now
 */

/** @type {View} */
export const DEFAULTS = { symbol: null, interval: "1m", averages: ["sma7", "sma25"], log: false, zone: "utc", theme: null, tab: "market", to: null };

/** Encodes all but the characters that symbols usually have. @param {string} text */
export const encodeSymbol = (text) => encodeURIComponent(text).replaceAll("%3A", ":").replaceAll("%2F", "/");

/**
 * Returns the view of a fragment; what it doesn't say, or says wrongly, is as in another view.
 * @param {string} hash @param {View} [otherwise] @returns {View}
 */
export function parseView(hash, otherwise = DEFAULTS) {
  const view = { ...otherwise };
  const [path = "", query = ""] = hash.replace(/^#/, "").split("?", 2);
  let text = "";
  try { text = decodeURIComponent(path); } catch { /* not one of this page's addresses */ }
  const cut = text.lastIndexOf("/"); // a symbol may contain a slash
  if (cut > 0) view.symbol = text.slice(0, cut);
  if (cut > 0 && Object.hasOwn(INTERVALS, text.slice(cut + 1))) view.interval = text.slice(cut + 1);
  const options = new URLSearchParams(query);
  const averages = options.get("ma");
  if (averages !== null) view.averages = averages.split(",").filter((name) => parseAverage(name) !== null).slice(0, 8);
  if (options.has("log")) view.log = options.get("log") === "1";
  const zone = options.get("zone"), theme = options.get("theme"), tab = options.get("tab"), to = options.get("to");
  if (zone === "utc" || zone === "local") view.zone = zone;
  if (theme === "dark" || theme === "light") view.theme = theme;
  if (TABS.some((name) => name === tab)) view.tab = /** @type {View["tab"]} */ (tab);
  view.to = to !== null && !Number.isNaN(Date.parse(to)) ? to : null;
  return view;
}

/** Returns the fragment of a view; defaults are left out. @param {View} view @returns {string} */
export function formatView(view) {
  if (view.symbol === null) return "";
  const options = [];
  if (view.averages.join() !== DEFAULTS.averages.join()) options.push(`ma=${view.averages.join()}`);
  if (view.log) options.push("log=1");
  if (view.zone !== DEFAULTS.zone) options.push(`zone=${view.zone}`);
  if (view.theme !== null) options.push(`theme=${view.theme}`);
  if (view.tab !== DEFAULTS.tab) options.push(`tab=${view.tab}`);
  if (view.to !== null) options.push(`to=${view.to}`);
  return `#${encodeSymbol(view.symbol)}/${view.interval}${options.length ? "?" + options.join("&") : ""}`;
}
