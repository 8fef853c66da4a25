// Adding a host from the page, and all that may be done with it.
import { hostname } from "node:os";
import { haveAnn, signIn } from "./access.mjs";
import { check, desk, holds, rest, sees, server, shot, startAgent, tab, usable } from "./harness.mjs";

const meant = (t) => /404|412|Failed to load resource/.test(t);
const field = (page, label) => page.locator("dialog .field", { has: page.locator(`label:text-is("${label}")`) }).locator("input, select, textarea");
const pressed = (page, name) => page.click(`dialog .buttons button:text-is("${name}")`);

export async function manage() {
  await haveAnn();
  const page = await tab(desk, meant);
  await signIn(page, "ann");

  await page.click("text=Add hosts");
  await sees(page, "dialog[open]", "adding hosts opens a dialog");
  check("which is a link", page.url().includes("add=1"));
  check("and has the focus", await page.evaluate(() => !!document.activeElement.closest("dialog")));
  await page.keyboard.press("Escape");
  await sees(page, "dialog", "Escape closes it", "detached");
  check("and the focus is back where it was", await page.evaluate(() => document.activeElement.textContent === "Add hosts"));
  await page.keyboard.press("Enter");
  await field(page, "Name").fill("web servers");
  await field(page, "Hosts").fill("2");
  await field(page, "Hostname pattern").fill(hostname());
  await field(page, "Labels").fill("web");
  await sees(page, "dialog .help.wrong", "a label without = is said to be wrong");
  await field(page, "Labels").fill("site=fra, role=web");
  await pressed(page, "Make the token");
  await sees(page, "dialog .secret", "the token is shown");
  const secret = await page.textContent("dialog .secret");
  const command = await page.locator("dialog .copy code").last().textContent();
  const pin = /--ca-pin (sha256:[0-9a-f]{64}) /.exec(command)?.[1];
  check("the command is complete", command.startsWith("sudo sentinel-agent install --server 127.0.0.1:7443 --ca-pin sha256:") && command.endsWith("--enrolment-token-file enrolment.token") && !!pin);
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.locator("dialog .copy button").first().click();
  await holds("the token can be copied", async () => (await page.evaluate(() => navigator.clipboard.readText())) === secret);
  await sees(page, ".progress li.busy:not(.done)", "it waits for the host");
  await usable(page, "the dialog that waits");
  await shot(page, "add-waiting");
  const stopAgent = startAgent("second", secret.trim(), pin);
  await holds("the host enrols", async () => (await page.textContent(".progress li:nth-child(2)")).includes("has enrolled"));
  await holds("its first samples come", async () => (await page.textContent(".progress li:nth-child(3)")).includes("The first samples are here"));
  await usable(page, "the dialog that is done");
  await shot(page, "add-done");
  const host = new URL(await page.locator(".found a").getAttribute("href"), server.url).href;
  const id = host.split("/").pop();
  await pressed(page, "Done");
  await holds("the fleet shows both hosts", async () => (await page.locator(".hosts tbody tr").count()) === 2);
  check("the secret is nowhere any more", !(await page.content()).includes(secret));

  await page.goto(`${server.url}/admin/enrolment`);
  await holds("the list of tokens counts the host", async () => (await page.textContent(".list tbody tr")).includes("1 of 2"));
  await page.click("text=Revoke");
  await pressed(page, "Revoke");
  await sees(page, ".list .pill.is-bad", "a revoked token is shown as one");

  await page.goto(`${host}/books`);
  await sees(page, ".verdict.good", "the books balance");
  await holds("and are shown by epoch", async () => (await page.locator(".list tbody tr").count()) === 1);
  check("with a sentence", (await page.textContent(".verdict")).includes("Nothing is unaccounted for"));

  // Labels, and somebody else who changes them meanwhile.
  await page.click("text=Manage");
  const labels = page.locator("section[aria-labelledby=labels] textarea");
  await labels.waitFor();
  check("the labels of the token are there", (await labels.inputValue()) === "role=web\nsite=fra");
  await labels.fill("site=fra\nrole=db");
  await rest("PATCH", `/agents/${id}`, { labels: { site: "muc" } });
  await page.click("text=Save labels");
  await sees(page, ".notice.warn .label", "a change meanwhile is shown and not overwritten");
  await usable(page, "a conflict");
  await shot(page, "labels-conflict");
  check("nothing was saved", JSON.stringify((await rest("GET", `/agents/${id}`)).labels) === '{"site":"muc"}');
  await page.click("text=Keep mine");
  await page.click("text=Save labels");
  await sees(page, ".notice.good", "and may be overwritten then");
  await usable(page, "what went well");
  check("the labels are saved", JSON.stringify((await rest("GET", `/agents/${id}`)).labels) === '{"role":"db","site":"fra"}');

  await page.click("text=Rotate");
  await pressed(page, "Rotate");
  await sees(page, ".say .notice", "rotating says that the new key is on its way");
  await holds("the agent proves it", async () => (await page.textContent(".say")).includes("signs with its new key"));
  await holds("the old key retires", async () => (await page.locator('.list tbody tr:has-text("retiring")').count()) === 1);
  await shot(page, "keys-rotated");
  await page.locator('.list tbody tr:has-text("retiring") button').click();
  await pressed(page, "Revoke");
  await sees(page, ".list .pill.is-bad", "a key is revoked");

  await page.click("text=Disable …");
  await pressed(page, "Disable");
  await sees(page, "h1 .pill.disabled", "a host is disabled");
  await page.click('button:text-is("Enable")');
  await sees(page, "h1 .pill.up", "and enabled");

  await stopAgent();
  await page.click("text=Delete …");
  const sure = page.locator('dialog button:text-is("Delete for good")');
  check("deleting wants the name first", await sure.isDisabled());
  await page.fill("dialog input", hostname());
  await usable(page, "the dialog that deletes");
  await shot(page, "delete");
  await sure.click();
  await sees(page, ".hosts", "a deleted host leads to the fleet");
  await holds("which has one less", async () => (await page.locator(".hosts tbody tr").count()) === 1);
  check("it is gone", !(await rest("GET", "/agents")).agents.some((a) => a.id === id));
  await page.context().close();
}
