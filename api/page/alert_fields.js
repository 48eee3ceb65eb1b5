// Alerts: the fields of each kind, requests made from a form, and sentences about them.
/** @import {Alert} from "./types.js" */
import { grouped } from "./decimals.js";
import { durationText } from "./times.js";

/** @type {Record<string, {title: string, fields: string[]}>} */
export const KINDS = {
  crosses_above: { title: "Price crosses above", fields: ["price"] },
  crosses_below: { title: "Price crosses below", fields: ["price"] },
  above: { title: "Price is above", fields: ["price"] },
  below: { title: "Price is below", fields: ["price"] },
  percent_change: { title: "Price changes by percent", fields: ["percent", "window_s"] },
  silence: { title: "No trade for", fields: ["silence_s"] },
  gap: { title: "Trades are missing", fields: [] },
};

/** @typedef {{kind: string, price: string, percent: string, window: string, silence: string, repeat: boolean, cooldown: string, notify: string, note: string}} AlertForm */

const decimal = (/** @type {string} */ text) => text.replace(/[,\s_]/g, "").replace("−", "-");

/**
 * Returns a whole number of seconds.
 * @param {string} text @param {number} unit seconds @param {string} name @throws {Error} with a message for the user
 */
function duration(text, unit, name) {
  const number = Number(text);
  if (!text.trim() || !Number.isInteger(number) || number < 0) throw new Error(`${name} must be a whole number`);
  return number * unit;
}

/**
 * Returns the measures of an alert of a kind, as the API expects them.
 * @param {AlertForm} form @throws {Error} with a message for the user
 */
export function measures(form) {
  const fields = KINDS[form.kind]?.fields ?? [];
  return {
    ...(fields.includes("price") && { price: required(decimal(form.price), "a price") }),
    ...(fields.includes("percent") && { percent: required(decimal(form.percent), "a percentage, such as -2.5") }),
    ...(fields.includes("window_s") && { window_s: duration(form.window, 60, "The window in minutes") }),
    ...(fields.includes("silence_s") && { silence_s: duration(form.silence, 1, "The time in seconds") }),
  };
}

/** @param {string} text @param {string} what */
function required(text, what) {
  if (!text) throw new Error(`Enter ${what}`);
  return text;
}

/** Returns the request that creates an alert. @param {string} symbol @param {AlertForm} form */
export const creation = (symbol, form) => ({ symbol, kind: form.kind, ...measures(form), ...others(form) });

/** @param {AlertForm} form */
const others = (form) => ({
  repeat: form.repeat, cooldown_s: form.repeat ? duration(form.cooldown || "0", 60, "The pause in minutes") : 0,
  notify: form.notify.split(/[\s,]+/).filter(Boolean), note: form.note.trim(),
});

/** Returns the fields that differ; an unchanged threshold must not restart the alert. @param {Alert} alert @param {AlertForm} form */
export function changes(alert, form) {
  const wanted = { ...measures(form), ...others(form) };
  return Object.fromEntries(Object.entries(wanted).filter(([name, value]) => String(/** @type {any} */ (alert)[name]) !== String(value)));
}

/** Returns the form of an alert. @param {Alert} alert @returns {AlertForm} */
export const formOf = (alert) => ({
  kind: alert.kind, price: alert.price ?? "", percent: alert.percent ?? "", window: String((alert.window_s ?? 300) / 60),
  silence: String(alert.silence_s ?? 60), repeat: alert.repeat, cooldown: String(alert.cooldown_s / 60), notify: alert.notify.join(" "), note: alert.note,
});

/** Describes an alert's condition. @param {Alert} alert */
export function conditionText({ kind, price, percent, window_s, silence_s }) {
  const title = KINDS[kind]?.title ?? kind;
  if (kind === "percent_change") return `Price ${percent?.startsWith("-") ? "falls" : "rises"} by ${percent?.replace("-", "")}% in ${durationText(window_s ?? 0)}`;
  if (kind === "silence") return `${title} ${durationText(silence_s ?? 0)}`;
  return price === null ? title : `${title} ${grouped(price)}`;
}

/** Describes the rest. @param {Alert} alert */
export const repetitionText = ({ repeat, cooldown_s }) =>
  !repeat ? "once" : cooldown_s ? `every time, at most once in ${durationText(cooldown_s)}` : "every time";

/** @type {Record<Alert["state"], string>} */
export const STATES = { pending: "starting", active: "watching", fired: "has fired", inactive: "silenced" };
