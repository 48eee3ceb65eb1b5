// The rows of the market overview: merged, filtered and sorted.
/** @import {Day24h} from "./types.js" */
import { rank } from "./search.js";

/** @typedef {"symbol"|"percent"|"quote_volume"|"missing"} Column */
/** @typedef {Day24h & {quote: string|null, gaps: number, missing_trades: number|null, closes: string[]}} Row */

/** @type {Record<Column, (row: Row) => number|string|null>} */
const VALUES = {
  symbol: (row) => row.symbol,
  percent: (row) => (row.percent === null ? null : Number(row.percent)),
  quote_volume: (row) => Number(row.quote_volume),
  missing: (row) => row.missing_trades,
};

/**
 * Returns the rows that match, in order; those without a value come last in both directions.
 * @param {Row[]} rows @param {{column: Column, descending: boolean, typed: string}} options @returns {Row[]}
 */
export function shownRows(rows, { column, descending, typed }) {
  const value = VALUES[column], sign = descending ? -1 : 1;
  return rows.filter((row) => !typed.trim() || rank(row.symbol, typed) !== null).sort((left, right) => {
    const a = value(left), b = value(right);
    if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
    if (a !== b) return (a < b ? -1 : 1) * sign;
    return left.symbol < right.symbol ? -1 : 1;
  });
}

/** Takes the newest 24 hours of a symbol. @param {Row} row @param {Day24h} day @returns {Row} */
export function updatedRow(row, day) {
  const closes = day.last === null || !row.closes.length ? row.closes : [...row.closes.slice(0, -1), day.last];
  return { ...row, ...day, closes };
}

/** Returns the points of a sparkline, as SVG writes them. @param {string[]} closes @param {number} width @param {number} height */
export function sparkline(closes, width, height) {
  const values = closes.map(Number);
  if (values.length < 2) return "";
  const low = Math.min(...values), span = Math.max(...values) - low || 1;
  return values.map((value, index) =>
    `${((index / (values.length - 1)) * width).toFixed(1)},${(1 + (1 - (value - low) / span) * (height - 2)).toFixed(1)}`).join(" ");
}
