// Administration: tokens, users, roles, the audit log, the pipeline, dead letters.
import { haveAnn, people, signIn } from "./access.mjs";
import { check, desk, holds, rest, sees, server, shot, tab, usable } from "./harness.mjs";

const meant = (t) => /40[1349]|503|Failed to load resource/.test(t);
const field = (page, label) => page.locator("dialog .field", { has: page.locator(`label:text-is("${label}")`) }).locator("input, select, textarea");
const pressed = (page, name) => page.click(`dialog .buttons button:text-is("${name}")`);
const row = (page, text) => page.locator(".list tbody tr", { hasText: text });
const tabs = (page) => page.locator(".tabs a").allTextContents();

/** Puts a batch that no worker takes among the dead letters, as whole bytes or not. */
function bury(agent, whole, reason) {
  const text = (n, s) => Buffer.concat([Buffer.from([(n << 3) | 2, s.length]), Buffer.from(s)]);
  const bytes = whole ? Buffer.concat([text(1, agent), text(2, "k-none"), Buffer.from([0x19, 7, 0, 0, 0, 0, 0, 0, 0, 0x20, 1, 0x28, 1, 0x30, 1]), text(7, "payload"), text(8, "mac")]) : Buffer.from("no batch");
  server.sql(`INSERT INTO dead_letters (agent_id, agent_name, epoch, seq, count, reason, detail, envelope, received_at)
    VALUES (${whole ? `(SELECT id FROM agents WHERE name = '${agent}')` : "NULL"}, '${agent}', 7, 1, 1, '${reason}', 'made for the test', '\\x${bytes.toString("hex")}', now())`);
}

