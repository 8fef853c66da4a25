// The palette, what else is said of a host, one stream for a tab, and a server
// that comes back.
import { check, desk, holds, rest, sees, server, shot, sizes, tab, usable } from "./harness.mjs";
import { ruleFile } from "./alerts.mjs";
import { states } from "./plugins.mjs";

export async function more() {
  const { id, hostname } = (await rest("GET", "/fleet")).hosts[0];
  await rest("POST", "/rules", { yaml: ruleFile });
  const page = await tab(desk);
  let streams = 0;
  page.on("request", (r) => (streams += r.url().includes("/events/stream")));
  await page.goto(`${server.url}/#token=${server.token}`);
  await page.waitForSelector(".hosts");
  await holds("an alert makes its host need attention", async () => (await page.textContent("h1")).includes("1 host needs attention") && (await page.locator(".hosts .sev.critical").count()) === 1);
  await shot(page, "fleet-attention");
  await page.click(".hosts .sev.critical");
  await sees(page, ".alerts", "and leads to its alerts");
  check("by their labels", new URL(page.url()).searchParams.get("m") === `agent="${id}"`);
  await page.click(".alerts td a");
  await sees(page, ".chart canvas", "the host has its charts");
  await sees(page, ".news .sev.critical", "and its alerts");
  await holds("and what happened", async () => (await page.textContent(".events")).includes("agent connected"));
  check("all views of a tab share one stream", streams === 1);

  await page.keyboard.press("Control+K");
  await sees(page, ".palette input", "Ctrl-K opens the palette");
  await usable(page, "the palette");
  await page.keyboard.type("silen");
  await holds("pages are found", async () => (await page.textContent(".palette [aria-selected=true]")).startsWith("Silences"));
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Enter");
  await sees(page, ".tabs [aria-current]:text-is('Silences')", "and opened by the keyboard");
  await page.keyboard.press("Control+K");
  await page.keyboard.type(hostname);
  await holds("hosts are found", async () => (await page.textContent(".palette [aria-selected=true]")).includes("host"));
  await page.locator(".palette input").fill("node_load5");
  await holds("metrics are found", async () => (await page.textContent(".palette [aria-selected=true]")).includes("metric"));
  await shot(page, "palette");
  await page.keyboard.press("Enter");
  await sees(page, ".chart canvas", "and drawn");
  await page.keyboard.press("Control+K");
  await page.waitForSelector(".palette input");
  await page.keyboard.press("Escape");
  await sees(page, ".palette", "Escape closes the palette", "detached");
  await page.context().close();

  for (const { as, options } of sizes) {
    const page = await tab(options);
    await page.goto(`${server.url}/#token=${server.token}`);
    await page.waitForSelector(".hosts");
    await page.route("**/api/v1/plugin-states*", (r) => r.fulfill({ json: { states: states(id) } }));
    await page.goto(`${server.url}/hosts/${id}`);
    await sees(page, ".news .pill.is-bad", `${as}: a host with alerts and plugins`);
    await sees(page, ".chart canvas", `${as}: and charts`);
    await usable(page, `${as}: a host with alerts and plugins`);
    await shot(page, `host-news-${as}`);
    await page.context().close();
  }
  await rest("DELETE", "/rules/browser/MemoryInUse");
  await rest("DELETE", "/rules/browser/DiskInUse");

  // Eight tabs of one browser, live at once.
  const first = await tab(desk);
  await first.goto(`${server.url}/#token=${server.token}`);
  await first.waitForSelector(".hosts");
  const others = [];
  for (const path of ["/alerts", "/rules", "/receivers", "/explore?q=node_load1&range=5m", `/hosts/${id}`, "/admin", "/"]) {
    const p = await first.context().newPage();
    await p.goto(`${server.url}/#token=${server.token}`);
    await p.waitForSelector(".hosts");
    await p.goto(server.url + path);
    others.push(p);
  }
  const [, , , explored, host] = others;
  await sees(explored, ".chart canvas", "eight tabs are live: one draws");
  await host.bringToFront();
  const seen = async () => host.textContent(".tiles");
  const was = await seen();
  await holds("and one follows its host", async () => (await seen()) !== was);
  await first.context().close();
}
