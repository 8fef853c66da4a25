// How the service and its pipeline are.
import { useRef } from "preact/hooks";
import { duration, number, plural, value } from "./format";
import { FailureNotice, Meter, Notice, Pair, Skeleton, StateWord, Tile } from "./parts";
import { useLoad } from "./poll";
import { type Status, status } from "./resources";
import { Link } from "./route";
import { SelfTest } from "./selftest";
import { may } from "./who";

/** Batches that wait for longer than this say that workers are behind, or gone. */
const late = 30;

interface Rates {
  samples: number;
  records: number;
}

export function Pipeline() {
  const before = useRef<Status | null>(null);
  const rates = useRef<Rates | null>(null);
  const { data: s, failure, since } = useLoad(async (abort) => {
    const s = await status(abort);
    const b = before.current;
    const seconds = b ? (Date.parse(s.time) - Date.parse(b.time)) / 1000 : 0;
    // Books of removed hosts go from the sums: that is no negative rate.
    if (b && seconds > 0) rates.current = { samples: Math.max(0, s.records.samples - b.records.samples) / seconds, records: Math.max(0, s.records.stored - b.records.stored) / seconds };
    before.current = s;
    return s;
  }, 3000);
  if (!s) return failure ? <FailureNotice failure={failure} since={0} /> : <Skeleton name="the pipeline" />;
  const lag = Math.max(0, ...(s.broker?.consumers ?? []).map((c) => c.lag_seconds));
  const pending = Math.max(0, ...(s.broker?.consumers ?? []).map((c) => c.pending));
  const full = s.broker && s.broker.max_bytes ? (s.broker.bytes / s.broker.max_bytes) * 100 : undefined;
  const unread = s.broker && s.broker.messages > 0 && !s.broker.consumers.length;
  return (
    <>
      {failure && <FailureNotice failure={failure} since={since} />}
      {!s.broker && <Notice kind="bad" title="The broker does not answer.">Agents keep what they collect; it arrives once the broker is back.</Notice>}
      {(lag > late || unread) && <Notice kind="warn" title={unread ? "Nobody reads the stream." : `Batches wait for ${duration(lag)}.`}>Workers are behind, or not running. Nothing is lost: what waits is stored as soon as they follow.</Notice>}
      {s.dead_letters > 0 && (
        <Notice kind="warn" title={`${plural(s.dead_letters, "batch", "batches")} could not be used.`}>
          <Link to="/admin/dead-letters">See the dead letters</Link>
        </Notice>
      )}
      <dl class="tiles">
        <Tile name="Samples stored" big={rates.current ? `${number(Math.round(rates.current.samples))}/s` : "…"} note={`${number(s.records.samples)} in all`} />
        <Tile name="Waiting in the broker" big={s.broker ? number(pending) : "–"} note={s.broker ? (pending ? `${plural(pending, "batch", "batches")}, the oldest for ${duration(lag)}` : "batches; workers keep up") : "not known"} />
        <Tile name="Dead letters" big={number(s.dead_letters)} note={s.orphans ? `${number(s.orphans)} of no agent` : "none of unknown origin"} />
        <Tile name="Database" big={value(s.database.bytes, "bytes")} note={`${s.database.engine === "timescale" ? "TimescaleDB" : "PostgreSQL"} ${s.database.version.split(" ")[0]}`} />
      </dl>
      <div class="panes">
        <section class="card" aria-labelledby="stream">
          <div class="top inner">
            <h2 id="stream">Broker</h2>
            {s.broker ? <StateWord kind={unread || lag > late ? "warn" : "good"}>{unread || lag > late ? "behind" : "in step"}</StateWord> : <StateWord kind="bad">no answer</StateWord>}
          </div>
          {s.broker && (
            <>
              <dl class="pairs">
                <Pair name="Kept" value={`${plural(s.broker.messages, "message", "messages")}, ${value(s.broker.bytes, "bytes")}`} />
                <div>
                  <dt>Filled</dt>
                  <dd class="filled">
                    <Meter percent={full} name="Filled" /> <span class="note">of {value(s.broker.max_bytes, "bytes")}</span>
                  </dd>
                </div>
              </dl>
              {s.broker.consumers.length > 0 && (
                <table class="list">
                  <thead>
                    <tr>
                      <th scope="col">Reader</th>
                      <th scope="col" class="right">Behind by</th>
                      <th scope="col" class="right">Oldest</th>
                    </tr>
                  </thead>
                  <tbody>
                    {s.broker.consumers.map((c) => (
                      <tr key={c.name}>
                        <th scope="row">
                          <code>{c.name}</code>
                        </th>
                        <td class="right" data-name="Behind by">{plural(c.pending, "message", "messages")}</td>
                        <td class="right" data-name="Oldest">{c.pending ? `${c.lag_seconds.toFixed(1)} s` : "–"}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              )}
            </>
          )}
        </section>
        <section class="card" aria-labelledby="records">
          <div class="top inner">
            <h2 id="records">
              Records <span class="note">all agents’ books</span>
            </h2>
          </div>
          <dl class="pairs">
            <Pair name="Written by agents" value={number(s.records.appended)} />
            <Pair name="Stored" value={number(s.records.stored) + (rates.current ? `, ${rates.current.records.toFixed(1)} a second` : "")} />
            <Pair name="On the way" value={number(s.records.in_flight)} />
            <Pair name="Quarantined" value={number(s.records.quarantined)} />
            <Pair name="Lost or refused" value={number(s.records.lost)} bad={s.records.lost > 0} />
          </dl>
        </section>
        <section class="card" aria-labelledby="server">
          <div class="top inner">
            <h2 id="server">Server</h2>
          </div>
          <dl class="pairs">
            <Pair name="Version" value={s.version} />
            <Pair name="Up for" value={duration(s.uptime_seconds)} />
            <Pair name="Schema" value={`migration ${s.database.schema}`} />
            <Pair name="Signed in" value={plural(s.sessions, "session", "sessions")} />
            <Pair name="Agents" value={Object.entries(s.agents).filter(([, n]) => n).map(([state, n]) => `${n} ${state}`).join(", ") || "none"} />
          </dl>
        </section>
      </div>
      {may("operator") && <SelfTest />}
    </>
  );
}
