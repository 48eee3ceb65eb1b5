// Search for a symbol by keyboard.
import { byId, dialogOf, element, inputOf } from "./dom.js";
import { findSymbols, splitSymbol } from "./search.js";

const MOST = 50;

/** The dialog that finds a symbol. */
export class SymbolDialog {
  /** @param {() => Iterable<string>} symbols @param {(symbol: string) => void} choose */
  constructor(symbols, choose) {
    this.symbols = symbols; this.choose = choose;
    this.active = 0;
    /** @type {string[]} */ this.found = [];
    const input = inputOf("search-input");
    input.addEventListener("input", () => { this.active = 0; this.#draw(); });
    input.addEventListener("keydown", (event) => this.#key(event));
    byId("search-list").addEventListener("click", (event) => {
      const option = /** @type {HTMLElement} */ (event.target).closest("li");
      if (option?.dataset.symbol) this.#take(option.dataset.symbol);
    });
  }

  /** @param {string} [typed] */
  open(typed = "") {
    this.active = 0;
    inputOf("search-input").value = typed;
    dialogOf("search").showModal();
    inputOf("search-input").focus();
    this.#draw();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step) {
      this.active = Math.max(0, Math.min(this.found.length - 1, this.active + step));
      this.#draw();
    } else if (event.key === "Enter") {
      const symbol = this.found[this.active];
      if (symbol !== undefined) this.#take(symbol);
    } else return;
    event.preventDefault();
  }

  /** @param {string} symbol */
  #take(symbol) { dialogOf("search").close(); this.choose(symbol); }

  #draw() {
    this.found = findSymbols(this.symbols(), inputOf("search-input").value).slice(0, MOST);
    byId("search-list").replaceChildren(...this.found.map((symbol, index) => {
      const { venue, name } = splitSymbol(symbol);
      const option = element("li", { id: `option-${index}`, role: "option", "aria-selected": String(index === this.active) }, element("b", { textContent: name }), element("small", { textContent: venue }));
      option.dataset.symbol = symbol;
      return option;
    }));
    byId("search-empty").hidden = this.found.length > 0;
    inputOf("search-input").setAttribute("aria-activedescendant", this.found.length ? `option-${this.active}` : "");
    byId("search-list").children[this.active]?.scrollIntoView({ block: "nearest" });
  }
}
