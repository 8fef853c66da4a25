// How long samples are kept: what that takes is shown while one types, and nothing is
// dropped without being asked.
import { check, desk, holds, rest, sees, server, shot, sizes, tab, usable } from "./harness.mjs";

const meant = (t) => /409|422|Failed to load resource/.test(t);
const day = 86_400_000;
const ago = (days) => new Date(Date.now() - days * day).toISOString();

/** A system that has been there for a month; of what is older than wanted, parts go. */
function month(query) {
  const tiers = [["raw", "Samples as they came", 30, 4.1e6, 123e6], ["minute", "Roll-ups of one minute", 90, 0.9e6, 26e6], ["hour", "Roll-ups of one hour", 730, 0.1e6, 3e6]].map(([tier, what, configured, per, bytes]) => {
    const days = Number(query.get(tier) ?? configured);
    return { tier, what, days, configured_days: configured, chosen_days: null, bytes, oldest: ago(29), bytes_per_day: per, projected_bytes: per * days, drops: days < 29 ? { before: ago(days), bytes: 28e6, parts: 29 - days } : null };
  });
  const sum = (key) => tiers.reduce((all, t) => all + t[key], 0);
  return { tiers, bytes: sum("bytes"), bytes_per_day: sum("bytes_per_day"), projected_bytes: sum("projected_bytes"), database_bytes: 323_456_789, changed_at: null, changed_by: "" };
}

export async function retention() {
  const page = await tab(desk, meant);
  await page.goto(`${server.url}/#token=${server.token}`);
  await page.waitForSelector(".hosts");
  await page.goto(`${server.url}/admin/retention`);
  const inputs = page.locator(".retention .field input");
  await sees(page, ".tiers .pairs", "the tiers are listed");
  const before = await rest("GET", "/retention");
  check("all three, with their days", (await inputs.evaluateAll((all) => all.map((e) => e.value))).join() === before.tiers.map((t) => t.days).join());
  check("as the file says", (await page.locator(".retention .help").allTextContents()).every((t) => t.includes("as the configuration file says")));
  check("with what they take", (await page.textContent(".bars")).includes("Now"));
  check("nothing is to be saved", await page.isDisabled('.retention button:text-is("Save")'));
  const longer = before.tiers[2].days + 100;
  await inputs.nth(2).fill(String(longer));
  await page.click('.retention button:text-is("Save")');
  await holds("more is kept without a question", async () => (await rest("GET", "/retention")).tiers[2].chosen_days === longer);
  await holds("and that is said", async () => (await page.locator(".retention .help").last().textContent()).includes(`chosen here; the file says ${before.tiers[2].days}`));
  await inputs.nth(1).fill("1");
  await inputs.nth(0).fill("5");
  await page.click('.retention button:text-is("Save")');
  await sees(page, ".retention .notice.bad, .retention .help.wrong, .retention .notice.warn", "what makes no sense is said in the server's words");
  check("and changes nothing", (await rest("GET", "/retention")).tiers[0].days === before.tiers[0].days);
  await usable(page, "a retention that makes no sense");
  await shot(page, "retention-wrong");
  await page.click('.retention button:text-is("Undo")');
  await holds("undone it is as it was", async () => (await inputs.nth(1).inputValue()) === String(before.tiers[1].days));
  await page.click("text=Take the configuration file’s …");
  await page.click('dialog button:text-is("Take the file’s")');
  await holds("the file's can hold again", async () => (await rest("GET", "/retention")).tiers.every((t) => t.chosen_days === null));
  check("each change is in the audit log", (await rest("GET", "/audit?action=retention")).entries.length >= 2);

  // A month later: shortening says what goes, and asks.
  let put = null;
  await page.route("**/api/v1/retention*", (r) => {
    if (r.request().method() === "PUT") put = r.request().postDataJSON();
    return r.fulfill({ json: month(new URL(r.request().url()).searchParams) });
  });
  await page.reload();
  await sees(page, ".tiers .pairs", "a month later");
  await inputs.nth(0).fill("14");
  await sees(page, ".retention .notice.warn", "shortening says at once what would go");
  check("how much of what", /Samples as they came from before .+ go: 26\.7 MiB in 15 parts/.test(await page.textContent(".retention .notice.warn")));
  check("and what is taken in the end", (await page.textContent(".tiers .pairs")).includes("54.7 MiB"));
  await usable(page, "what would go");
  await shot(page, "retention-drops");
  await page.click('.retention button:text-is("Save")');
  const sure = page.locator('dialog button:text-is("Drop and save")');
  check("saving wants a word first", await sure.isDisabled());
  check("nothing is sent before", put === null);
  await usable(page, "asking before data is dropped");
  await shot(page, "retention-ask");
  await page.fill("dialog input", "drop");
  await sure.click();
  await holds("then it is sent as meant", async () => put?.raw_days === 14 && put.drop === true && put.minute_days === null && put.hour_days === null);
  await page.context().close();

  const { secret } = await rest("POST", "/tokens", { name: "retention viewer", role: "viewer" });
  const viewer = await tab(desk);
  await viewer.goto(`${server.url}/#token=${secret}`);
  await viewer.waitForSelector(".hosts");
  await viewer.goto(`${server.url}/admin/retention`);
  await sees(viewer, ".tiers .pairs", "a viewer sees the retention");
  check("and nothing to change there", (await viewer.locator(".retention input, .retention button").count()) === 0);
  await viewer.context().close();

  for (const { as, options } of sizes) {
    const page = await tab(options);
    await page.route("**/api/v1/retention*", (r) => r.fulfill({ json: month(new URL(r.request().url()).searchParams) }));
    await page.goto(`${server.url}/#token=${server.token}`);
    await page.waitForSelector(".hosts");
    await page.goto(`${server.url}/admin/retention`);
    await sees(page, ".bars", `${as}: retention`);
    await usable(page, `${as}: retention`);
    await shot(page, `retention-${as}`);
    await page.context().close();
  }
}
