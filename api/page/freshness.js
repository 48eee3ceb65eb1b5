// Whether what is shown is current, and if not, why.
/** @import {Connection} from "./types.js" */
/** @import {LiveState} from "./live.js" */
import { splitSymbol } from "./search.js";
import { clock, durationText, seconds, zoneName } from "./times.js";

const STALE_S = 60;
const BEST_FIRST = /** @type {const} */ (["live", "connecting", "refused", "down"]);

/** Returns the best connection that has a symbol. @param {Connection[]} connections @param {string} symbol @returns {Connection|null} */
export function bestConnection(connections, symbol) {
  const own = connections.filter(({ symbols }) => symbols.includes(symbol));
  for (const state of BEST_FIRST) {
    const found = own.find((connection) => connection.state === state);
    if (found) return found;
  }
  return null;
}

/**
 * Says what is wrong with the way from the venue to this page; null if nothing is.
 * @param {LiveState} live @param {Connection[]} connections @param {string|null} symbol
 * @param {"utc"|"local"} zone @returns {string|null}
 */
export function troubleText(live, connections, symbol, zone) {
  if (live.state === "reconnecting") return `Reconnecting: ${live.reason}. Prices below are not current.`;
  if (live.state === "stalled") return `Waiting: ${live.reason}. Prices below are not current.`;
  if (live.state !== "live" || symbol === null) return null;
  const connection = bestConnection(connections, symbol);
  if (!connection) return null;
  const { name } = splitSymbol(symbol);
  if (connection.state !== "live") {
    const since = `${clock(seconds(connection.since), zone)} ${zoneName(zone)}`;
    const words = { connecting: "has been connecting", down: "has been down", refused: "has refused the symbols" }[connection.state];
    return `${connection.venue} ${words} since ${since}${connection.reason ? `: ${connection.reason}` : ""}`;
  }
  const problem = connection.problems.find((each) => each.symbol === symbol);
  return problem ? `${connection.venue}: ${name} is ${problem.state}: ${problem.reason}` : null;
}

/** Says when the next attempt to connect starts; empty if none waits. @param {LiveState} live @param {number} now on the clock of `live` */
export function retryText({ state, retryAt }, now) {
  const wait = state === "reconnecting" && retryAt !== null ? Math.ceil((retryAt - now) / 1000) : 0;
  return wait > 0 ? `Next attempt in ${wait} s.` : "";
}

/**
 * Says why a price may not be the current one; null if it is.
 * @param {string|null} trouble @param {number|null} quietS seconds since the last trade came @returns {string|null}
 */
export function staleText(trouble, quietS) {
  if (trouble !== null) return "not current";
  return quietS !== null && quietS >= STALE_S ? `no trade for ${durationText(quietS)}` : null;
}

/** Marks of trades that are not a venue's live stream. @type {Record<string, {text: string, title: string}>} */
export const SOURCES = {
  replay: { text: "replay", title: "Recorded trades, replayed" },
  synthetic: { text: "simulated", title: "Generated trades, not of a real market" },
};
