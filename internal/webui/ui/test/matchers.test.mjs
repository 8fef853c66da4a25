// Matchers as people type them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { matcherTest, matcherText, parseMatchers, withMatcher } from "../node_modules/.built/matchers.js";

test("matchers are read with and without quotes and braces", () => {
  for (const text of ['a="1", b!~"x|y"', '{a="1",b!~"x|y"}', 'a=1\nb!~x|y', " a = 1 , b !~ \"x|y\" , "]) {
    assert.deepEqual(parseMatchers(text), { list: [{ name: "a", op: "=", value: "1" }, { name: "b", op: "!~", value: "x|y" }], wrong: "" }, text);
  }
  assert.deepEqual(parseMatchers(""), { list: [], wrong: "" });
  assert.equal(parseMatchers('a="x,\\"y\\""').list[0].value, 'x,"y"');
});

test("what is no matcher is said", () => {
  for (const text of ["a", "a=~(", '1="x"', 'a="x" b="y"', 'a="x']) assert.notEqual(parseMatchers(text).wrong, "", text);
});

test("a label that is not there counts as empty, and expressions match whole values", () => {
  const fits = (text, labels) => matcherTest(parseMatchers(text).list)(labels);
  assert.equal(fits('a=""', {}), true);
  assert.equal(fits('a!="1"', {}), true);
  assert.equal(fits('a=~"web"', { a: "web-1" }), false);
  assert.equal(fits('a=~"web.*"', { a: "web-1" }), true);
  assert.equal(fits('a!~"web.*"', { a: "web-1" }), false);
  assert.equal(fits('a="1",b="2"', { a: "1", b: "3" }), false);
});

test("a selector gets one more matcher", () => {
  const m = { name: "agent", op: "=", value: 'x"y' };
  assert.equal(matcherText(m), 'agent="x\\"y"');
  assert.equal(withMatcher("up", m), 'up{agent="x\\"y"}');
  assert.equal(withMatcher('up{a="}"}', m), 'up{a="}",agent="x\\"y"}');
  assert.equal(withMatcher("up{}", m), 'up{agent="x\\"y"}');
});