export async function admin() {
  await haveAnn();
  const page = await tab(desk, meant);
  await signIn(page, "ann");
  await page.click('nav[aria-label="Main"] >> text=Administration');
  await sees(page, ".tiles .big", "administration begins with the pipeline");
  check("an administrator sees all of it", (await tabs(page)).join() === "Pipeline,Dead letters,Plugins,Retention,Enrolment,API tokens,Users,Audit log");
  await holds("the rate of samples is live", async () => /^[1-9]\d*\/s$/.test((await page.textContent(".tiles .big")).replace(",", "")));
  check("the broker's reader is there", (await page.textContent("section[aria-labelledby=stream]")).includes("writer"));

  await selfTest(page);

  await page.click("text=API tokens");
  await page.click("text=New token");
  await field(page, "Name").fill("a script");
  await field(page, "Role").selectOption("operator");
  await pressed(page, "Make the token");
  await sees(page, "dialog .secret", "a token is shown, once");
  const secret = (await page.textContent("dialog .secret")).trim();
  await usable(page, "the dialog with a token");
  await shot(page, "token-made");
  await pressed(page, "Done");
  await sees(page, '.list th:text-is("a script")', "and is in the list");
  check("without itself", !(await page.content()).includes(secret));

  await page.click("text=Users");
  for (const [name, role] of [["vic", "viewer"], ["olga", "viewer"]]) {
    people[name] = `the password of ${name}`;
    await page.click("text=New user");
    await field(page, "Name").fill(name);
    await field(page, "Role").selectOption(role);
    await field(page, "New password").fill(people[name]);
    await field(page, "The same again").fill(people[name]);
    await shot(page, "user-new");
    await pressed(page, "Make the user");
    await sees(page, `.list tbody tr:has-text("${name}")`, `${name} is made`);
  }
  check("nobody changes themselves there", (await row(page, "ann").locator("button").count()) === 0);
  await row(page, "olga").getByText("Change").click();
  await field(page, "Role").selectOption("operator");
  await pressed(page, "Save");
  await holds("a role is changed", async () => (await row(page, "olga").textContent()).includes("operator"));
  await shot(page, "users");

  // What a role may not do is not offered.
  const vic = await tab(desk, meant);
  await signIn(vic, "vic");
  check("a viewer is not offered to add hosts", (await vic.locator("text=Add hosts").count()) === 0);
  await vic.goto(`${server.url}/admin`);
  await sees(vic, ".tiles .big", "a viewer sees the pipeline");
  check("but may not test it", (await vic.locator(".selftest").count()) === 0);
  check("and no more than that, the dead letters, the plugins and the retention", (await tabs(vic)).join() === "Pipeline,Dead letters,Plugins,Retention");
  for (const place of ["users", "audit", "tokens", "enrolment"]) {
    await vic.goto(`${server.url}/admin/${place}`);
    await holds(`to a viewer ${place} says which role it needs`, async () => /needs the role (admin|operator)\..*signed in as vic, with the role viewer/s.test(await vic.textContent("main")));
  }
  await usable(vic, "a page above one's role");
  await shot(vic, "role-refused");
  const agent = (await rest("GET", "/agents")).agents[0].id;
  await vic.goto(`${server.url}/hosts/${agent}/manage`);
  await sees(vic, ".list tbody tr", "a viewer sees the keys");
  check("and nothing to press there", (await vic.locator("main button").count()) === 0);
  await vic.context().close();

  const olga = await tab(desk, meant);
  await signIn(olga, "olga");
  await olga.goto(`${server.url}/hosts/${agent}/manage`);
  await sees(olga, "text=Disable …", "an operator may disable");
  check("and not delete", (await olga.locator("text=Delete …").count()) === 0);
  await olga.goto(`${server.url}/admin/tokens`);
  await sees(olga, ".list tbody tr", "an operator sees tokens");
  check("may revoke none above the own role", (await row(olga, "all-in-one").locator("button").count()) === 0 && (await row(olga, "a script").locator("button").count()) === 1);
  await olga.click("text=New token");
  check("and make none", (await field(olga, "Role").locator("option").allTextContents()).join() === "viewer,operator");
  await rest("PATCH", "/users/olga", { role: "viewer" });
  await sees(olga, "input[name=user]", "a role that is taken away ends the session");
  await olga.context().close();

  await row(page, "olga").getByText("Delete").click();
  await pressed(page, "Delete");
  await holds("a user is deleted", async () => (await row(page, "olga").count()) === 0);
  await page.click("text=API tokens");
  await row(page, "a script").getByText("Revoke").click();
  await pressed(page, "Revoke");
  await holds("a token is revoked", async () => (await row(page, "a script").count()) === 0);

  // The audit log.
  await page.click("text=Audit log");
  await sees(page, '.audit td:text-is("token.revoke")', "the audit log has it");
  const before = await page.locator(".audit tbody tr").count();
  await rest("PATCH", "/users/vic", { disabled: true });
  await holds("a new entry comes by itself", async () => (await page.locator(".audit tbody tr").count()) === before + 1 && (await page.textContent(".audit tbody tr")).includes("user.change"));
  await page.locator(".audit tbody tr").first().locator("button").click();
  await sees(page, ".audit pre", "its details open");
  await shot(page, "audit");
  await page.fill('input[aria-label="What"]', "token");
  await holds("a filter is in the address", async () => page.url().includes("action=token"));
  await holds("and filters", async () => (await page.locator(".audit tbody tr").count()) > 0 && (await page.locator('.audit td[data-name="What"]').allTextContents()).every((t) => t.startsWith("token.")));
  await page.fill('input[aria-label="Who"]', "nobody at all");
  await sees(page, ".empty", "a filter without a match says so");

  // Dead letters.
  await page.click("text=Dead letters");
  await sees(page, ".empty", "there are no dead letters");
  bury(agent, true, "bad_signature");
  bury("ag-unknown", false, "unreadable");
  await holds("dead letters come by themselves", async () => (await page.locator(".list tbody tr").count()) === 2);
  await usable(page, "dead letters");
  await shot(page, "letters");
  await page.click(".list button:has-text(\"bad_signature\")");
  await sees(page, "dialog .pairs", "one is shown");
  check("in an address of its own", page.url().includes("show="));
  await pressed(page, "Replay");
  await holds("replaying says what came of it", async () => /replayed|replay failed/.test(await page.textContent("dialog .pairs")));
  await usable(page, "a dead letter");
  await shot(page, "letter");
  await page.keyboard.press("Escape");
  await page.locator("input[type=checkbox]").check();
  const origins = () => page.locator('.list td[data-name="Agent"]').allTextContents();
  // The replayed one's signature proves nothing: as an orphan it is there once more.
  await holds("only those of no agent", async () => (await origins()).length > 0 && (await origins()).every((t) => t.includes("not proven")));
  await page.click("text=Purge these");
  await page.fill("dialog input", "purge");
  await pressed(page, "Purge for good");
  await sees(page, ".empty", "they are purged");
  await page.locator("input[type=checkbox]").uncheck();
  await holds("the other is still there", async () => (await page.locator(".list tbody tr").count()) === 1);
  await row(page, "bad_signature").last().getByText("Purge").click();
  await pressed(page, "Purge for good");
  await sees(page, ".empty", "and purged by itself");

  // What a server refuses although it was offered is explained.
  await page.click("text=Users");
  await page.route("**/api/v1/users/vic", (r) => r.fulfill({ status: 403, contentType: "application/problem+json", body: '{"detail":"the user\'s role is viewer, this needs admin"}' }));
  await row(page, "vic").getByText("Delete").click();
  await pressed(page, "Delete");
  await sees(page, "dialog .notice.warn", "a refusal is explained in the dialog");
  check("with the role one has", (await page.textContent("dialog .notice")).includes("with the role admin"));
  await shot(page, "dialog-forbidden");
  await page.keyboard.press("Escape");
  await page.unroute("**/api/v1/users/vic");
  await page.route("**/api/v1/status", (r) => r.fulfill({ status: 503, contentType: "application/problem+json", body: "{}" }));
  await page.click("text=Pipeline");
  await sees(page, ".notice.bad", "a database that does not answer is said");
  await shot(page, "pipeline-down");
  await page.context().close();

  // Of another build than what the page has already: it must not be mixed.
  const other = await tab(desk, meant);
  await other.route("**/assets/more.js*", async (r) => {
    const a = await r.fetch();
    await r.fulfill({ response: a, headers: { ...a.headers(), "cache-control": "no-store" }, body: (await a.text()).replaceAll(/chunk\.js\?v=\w+/g, "chunk.js?v=another") });
  });
  await signIn(other, "ann");
  await other.click("text=Administration");
  await sees(other, ".notice.bad .link", "a part of another build asks to load the page again");
  await shot(other, "another-build");
  await other.unroute("**/assets/more.js*");
  await other.click(".notice.bad .link");
  await sees(other, ".tiles .big", "and that helps");
  await other.context().close();
}

