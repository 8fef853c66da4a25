// Plugins: a signed bundle that is uploaded and rolled out by labels in stages, to a real
// agent that trusts its key; and what a roll-out that goes wrong looks like.
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { check, ctl, desk, holds, rest, sees, server, shot, sizes, source, startAgent, tab, usable } from "./harness.mjs";

const rollout = {
  plugins: [
    { name: "nginx", version: "1.2.0", digest: "ab", previous: "1.1.0", selector: { role: "web" }, stages: [10, 100], stage: 1, agents: 40, running: 3, failed: 1, waiting: 2, halted: "1 of 4 agents do not run it", changed_at: new Date().toISOString() },
    { name: "smart", version: "0.3.1", digest: "cd", selector: {}, stages: [100], stage: 1, agents: 41, running: 41, failed: 0, waiting: 0, changed_at: new Date().toISOString() },
  ],
};

/** How plugins stand on an agent. */
export const states = (agent) => [
  { agent, plugin: "nginx", version: "1.2.0", digest: "ab", state: "quarantined", error: "deadline exceeded 5 times", unsigned: false, reported_at: new Date().toISOString() },
  { agent, plugin: "smart", version: "0.3.1", digest: "cd", state: "running", unsigned: true, reported_at: new Date().toISOString() },
];

/** A bundle of the smallest plugin there is, and the key that agents must trust. */
function bundle() {
  const dir = join(server.dir, "plugin");
  mkdirSync(dir);
  copyFileSync(source("sdk/examples/hello-wat/manifest.yml"), join(dir, "manifest.yml"));
  copyFileSync(source("sdk/examples/hello-wat/hello.wasm"), join(dir, "plugin.wasm"));
  const key = ctl(["plugin", "keygen", "--out", "operator.key"], dir);
  ctl(["plugin", "pack", ".", "--key", "operator.key"], dir);
  return { file: join(dir, "hello-wat-1.0.0.plugin"), key };
}

const meant = (t) => /422|Failed to load resource/.test(t);
const field = (page, label) => page.locator("dialog .field", { has: page.locator(`label:text-is("${label}")`) }).locator("input, textarea, select");

