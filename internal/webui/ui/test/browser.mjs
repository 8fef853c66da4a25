// Opens every view in a real browser, against a real system, and fails on any console
// error, failed request, request to another host, or violation of accessibility.
// `make test-ui` runs it.
//
//   BROWSER   path of chromium (default /usr/bin/chromium)
//   SHOTS     folder for screenshots; without it none are taken
//   ONLY      some of: access, manage, admin, alerts, rules, receivers, explore, fleet, more, plugins, retention, looks, late, hosts, states
import { access } from "./access.mjs";
import { admin } from "./admin.mjs";
import { alerts } from "./alerts.mjs";
import { check, closeTabs, problems, stop } from "./harness.mjs";
import { explore, fleet } from "./explore.mjs";
import { hosts } from "./hosts.mjs";
import { late, silence } from "./late.mjs";
import { looks } from "./looks.mjs";
import { manage } from "./manage.mjs";
import { more } from "./more.mjs";
import { plugins } from "./plugins.mjs";
import { receivers, rules } from "./rules.mjs";
import { retention } from "./retention.mjs";
import { states } from "./states.mjs";

const only = process.env.ONLY?.split(",");
try {
  for (const part of [access, manage, admin, alerts, rules, receivers, explore, fleet, more, plugins, retention, silence, looks, late, hosts, states]) {
    if (only && !only.includes(part.name)) continue;
    await part();
    await closeTabs();
  }
} catch (e) {
  check(e.stack, false);
} finally {
  await stop();
}
console.log(problems.length ? `${problems.length} problems:\n${problems.join("\n")}` : "no problems");
process.exit(problems.length ? 1 : 0);
