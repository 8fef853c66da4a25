// The builder and the text say the same, and what could come next is known.
import assert from "node:assert/strict";
import { test } from "node:test";
import { build, fitting, isSelector, placeOf, write } from "../node_modules/.built/promql.js";

test("what is built and what is written are one", () => {
  for (const text of ["up", 'up{a="x"}', "rate(up[5m])", 'sum(rate(up{a=~"(x)"}[1m]))', "sum by (a, b) (up)", 'max by (a) (max_over_time(up{a="}",b!="2"}[1h]))']) assert.equal(write(build(text)), text, text);
});

test("what is richer than the builder is left alone", () => {
  for (const text of ["a / b", "topk(5, up)", "rate(up)", "up[5m]", "sum(up", "up)", "histogram_quantile(0.9, up)"]) assert.equal(build(text), null, text);
});

test("a selector is a metric with nothing around it", () => {
  for (const text of ["up", ' up{a="x"} ']) assert.ok(isSelector(text), text);
  for (const text of ["", "sum(up)", "rate(up[5m])", "up[5m]", "up / 2", "1"]) assert.ok(!isSelector(text), text);
});

test("what is typed is known", () => {
  const at = (text) => {
    const p = placeOf(text.replace("|", ""), text.indexOf("|"));
    return p && [p.kind, p.prefix, p.metric, p.label];
  };
  assert.deepEqual(at("nod|"), ["metric", "nod", "", ""]);
  assert.deepEqual(at("rate(no|"), ["metric", "no", "", ""]);
  assert.deepEqual(at("up{in|"), ["label", "in", "up", ""]);
  assert.deepEqual(at('up{a="x",|'), ["label", "", "up", ""]);
  assert.deepEqual(at('up{a=~"we|'), ["value", "we", "up", "a"]);
  assert.deepEqual(at("sum by (ho|) (rate(up[5m]))"), ["label", "ho", "up", ""]);
  assert.equal(at('up{a="x"}|'), null);
  assert.deepEqual(fitting(["xab", "ab", "b"], "a"), ["ab", "xab"]);
});
