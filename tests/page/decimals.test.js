import assert from "node:assert/strict";
import test from "node:test";
import { abbreviated, compare, grouped, percentText, places, Precision, signed, subtract } from "../../api/page/decimals.js";

test("a decimal is shown with thousands separators and the instrument's places", () => {
  assert.equal(grouped("61837.63000000", 2), "61,837.63");
  assert.equal(grouped("1234567.50000000", 2), "1,234,567.50");
  assert.equal(grouped("999", 2), "999.00");
  assert.equal(grouped("-1206.84000000", 2), "−1,206.84");
  assert.equal(grouped("0.00000812", 8), "0.00000812");
  assert.equal(grouped(null, 2), "–");
});

test("no digit is ever lost, however few places an instrument is thought to have", () => {
  assert.equal(grouped("61837.6300000001", 2), "61,837.6300000001");
  assert.equal(grouped("123456789012345678901.000000000000000001"), "123,456,789,012,345,678,901.000000000000000001");
  for (let round = 0; round < 500; round++) {
    const digits = Array.from({ length: 30 }, () => Math.floor(Math.random() * 10)).join("");
    const text = `1${digits.slice(0, 12)}.${digits.slice(12)}`;
    assert.equal(grouped(text, round % 9).replaceAll(",", "").replace(/\.?0+$/, ""), text.replace(/\.?0+$/, ""));
  }
});

test("places do not count zeros at the end", () => {
  assert.deepEqual(["1", "1.0", "1.50", "0.00000812", "100"].map(places), [0, 0, 1, 8, 0]);
});

test("an instrument has as many places as any price seen so far", () => {
  const precision = new Precision();
  assert.equal(precision.learn(["100.50000000", null, "99.25000000"]), true);
  assert.equal(precision.learn(["99.1"]), false);
  assert.equal(precision.digits, 2);
});

test("decimals are compared and subtracted exactly", () => {
  assert.equal(subtract("0.3", "0.1"), "0.2");
  assert.equal(subtract("60007.06", "61213.9"), "-1206.84");
  assert.equal(subtract("100000000000000000000.5", "100000000000000000000.25"), "0.25");
  assert.equal(subtract("5", "5.0"), "0");
  assert.equal(compare("100000000000000000000.1", "100000000000000000000.10"), 0);
  assert.equal(compare("-2", "-1.5"), -1);
});

test("signs and abbreviations", () => {
  assert.equal(signed("5.5", 2), "+5.50");
  assert.equal(signed("-5.5", 2), "−5.50");
  assert.equal(signed("0", 2), "0.00");
  assert.deepEqual(["0", "0.00012345", "12.3", "1234", "1234567", "9876543210"].map(abbreviated), ["0", "0.000123", "12.30", "1.23K", "1.23M", "9.88B"]);
});

test("a change that rounds to nothing has no sign", () => {
  assert.deepEqual([-0.004, 0, 0.004, -0.006, 2.5].map(percentText), ["0.00%", "0.00%", "0.00%", "−0.01%", "+2.50%"]);
});
