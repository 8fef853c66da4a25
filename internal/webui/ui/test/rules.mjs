// Rules and receivers: mistakes at their line, what a rule looks at, playing it over
// history; where an alert would go, and messages that could not be delivered.
import { createServer } from "node:http";
import { check, desk, holds, rest, sees, server, shot, sizes, tab, usable } from "./harness.mjs";

const meant = (t) => /422|502|503|409|Failed to load resource/.test(t);

export async function rules() {
  const page = await tab(desk, meant);
  await page.goto(`${server.url}/#token=${server.token}`);
  await page.waitForSelector(".hosts");
  await page.goto(`${server.url}/rules`);
  await sees(page, ".rules .pill", "the rules are listed with their state");
  check("as sentences", (await page.textContent(".rules")).includes("avg over 15m of sentinel_host_cpu_used_percent above 90"));
  await page.fill(".filter", "forecast nothing like that");
  await sees(page, "main .empty", "a search without a match says so");
  await page.fill(".filter", "");
  await page.click("a.plain");
  await sees(page, ".work canvas", "a new rule shows what it looks at");
  await page.fill(".pad-below input", "browser");
  const text = "alert: LoadHere\nseries: node_load1\nconditin: above 1000\n";
  await page.fill(".editor textarea", text);
  await holds("a mistake is said at its line", async () => (await page.textContent(".editor .help")).startsWith("Line 3: Conditin: unknown key"));
  check("the line is marked", (await page.textContent(".editor pre .wrong")) === "3");
  await page.click(".editor .help button");
  check("and the keyboard gets there", (await page.evaluate(() => getSelection().toString() || document.activeElement.value.slice(document.activeElement.selectionStart, document.activeElement.selectionEnd))) === "conditin: above 1000");
  await usable(page, "a rule with a mistake");
  await shot(page, "rule-mistake");
  check("a mistake cannot be saved", await page.isDisabled('button:text-is("Save")'));
  await page.fill(".editor textarea", text.replace("conditin", "condition"));
  await holds("what is good is said as a sentence", async () => (await page.locator(".said").count()) === 1 && (await page.textContent(".said")).includes("node_load1 above 1000"));
  await holds("and drawn with its threshold", async () => (await page.textContent(".work .legend")).includes("above1,000"));
  await page.click('button:text-is("Save")');
  await sees(page, "text=What it was", "a saved rule has its page");
  check("under its address", new URL(page.url()).pathname === "/rules/browser/LoadHere");
  await page.fill(".editor textarea", text.replace("conditin: above 1000", "condition: at least 0"));
  await page.selectOption(".work select", "1h");
  await page.click('button:text-is("Play")');
  await holds("history is played", async () => (await page.locator(".played").count()) === 1 && /would have fired [1-9]/.test(await page.textContent(".played")));
  check("beside the rule that holds", (await page.textContent(".played")).includes("the rule that holds: 0×"));
  await usable(page, "a rule that was played");
  await shot(page, "rule-played");
  await page.click("text=Undo");
  await page.click("text=Delete …");
  await page.click('dialog button:text-is("Delete")');
  await sees(page, ".rules .pill", "a deleted rule leads to the others");
  check("and is gone", !(await rest("GET", "/rules")).rules.some((r) => r.alert === "LoadHere"));
  await page.context().close();
}

export async function receivers() {
  let good = false;
  const hook = createServer((_, r) => r.writeHead(good ? 200 : 400).end());
  await new Promise((done) => hook.listen(0, "127.0.0.1", done));
  await rest("PUT", "/notifications/config", {
    yaml: `route:\n  receiver: ops\n  group_wait: 0s\n  routes:\n  - matchers: [severity="critical"]\n    receiver: page\n    group_by: [alertname]\n    group_wait: 0s\n    routes:\n    - {matchers: ['team="db"'], receiver: ops}\nreceivers:\n- name: ops\n- name: page\n  webhook: [{url: "http://127.0.0.1:${hook.address().port}/", allow_private: [127.0.0.0/8]}]\n`,
  });
  await rest("POST", "/rules", { yaml: "groups:\n- name: browser\n  rules:\n  - alert: Undelivered\n    series: node_load1\n    condition: at least 0\n    severity: critical\n" });
  const page = await tab(desk, meant);
  await page.goto(`${server.url}/#token=${server.token}`);
  await page.waitForSelector(".hosts");
  await page.goto(`${server.url}/receivers`);
  await sees(page, ".tree ul ul li", "routes are a tree");
  await page.fill("#where", 'severity=critical, alertname="Disk"');
  await sees(page, ".tree .taken", "where an alert would go is shown in the tree");
  check("and said", (await page.textContent(".where")).includes("To page by route.routes[0]"));
  await page.click('button:text-is("Test")');
  await holds("a test that fails says why", async () => (await page.textContent(".channel")).includes("400"));
  await holds("what could not be delivered stands there", async () => (await page.locator('section[aria-labelledby=given-up] tr:has-text("Undelivered")').count()) === 1);
  await sees(page, ".timeline .pill.is-bad", "with the attempts");
  await usable(page, "the receivers");
  await shot(page, "receivers-given-up");
  good = true;
  await page.click('button:text-is("Test")');
  await sees(page, ".channel .pill.is-good", "a test that arrives says so");
  await page.locator('section[aria-labelledby=given-up] tr:has-text("Undelivered") button').first().click();
  await holds("sent again, it is gone", async () => (await page.locator('section[aria-labelledby=given-up] tr:has-text("Undelivered")').count()) === 0);
  await page.click("text=Show and change …");
  check("secrets are not shown", (await page.inputValue(".editor textarea")).includes("<secret>"));
  check("and not saved over", await page.isDisabled('button:text-is("Save")'));
  await page.fill(".editor textarea", "route:\n  receiver: nobody\n  grup_by: []\nreceivers:\n- name: nobody\n");
  await page.click('button:text-is("Save")');
  await holds("a mistake in the file is said at its line", async () => (await page.textContent(".editor .help")).startsWith("Line 3"));
  await page.context().close();

  for (const { as, options } of sizes) {
    const page = await tab(options);
    await page.goto(`${server.url}/#token=${server.token}`);
    await page.waitForSelector(".hosts");
    for (const [name, address, selector] of [
      ["rules", "/rules", ".rules .pill"],
      ["rule", "/rules/cpu/CPUSaturated", ".work .chart"],
      ["rule-new", "/rules/new", ".work canvas"],
      ["receivers", "/receivers?label=severity%3Dcritical", ".tree .taken"],
    ]) {
      await page.goto(server.url + address);
      await sees(page, selector, `${as}: ${name}`);
      await usable(page, `${as}: ${name}`);
      await shot(page, `${name}-${as}`);
    }
    await page.context().close();
  }
  await rest("DELETE", "/rules/browser/Undelivered");
  await new Promise((done) => hook.close(done));
}
