import assert from "node:assert/strict";
import test from "node:test";
import { Live } from "../../api/page/live.js";

/** A connection whose clock, timers and sockets the test drives. */
function driven() {
  const sockets = [], states = [], timers = [];
  const world = { at: 0, sockets, states };
  const live = new Live({
    open: () => { const socket = { readyState: 0, sent: [], send(text) { this.sent.push(JSON.parse(text)); }, close() { this.readyState = 3; this.onclose({ code: 1006, reason: "" }); } }; sockets.push(socket); return socket; },
    onState: (state) => states.push(state), now: () => world.at, random: () => 1,
    later: (action, ms) => timers.push({ at: world.at + ms, action }),
  });
  return {
    live, world,
    accept() { const socket = sockets.at(-1); socket.readyState = 1; socket.onopen(); return socket; },
    say: (message) => sockets.at(-1).onmessage({ data: JSON.stringify(message) }),
    pass(ms) {
      const until = world.at + ms;
      for (;;) {
        timers.sort((a, b) => a.at - b.at);
        if (!timers.length || timers[0].at > until) break;
        const { at, action } = timers.shift();
        world.at = at;
        action();
      }
      world.at = until;
    },
  };
}
const settled = () => new Promise((done) => setImmediate(done));

test("subscriptions are sent together, and again with their cursors after a reconnect", async () => {
  const { live, accept, say, pass, world } = driven();
  const got = [];
  live.watch("price:a:X", (message) => got.push(message.data));
  live.watch("candles:a:X:1m", () => {}, "7.1-0");
  live.connect();
  const first = accept();
  await settled();
  assert.deepEqual(first.sent[0], { op: "subscribe", id: 1, channels: ["price:a:X", "candles:a:X:1m"], since: { "candles:a:X:1m": "7.1-0" } });
  say({ type: "snapshot", channel: "price:a:X", cursor: "7.2-0", data: 1 });
  first.close();
  assert.equal(world.states.at(-1).state, "reconnecting");
  pass(500);
  assert.equal(world.sockets.length, 2);
  assert.deepEqual(accept().sent[0].since, { "price:a:X": "7.2-0", "candles:a:X:1m": "7.1-0" });
  say({ type: "resumed", channel: "price:a:X", cursor: "7.2-0" });
  assert.deepEqual(got, [1]);
  assert.equal(world.states.at(-1).state, "live");
});

test("a channel is unsubscribed when nobody watches it any more", async () => {
  const { live, accept } = driven();
  live.connect();
  const socket = accept();
  const stops = [live.watch("trades:a:X", () => {}), live.watch("trades:a:X", () => {})];
  await settled();
  const sent = () => socket.sent.filter(({ op }) => op !== "ping").map(({ op }) => op);
  stops[0]();
  assert.deepEqual(sent(), ["subscribe"]);
  stops[1]();
  assert.deepEqual(sent(), ["subscribe", "unsubscribe"]);
});

test("attempts are spaced out, up to ten seconds, with a reason", () => {
  const { live, pass, world } = driven();
  live.connect();
  const waits = [];
  for (let attempt = 0; attempt < 8; attempt++) {
    world.sockets.at(-1).close();
    waits.push(world.states.at(-1).retryAt - world.at);
    pass(10_000);
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
  assert.match(world.states.find(({ state }) => state === "reconnecting").reason, /connection was lost/);
});

test("the latency is that of a round trip, and a silent connection is replaced", () => {
  const { live, accept, say, pass, world } = driven();
  live.connect();
  const socket = accept();
  world.at += 12;
  say({ type: "pong", id: socket.sent.at(-1).id });
  assert.equal(world.states.at(-1).latencyMs, 12);
  pass(20_000);
  assert.equal(world.sockets.length, 2);
});

test("an outage of Redis is told, and its end", () => {
  const { live, accept, say, world } = driven();
  live.connect();
  accept();
  say({ type: "status", state: "stalled" });
  assert.match(world.states.at(-1).reason, /Redis is unavailable/);
  say({ type: "status", state: "live" });
  assert.deepEqual([world.states.at(-1).state, world.states.at(-1).reason], ["live", ""]);
});

test("a refused cursor is dropped, and what is unavailable is asked for again", async () => {
  const { live, accept, say, pass } = driven();
  live.watch("price:a:X", () => {}, "rubbish");
  live.connect();
  const socket = accept();
  say({ type: "error", code: "bad_cursor", channel: "price:a:X", message: "" });
  await settled();
  say({ type: "error", code: "unavailable", channel: "price:a:X", message: "" });
  pass(2000);
  await settled();
  const asked = socket.sent.filter(({ op }) => op === "subscribe");
  assert.deepEqual(asked.map(({ since }) => since), [{ "price:a:X": "rubbish" }, undefined, undefined]);
});
