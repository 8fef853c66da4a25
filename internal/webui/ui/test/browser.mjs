// Opens every view in a real browser, against a real server, and fails on any
// console error, failed request or request to another host. `make test-ui` runs it.
//
//   BROWSER   path of chromium (default /usr/bin/chromium)
//   UI_URL    a running server, with UI_TOKEN_FILE; without it one is started
//   SHOTS     folder for screenshots; without it none are taken
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const root = new URL("../../../../", import.meta.url).pathname;
const shots = process.env.SHOTS;
const problems = [];
const check = (what, ok) => {
  console.log(`${ok ? "ok  " : "FAIL"} ${what}`);
  if (!ok) problems.push(what);
};

/** Starts the all-in-one program in a fresh folder and waits for its first samples. */
async function start() {
  const dir = mkdtempSync(join(tmpdir(), "sentinel-ui-"));
  chmodSync(dir, 0o755); // PostgreSQL's own user must be able to pass
  const api = "127.0.0.1:18480";
  const child = spawn(join(root, "bin/sentinel"), ["--state", join(dir, "s"), "--gateway", "127.0.0.1:18443", "--api", api, "--interval", "1s"]);
  const ended = new Promise((done) => child.on("exit", done));
  child.stderr.pipe(process.stderr);
  await new Promise((ready, fail) => {
    let text = "";
    child.stdout.on("data", (d) => (text += d).includes("Ctrl-C") && ready());
    ended.then(() => fail(new Error("sentinel ended: " + text)));
  });
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
    rmSync(dir, { recursive: true, force: true });
  };
  return { url: `https://${api}`, tokenFile: join(dir, "s", "token"), stop };
}

const server = process.env.UI_URL ? { url: process.env.UI_URL, tokenFile: process.env.UI_TOKEN_FILE, stop: async () => {} } : await start();
const token = readFileSync(server.tokenFile, "utf8").trim();
const browser = await chromium.launch({
  executablePath: process.env.BROWSER ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--ignore-certificate-errors"],
});

/** A tab that reports what no view may do; `expected` says which failures are meant. */
async function tab(options, expected = () => false) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
  const page = await context.newPage();
  const note = (text) => expected(text) || check(text, false);
  page.on("console", (m) => (m.type() === "error" || m.type() === "warning") && note(`console: ${m.text()}`));
  page.on("pageerror", (e) => note(`page: ${e.message}`));
  page.on("requestfailed", (r) => r.failure()?.errorText !== "net::ERR_ABORTED" && note(`request failed: ${r.url()}`));
  page.on("request", (r) => {
    if (!r.url().startsWith(server.url + "/")) note(`request to another host: ${r.url()}`);
    if (r.url().includes(token)) check("the token is in no address that is asked for", false);
  });
  page.on("response", (r) => r.status() >= 400 && note(`status ${r.status()}: ${r.url()}`));
  return page;
}

const shot = async (page, name) => {
  if (!shots) return;
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: join(shots, name + ".png"), fullPage: true, clip: { x: 0, y: 0, width: page.viewportSize().width, height: Math.min(await page.evaluate(() => document.documentElement.scrollHeight), page.viewportSize().width < 500 ? 2300 : 1500) } });
};
const sees = async (page, selector, what) => check(what, await page.waitForSelector(selector, { timeout: 10_000 }).then(() => true, () => false));

