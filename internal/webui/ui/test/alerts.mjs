// Alerts: a real one fires, is seen everywhere, acknowledged and silenced, and told to
// a receiver.
import { createServer } from "node:http";
import { hostname } from "node:os";
import { check, desk, holds, rest, sees, server, shot, sizes, tab, usable } from "./harness.mjs";

/** Receives what receivers are told. */
async function listen() {
  const got = [];
  const s = createServer((q, r) => {
    let body = "";
    q.on("data", (d) => (body += d)).on("end", () => {
      got.push(JSON.parse(body));
      r.end();
    });
  });
  await new Promise((done) => s.listen(0, "127.0.0.1", done));
  return { got, port: s.address().port, stop: () => new Promise((done) => s.close(done)) };
}

export const ruleFile = `groups:
- name: browser
  rules:
  - alert: MemoryInUse
    series: sentinel_host_memory_used_percent
    condition: above 0.1
    severity: critical
    annotations:
      summary: "{{ labels.hostname }} has {{ value | percent }} in use"
  - alert: DiskInUse
    series: node_filesystem_avail_bytes{fstype!~"tmpfs|overlay"}
    divided_by: node_filesystem_size_bytes
    condition: below 1.1
    for: 1h
`;

export async function alerts() {
  const hook = await listen();
  await rest("PUT", "/notifications/config", {
    yaml: `route:\n  receiver: ops\n  group_wait: 0s\n  routes:\n  - matchers: [severity="critical"]\n    receiver: page\n    group_wait: 0s\n  - matchers: ['alertname=~"Disk.*"', severity="warning"]\n    receiver: ops\n    continue: true\nreceivers:\n- name: ops\n- name: page\n  webhook: [{url: "http://127.0.0.1:${hook.port}/", allow_private: [127.0.0.0/8]}]\n`,
  });
  const page = await tab(desk);
  await page.goto(`${server.url}/#token=${server.token}`);
  await page.waitForSelector(".hosts");
  await page.goto(`${server.url}/alerts`);
  await sees(page, "main .empty, main .alerts", "before any alert fires the page says how it is");
  await rest("POST", "/rules", { yaml: ruleFile });
  await holds("the alert shows up by itself", async () => (await page.locator('.alerts tr:has-text("MemoryInUse") .pill.is-bad').count()) === 1);
  await holds("the navigation counts it", async () => (await page.locator(".places .count").textContent()).startsWith("1"));
  check("the sentence says it", (await page.textContent("h1")).includes("1 alert fires, 1 critical"));
  check("what waits is there, too", (await page.locator('.alerts tr:has-text("DiskInUse") .pill.is-warn').count()) >= 1);
  await page.fill(".filter.matchers", 'severity="critical"');
  await holds("the filter is in the address", async () => decodeURIComponent(page.url()).includes('m=severity="critical"'));
  check("and filters", (await page.locator('.alerts tr:has-text("DiskInUse")').count()) === 0);
  await page.fill(".filter.matchers", "severity=~(");
  await sees(page, ".help.wrong", "what is no matcher is said");
  await page.goto(`${server.url}/alerts`);
  await page.click('.alerts a:text-is("MemoryInUse")');
  await sees(page, ".chart canvas", "an alert has its chart");
  check("with the threshold", (await page.textContent(".chart .legend")).includes("above"));
  await holds("who was told stands there", async () => (await page.locator(".timeline .pill.is-good").count()) >= 1);
  check("and it was really told", hook.got[0]?.alerts?.[0]?.labels?.alertname === "MemoryInUse");
  await page.click("text=Acknowledge …");
  await page.fill("dialog input", "on it");
  await usable(page, "acknowledging");
  await page.click('dialog button:text-is("Acknowledge")');
  await sees(page, ".notice.info", "an acknowledged alert says who looks after it");
  check("with the comment", (await page.textContent(".notice.info")).includes("on it"));
  await usable(page, "an alert");
  await shot(page, "alert");
  const path = new URL(page.url()).pathname;

  await page.click("text=Silence …");
  check("the silence is made for this alert", (await page.inputValue("dialog textarea")).includes(`alertname="MemoryInUse"`) && (await page.inputValue("dialog textarea")).includes(`hostname="${hostname()}"`));
  await holds("the preview says what it hits", async () => (await page.textContent(".preview")).includes("Holds back 1 alert"));
  await page.fill("dialog .two input", "a test");
  await usable(page, "making a silence");
  await shot(page, "silence-new");
  await page.click('dialog button:text-is("Silence")');
  await holds("the alert says that it is silenced", async () => (await page.locator('.tag:text-is("silenced")').count()) === 1);
  await page.click('.crumbs a');
  await page.click('.tabs a:text-is("Silences")');
  await sees(page, ".list .pill.is-warn", "the silence is listed");
  await shot(page, "silences-one");
  await page.click("text=End now");
  await page.click('dialog button:text-is("End it now")');
  await sees(page, "main .empty", "a silence can be ended");

  await page.context().close();
  for (const { as, options } of sizes) {
    const page = await tab(options);
    await page.goto(`${server.url}/#token=${server.token}`);
    await page.waitForSelector(".hosts");
    for (const [name, address, selector] of [
      ["alerts", "/alerts", ".alerts"],
      ["alerts-by-host", "/alerts?by=hostname&all=1", ".alerts"],
      ["alert", path, ".chart canvas"],
      ["silences", "/silences", "main .empty"],
      ["silence-dialog", "/silences?new=1", "dialog textarea"],
    ]) {
      await page.goto(server.url + address);
      await sees(page, selector, `${as}: ${name}`);
      await usable(page, `${as}: ${name}`);
      await shot(page, `${name}-${as}`);
    }
    await page.context().close();
  }
  await rest("DELETE", "/rules/browser/MemoryInUse");
  await rest("DELETE", "/rules/browser/DiskInUse");
  await hook.stop();
}
