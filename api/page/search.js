// Finds symbols by what a user types.

/**
 * Returns how well a symbol matches; lower is better, null is not at all.
 * @param {string} symbol venue:symbol @param {string} typed @returns {number|null}
 */
export function rank(symbol, typed) {
  const query = typed.trim().toLowerCase(), whole = symbol.toLowerCase(), name = whole.slice(whole.indexOf(":") + 1);
  const plain = (/** @type {string} */ text) => text.replace(/[-/_:\s]/g, "");
  if (!query || name === query || whole === query) return 0;
  if (plain(name) === plain(query)) return 1;
  if (name.startsWith(query)) return 2;
  if (whole.startsWith(query)) return 3;
  if (plain(query) && plain(name).includes(plain(query))) return 4;
  if (query.split(/\s+/).every((word) => whole.includes(word))) return 5;
  let at = 0; // the letters in order: "ehusd" finds ETHUSDT
  for (const letter of plain(query)) {
    at = name.indexOf(letter, at) + 1;
    if (!at) return null;
  }
  return 6;
}

/** Returns the symbols that match, the best first. @param {Iterable<string>} symbols @param {string} typed @returns {string[]} */
export function findSymbols(symbols, typed) {
  /** @type {[number, string][]} */ const found = [];
  for (const symbol of symbols) {
    const at = rank(symbol, typed);
    if (at !== null) found.push([at, symbol]);
  }
  return found.sort(([a, left], [b, right]) => a - b || (left < right ? -1 : 1)).map(([, symbol]) => symbol);
}

/** Splits a symbol into its venue and its name. @param {string} symbol */
export function splitSymbol(symbol) {
  const cut = symbol.indexOf(":");
  return { venue: symbol.slice(0, cut), name: symbol.slice(cut + 1) };
}

/** Returns the base currency of a symbol, given its quote currency. @param {string} symbol @param {string|null} quote */
export function baseOf(symbol, quote) {
  const { name } = splitSymbol(symbol);
  return quote && name.endsWith(quote) ? name.slice(0, -quote.length).replace(/[-/_]$/, "") : null;
}
