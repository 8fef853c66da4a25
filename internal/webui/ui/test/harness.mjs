// What the browser tests share: a system, a browser, and what counts as a failure.
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const root = new URL("../../../../", import.meta.url).pathname;
const shots = process.env.SHOTS;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const ports = { gateway: 18443, api: 18480 };

export const problems = [];
export const check = (what, ok) => {
  console.log(`${ok ? "ok  " : "FAIL"} ${what}`);
  if (!ok) problems.push(what);
};

/** Starts the all-in-one program in a fresh folder and waits for its first samples. */
async function start() {
  const dir = mkdtempSync(join(tmpdir(), "sentinel-ui-"));
  chmodSync(dir, 0o755); // PostgreSQL's own user must be able to pass
  const state = join(dir, "s");
  const api = `127.0.0.1:${ports.api}`;
  let child, ended;
  const run = () => {
    child = spawn(join(root, "bin/sentinel"), ["--state", state, "--gateway", `127.0.0.1:${ports.gateway}`, "--api", api, "--interval", "1s"]);
    ended = new Promise((done) => child.on("exit", done));
    process.once("exit", () => child.kill("SIGTERM"));
    child.stderr.pipe(process.stderr);
    return new Promise((ready, fail) => {
      let text = "";
      child.stdout.on("data", (d) => (text += d).includes("Ctrl-C") && ready());
      ended.then(() => fail(new Error("sentinel ended: " + text)));
    });
  };
  await run();
  const read = (name) => readFileSync(join(state, name), "utf8").trim();
  const halt = async () => {
    child.kill("SIGTERM");
    await ended;
  };
  const stop = async () => {
    await halt();
    rmSync(dir, { recursive: true, force: true });
  };
  const sql = (text) =>
    execFileSync("psql", ["-qAtX", "-v", "ON_ERROR_STOP=1", "-h", join(state, "postgres/run"), "-U", "sentinel", "-d", "postgres", "-c", text], { env: { ...process.env, PGPASSWORD: read("postgres/password") }, encoding: "utf8" }).trim();
  return { url: `https://${api}`, gateway: `127.0.0.1:${ports.gateway}`, dir, token: read("token"), setup: read("setup-token"), sql, halt, run, stop };
}

export const server = await start();
const browser = await chromium.launch({
  executablePath: process.env.BROWSER ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--ignore-certificate-errors"],
});

const secrets = [server.token, server.setup];

/** A tab that reports what no view may do; `expected` says which failures are meant. */
export async function tab(options, expected = () => false) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
  context.setDefaultTimeout(patience * 1000);
  const page = await context.newPage();
  // Chromium breaks off what is under way when an interface of this machine comes or goes:
  // that is nobody's failure, and the page goes on by itself.
  const moved = "net::ERR_NETWORK_CHANGED";
  const note = (text) => text.includes(moved) || expected(text) || check(text, false);
  page.on("console", (m) => (m.type() === "error" || m.type() === "warning") && note(`console: ${m.text()}`));
  page.on("pageerror", (e) => note(`page: ${e.message}`));
  page.on("requestfailed", (r) => r.failure()?.errorText !== "net::ERR_ABORTED" && note(`request failed: ${r.url()} ${r.failure()?.errorText}`));
  page.on("request", (r) => {
    if (!r.url().startsWith(server.url + "/")) note(`request to another host: ${r.url()}`);
    if (secrets.some((s) => r.url().includes(s))) check("no secret is in an address that is asked for", false);
  });
  page.on("response", (r) => r.status() >= 400 && note(`status ${r.status()}: ${r.url()}`));
  return page;
}

export const sizes = [1280, 390].flatMap((width) => ["light", "dark"].map((colorScheme) => ({ as: `${width}-${colorScheme}`, options: { viewport: { width, height: 850 }, colorScheme, hasTouch: width < 500, deviceScaleFactor: width < 500 ? 2 : 1 } })));
export const desk = { viewport: { width: 1280, height: 850 } };