/** A marked sample through every stage; what a stage that does not answer looks like. */
async function selfTest(page) {
  await page.click(".selftest button");
  await sees(page, ".selftest .notice.good", "a self-test goes through the real pipeline");
  check("all five stages passed", (await page.locator(".selftest li.passed").count()) === 5);
  check("each with its time", (await page.locator(".selftest li > .right").allTextContents()).every((t) => /^[\d.]+ m?s$/.test(t)));
  const bars = await page.locator(".selftest .track span").evaluateAll((all) => all.map((e) => [e.getBoundingClientRect().left, e.getBoundingClientRect().right]));
  check("and a bar that begins where the one before ends", [1, 2, 3].every((i) => Math.abs(bars[i][0] - bars[i - 1][1]) < 5) && Math.abs(bars[4][0] - bars[2][0]) < 5);
  check("no host comes of it", (await rest("GET", "/agents")).agents.length === 1);
  await usable(page, "a self-test");
  await shot(page, "selftest");
  const stage = (name, state, ms, error) => ({ name, what: `what ${name} does`, state, ms, ...(error && { error }) });
  await page.route("**/api/v1/pipeline/self-test", (r) => r.fulfill({ json: { ok: false, started_at: new Date().toISOString(), took_ms: 10_005, error: "store: no worker committed the sample within 10 s; see `sentinelctl pipeline status`", stages: [stage("admit", "passed", 1.2), stage("broker", "passed", 3.8), stage("store", "failed", 10_000, "no worker committed the sample within 10 s"), stage("query", "skipped", 0), stage("alerting", "passed", 12)] } }));
  await page.click(".selftest button");
  await sees(page, ".selftest .notice.bad", "a stage that does not answer is said");
  check("with what to look at", (await page.textContent(".selftest .notice.bad")).includes("no worker committed the sample within 10 s; see sentinelctl pipeline status"));
  check("and those after it are skipped", (await page.locator(".selftest li.failed").count()) === 1 && (await page.locator(".selftest li.skipped").count()) === 1);
  await usable(page, "a self-test that failed");
  await shot(page, "selftest-failed");
  await page.unroute("**/api/v1/pipeline/self-test");
  await page.route("**/api/v1/pipeline/self-test", (r) => r.fulfill({ status: 409, contentType: "application/problem+json", body: '{"detail":"a self-test runs already on this server"}' }));
  await page.click(".selftest button");
  await sees(page, ".selftest .notice.warn", "one at a time");
  await page.unroute("**/api/v1/pipeline/self-test");
}
