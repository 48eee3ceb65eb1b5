// Times: intervals, and how moments are shown in UTC or local time.

/** The intervals of candles, with their lengths in seconds. @type {Record<string, number>} */
export const INTERVALS = {
  "1s": 1, "1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "2h": 7200, "4h": 14400, "6h": 21600, "8h": 28800, "12h": 43200,
  "1d": 86400, "3d": 259200, "1w": 604800, "1M": 31 * 86400,
};

/** Stands for a calendar month, UTC, as the length of an interval; no month is longer. */
const MONTH = INTERVALS["1M"];

/** Returns the open time some candles later. @param {number} time @param {number} step @param {number} [count] negative for earlier */
export function later(time, step, count = 1) {
  if (step !== MONTH) return time + count * step;
  const date = new Date(time * 1000);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + count, 1) / 1000;
}

/** Returns how many candles later an open time is than another. @param {number} from @param {number} to @param {number} step */
export function distance(from, to, step) {
  if (step !== MONTH) return (to - from) / step;
  const months = (/** @type {Date} */ date) => 12 * date.getUTCFullYear() + date.getUTCMonth();
  return months(new Date(to * 1000)) - months(new Date(from * 1000));
}

/** Those that have buttons and keys; the others are in a list. */
export const MAIN_INTERVALS = ["1s", "1m", "5m", "15m", "1h", "4h", "1d", "1w"];

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (/** @type {number} */ number) => String(number).padStart(2, "0");

/** @typedef {"utc"|"local"} Zone */

/** Returns seconds since 1970 of a time of the API. @param {string} text @returns {number} */
export const seconds = (text) => Date.parse(text) / 1000;

/** Returns a time as the API writes it. @param {number} at seconds @returns {string} */
export const isoTime = (at) => new Date(at * 1000).toISOString();

/** Returns the parts of a moment in a zone. @param {number} at seconds @param {Zone} zone */
export function parts(at, zone) {
  const date = new Date(at * 1000);
  return zone === "utc"
    ? { year: date.getUTCFullYear(), month: date.getUTCMonth(), day: date.getUTCDate(), hour: date.getUTCHours(), minute: date.getUTCMinutes(), second: date.getUTCSeconds(), ms: date.getUTCMilliseconds() }
    : { year: date.getFullYear(), month: date.getMonth(), day: date.getDate(), hour: date.getHours(), minute: date.getMinutes(), second: date.getSeconds(), ms: date.getMilliseconds() };
}

/** Formats hours to seconds. @param {number} at @param {Zone} zone @param {boolean} [ms] @returns {string} */
export function clock(at, zone, ms = false) {
  const { hour, minute, second, ms: rest } = parts(at, zone);
  return `${two(hour)}:${two(minute)}:${two(second)}${ms ? "." + String(rest).padStart(3, "0") : ""}`;
}

/** Formats the date. @param {number} at @param {Zone} zone @returns {string} */
export function dateText(at, zone) {
  const { year, month, day } = parts(at, zone);
  return `${year}-${two(month + 1)}-${two(day)}`;
}

/** Formats the open time of a candle, as precisely as its interval. @param {number} at @param {number} step @param {Zone} zone */
export function openTimeText(at, step, zone) {
  if (step >= 86400 && zone === "utc") return dateText(at, zone);
  return `${dateText(at, zone)} ${clock(at, zone).slice(0, step < 60 ? 8 : 5)}`;
}

/**
 * Formats a mark of the time axis. The library sets marks at boundaries of UTC; in other zones a day may not start there.
 * @param {number} at @param {number} kind year, month, day, time, time with seconds: 0 to 4
 * @param {Zone} zone @returns {string}
 */
export function axisText(at, kind, zone) {
  const { year, month, day, hour, minute } = parts(at, zone);
  if (kind <= 2 && (hour || minute)) return `${day} ${MONTHS[month]} ${two(hour)}:${two(minute)}`;
  if (kind === 0) return String(year);
  if (kind === 1) return MONTHS[month] ?? "";
  if (kind === 2) return `${day} ${MONTHS[month]}`;
  return clock(at, zone).slice(0, kind === 4 ? 8 : 5);
}

/** Says how long something took: "3 h 12 min". @param {number} length seconds @returns {string} */
export function durationText(length) {
  const whole = Math.max(0, Math.floor(length));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** Names the zone. @param {Zone} zone @returns {string} */
export const zoneName = (zone) => (zone === "utc" ? "UTC" : "local");
