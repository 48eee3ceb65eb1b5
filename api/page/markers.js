// Marks on the chart: signals, firings of alerts, and fills of the paper bot.
/** @import {Firing, Order, Signal} from "./types.js" */
import { seconds } from "./times.js";

/** @typedef {{time: number, position: "aboveBar"|"belowBar", shape: "arrowUp"|"arrowDown"|"circle"|"square", color: string, text: string, id: string, size: number}} Marker */
/** @typedef {{up: string, down: string, alert: string}} MarkerColors */

/**
 * Returns the marks of what happened, in order of time.
 * @param {{signals: Iterable<Signal>, firings: Iterable<Firing>, orders: Iterable<Order>}} events
 * @param {(time: number) => number|null} barTime the open time of the bar of a moment; null if it isn't loaded
 * @param {MarkerColors} colors @returns {Marker[]}
 */
export function markersOf({ signals, firings, orders }, barTime, colors) {
  /** @type {Marker[]} */ const markers = [];
  /** @param {string} at @param {Omit<Marker, "time">} marker */
  const add = (at, marker) => {
    const time = barTime(seconds(at));
    if (time !== null) markers.push({ time, ...marker });
  };
  for (const { side, strategy, number, event_time } of signals) {
    add(event_time, { ...sided(side, colors), shape: side === "buy" ? "arrowUp" : "arrowDown", text: strategy, id: `signal/${strategy}/${number}`, size: 1 });
  }
  for (const { alert_id, number, event_time, note } of firings) {
    add(event_time, { position: "aboveBar", shape: "circle", color: colors.alert, text: note.slice(0, 20) || "alert", id: `firing/${alert_id}/${number}`, size: 1 });
  }
  for (const { side, fill, number } of orders) {
    if (fill) add(fill.event_time, { ...sided(side, colors), shape: "square", text: side === "buy" ? "bought" : "sold", id: `fill/${number}`, size: 1 });
  }
  return markers.sort((a, b) => a.time - b.time);
}

/** @param {"buy"|"sell"} side @param {MarkerColors} colors @returns {{position: "belowBar"|"aboveBar", color: string}} */
const sided = (side, { up, down }) => (side === "buy" ? { position: "belowBar", color: up } : { position: "aboveBar", color: down });

/** Adds what is new to a list by key, newest first. @template T @param {T[]} list @param {T[]} items @param {(item: T) => string} key @param {number} most */
export function addNewest(list, items, key, most) {
  const known = new Set(list.map(key));
  return [...items.filter((item) => !known.has(key(item))).reverse(), ...list].slice(0, most);
}