export const shot = async (page, name) => {
  if (!shots) return;
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: join(shots, name + ".png"), fullPage: true, clip: { x: 0, y: 0, width: page.viewportSize().width, height: Math.max(page.viewportSize().height, Math.min(await page.evaluate(() => document.documentElement.scrollHeight), page.viewportSize().width < 500 ? 2300 : 1500)) } });
};

/** How long to wait for what should come, in seconds: a busy machine is no failure, and
 * nothing waits for longer than it takes. */
const patience = 60;

/** What sentinelctl prints. */
export const ctl = (args, cwd = server.dir) => execFileSync(join(root, "bin/sentinelctl"), args, { cwd, encoding: "utf8" }).trim();

/** A file of the project. */
export const source = (path) => join(root, path);

export const sees = async (page, selector, what, state = "visible") => check(what, await page.waitForSelector(selector, { timeout: patience * 1000, state }).then(() => true, () => false));

/** Waits until it holds. */
export async function holds(what, test) {
  for (const end = Date.now() + patience * 1000; Date.now() < end; await new Promise((r) => setTimeout(r, 100))) if (await test()) return check(what, true);
  check(what, false);
}

/** Everybody can use it: axe finds nothing, and nothing is wider than the page. */
export async function usable(page, what) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => axe.run(document).then((r) => r.violations.map((v) => `${v.id} at ${v.nodes.map((n) => n.target.join(" ")).join(", ")}: ${v.nodes[0].failureSummary}`)));
  check(`${what}: axe finds nothing${found.length ? ", but " + found.join("; ") : ""}`, !found.length);
  check(`${what}: nothing is wider than the page`, await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
}

/** Asks the REST interface with the system's own token. */
export async function rest(method, path, body, headers = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const answer = await context.request.fetch(`${server.url}/api/v1${path}`, { method, headers: { Authorization: `Bearer ${server.token}`, ...headers }, ...(body && { data: body }) });
  const text = await answer.text();
  await context.close();
  if (!answer.ok()) throw new Error(`${method} ${path}: ${answer.status()} ${text}`);
  return text ? JSON.parse(text) : null;
}

/** A way to the gateway that can be cut. */
export async function way() {
  let open = true;
  const sockets = new Set();
  const s = createServer((from) => {
    if (!open) return from.destroy();
    const to = connect(ports.gateway, "127.0.0.1");
    for (const one of [from, to]) {
      sockets.add(one);
      one.on("error", () => {}).on("close", () => {
        sockets.delete(one);
        from.destroy();
        to.destroy();
      });
    }
    from.pipe(to).pipe(from);
  });
  await new Promise((done) => s.listen(0, "127.0.0.1", done));
  const cut = () => {
    open = false;
    for (const one of sockets) one.destroy();
  };
  return { address: `127.0.0.1:${s.address().port}`, cut, mend: () => (open = true), stop: () => (cut(), new Promise((done) => s.close(done))) };
}

/** Starts an agent that enrols with a token; returns what stops it. */
export function startAgent(name, token, pin, more = "", gateway = server.gateway) {
  const dir = join(server.dir, name);
  mkdirSync(dir);
  writeFileSync(join(dir, "token"), token, { mode: 0o600 });
  const text = `agent:\n  state_dir: ${dir}/state\n  listen: ""\n  server: {address: "${gateway}", ca_pin: "${pin}", enrolment_token_file: "${dir}/token"}\n  collect: {interval: 1s, timeout: 1s}\n${more}`;
  writeFileSync(join(dir, "agent.yml"), text);
  const child = spawn(join(root, "bin/sentinel-agent"), ["--config", join(dir, "agent.yml")]);
  let said = "";
  child.stderr.on("data", (d) => (said += d));
  const ended = new Promise((done) => child.on("exit", done));
  return async () => {
    child.kill("SIGTERM");
    await ended;
    return said;
  };
}

/** Closes what a part has left open; what it answered in the server's place ends with it. */
export async function closeTabs() {
  for (const context of browser.contexts()) {
    for (const page of context.pages()) await page.unrouteAll({ behavior: "ignoreErrors" });
    await context.close();
  }
}

export async function stop() {
  await browser.close();
  await server.stop();
}
