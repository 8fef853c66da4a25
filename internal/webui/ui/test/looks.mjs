// Every page in light and dark, wide and narrow; and with the keyboard alone.
import { check, rest, sees, server, shot, sizes, tab, usable } from "./harness.mjs";

export async function looks() {
  const host = `/hosts/${(await rest("GET", "/agents")).agents.find((a) => a.labels.role === "all-in-one").id}`;
  const pages = [
    ["fleet", "/", ".hosts .meter .num"],
    ["add", "/?add=1", "dialog .field"],
    ["books", `${host}/books`, ".verdict"],
    ["manage", `${host}/manage`, ".list tbody tr"],
    ["account", "/account", ".duties"],
    ["pipeline", "/admin", ".tiles .big"],
    ["selftest", "/admin", ".selftest .notice.good", ".selftest button"],
    ["dead-letters", "/admin/dead-letters", "main .card:not(.skeleton)"],
    ["enrolment", "/admin/enrolment", "main .card:not(.skeleton)"],
    ["tokens", "/admin/tokens", ".list tbody tr"],
    ["users", "/admin/users", "main .card:not(.skeleton)"],
    ["audit", "/admin/audit", ".list tbody tr"],
    ["unknown", "/no/such/page", ".empty"],
  ];
  for (const { as, options } of sizes) {
    const page = await tab(options);
    for (const [name, path, selector] of [["signin", "/", "input[name=user]"], ["setup", "/setup", ".strength"]]) {
      await page.goto(server.url + path);
      await sees(page, selector, `${as}: ${name}`);
      await usable(page, `${as}: ${name}`);
      await shot(page, `${name}-${as}`);
    }
    await page.goto(`${server.url}/#token=${server.token}`);
    await page.waitForSelector(".hosts");
    for (const [name, path, selector, press] of pages) {
      await page.goto(server.url + path);
      if (press) await page.click(press);
      await sees(page, selector, `${as}: ${name}`);
      await usable(page, `${as}: ${name}`);
      await shot(page, `${name}-${as}`);
    }
    await page.context().close();
  }

  const page = await tab({ viewport: { width: 1280, height: 850 } });
  await page.goto(`${server.url}/#token=${server.token}`);
  await page.waitForSelector(".hosts .meter .num");
  const walked = [];
  for (let i = 0; i < 17; i++) {
    await page.keyboard.press("Tab");
    walked.push(await page.evaluate(() => {
      const e = document.activeElement;
      const s = getComputedStyle(e);
      return { name: e.getAttribute("aria-label") ?? e.textContent.trim(), visible: s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2, body: e === document.body };
    }));
  }
  const names = walked.filter((w) => !w.body).map((w) => w.name);
  const order = ["Skip to the content", "Sentinel, all hosts", "Hosts", "Alerts", "Explore", "Administration", "Go to", "Switch to", "You: ", "Sign out", "Filter hosts", "Add hosts"];
  // The first Tab goes on from the heading, which has the focus: the walk is a circle.
  const at = order.map((o) => names.findIndex((n) => n.startsWith(o)));
  check(`Tab reaches everything (${names.join(", ")})`, at.every((i) => i >= 0));
  check("and always shows where it is", walked.every((w) => w.body || w.visible));
  await page.goto(`${server.url}/?add=1`);
  await page.waitForSelector("dialog .field");
  let inside = true;
  for (let i = 0; i < 14; i++) {
    await page.keyboard.press("Tab");
    inside &&= await page.evaluate(() => document.activeElement === document.body || !!document.activeElement.closest("dialog"));
  }
  check("Tab stays in a dialog", inside);
  await page.context().close();
}
