// What stands between an answer and a line on a chart.
import assert from "node:assert/strict";
import { test } from "node:test";
import { align, gaugeCurve, merge, newest, pace, rateCurve, stack, sum } from "../node_modules/.built/series.js";

const time = (t) => new Date(t * 1000).toISOString();
const series = (labels, points) => ({ name: "m", labels, points: points.map(([t, last, min = last, max = last]) => ({ time: time(t), last, min, max, avg: (min + max) / 2, count: 1 })) });
const track = (points) => {
  const tracks = new Map();
  merge(tracks, [series({}, points)], 0, 0);
  return [...tracks.values()][0];
};

test("an answer takes the place of what was known of its time", () => {
  const tracks = new Map();
  merge(tracks, [series({ a: "1" }, [[10, 1], [20, 2], [30, 3]]), series({ a: "2" }, [[10, 7]])], 0, 0);
  merge(tracks, [series({ a: "1" }, [[30, 4], [40, 5]])], 30, 15);
  assert.equal(tracks.size, 1, "a series without points is forgotten");
  const tr = [...tracks.values()][0];
  assert.deepEqual(tr.t, [20, 30, 40]);
  assert.deepEqual(tr.last, [2, 4, 5]);
  assert.equal(newest(tracks), 40);
});

test("a rate is the increase per second, from zero after a reset, unknown across a gap", () => {
  const c = rateCurve(track([[0, 100], [10, 150], [20, 30], [60, 70], [70, 90]]), { step: 0, gap: 25, now: 80 });
  assert.deepEqual(c, { t: [10, 20, 60, 70], v: [5, 3, null, 2] });
});

test("a step that still runs has no rate", () => {
  const points = track([[0, 0], [60, 60], [120, 90]]);
  assert.deepEqual(rateCurve(points, { step: 60, gap: 90, now: 150 }).t, [60]);
  assert.deepEqual(rateCurve(points, { step: 60, gap: 90, now: 180 }).t, [60, 120]);
});

test("a gauge has its band with steps only, also on a falling scale", () => {
  const tr = track([[0, 3, 1, 5]]);
  assert.equal(gaugeCurve(tr, { step: 0, gap: 1, now: 1 }).lo, undefined);
  const c = gaugeCurve(tr, { step: 60, gap: 90, now: 60 }, (v) => 10 - v);
  assert.deepEqual([c.lo, c.v, c.hi], [[5], [7], [9]]);
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
