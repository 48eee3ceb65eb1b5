// All requests of the page go through this module, which adds the API key if there is one.

const PREFIX = "/api/v1/";
const TIMEOUT_MS = 20_000, KEY = "tickplant-key";

/** Called when a request needs a key, or another one, with the reason; set by the page. @type {{ask: (refused: string) => void}} */
export const keys = { ask: () => {} };

/** Returns the key of this tab; it is never stored longer, nor in an address. @returns {string|null} */
const key = () => globalThis.sessionStorage?.getItem(KEY) ?? null;

/**
 * Returns whether to ask for a key: reading needs one, or a change does. A part of the page that a key without alerts
 * may not read says so in its place instead.
 * @param {string} method @param {number} status @param {string|null} challenge the answer's WWW-Authenticate
 */
export const asksForKey = (method, status, challenge) => status === 401 && (method !== "GET" || !/\bscope="(?!read")/.test(challenge ?? ""));

/** Sets the key of this tab. @param {string} text empty for none */
export function setKey(text) {
  if (text) sessionStorage.setItem(KEY, text); else sessionStorage.removeItem(KEY);
}

/** Returns whether an error says that a key is lacking, or may not do this. @param {unknown} error */
export const isForbidden = (error) => error instanceof RequestError && (error.status === 401 || error.status === 403);

/** An answer that reports an error, or none at all. */
export class RequestError extends Error {
  /** @param {string} message @param {number} status 0 if there was no answer @param {string} [code] */
  constructor(message, status, code = "") {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/**
 * Parses JSON; integers that a number can't hold exactly stay text.
 * @param {string} text @returns {any}
 */
export function parseExact(text) {
  if (!/[:[,]\s*-?\d{16}/.test(text)) return JSON.parse(text);
  const quoted = text.replace(/"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])/g, (part) =>
    part[0] === '"' || Number.isSafeInteger(Number(part)) ? part : `"${part}"`);
  return JSON.parse(quoted);
}

/**
 * Returns the path of a request, with its parameters.
 * @param {string} path below /api/v1/; symbols are already encoded
 * @param {Record<string, string|number|boolean|null|undefined>} [parameters] those without a value are omitted
 */
export function address(path, parameters = {}) {
  const query = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`).join("&");
  return PREFIX + path + (query && "?" + query);
}

/**
 * Sends a request.
 * @param {string} method @param {string} url @param {unknown} [body] @returns {Promise<any>} the parsed answer
 * @throws {RequestError}
 */
async function send(method, url, body) {
  let response;
  try {
    response = await fetch(url, {
      method,
      headers: { ...(body !== undefined && { "Content-Type": "application/json" }), ...(key() !== null && { Authorization: `Bearer ${key()}` }) },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    const late = error instanceof DOMException && error.name === "TimeoutError";
    throw new RequestError(late ? "the API doesn't answer" : "the API can't be reached", 0);
  }
  const text = await response.text();
  if (response.ok) return text ? parseExact(text) : null;
  let problem = {};
  try { problem = JSON.parse(text); } catch { /* a proxy's page, for example */ }
  const { detail, code } = /** @type {{detail?: string, code?: string}} */ (problem);
  if (asksForKey(method, response.status, response.headers.get("WWW-Authenticate"))) keys.ask(key() === null ? "" : (detail ?? "The key was refused"));
  throw new RequestError(detail ?? `the API answered ${response.status}`, response.status, code);
}

/** Reads. @param {string} path @param {Parameters<typeof address>[1]} [parameters] */
export const get = (path, parameters) => send("GET", address(path, parameters));
/** Creates. @param {string} path @param {unknown} body */
export const post = (path, body) => send("POST", address(path), body);
/** Changes. @param {string} path @param {unknown} body */
export const patch = (path, body) => send("PATCH", address(path), body);
/** Deletes. @param {string} path */
export const remove = (path) => send("DELETE", address(path));
/** Reads a file of the page, for its error message. @param {string} path */
export const getFile = (path) => send("GET", path);

/** Opens the websocket. @returns {WebSocket} */
export function openSocket() {
  const url = location.origin.replace(/^http/, "ws") + "/ws", text = key();
  return text === null ? new WebSocket(url) : new WebSocket(url, ["tickplant", `tickplant.key.${text}`]);
}
