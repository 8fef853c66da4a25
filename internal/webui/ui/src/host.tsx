// One host: who it is, its charts, its file systems, all its last values.
import { useMemo, useRef, useState } from "preact/hooks";
import { now } from "./api";
import { Chart } from "./chart";
import { ago, duration, value } from "./format";
import { knownOf, spans, type Span, stepFor, wanted } from "./panels";
import { HostFrame } from "./hostframe";
import { HostAlerts, HostNews } from "./lazy";
import { Ago, FailureNotice, Labels, Meter, Notice, silentAfter } from "./parts";
import { usePoll } from "./poll";
import { type Agent, agent, latest, range, type Sample } from "./resources";
import { address, Link, withQuery } from "./route";
import { type Grid, merge, newest, pace, type Tracks } from "./series";
import { Values } from "./values";

/** All that is known of the host; a new object whenever something came in. */
interface View {
  agent: Agent;
  samples: Sample[];
  newest: number; // of the samples, milliseconds since 1970
  tracks: Map<string, Tracks>;
  grid: Grid;
  from: number; // of the charts, seconds since 1970
  asked: number;
}

const defaultInterval = 10;
const shortest = 20; // seconds that charts show at least; no host has data from before it was registered
const reload = 5 * 60_000; // late data may have come for times that were asked for before

export function Host({ id }: { id: string }) {
  const wish = address.value.query.get("range");
  const span = spans.find((s) => s.id === wish) ?? spans[0]!;
  const [view, setView] = useState<View | null>(null);
  const kept = useRef({ span: "", step: -1, loaded: 0, interval: 0, tracks: new Map<string, Tracks>() });

  const every = { "5m": 2000, "1h": 5000 }[span.id] ?? 20_000;
  const failure = usePoll(
    async (abort) => {
      const [a, samples] = await Promise.all([agent(id, abort), latest(id, abort)]);
      const k = kept.current;
      if (!k.interval) k.interval = await findInterval(id, abort);
      const t = now() / 1000;
      const { metrics } = wanted(samples);
      const shown = Math.min(span.seconds, Math.max(shortest, t - Date.parse(a.created_at) / 1000));
      const cpus = samples.filter((s) => s.name === "node_cpu_seconds_total").length;
      const step = stepFor(shown, k.interval || defaultInterval, cpus);
      const start = t - shown - Math.max(2 * step, 60); // a rate needs the point before
      const fresh = k.span !== span.id || k.step !== step || Date.now() - k.loaded > reload;
      const old = fresh ? new Map<string, Tracks>() : k.tracks;
      // The newest step is asked for again: it was not complete.
      const froms = metrics.map((m) => {
        const last = newest(old.get(m) ?? new Map());
        return last ? (step ? Math.floor(last / step) * step : last + 0.001) : start;
      });
      const answers = await Promise.all(metrics.map((m, i) => range(id, m, froms[i]!, step, abort)));
      const tracks = new Map<string, Tracks>();
      metrics.forEach((m, i) => {
        const tr: Tracks = old.get(m) ?? new Map();
        merge(tr, answers[i]!, froms[i]!, start);
        tracks.set(m, tr);
      });
      kept.current = { span: span.id, step, loaded: fresh ? Date.now() : k.loaded, interval: k.interval, tracks };
      const gap = step ? step * 1.5 : Math.max(2.5 * (k.interval || defaultInterval), 3);
      const at = Math.max(0, ...samples.map((s) => Date.parse(s.time)));
      setView({ agent: a, samples, newest: at, tracks, grid: { step, gap, now: t }, from: t - shown, asked: Date.now() });
    },
    every,
    [id, span.id],
  );

  const young = view && view.samples.length > 0 && view.grid.now - view.from < span.seconds - 1;
  const aside = (
    <>
      {young && <span class="note young">Registered {duration(view.grid.now - Date.parse(view.agent.created_at) / 1000)} ago: this is all there is</span>}
      <Ranges current={span} />
    </>
  );
  return (
    <HostFrame id={id} agent={view?.agent ?? null} newest={view?.newest ?? 0} tab="" aside={aside} missing={failure?.trouble === "missing"}>
      {view && <Identity view={view} />}
      {view && <HostAlerts id={id} />}
      {failure && <FailureNotice failure={failure} since={view?.asked ?? 0} />}
      {view && !failure && <Freshness view={view} />}
      {view ? <Body view={view} id={id} /> : !failure && <Skeleton />}
    </HostFrame>
  );
}

