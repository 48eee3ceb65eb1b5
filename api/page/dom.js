// Small pieces of the document.

/** Returns the element of an id. @param {string} id @returns {HTMLElement} */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element ${id}`);
  return found;
}

/** Returns the control of an id. @param {string} id @returns {HTMLInputElement} */
export const inputOf = (id) => /** @type {HTMLInputElement} */ (byId(id));

/** Returns the dialog of an id. @param {string} id @returns {HTMLDialogElement} */
export const dialogOf = (id) => /** @type {HTMLDialogElement} */ (byId(id));

/**
 * Creates an element; text is never read as HTML.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {Record<string, any>} [properties] @param {...(Node|string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") node.setAttribute(name, value);
    else /** @type {any} */ (node)[name] = value;
  }
  node.append(...children);
  return node;
}

/** Sets a text, if it differs. @param {Element} node @param {string} text */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Creates an SVG line. @param {string} points @param {number} width @param {number} height @param {string} kind */
export function svgLine(points, width, height, kind) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg"), line = document.createElementNS(space, "polyline");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `line ${kind}`);
  line.setAttribute("points", points);
  svg.append(line);
  return svg;
}

/** Returns a function that runs an action once in the next frame, however often it is called. @param {() => void} action */
export function eachFrame(action) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; action(); });
  };
}

let hiding = 0;
/** Shows a message for some seconds. @param {string} text @param {"news"|"error"} [kind] */
export function notify(text, kind = "news") {
  const node = byId("notice");
  node.textContent = text;
  node.className = `shown ${kind}`;
  clearTimeout(hiding);
  hiding = setTimeout(() => { node.className = ""; }, 6000);
}
