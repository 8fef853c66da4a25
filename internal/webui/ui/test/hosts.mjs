// The fleet and one host: live, in ranges, with the keyboard, stale, forbidden, down.
import { check, desk, holds, rest, sees, server, shot, sizes, tab, usable } from "./harness.mjs";

export async function hosts() {
  for (const { as, options } of sizes) {
    const page = await tab(options);
    await page.goto(`${server.url}/`);
    await sees(page, "input[name=user]", `${as}: nobody is signed in: there is the sign-in page`);
    await shot(page, `signin-${as}`);

    await page.goto(`${server.url}/#token=${server.token}`);
    await sees(page, ".hosts .pill.up", `${as}: the link signs in and shows the fleet`);
    check(`${as}: the token leaves the address`, !page.url().includes(server.token) && !(await page.evaluate(() => location.hash)));
    await sees(page, ".hosts .meter .num", `${as}: the fleet shows usage`);
    check(`${as}: the sentence counts`, /^1 host (is well|needs attention)\.$/.test((await page.textContent("h1")).trim()));
    await shot(page, `fleet-${as}`);

    await page.click(".hosts th[scope=row] a");
    await sees(page, ".chart canvas", `${as}: the host's page draws charts`);
    await holds(`${as}: every chart has a line`, async () => (await page.locator(".chart").count()) >= 5 && (await page.locator(".chart .nothing").count()) === 0);
    await usable(page, `${as}: the host's page`);
    await shot(page, `host-5m-${as}`);
    const host = new URL(page.url()).pathname;
    for (const [range, name] of [["1h", "1 hour"], ["6h", "6 hours"], ["24h", "24 hours"], ["7d", "7 days"]]) {
      // At the least what no other range has asked for yet.
      const asked = page.waitForResponse((r) => r.url().includes("/graph?") && r.ok());
      await page.click(`.ranges a[aria-label*="${name}"]`);
      await asked;
      check(`${as}: ${range} is in the address`, page.url().includes(`range=${range}`));
      await sees(page, ".chart canvas", `${as}: ${range} is drawn`);
      await shot(page, `host-${range}-${as}`);
    }
    const t = Math.floor(Date.now() / 1000);
    await page.goto(`${server.url}${host}?changed=${t - 20}-${t}`);
    await sees(page, ".changed ol li, .changed .empty", `${as}: what changed is a link`);
    await usable(page, `${as}: what changed`);
    await shot(page, `host-changed-${as}`);
    await page.goto(`${server.url}${host}?find=memory`);
    await sees(page, ".values tbody tr", `${as}: a search is a link`);
    check(`${as}: the search filters`, (await page.locator(".values tbody tr").allTextContents()).every((t) => t.toLowerCase().includes("memory")));
    await page.goto(`${server.url}/?q=nowhere`);
    await sees(page, ".empty", `${as}: a filter without a match says so`);
    await page.goto(`${server.url}/no/such/page`);
    await sees(page, ".empty", `${as}: an unknown address says so`);
    await page.context().close();
  }

  const host = `/hosts/${(await rest("GET", "/agents")).agents[0].id}`;
  const meant = (t) => /40[134]|503|Failed to load resource|request failed/.test(t);
  const page = await tab({ viewport: { width: 1280, height: 850 } }, meant);
  await page.goto(`${server.url}/#token=wrong`);
  await sees(page, ".notice.warn", "a wrong token leads to the sign-in page with a sentence");
  check("the sentence says why", (await page.textContent(".notice.warn")).includes("not valid"));
  await shot(page, "signin-wrong");
  await page.click("text=Sign in with an API token");
  await page.fill("input[name=token]", "still wrong");
  await page.keyboard.press("Enter");
  await sees(page, ".notice.bad", "typing a wrong token says so");
  await page.fill("input[name=token]", server.token);
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

  await page.route("**/api/v1/fleet*", (r) => r.fulfill({ contentType: "application/json", body: '{"time":"2026-01-01T00:00:00Z","step":300,"hosts":[]}' }));
  await page.goto(server.url + "/");
  await sees(page, ".empty", "a system without hosts says so");
  await sees(page, ".primary", "and offers to add some");
  await usable(page, "a system without hosts");
  await shot(page, "fleet-none");
  await page.unroute("**/api/v1/fleet*");

  await page.goto(server.url + host);
  await sees(page, ".chart canvas", "the host is there");
  await page.focus(".chart .plot");
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowLeft");
  await holds("the arrow keys move the cursor", async () => /^\d\d:\d\d:\d\d$/.test(await page.textContent(".chart figcaption .note")));
  await holds("in all charts", async () => (await page.locator(".chart figcaption .note").allTextContents()).every((t) => /^\d\d:\d\d:\d\d$/.test(t)));
  await shot(page, "host-cursor");
  await page.keyboard.press("Escape");
  await changed(page);
  await page.goto(server.url + host);
  await sees(page, ".chart canvas", "back at the host");
  await page.route("**/api/v1/**", (r) => r.abort());
  await sees(page, ".notice.bad", "a server that is down is said");
  await usable(page, "a host without a server");
  await shot(page, "host-down");
  await page.unroute("**/api/v1/**");
  await sees(page, ".notice.bad", "and it recovers", "detached");
  await page.route("**/api/v1/agents/**", (r) => r.fulfill({ status: 403, contentType: "application/problem+json", body: '{"detail":"the token\'s role is none, this needs viewer"}' }));
  await page.goto(server.url + host);
  await sees(page, ".notice.warn", "a forbidden view says so");
  await shot(page, "host-forbidden");
  await page.unroute("**/api/v1/agents/**");
  const earlier = (_, t) => `"${new Date(Date.parse(t) - 20 * 60_000).toISOString()}"`;
  await page.route(/\/api\/v1\/(?!events)/, async (r) => {
    const a = await r.fetch();
    await r.fulfill({ response: a, body: (await a.text()).replace(/"(20[^"]+Z)"/g, earlier).replaceAll('"state":"up"', '"state":"silent"') });
  });
  await page.goto(server.url + host);
  await sees(page, ".pill.silent", "a host without news is silent");
  await sees(page, ".notice.warn", "and its page says for how long");
  await usable(page, "a silent host");
  await shot(page, "host-stale");
  await page.goto(server.url + "/");
  await sees(page, ".pill.silent", "the fleet shows it too");
  await shot(page, "fleet-silent");
  await page.context().close();
}

/** A span that is dragged over, or chosen by the keyboard, beside the span before it. */
async function changed(page) {
  const was = page.url();
  await sees(page, ".chart canvas", "a chart to drag over");
  // Enough samples for two spans of some seconds each.
  await holds("the host has been there for half a minute", async () => (await rest("GET", `/graph?match=node_load1&points=600&from=${new Date(Date.now() - 300_000).toISOString()}`)).series[0]?.avg.filter((v) => v !== null).length > 30);
  await page.reload();
  await page.waitForSelector(".chart canvas");
  const box = await page.locator(".chart .u-over").first().boundingBox();
  await page.mouse.move(box.x + box.width * 0.72, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.85, box.y + 50, { steps: 4 });
  await page.mouse.move(box.x + box.width * 0.98, box.y + 60, { steps: 4 });
  await page.mouse.up();
  await sees(page, ".changed ol li, .changed .empty", "a span that is dragged over is compared with the one before");
  check("the span is in the address", /changed=\d+-\d+/.test(page.url()));
  await holds("and marked in all charts", async () => (await page.locator(".u-select").evaluateAll((all) => all.map((e) => e.offsetWidth))).every((w) => w > 20));
  check("one sees which two spans", /\d\d:\d\d:\d\d to \d\d:\d\d:\d\d, beside the .+ before/.test(await page.textContent(".changed h2")));
  await usable(page, "what changed");
  await shot(page, "host-changed");
  await page.click('.changed button:text-is("Close")');
  await sees(page, ".changed", "it can be closed", "detached");
  check("and the address is as it was", page.url() === was);
  await page.focus(".chart .plot");
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.down("Shift");
  for (let i = 0; i < 12; i++) await page.keyboard.press("ArrowLeft");
  await page.keyboard.up("Shift");
  await sees(page, ".changed", "Shift and the arrow keys choose a span, too");
  await page.click('.changed button:text-is("Close")');

  // The server's answers say that something leapt: it stands first, and leads to itself.
  await page.route("**/api/v1/graph?*", async (r) => {
    const a = await r.fetch();
    const graph = await a.json();
    for (const s of graph.series.filter((s) => s.name === "node_load15")) for (const of of [s.min, s.max, s.avg]) of.forEach((v, i) => v !== null && (of[i] = i < of.length / 2 ? 2 + (i % 2) / 100 : 9 + (i % 2) / 100));
    await r.fulfill({ response: a, json: graph });
  });
  await page.click('button:text-is("What changed?")');
  await holds("what leapt is first in the list", async () => (await page.locator(".changed li").allTextContents()).some((t) => /^node_load15 2\S* ?→to 9\S*\d+× its spread$/.test(t.replace(/\s+/g, " ").trim())));
  check("at most ten are listed", (await page.locator(".changed li").count()) <= 10);
  await page.locator(".changed li a", { hasText: "node_load15" }).click();
  await sees(page, ".solo .chart canvas", "and leads to the explorer");
  check("with both spans", new URL(page.url()).searchParams.get("q").startsWith('node_load15{agent="') && /from=\d+&to=\d+/.test(page.url()));
  await page.unroute("**/api/v1/graph?*");
}