/** The seconds between two samples of the host, 0 where that cannot be said yet. */
async function findInterval(id: string, abort: AbortSignal): Promise<number> {
  const some = await range(id, "sentinel_host_memory_used_percent", now() / 1000 - 600, 0, abort);
  const times = some[0]?.points.slice(-20).map((p) => Date.parse(p.time) / 1000) ?? [];
  return times.length > 3 ? Math.max(1, Math.round(pace(times))) : 0;
}

const Ranges = ({ current }: { current: Span }) => (
  <nav class="ranges" aria-label="Time range">
    {spans.map((s) => (
      <Link key={s.id} to={withQuery("range", s === spans[0] ? "" : s.id)} aria-current={s === current ? "true" : undefined} aria-label={`${s.label}: the last ${s.name}`}>
        {s.label}
      </Link>
    ))}
  </nav>
);

function Identity({ view: { agent: a, samples, newest } }: { view: View }) {
  const uname = samples.find((s) => s.name === "node_uname_info")?.labels;
  const boot = samples.find((s) => s.name === "node_boot_time_seconds")?.value;
  const facts: [string, preact.ComponentChildren][] = [
    ["System", [uname ? `${uname.sysname} ${uname.release}` : a.os, a.arch].filter(Boolean).join(" · ") || "–"],
    ["Up for", boot ? duration(now() / 1000 - boot) : "–"],
    ["Agent", [a.version, a.id].filter(Boolean).join(" · ")],
    ["Last data", newest ? <Ago time={new Date(newest).toISOString()} /> : <Ago time={a.last_seen} />],
    ["Labels", Object.keys(a.labels).length ? <Labels labels={a.labels} /> : "none"],
  ];
  return (
    <dl class="facts">
      {facts.map(([k, v]) => (
        <div key={k}>
          <dt>{k}</dt>
          <dd>{v}</dd>
        </div>
      ))}
    </dl>
  );
}

function Freshness({ view: { agent: a, newest } }: { view: View }) {
  const age = now() - newest;
  if (newest && age <= silentAfter) return null;
  if (newest) {
    return (
      <Notice kind="warn" title={`No data for ${duration(age / 1000)}.`}>
        The agent keeps what it collects and sends it as soon as it can. A longer time range shows what came before.
      </Notice>
    );
  }
  if (a.disabled) return <Notice kind="warn" title="This host is disabled.">The server refuses it; what it collects waits in its own log until it is enabled again.</Notice>;
  if (!a.last_seen) return <Notice kind="info" title="This host has not been seen yet.">It shows up as soon as its agent connects.</Notice>;
  return (
    <Notice kind="warn" title="No data for more than 10 minutes.">
      The agent was last seen {ago(Date.parse(a.last_seen), now())}. On the host, <code>sentinel-agent</code>’s log says why.
    </Notice>
  );
}

function Body({ view, id }: { view: View; id: string }) {
  const drawn = useMemo(() => {
    const known = knownOf(view.tracks, view.samples, view.grid);
    return wanted(view.samples).shown.map((p) => ({ panel: p, lines: p.lines(known), note: p.note?.(known) ?? "", top: p.top?.(known) }));
  }, [view]);
  if (!view.samples.length) return null;
  return (
    <>
      <Tiles samples={view.samples} old={now() - view.newest > silentAfter} />
      <div class="charts">
        {drawn.map(({ panel: p, lines, note, top }) => (
          <Chart key={p.id} title={p.title} note={note} unit={p.unit} lines={lines} stacked={!!p.stacked} atLeast={p.atLeast ?? 0} top={top} from={view.from} to={view.grid.now} gap={view.grid.gap} />
        ))}
        <FileSystems samples={view.samples} />
      </div>
      <HostNews id={id} />
      <Values samples={view.samples} />
    </>
  );
}

