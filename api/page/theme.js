// Dark and light, and the colours that the chart takes from the styles.

/** @typedef {"dark"|"light"} Theme */

const light = matchMedia("(prefers-color-scheme: light)");

/** Returns the theme to use. @param {Theme|null} chosen null follows the system @returns {Theme} */
export const themeOf = (chosen) => chosen ?? (light.matches ? "light" : "dark");

/** Applies a theme. @param {Theme|null} chosen */
export function applyTheme(chosen) {
  document.documentElement.dataset.theme = themeOf(chosen);
}

/** Runs an action when the system's theme changes. @param {() => void} action */
export const onSystemTheme = (action) => light.addEventListener("change", action);

/** Returns the colours of the styles. */
export function colors() {
  const styles = getComputedStyle(document.documentElement);
  const color = (/** @type {string} */ name) => styles.getPropertyValue(`--${name}`).trim();
  return {
    panel: color("panel"), grid: color("grid"), line: color("line"), text: color("text"), quiet: color("quiet"),
    up: color("up"), down: color("down"), upSoft: color("up-soft"), downSoft: color("down-soft"), accent: color("accent"),
    warn: color("warn"), gap: color("gap"), averages: [1, 2, 3, 4, 5, 6, 7, 8].map((number) => color(`average-${number}`)),
  };
}

/** @typedef {ReturnType<typeof colors>} Colors */
