// What else is to be said of a host: its alerts, its plugins, what happened.
import { AlertRow } from "./alerts";
import { ask } from "./api";
import { incidents } from "./alerting";
import { type Happening, useHappenings } from "./live";
import { When } from "./parts";
import { useLoad } from "./poll";
import { pluginStates, PluginWord } from "./plugins";

const events = async (agent: string, abort: AbortSignal): Promise<Happening[]> => (await ask<{ events: Happening[] }>("GET", "/events", { query: { agent, limit: "20" }, abort })).events;

const rank = ["firing", "pending", "unknown"];

export function HostAlerts({ id }: { id: string }) {
  const { data, again } = useLoad((abort) => incidents({ agent: id }, abort), 15_000, [id]);
  useHappenings("alert.", again, id);
  if (!data?.length) return null;
  return (
    <section class="card news" aria-label="Alerts of this host">
      <table class="list alerts">
        <thead class="sr">
          <tr>
            <th scope="col">Severity</th>
            <th scope="col">Alert</th>
            <th scope="col">State</th>
            <th scope="col">For</th>
          </tr>
        </thead>
        <tbody>
          {[...data].sort((a, b) => rank.indexOf(a.state) - rank.indexOf(b.state)).map((i) => (
            <AlertRow key={i.fingerprint} i={i} host={false} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

export function HostNews({ id }: { id: string }) {
  const { data: happened, again } = useLoad((abort) => events(id, abort), 60_000, [id]);
  const { data: plugins } = useLoad(async (abort) => (await pluginStates(abort)).filter((s) => s.agent === id), 30_000, [id]);
  useHappenings("", again, id);
  return (
    <div class="panes news">
      <section class="card" aria-labelledby="happened">
        <div class="top inner">
          <h2 id="happened">What happened</h2>
        </div>
        <ol class="timeline events">
          {happened?.map((e) => (
            <li key={e.id}>
              <b>{e.kind.replace(".", " ")}</b>
              <span class="any">{e.detail}</span>
              <span class="note"><When time={e.at} /></span>
            </li>
          ))}
        </ol>
        {happened && !happened.length && <p class="inset note">Nothing yet.</p>}
      </section>
      {plugins && plugins.length > 0 && (
        <section class="card" aria-labelledby="plugins">
          <div class="top inner">
            <h2 id="plugins">Plugins</h2>
          </div>
          <ol class="timeline">
            {plugins.map((s) => (
              <li key={s.plugin}>
                <PluginWord state={s.state} />
                <span class="any">
                  {s.plugin} {s.version} {s.error && <span class="sub">{s.error}</span>}
                </span>
                <span class="note"><When time={s.reported_at} /></span>
              </li>
            ))}
          </ol>
        </section>
      )}
    </div>
  );
}