const lastOf = (samples: Sample[], name: string): number | undefined => samples.find((s) => s.name === name)?.value;

/** What the host says now, before any chart. */
function Tiles({ samples, old }: { samples: Sample[]; old: boolean }) {
  const total = lastOf(samples, "node_memory_MemTotal_bytes");
  const available = lastOf(samples, "node_memory_MemAvailable_bytes");
  const cpus = new Set(samples.filter((s) => s.name === "node_cpu_seconds_total").map((s) => s.labels.cpu)).size;
  const load = lastOf(samples, "node_load1");
  const processes = lastOf(samples, "node_processes_pids");
  const threads = lastOf(samples, "node_processes_threads");
  const percents: [string, string, string][] = [
    ["CPU", "sentinel_host_cpu_used_percent", cpus ? `of ${cpus === 1 ? "1 processor" : `${cpus} processors`}` : ""],
    ["Memory", "sentinel_host_memory_used_percent", total && available !== undefined ? `${value(total - available, "bytes")} of ${value(total, "bytes")}` : ""],
    ["Disk", "sentinel_host_disk_used_percent", "of the fullest file system"],
  ];
  return (
    <dl class={old ? "tiles old" : "tiles"}>
      {percents.map(([name, metric, note]) => {
        const v = samples.filter((s) => s.name === metric).reduce<number | undefined>((m, s) => Math.max(m ?? 0, s.value), undefined);
        return (
          <div class="card" key={name}>
            <dt>{name}</dt>
            <dd>
              <Meter percent={v} name={name} />
              <span class="note">{note}</span>
            </dd>
          </div>
        );
      })}
      {load !== undefined && (
        <div class="card">
          <dt>Load</dt>
          <dd>
            <span class="big">{load.toFixed(2)}</span>
            <span class="note">
              {processes !== undefined ? `${processes} processes${threads ? `, ${threads} threads` : ""}` : "over 1 minute"}
            </span>
          </dd>
        </div>
      )}
    </dl>
  );
}

/** File systems as bars, the fullest first. Very small ones hold no data of people. */
function FileSystems({ samples }: { samples: Sample[] }) {
  const of = (name: string) => new Map(samples.filter((s) => s.name === name).map((s) => [s.labels.mountpoint ?? "", s]));
  const sizes = of("node_filesystem_size_bytes");
  const avail = of("node_filesystem_avail_bytes");
  const free = of("node_filesystem_free_bytes");
  const rows = [...sizes]
    .filter(([, s]) => s.value >= 2 ** 20)
    .flatMap(([mount, s]) => {
      const f = free.get(mount)?.value;
      const a = avail.get(mount)?.value ?? f;
      if (f === undefined || a === undefined) return [];
      const used = s.value - f; // as df counts: what only root may use is in neither
      return [{ mount, type: s.labels.fstype ?? "", used, left: a, percent: used + a > 0 ? (used / (used + a)) * 100 : 0 }];
    })
    .sort((a, b) => b.percent - a.percent);
  if (!rows.length) return null;
  return (
    <section class="card fs" aria-labelledby="fs">
      <h2 id="fs">File systems</h2>
      <ul>
        {rows.map((r) => (
          <li key={r.mount}>
            <span class="mount">
              {r.mount} <span class="note">{r.type}</span>
            </span>
            <Meter percent={r.percent} name={r.mount} />
            <span class="note">
              {value(r.used, "bytes")} used, {value(r.left, "bytes")} left
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

const Skeleton = () => (
  <div class="charts" role="status" aria-label="Loading the host">
    {[0, 1, 2, 3].map((i) => (
      <div class="card skeleton tall" key={i}>
        <i />
        <i />
      </div>
    ))}
  </div>
);
