import assert from "node:assert/strict";
import test from "node:test";
import { Plant, PlantError, TemporaryError } from "../dist/index.js";
import { Backoff } from "../dist/backoff.js";
import { parseExact } from "../dist/messages.js";
import { CandleProgress, TradeProgress } from "../dist/progress.js";
import { Subscription } from "../dist/subscription.js";

const PRICE = "price:binance:BTCUSDT", TRADES = "trades:binance:BTCUSDT";
const say = (subscription, message) => subscription.receive(JSON.stringify(message));

test("each channel is resumed at its last message", () => {
  const subscription = new Subscription([PRICE, TRADES]);
  assert.deepEqual(subscription.request(), { op: "subscribe", id: 1, channels: [PRICE, TRADES] });
  say(subscription, { type: "snapshot", channel: PRICE, cursor: "3.1-0", data: null });
  say(subscription, { type: "trades", channel: TRADES, cursor: "3.2-0.n1", data: [] });
  assert.deepEqual(subscription.request().since, { [PRICE]: "3.1-0", [TRADES]: "3.2-0.n1" });
});

test("one cursor is kept for every channel until its first message", () => {
  const subscription = new Subscription(["price:BTCUSDT", "trades:BTCUSDT"], "3.1-0");
  assert.equal(subscription.request().since, "3.1-0");
  say(subscription, { type: "ack", id: 0, op: "auth", channels: [] });
  assert.equal(subscription.request().since, "3.1-0");
  say(subscription, { type: "ack", id: 1, op: "subscribe", channels: [PRICE, TRADES] });
  say(subscription, { type: "trades", channel: TRADES, cursor: "3.2-0", data: [] });
  assert.deepEqual(subscription.request().since, { [PRICE]: "3.1-0", [TRADES]: "3.2-0" });
});

test("only what may work later is tried again", () => {
  const refused = (code) => { try { say(new Subscription([PRICE]), { type: "error", code, message: "why" }); } catch (error) { return error; } };
  assert.ok(refused("unavailable") instanceof TemporaryError);
  assert.ok(refused("unknown_symbol") instanceof PlantError);
  assert.ok(!(refused("unknown_symbol") instanceof TemporaryError));
});

test("integers that a number can't hold stay exact", () => {
  assert.deepEqual(parseExact('{"trade_id":9007199254740993,"n":5,"note":"1: 9007199254740993"}'),
    { trade_id: "9007199254740993", n: 5, note: "1: 9007199254740993" });
});

test("trades from history are new after the newest one only", () => {
  const progress = new TradeProgress();
  const trade = (id, second = id) => ({ trade_id: id, event_time: `2024-08-08T23:54:0${second}.000000Z` });
  assert.equal(progress.add([trade(1), trade(3), trade(2)], false).length, 3);
  assert.equal(progress.start, trade(3).event_time);
  assert.deepEqual(progress.add([trade(2), trade(3), trade(4, 3)], true), [trade(4, 3)]);
});

test("a live trade that comes again is not new, and one that is late is", () => {
  const progress = new TradeProgress();
  const trade = (id, second = id) => ({ trade_id: id, event_time: `2024-08-08T23:54:0${second}.000000Z` });
  progress.add([trade(1), trade(2), trade(4), trade(5)], false);
  assert.deepEqual(progress.add([trade(4), trade(5), trade(3), trade(6)], false), [trade(3), trade(6)]);
});

test("a state of a candle is new once, and only some candles are kept", () => {
  const progress = new CandleProgress();
  const candle = (minute, closed) => ({ open_time: `2024-08-08T23:${String(minute).padStart(2, "0")}:00.000000Z`, closed });
  assert.equal(progress.add([candle(0, false), candle(0, false), candle(0, true), candle(0, true)]).length, 2);
  for (let minute = 1; minute < 21; minute++) progress.add([candle(minute, true)]);
  assert.equal(progress.start, candle(5).open_time);
});

test("waits double up to a limit, and start again after a success", () => {
  const backoff = new Backoff(() => 1);
  const waits = Array.from({ length: 8 }, () => backoff.next());
  assert.deepEqual(waits.slice(0, 3), [200, 400, 800]);
  assert.equal(waits.at(-1), 10_000);
  backoff.reset();
  assert.equal(backoff.next(), 200);
});

/** A class of websockets that the test drives. */
function sockets() {
  const made = [];
  class Socket {
    readyState = 0; sent = [];
    constructor() { made.push(this); }
    send(text) { this.sent.push(JSON.parse(text)); }
    close() { this.readyState = 3; }
    open() { this.readyState = 1; this.onopen(); }
    say(message) { this.onmessage({ data: JSON.stringify(message) }); }
  }
  return { made, Socket };
}

test("the key goes first, and a refused one is an error", async () => {
  const { made, Socket } = sockets();
  const next = new Plant("http://plant", { WebSocket: Socket, key: "tp_x" }).messages([PRICE]).next();
  made[0].open();
  assert.deepEqual(made[0].sent.map(({ op }) => op), ["auth", "subscribe"]);
  made[0].say({ type: "error", id: 0, code: "unauthorized", message: "not a valid key" });
  await assert.rejects(next, { code: "unauthorized", message: "not a valid key" });
});

test("a consumer that falls far behind goes on at its cursor on another connection", async () => {
  const { made, Socket } = sockets();
  const end = new AbortController();
  const messages = new Plant("http://plant", { WebSocket: Socket }).messages([TRADES], { signal: end.signal });
  const first = messages.next();
  made[0].open();
  for (let number = 0; number < 5000; number++) made[0].say({ type: "trades", channel: TRADES, cursor: `3.${number}-0`, data: [] });
  let last = await first;
  while (last.value.cursor !== "3.4096-0") last = await messages.next();
  const next = messages.next();
  while (made.length < 2) await new Promise((done) => setTimeout(done, 10));
  assert.equal(made[0].readyState, 3);
  made[1].open();
  assert.deepEqual(made[1].sent[0].since, { [TRADES]: "3.4096-0" });
  end.abort();
  assert.equal((await next).done, true);
});

test("a signal ends iterators", async () => {
  const { made, Socket } = sockets();
  const end = new AbortController();
  const next = new Plant("http://plant", { WebSocket: Socket }).messages([PRICE], { signal: end.signal }).next();
  end.abort();
  assert.equal((await next).done, true);
  assert.equal(made[0].readyState, 3);
});

test("a runtime without websockets is told what to do", { skip: globalThis.WebSocket !== undefined }, () => {
  assert.throws(() => new Plant().messages([PRICE]), /Node 20/);
});