try {
  const views = [];
  for (const width of [1280, 390]) {
    for (const colorScheme of ["light", "dark"]) {
      const page = await tab({ viewport: { width, height: 850 }, colorScheme, hasTouch: width < 500, deviceScaleFactor: width < 500 ? 2 : 1 });
      const as = `${width}-${colorScheme}`;
      await page.goto(`${server.url}/`);
      await sees(page, "#token", `${as}: without a token there is the sign-in page`);
      await shot(page, `signin-${as}`);

      await page.goto(`${server.url}/#token=${token}`);
      await sees(page, ".hosts .pill.up", `${as}: the link signs in and shows the fleet`);
      check(`${as}: the token leaves the address`, !page.url().includes(token) && !(await page.evaluate(() => location.hash)));
      await sees(page, ".hosts .meter .num", `${as}: the fleet shows usage`);
      check(`${as}: the sentence counts`, /^1 host is up, 0 are silent\.$/.test((await page.textContent("h1")).trim()));
      await shot(page, `fleet-${as}`);

      await page.click(".hosts th[scope=row] a");
      await sees(page, ".chart canvas", `${as}: the host's page draws charts`);
      await page.waitForTimeout(2500); // at least one round of live data
      check(`${as}: every chart has a line`, (await page.locator(".chart").count()) >= 5 && (await page.locator(".chart .nothing").count()) === 0);
      check(`${as}: nothing is wider than the page`, await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
      await shot(page, `host-5m-${as}`);
      const host = new URL(page.url()).pathname;
      views.push(host);
      for (const range of ["1h", "6h", "24h"]) {
        await page.click(`.ranges a[aria-label*="${{ "1h": "1 hour", "6h": "6 hours", "24h": "24 hours" }[range]}"]`);
        await page.waitForResponse((r) => r.url().includes("/range?"));
        await page.waitForTimeout(600);
        check(`${as}: ${range} is in the address`, page.url().includes(`range=${range}`));
        await shot(page, `host-${range}-${as}`);
      }
      await page.goto(`${server.url}${host}?find=memory`);
      await sees(page, ".values tbody tr", `${as}: a search is a link`);
      check(`${as}: the search filters`, (await page.locator(".values tbody tr").allTextContents()).every((t) => t.toLowerCase().includes("memory")));
      await page.goto(`${server.url}/?q=nowhere`);
      await sees(page, ".empty", `${as}: a filter without a match says so`);
      await page.goto(`${server.url}/no/such/page`);
      await sees(page, ".empty", `${as}: an unknown address says so`);
      await page.context().close();
    }
  }

  const meant = (t) => /40[134]|503|Failed to load resource|request failed/.test(t);
  const page = await tab({ viewport: { width: 1280, height: 850 } }, meant);
  await page.goto(`${server.url}/#token=wrong`);
  await sees(page, ".notice.bad", "a wrong token leads to the sign-in page with a sentence");
  check("the sentence says why", (await page.textContent(".notice.bad")).includes("not valid"));
  await shot(page, "signin-wrong");
  await page.fill("#token", "still wrong");
  await page.keyboard.press("Enter");
  await sees(page, ".notice.bad", "typing a wrong token says so");
  await page.fill("#token", token);
  await page.keyboard.press("Enter");
  await sees(page, ".hosts .pill.up", "typing a good token signs in");
  await page.reload();
  await sees(page, ".hosts .pill.up", "a reload stays signed in");
  check("the token is in no other storage", await page.evaluate(() => !JSON.stringify(localStorage).includes(sessionStorage.getItem("sentinel.token")) && !document.cookie));

  await page.keyboard.press("Tab");
  check("the keyboard reaches the page's parts", await page.evaluate(() => document.activeElement !== document.body));
  const was = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.click("button[aria-label^='Switch to']");
  check("the theme switches", was !== (await page.evaluate(() => getComputedStyle(document.body).backgroundColor)));
  await page.reload();
  check("the theme stays", was !== (await page.evaluate(() => getComputedStyle(document.body).backgroundColor)));

  await page.goto(`${server.url}/hosts/ag-aaaaaaaaaaaaaaaa`);
  await sees(page, ".empty", "an unknown host says so");
  await shot(page, "host-unknown");

  await page.goto(server.url + views[0]);
  await sees(page, ".chart canvas", "the host is there");
  await page.focus(".chart .plot");
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowLeft");
  await page.waitForTimeout(200);
  check("the arrow keys move the cursor", /^\d\d:\d\d:\d\d$/.test(await page.textContent(".chart figcaption .note")));
  check("in all charts", (await page.locator(".chart figcaption .note").allTextContents()).every((t) => /^\d\d:\d\d:\d\d$/.test(t)));
  await shot(page, "host-cursor");
  await page.route("**/api/v1/**", (r) => r.abort());
  await sees(page, ".notice.bad", "a server that is down is said");
  await shot(page, "host-down");
  await page.unroute("**/api/v1/**");
  await page.waitForSelector(".notice.bad", { state: "detached", timeout: 15_000 }).then(() => check("and it recovers", true), () => check("and it recovers", false));
  await page.route("**/api/v1/**", (r) => r.fulfill({ status: 403, contentType: "application/problem+json", body: '{"detail":"the token\'s role is none, this needs viewer"}' }));
  await page.goto(server.url + views[0]);
  await sees(page, ".notice.warn", "a forbidden view says so");
  await shot(page, "host-forbidden");
  await page.unroute("**/api/v1/**");
  const earlier = (_, t) => `"${new Date(Date.parse(t) - 20 * 60_000).toISOString()}"`;
  await page.route("**/api/v1/**", async (r) => {
    const a = await r.fetch();
    await r.fulfill({ response: a, body: (await a.text()).replace(/"(20[^"]+Z)"/g, earlier) });
  });
  await page.goto(server.url + views[0]);
  await page.waitForTimeout(3000);
  await sees(page, ".pill.silent", "a host without news is silent");
  await sees(page, ".notice.warn", "and its page says for how long");
  await shot(page, "host-stale");
  await page.goto(server.url + "/");
  await page.waitForTimeout(6000);
  await sees(page, ".pill.silent", "the fleet shows it too");
  await shot(page, "fleet-silent");
} finally {
  await browser.close();
  await server.stop();
}
console.log(problems.length ? `${problems.length} problems` : "no problems");
process.exit(problems.length ? 1 : 0);
