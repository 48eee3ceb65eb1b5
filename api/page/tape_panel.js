// The tape: as many whole rows of newest trades as there is room for.
import { grouped, Precision } from "./decimals.js";
import { byId, eachFrame, element, setText } from "./dom.js";
import { Tape } from "./tape_model.js";
import { clock, seconds } from "./times.js";

const ROW_PX = 20, MIN_ROWS = 5;

/** The trades of the symbol that is shown. */
export class TapePanel {
  constructor() {
    this.tape = new Tape();
    this.digits = 0;
    this.sizes = new Precision();
    /** @type {"utc"|"local"} */ this.zone = "utc";
    this.body = byId("tape-rows");
    /** @type {HTMLElement[]} */ this.rows = [];
    /** The venue's clock minus ours, in seconds: rates of a replay are those of its day. */
    this.offset = 0;
    this.draw = eachFrame(() => this.#draw());
    new ResizeObserver(() => this.#fit()).observe(byId("tape"));
    setInterval(() => this.#showRate(), 1000);
  }

  open() { this.tape = new Tape(); this.sizes = new Precision(); this.draw(); setText(byId("tape-rate"), ""); }

  /** @param {import("./types.js").Trade[]} trades @param {boolean} snapshot */
  take(trades, snapshot) {
    this.tape.take(trades, snapshot);
    this.sizes.learn(trades.map(({ size }) => size));
    const newest = trades[trades.length - 1];
    if (newest) this.offset = Math.max(snapshot ? -Infinity : this.offset, seconds(newest.event_time) - Date.now() / 1000);
    this.draw();
  }

  #fit() {
    const count = Math.max(MIN_ROWS, Math.floor(this.body.clientHeight / ROW_PX));
    while (this.rows.length > count) this.rows.pop()?.remove();
    while (this.rows.length < count) {
      const row = element("tr", {}, element("td"), element("td"), element("td"));
      this.rows.push(row);
      byId("tape-body").append(row);
    }
    this.draw();
  }

  #draw() {
    this.rows.forEach((row, index) => {
      const trade = this.tape.trades[index];
      const [price, size, time] = /** @type {HTMLElement[]} */ ([...row.children]);
      if (!price || !size || !time) return;
      row.className = trade?.side ?? "";
      setText(price, trade ? grouped(trade.price, this.digits) : "");
      setText(size, trade ? grouped(trade.size, this.sizes.digits) : "");
      setText(time, trade ? clock(seconds(trade.event_time), this.zone, true) : "");
    });
  }

  #showRate() {
    const rate = this.tape.rate(Date.now() / 1000 + this.offset);
    setText(byId("tape-rate"), rate === null ? "" : `${rate.toFixed(1)} a second`);
  }
}
