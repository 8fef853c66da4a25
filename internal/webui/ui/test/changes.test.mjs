// Which series changed: ranked by how far their middle moved against their spread.
import assert from "node:assert/strict";
import { test } from "node:test";
import { changeOf, groups, growth, least, median } from "../node_modules/.built/changes.js";

const curve = (v) => ({ t: v.map((_, i) => i), v });
const noise = (n, base) => Array.from({ length: n }, (_, i) => base + Math.sin(i * 2.4));

test("a step stands out, noise and a single outlier do not", () => {
  const step = changeOf(curve([...noise(20, 10), ...noise(20, 30)]), 20);
  assert.ok(step.score > 10, step.score);
  assert.ok(Math.abs(step.before - 10) < 1 && Math.abs(step.after - 30) < 1);
  assert.ok(changeOf(curve([...noise(40, 10)]), 20).score < 1);
  const outlier = noise(40, 10);
  outlier[30] = 10_000;
  assert.ok(changeOf(curve(outlier), 20).score < 1);
});

test("what rises all the time, such as a clock, does not stand out", () => {
  const rising = changeOf(curve(Array.from({ length: 40 }, (_, i) => i)), 20).score;
  assert.ok(rising > 2 && rising < least, rising);
});

test("what never moved needs more than a fiftieth of itself", () => {
  assert.ok(changeOf(curve([100, 100, 100, 101, 101, 101]), 3).score < least);
  assert.equal(Math.round(changeOf(curve([0, 0, 0, 5, 5, 5]), 3).score), 50);
  assert.equal(changeOf(curve([5, 5, 5, 5, 5, 5]), 3).score, 0);
});

test("what flickers does not stand out, although its median may move", () => {
  const flicker = (n, on) => Array.from({ length: n }, (_, i) => (i % 5 < on ? 1 : 0));
  assert.ok(changeOf(curve([...flicker(20, 3), ...flicker(20, 2)]), 20).score < least);
});

test("with fewer than three values on a side nothing is said", () => {
  assert.equal(changeOf(curve([1, 1, 1, 9, 9]), 3), null);
  assert.equal(changeOf({ t: [0, 1, 2, 3, 4, 5], v: [1, 1, null, 9, 9, 9] }, 3), null);
});

test("a counter's growth leaves out where it began again", () => {
  const c = { t: [0, 10, 20, 40], v: [0, 0, 0, 0], lo: [0, 0, 0, 0], hi: [100, 150, 20, 60] };
  assert.deepEqual(growth(c), { t: [10, 40], v: [5, 2] });
});

test("the median of an even number is between the two in the middle", () => assert.equal(median([4, 1, 3, 2]), 2.5));

test("metrics are asked for in groups that the server takes", () => {
  const counts = new Map([["a", 3], ["b", 2], ["large", 9], ["c", 1]]);
  assert.deepEqual(groups(counts, 5, 100), { groups: [["a", "b"], ["c"]], left: 9 });
  assert.deepEqual(groups(counts, 20, 8), { groups: [["a", "b"], ["large", "c"]], left: 0 }, "names count, too, with what stands between them");
});
