// What pages say to those who may only look, and while the server is gone; and that
// they go on by themselves when it is back.
import { check, desk, holds, rest, sees, server, shot, tab, usable } from "./harness.mjs";
import { ruleFile } from "./alerts.mjs";

const meant = (t) => /40[34]|50[0234]|Failed to load resource|request failed|ERR_/.test(t);

export async function states() {
  const { secret } = await rest("POST", "/tokens", { name: "looker", role: "viewer" });
  const viewer = await tab(desk, meant);
  await viewer.goto(`${server.url}/#token=${secret}`);
  await viewer.waitForSelector(".hosts");
  for (const [path, selector, offered] of [
    ["/", ".hosts .pill", "text=Add hosts"],
    ["/alerts", "main .alerts, main .empty", "text=Silence these"],
    ["/rules", ".rules .pill", "text=New rule"],
    ["/rules/cpu/CPUSaturated", ".editor textarea[readonly]", 'button:text-is("Save")'],
    ["/rules/new", "main .empty", ".editor"],
    ["/silences?new=1", "main .empty", "dialog"],
    ["/receivers", ".tree", 'button:text-is("Test")'],
    ["/admin/users", "main .empty", ".list"],
  ]) {
    await viewer.goto(server.url + path);
    await sees(viewer, selector, `a viewer sees ${path}`);
    check(`and nothing there that a viewer may not do`, (await viewer.locator(offered).count()) === 0);
  }
  await shot(viewer, "viewer-forbidden");
  await viewer.goto(`${server.url}/alerts/00000000000000000000000000000000`);
  await sees(viewer, "main .empty", "an alert that is not there is said not to be");
  await viewer.goto(`${server.url}/rules/no/such`);
  await sees(viewer, "main .empty", "a rule that is not there is said not to be");
  await viewer.context().close();

  const tabs = [];
  for (const path of ["/", "/alerts", "/rules", "/silences", "/receivers", "/explore?q=node_load1&range=5m", "/admin", "/admin/plugins"]) {
    const page = await tab(desk, meant);
    await page.goto(`${server.url}/#token=${server.token}`);
    await page.waitForSelector(".hosts");
    await page.goto(server.url + path);
    await page.waitForSelector("main .card, main .empty");
    tabs.push([path, page]);
  }
  await server.halt();
  for (const [path, page] of tabs) {
    await holds(`without a server ${path} says so`, async () => (await page.locator(".notice.bad").count()) > 0);
    check("and still shows what it knew", (await page.locator("main .card, main .empty").count()) > 0);
    await usable(page, `${path} without a server`);
  }
  await shot(tabs[1][1], "alerts-down");
  await server.run();
  for (const [path, page] of tabs) await holds(`${path} goes on by itself`, async () => (await page.locator(".notice.bad").count()) === 0);
  await rest("POST", "/rules", { yaml: ruleFile });
  const alerts = tabs[1][1];
  await holds("and what fires then shows up", async () => (await alerts.locator('.alerts tr:has-text("MemoryInUse")').count()) === 1);
  await rest("DELETE", "/rules/browser/MemoryInUse");
  await rest("DELETE", "/rules/browser/DiskInUse");
  for (const [, page] of tabs) await page.context().close();
}
