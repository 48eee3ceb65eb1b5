// Decimals as text: shown with all their digits, compared and subtracted exactly.

/**
 * Returns how many decimal places a decimal needs.
 * @param {string} text @returns {number}
 */
export function places(text) {
  const point = text.indexOf(".");
  if (point < 0) return 0;
  let end = text.length;
  while (end > point + 1 && text[end - 1] === "0") end--;
  return end - point - 1;
}

/**
 * Formats a decimal with thousands separators and a number of places; digits that need more are all shown.
 * @param {string|null|undefined} text @param {number} [digits] @returns {string}
 */
export function grouped(text, digits = 0) {
  if (text === null || text === undefined) return "–";
  const negative = text.startsWith("-");
  const [whole = "", fraction = ""] = (negative ? text.slice(1) : text).split(".");
  const kept = fraction.slice(0, places(text)).padEnd(digits, "0");
  return (negative ? "−" : "") + whole.replace(/\B(?=(\d{3})+$)/g, ",") + (kept && "." + kept);
}

/** Formats likewise, with a sign unless the number is zero. @param {string|null} text @param {number} [digits] @returns {string} */
export function signed(text, digits = 0) {
  const shown = grouped(text, digits);
  return text === null || text.startsWith("-") || compare(text, "0") === 0 ? shown : "+" + shown;
}

/** Returns two decimals as integers of the same scale. @param {string} a @param {string} b */
function scaled(a, b) {
  const scale = Math.max(places(a), places(b));
  const integer = (/** @type {string} */ text) => {
    const [whole = "", fraction = ""] = text.split(".");
    return BigInt(whole + fraction.slice(0, scale).padEnd(scale, "0"));
  };
  return { a: integer(a), b: integer(b), scale };
}

/** Compares two decimals: below, at or above 0. @param {string} a @param {string} b @returns {number} */
export function compare(a, b) {
  const { a: left, b: right } = scaled(a, b);
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Subtracts exactly. @param {string} a @param {string} b @returns {string} */
export function subtract(a, b) {
  const { a: left, b: right, scale } = scaled(a, b);
  const difference = left - right;
  const digits = (difference < 0n ? -difference : difference).toString().padStart(scale + 1, "0");
  const whole = digits.slice(0, digits.length - scale);
  return (difference < 0n ? "-" : "") + whole + (scale ? "." + digits.slice(-scale) : "");
}

/**
 * Abbreviates a sum, such as 1.24M; its exact text belongs into a title.
 * @param {string|number} value @returns {string}
 */
export function abbreviated(value) {
  const number = Number(value), size = Math.abs(number);
  for (const [unit, letter] of /** @type {[number, string][]} */ ([[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "K"]])) {
    if (size >= unit) return (number / unit).toFixed(2) + letter;
  }
  return size === 0 ? "0" : size >= 1 ? number.toFixed(2) : number.toPrecision(3);
}

/** Formats a share in percent, a float by nature. @param {number} percent @returns {string} */
export function percentText(percent) {
  const text = Math.abs(percent).toFixed(2);
  return `${Number(text) === 0 ? "" : percent < 0 ? "−" : "+"}${text}%`;
}

/** Learns how many decimals an instrument's prices have: as many as any price seen so far. */
export class Precision {
  constructor() { this.digits = 0; }

  /** Returns whether the number has grown. @param {Iterable<string|null>} prices @returns {boolean} */
  learn(prices) {
    const before = this.digits;
    for (const price of prices) if (price !== null) this.digits = Math.max(this.digits, places(price));
    return this.digits > before;
  }
}
