// Which hosts need attention, and which a filter lets through.
import assert from "node:assert/strict";
import { test } from "node:test";
import { filterOf, groupRows, rowsOf, sentence } from "../node_modules/.built/fleetdata.js";

const host = (id, state = "up", labels = {}) => ({ id, hostname: id, labels, version: "1", os: "linux", state });
const alert = (agent, severity = "warning") => ({ agent, severity });
const ids = (rows) => rows.map((r) => r.host.id).join(" ");

test("what needs attention is first and is counted", () => {
  const rows = rowsOf([host("a10"), host("a9"), host("b", "silent"), host("c"), host("d"), host("e", "never seen"), host("f", "disabled")], [alert("c"), alert("d", "critical"), alert("f")]);
  assert.equal(ids(rows), "d b c a9 a10 e f");
  assert.equal(sentence(rows), "2 hosts are well, 3 need attention, 1 is not seen yet, 1 is disabled.");
  assert.equal(sentence(rowsOf([host("a")], [])), "1 host is well.");
  assert.equal(sentence(rowsOf([host("a", "silent")], [])), "1 host needs attention.");
});

test("a filter has words or matchers", () => {
  const rows = rowsOf([host("web-1", "up", { site: "fra" }), host("web-2", "silent", { site: "muc" }), host("db-1", "up", { site: "fra" })], []);
  const found = (text) => ids(rows.filter(filterOf(text).test));
  assert.equal(found("web fra"), "web-1");
  assert.equal(found("site=fra"), "db-1 web-1");
  assert.equal(found('site="fra", hostname=~"web.*"'), "web-1");
  assert.equal(found('state!="up"'), "web-2");
  assert.notEqual(filterOf('site=~"("').wrong, "");
  assert.deepEqual(groupRows(rows, "site").map((g) => [g.name, ids(g.rows)]), [["site=muc", "web-2"], ["site=fra", "db-1 web-1"]]);
});
