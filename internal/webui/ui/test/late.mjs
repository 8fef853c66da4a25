// Data that came late: an agent that is cut off from the service for some minutes, and
// how charts show that.
import { check, desk, holds, rest, sees, server, shot, startAgent, tab, usable, way } from "./harness.mjs";

const margin = 30_000; // until what waited is stored, rolled up again and noted

let cut = null;

/** Cuts an agent off, so that other parts can go on while it waits. */
export async function silence() {
  const road = await way();
  const token = await rest("POST", "/enrolment-tokens", { name: "cut off", ttl: "1h", max_uses: 1, hostnames: "", labels: { role: "cut-off" } });
  const stop = startAgent("cut-off", token.secret, token.ca_pin, "", road.address);
  const find = async () => (await rest("GET", "/agents")).agents.find((a) => a.labels.role === "cut-off");
  await holds("an agent comes by a way that can be cut", async () => !!(await find()));
  const { id } = await find();
  await holds("and sends samples", async () => (await rest("GET", `/agents/${id}/latest`)).samples.length > 0);
  road.cut();
  const end = Math.ceil(Date.now() / 60_000 + 1) * 60_000; // of a whole minute without the service
  cut = { road, stop, id, until: end + 90_000 + margin };
}

export async function late() {
  if (!cut) await silence();
  const { road, stop, id, until } = cut;
  await new Promise((done) => setTimeout(done, Math.max(0, until - Date.now())));
  const page = await tab(desk);
  await page.goto(`${server.url}/#token=${server.token}`);
  await page.waitForSelector(".hosts");
  await page.goto(`${server.url}/hosts/${id}?range=1h`);
  await sees(page, ".notice.warn", "a host that is cut off is said to be silent");
  check("nothing came late so far", (await page.locator(".legend .dot.late").count()) === 0);
  road.mend();
  await holds("the service notes what came late", async () => (await rest("GET", `/graph?match=${encodeURIComponent(`node_load1{agent="${id}"}`)}`)).late.length > 0);
  await sees(page, ".legend .dot.late", "and the page that is open marks it by itself");
  check("with the time by which it was there", /came late\s*by \d\d:\d\d:\d\d/.test(await page.textContent(".legend")));
  check("also for those who do not see the chart", /\d\d:\d\d to \d\d:\d\d came late, by/.test(await page.getAttribute(".chart .plot", "aria-label")));
  const hatched = () => page.locator(".chart canvas").first().evaluate((c) => {
    const probe = document.createElement("i");
    probe.className = "dot late";
    document.body.append(probe);
    const [r, g, b] = getComputedStyle(probe).outlineColor.match(/\d+/g).map(Number);
    probe.remove();
    const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
    let n = 0;
    for (let i = 0; i < data.length; i += 4) n += Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 12 ? 1 : 0;
    return n;
  });
  await holds("hatched at the bottom of the chart", async () => (await hatched()) > 20);
  await holds("the time without the service is no gap", () => gapless(id));
  await usable(page, "data that came late");
  await shot(page, "host-late");
  await page.goto(`${server.url}/explore?range=1h&q=${encodeURIComponent(`node_load1{agent="${id}"}`)}`);
  await sees(page, ".legend .dot.late", "a question that is a selector marks it as well");
  await page.context().close();
  await stop();
  await road.stop();
  await rest("DELETE", `/agents/${id}`);
}

/** Whether a host has a value in each step of ten seconds from its first to its last. */
async function gapless(id) {
  const from = new Date(Date.now() - 1500_000).toISOString();
  const { series, step } = await rest("GET", `/graph?match=${encodeURIComponent(`node_load1{agent="${id}"}`)}&from=${from}&points=181`);
  const avg = series[0].avg;
  const [first, last] = [avg.findIndex((v) => v !== null), avg.findLastIndex((v) => v !== null)];
  return step === 10 && last - first > 12 && avg.slice(first, last + 1).every((v) => v !== null);
}
