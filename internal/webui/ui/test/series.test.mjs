// What stands between an answer and a line on a chart.
import assert from "node:assert/strict";
import { test } from "node:test";
import { align, banded, bare, extended, pace, renew, scaled, stack, sum } from "../node_modules/.built/series.js";

test("an answer takes the place of what was known of its time", () => {
  const old = { t: [10, 20, 30], v: [1, 2, 3], lo: [0, 1, 2], hi: [2, 3, 4] };
  assert.deepEqual(renew(old, { t: [30, 40], v: [4, 5], lo: [4, 5], hi: [4, 5] }, 30, 15), { t: [20, 30, 40], v: [2, 4, 5], lo: [1, 4, 5], hi: [3, 4, 5] });
  assert.deepEqual(renew(old, undefined, 30, 15).t, [20], "what is no longer there goes");
  assert.deepEqual(renew(undefined, { t: [30], v: [4] }, 30, 15), { t: [30], v: [4] });
});

test("a band is the right way up on a falling scale, too", () => {
  const c = { t: [0, 1], v: [3, null], lo: [1, null], hi: [5, null] };
  assert.deepEqual(scaled(c, (v) => 10 - v), { t: [0, 1], v: [7, null], lo: [5, null], hi: [9, null] });
  assert.deepEqual(bare(c), { t: [0, 1], v: [3, null] });
});

test("what is newer is put at the end", () => {
  assert.deepEqual(extended({ t: [10, 20], v: [1, 2] }, { t: [20, 23], v: [5, 3] }), { t: [10, 20, 23], v: [1, 2, 3] });
  assert.deepEqual(extended({ t: [], v: [] }, { t: [23], v: [3] }), { t: [23], v: [3] });
});

test("a band is of what passed in the step before, with the line in it", () => {
  const steps = { t: [0, 10, 30], v: [2, 4, 9], lo: [1, 3, 8], hi: [4, 5, 9] };
  assert.deepEqual(banded({ t: [10, 20, 30, 40], v: [2, 6, 7, null] }, steps, 10), { t: [10, 20, 30, 40], v: [2, 6, 7, null], lo: [1, 3, 7, null], hi: [4, 6, 7, null] });
  assert.deepEqual(banded({ t: [30, 33], v: [8, 8] }, steps, 10), { t: [30, 33], v: [8, 8], lo: [8, 8], hi: [8, 9] }, "of the step that is not over, too");
});

test("a sum is of what is known", () => {
  assert.deepEqual(sum([{ t: [1, 2, 3], v: [1, null, null] }, { t: [2, 3], v: [5, null] }]), { t: [1, 2, 3], v: [1, 5, null] });
});

test("gaps become null, times of other lines do not", () => {
  const table = align([{ t: [0, 10, 50], v: [1, 2, 3] }, { t: [0, 10, 20, 30, 40, 50], v: [1, 1, 1, 1, 1, 1] }], 25);
  assert.deepEqual(table.t, [0, 10, 20, 22.5, 30, 40, 50]);
  assert.deepEqual(table.v[0], [1, 2, undefined, null, undefined, undefined, 3]);
  assert.deepEqual(table.v[1], [1, 1, 1, undefined, 1, 1, 1]);
});

test("stacked rows add up, and a gap of all stays one", () => {
  assert.deepEqual(stack([[1, null, 2], [3, null, undefined]]), [[1, null, 2], [4, null, 2]]);
});

test("the pace is the middle distance", () => assert.equal(pace([0, 10, 20, 55, 65]), 10));
