// Takes the README's pictures of the web interface, of this host after five minutes.
// `make pictures` runs it; FOLDER is where they go.
import { join } from "node:path";
import { check, desk, problems, server, stop, tab } from "./harness.mjs";

const take = async (page, name, y, height) => page.screenshot({ path: join(process.env.FOLDER, name + ".png"), clip: { x: 0, y, width: 1280, height } });
try {
  const page = await tab({ ...desk, colorScheme: "light" });
  await page.goto(`${server.url}/#token=${server.token}`);
  await page.click(".hosts a");
  await page.waitForSelector("canvas");
  await new Promise((done) => setTimeout(done, 300_000)); // that the charts show
  await take(page, "host", 310, 415);
  await page.goto(`${server.url}/admin`);
  await page.click('button:text-is("Run")');
  await page.waitForSelector(".selftest .track");
  await take(page, "pipeline", 0, 800);
} catch (e) {
  check(e.stack, false);
} finally {
  await stop();
}
process.exit(problems.length ? 1 : 0);