export async function plugins() {
  for (const { as, options } of sizes) {
    const page = await tab(options);
    await page.goto(`${server.url}/#token=${server.token}`);
    await page.waitForSelector(".hosts");
    await page.goto(`${server.url}/admin/plugins`);
    await sees(page, "main .empty", `${as}: without plugins it is said how they come`);
    await usable(page, `${as}: without plugins`);
    await shot(page, `plugins-none-${as}`);
    await page.route("**/api/v1/plugins", (r) => r.fulfill({ json: rollout }));
    await page.route("**/api/v1/plugin-states*", (r) => r.fulfill({ json: { states: states("ag-aaaaaaaaaaaaaaaa") } }));
    await page.goto(`${server.url}/admin/plugins`);
    await sees(page, ".rollout", `${as}: plugins with their roll-out`);
    check(`${as}: and with the stage at which one was halted`, (await page.locator(".stages .halted").textContent()).startsWith("10 %"));
    await usable(page, `${as}: plugins`);
    await shot(page, `plugins-${as}`);
    await page.goto(`${server.url}/admin/plugins?push=nginx`);
    await sees(page, "dialog .preview", `${as}: a roll-out can be changed`);
    check(`${as}: from what it is`, (await field(page, "For agents with all of these labels").inputValue()) === "role=web" && (await field(page, "Stages, in percent").inputValue()) === "10, 100");
    await usable(page, `${as}: changing a roll-out`);
    await shot(page, `plugin-change-${as}`);
    await page.context().close();
  }

  const { file, key } = bundle();
  const token = await rest("POST", "/enrolment-tokens", { name: "plugged", ttl: "1h", max_uses: 1, hostnames: "", labels: { role: "plugged" } });
  const stopAgent = startAgent("plugged", token.secret, token.ca_pin, `  plugins: {trusted_keys: ["${key}"]}\n`);
  const page = await tab(desk, meant);
  await page.goto(`${server.url}/#token=${server.token}`);
  await page.waitForSelector(".hosts");
  await page.goto(`${server.url}/admin/plugins`);
  await page.click("text=Push a plugin …");
  await sees(page, "dialog input[type=file]", "pushing begins with a bundle");
  check("in an address of its own", page.url().endsWith("?push=1"));
  check("nothing can be sent without one", await page.isDisabled('dialog button:text-is("Upload")'));
  await page.setInputFiles("dialog input[type=file]", source("README.md"));
  await page.click('dialog button:text-is("Upload")');
  await holds("what is no bundle is said to be none", async () => (await page.textContent("dialog .help")).includes("README.md is no bundle: sentinelctl plugin pack makes one"));
  await usable(page, "a file that is no bundle");
  const broken = join(server.dir, "broken.plugin");
  writeFileSync(broken, "SENTPLG1 and nothing more");
  await page.setInputFiles("dialog input[type=file]", broken);
  await page.click('dialog button:text-is("Upload")');
  await holds("a damaged one, too, in the server's words", async () => (await page.textContent("dialog .help")).includes("damaged"));
  await shot(page, "plugin-broken");
  await page.setInputFiles("dialog input[type=file]", file);
  await page.click('dialog button:text-is("Upload")');
  await sees(page, 'dialog h2:text-is("Roll out hello-wat 1.0.0")', "a good one leads to its roll-out");
  check("with the key that signed it", (await page.textContent("dialog")).includes(key));
  await page.click("dialog summary");
  check("and what it wants", (await page.textContent("dialog pre.text")).includes("The smallest plugin there is"));
  check("nobody has it before", (await rest("GET", "/plugins")).plugins.length === 0);
  await field(page, "Stages, in percent").fill("50, 20");
  await sees(page, "dialog .help.wrong", "stages that do not rise are said not to");
  check("and not sent", await page.isDisabled('dialog button:text-is("Roll out")'));
  await field(page, "Stages, in percent").fill("50 %, 100 %");
  await field(page, "For agents with all of these labels").fill("role=nobody");
  await holds("labels that no agent has are said", async () => (await page.textContent("dialog .preview")).includes("No agent has these labels yet"));
  await field(page, "For agents with all of these labels").fill("role=plugged");
  await holds("those that one has count it", async () => /For 1 agent of [2-9]/.test(await page.textContent("dialog .preview")));
  await field(page, "Each lasts at least").selectOption("5");
  await usable(page, "rolling out a plugin");
  await shot(page, "plugin-rollout");
  await page.click('dialog button:text-is("Roll out")');
  await sees(page, '.rollout', "the roll-out shows up");
  check("in its first stage", (await page.locator(".stages li").allTextContents()).length === 2);
  await holds("it ends with all agents", async () => (await page.locator("section[aria-label=hello-wat] .pill.is-good").count()) === 1 && (await page.textContent(".rollout")).includes("1 of 1 agent runs it"));
  check("and all stages", (await page.locator(".stages .done").count()) === 2);
  await holds("the agent says that it runs", async () => (await page.textContent(".list tbody")).includes("running"));
  await shot(page, "plugin-everywhere");
  await holds("its samples are there", async () => (await rest("GET", "/graph?match=" + encodeURIComponent('{plugin="hello-wat"}'))).series.length > 0);
  await page.click("text=Remove …");
  await page.fill("dialog input", "hello-wat");
  await page.click('dialog button:text-is("Remove")');
  await sees(page, "main .empty, .list", "it can be removed");
  await holds("and is gone", async () => (await rest("GET", "/plugins")).plugins.length === 0);
  await stopAgent();
  const { agents } = await rest("GET", "/agents");
  await rest("DELETE", `/agents/${agents.find((a) => a.labels.role === "plugged").id}`);
  await page.context().close();
}
