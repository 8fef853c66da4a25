// Labels as typed, verdicts on books, times, commands: what people read.
import assert from "node:assert/strict";
import { test } from "node:test";
import { moment, until } from "../node_modules/.built/format.js";
import { labelsText, parseLabels } from "../node_modules/.built/labels.js";
import { installCommand } from "../node_modules/.built/shell.js";
import { strength, verdict } from "../node_modules/.built/verdict.js";

test("labels stand one a line or between commas", () => {
  assert.deepEqual(parseLabels("a=1, b = x=y\n\n c= "), { labels: { a: "1", b: "x=y", c: "" }, wrong: "" });
  assert.equal(labelsText({ b: "2", a: "1" }), "a=1\nb=2");
  assert.deepEqual(parseLabels(labelsText({ site: "fra", role: "web" })).labels, { role: "web", site: "fra" });
});

test("what is not a label is named", () => {
  for (const [text, says] of [["web", "no “=”"], ["=x", "not a label’s name"], ["1a=x", "not a label’s name"], ["a b=x", "not a label’s name"], ["a=1\na=2", "twice"]]) assert.match(parseLabels(text).wrong, new RegExp(says), text);
});

const book = (b) => ({ appended: 0, stored: 0, rejected: 0, quarantined: 0, lost: 0, in_flight: 0, samples: 0, ...b });
const books = (total, epochs = [{}]) => ({ agent: "ag-x", total: book(total), epochs: epochs.map((e) => ({ epoch: "1", holes: 0, forked: false, ...book(total), ...e })) });

test("the verdict is the command line's", () => {
  assert.equal(verdict(books({ appended: 5, stored: 4, in_flight: 1 })).word, "balances");
  assert.match(verdict(books({ appended: 5, stored: 4, in_flight: 1 })).text, /5 records .* 4 are stored; 1 is on the way\. Nothing is unaccounted for/);
  assert.equal(verdict(books({ appended: 5, stored: 4 })).kind, "bad");
  assert.equal(verdict(books({ appended: 5, stored: 5 }, [{ stored: 4 }])).kind, "bad", "an epoch counts by itself");
  assert.equal(verdict(books({ appended: 5, stored: 5 }, [{ forked: true }])).word, "forked");
  const lost = verdict(books({ appended: 5, stored: 3, lost: 2, lost_by: { bytes: 2 } }));
  assert.deepEqual([lost.kind, lost.word], ["warn", "balances, with losses"]);
  assert.match(lost.text, /2 were lost.*bytes: 2/);
  assert.match(verdict(books({})).text, /nothing yet/);
});

test("a password is as strong as it is long, counted in characters", () => {
  assert.deepEqual(["", "elevenchars", "twelve chars", "sixteen letters!", "🔑🔑🔑🔑🔑🔑"].map((p) => strength(p).level), [0, 1, 2, 3, 1]);
});

test("a moment leaves out what is the same today", () => {
  const at = (...a) => new Date(...a).getTime() / 1000;
  const now = at(2026, 4, 3, 12, 0, 0);
  assert.equal(moment(at(2026, 4, 3, 9, 5, 7), now), "09:05:07");
  assert.equal(moment(at(2026, 4, 2, 9, 5, 7), now), "2 May, 09:05");
  assert.equal(moment(at(2025, 11, 31, 23, 5, 7), now), "31 Dec 2025, 23:05");
  assert.deepEqual([until(90_000, 0), until(0, 1)], ["in 1 min", "over"]);
});

test("the command is one line that a shell reads as meant", () => {
  assert.equal(installCommand("sentinel.example:7443", "sha256:00ff"), "sudo sentinel-agent install --server sentinel.example:7443 --ca-pin sha256:00ff --enrolment-token-file enrolment.token");
  assert.equal(installCommand("[::1]:7443", undefined), "sudo sentinel-agent install --server '[::1]:7443' --enrolment-token-file enrolment.token");
  assert.match(installCommand("a'; reboot", undefined), /--server 'a'\\''; reboot' /);
});
