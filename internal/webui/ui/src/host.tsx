// One host: who it is, its charts, its file systems, all its last values.
import { useMemo, useRef, useState } from "preact/hooks";
import { now } from "./api";
import { Chart } from "./chart";
import { ago, duration, value } from "./format";
import { type Drawn, graph, identity, type Late, promNow, promRange, stepFor } from "./graph";
import { countQuery, type Interval, knownOf, metricsOf, type Panel, panelsFor, spans, type Span, wishFor } from "./panels";
import { HostFrame } from "./hostframe";
import { Changed, HostAlerts, HostNews } from "./lazy";
import { Ago, FailureNotice, Labels, Meter, Notice, silentAfter } from "./parts";
import { usePoll } from "./poll";
import { type Agent, agent, latest, type Sample } from "./resources";
import { address, Link, setQuery, withQuery } from "./route";
import { renew } from "./series";
import { Values } from "./values";

/** All that is known of the host; a new object whenever something came in. */
interface View {
  agent: Agent;
  samples: Sample[];
  newest: number; // of the samples, milliseconds since 1970
  shown: Panel[];
  drawn: Map<string, Drawn[]>; // by metric
  late: Late[];
  gap: (p: Panel) => number;
  from: number; // of the charts, seconds since 1970
  to: number;
  asked: number;
}

const defaultInterval = 10;
const shortest = 20; // seconds that charts show at least; no host has data from before it was registered
const mostPoints = 400; // of one series: about one for each pixel or two
const reload = 60_000; // late data may have come for times that were asked for before
const unsettled = 15; // seconds: what is younger may still be on its way

/** What charts have been told, from one answer to the next. */
interface Kept {
  of: string; // what it was asked for
  loaded: number;
  newest: number; // seconds since 1970
  every: Map<string, number>;
  drawn: Map<string, Drawn[]>;
  late: Late[];
}

const nothing: Kept = { of: "", loaded: 0, newest: 0, every: new Map(), drawn: new Map(), late: [] };

export function Host({ id }: { id: string }) {
  const { query } = address.value;
  const wish = query.get("range");
  const span = spans.find((s) => s.id === wish) ?? spans[0]!;
  const picked = pickedOf(query.get("changed"));
  const [view, setView] = useState<View | null>(null);
  const kept = useRef(nothing);

  // As often as something new can be seen: at most every second.
  const pace = Math.min(5, Math.max(1, Math.round(kept.current.every.get("sentinel_host_cpu_used_percent") ?? 2))) * 1000;
  const every = { "5m": pace, "1h": 5000 }[span.id] ?? 20_000;
  const failure = usePoll(
    async (abort) => {
      const [a, samples] = await Promise.all([agent(id, abort), latest(id, abort)]);
      const t = now() / 1000;
      const length = Math.min(span.seconds, Math.max(shortest, t - Date.parse(a.created_at) / 1000));
      const shown = panelsFor(samples);
      const step = stepFor(length, mostPoints);
      const of = JSON.stringify([id, span.id, step, shown.map((p) => p.id)]);
      const fresh = kept.current.of !== of || Date.now() - kept.current.loaded > reload;
      const k = fresh ? { ...nothing, of, loaded: Date.now(), every: await intervals(id, shown, length, abort) } : kept.current;
      const interval: Interval = (m) => k.every.get(m) ?? defaultInterval;
      const start = t - length;
      const since = fresh ? start : Math.max(start, Math.min(k.newest, t - unsettled));
      kept.current = await follow(k, id, shown, samples, { step, start, since, to: t }, interval, abort);
      const gap = (p: Panel) => {
        const known = metricsOf(p).flatMap((m) => k.every.get(m) ?? []);
        return Math.max(1.5 * step, 2.5 * (known.length ? Math.max(...known) : defaultInterval));
      };
      const newest = Math.max(0, ...samples.map((s) => Date.parse(s.time)));
      setView({ agent: a, samples, newest, shown, drawn: kept.current.drawn, late: kept.current.late, gap, from: start, to: t, asked: Date.now() });
    },
    every,
    [id, span.id],
  );

  const young = view && view.samples.length > 0 && view.to - view.from < span.seconds - 1;
  const aside = (
    <div class="aside">
      {young && <span class="note young">Registered {duration(view.to - Date.parse(view.agent.created_at) / 1000)} ago: this is all there is</span>}
      {view && (
        <button type="button" class="plain" title="Drag over a chart to choose the time; this takes the last sixth of it" onClick={() => pick(view.to - (view.to - view.from) / 6, view.to)}>
          What changed?
        </button>
      )}
      <Ranges current={span} />
    </div>
  );
  return (
    <HostFrame id={id} agent={view?.agent ?? null} newest={view?.newest ?? 0} tab="" aside={aside} missing={failure?.trouble === "missing"}>
      {view && <Identity view={view} />}
      {view && <HostAlerts id={id} />}
      {failure && <FailureNotice failure={failure} since={view?.asked ?? 0} />}
      {view && !failure && <Freshness view={view} />}
      {view ? <Body view={view} id={id} picked={picked} /> : !failure && <Skeleton />}
    </HostFrame>
  );
}

const pick = (from: number, to: number) => setQuery("changed", `${Math.floor(from)}-${Math.ceil(to)}`);

/** A span of the address: seconds since 1970, from and to. */
function pickedOf(text: string | null): [number, number] | null {
  const m = /^(\d+)-(\d+)$/.exec(text ?? "");
  return m && Number(m[1]) < Number(m[2]) ? [Number(m[1]), Number(m[2])] : null;
}

/** How often each of the panels' metrics came lately. */
async function intervals(id: string, shown: Panel[], length: number, abort: AbortSignal): Promise<Map<string, number>> {
  const metrics = [...new Set(shown.flatMap(metricsOf))];
  const seconds = Math.min(600, length);
  const counts = metrics.length ? await promNow(countQuery(id, metrics, seconds), abort) : [];
  return new Map(counts.filter((c) => c.value > 2).map((c) => [c.labels.of!, Math.max(1, seconds / c.value)]));
}

interface Grid {
  step: number;
  start: number; // what is before it is forgotten
  since: number; // what is asked for now; seconds since 1970
  to: number;
}

/** Asks for all from `since` on, and puts it beside what was kept of the time before. */
async function follow(k: Kept, id: string, shown: Panel[], samples: Sample[], { step, start, since, to }: Grid, interval: Interval, abort: AbortSignal): Promise<Kept> {
  const wish = wishFor(id, shown, samples, step, interval);
  const whole = (seconds: number, step: number) => Math.floor(seconds / step) * step;
  const from = whole(since, step);
  const steps = Math.floor((to - from) / step) + 1;
  const [gauges, ...rates] = await Promise.all([
    wish.gauges ? graph(wish.gauges, from, from + steps * step, abort, steps + 1) : null,
    ...wish.rates.map((r) => promRange(r.query, whole(since, r.step), to, abort, r.step)),
  ]);
  const drawn = new Map<string, Drawn[]>();
  const put = (metric: string, since: number, answers: Drawn[]) => {
    const all = new Map([...(k.drawn.get(metric) ?? []), ...answers].map((d) => [identity(d.labels), d]));
    const find = (list: Drawn[] | undefined, key: string) => list?.find((d) => identity(d.labels) === key)?.curve;
    const list = [...all].map(([key, d]) => ({ ...d, curve: renew(find(k.drawn.get(metric), key), find(answers, key), since, start - 2 * step) }));
    drawn.set(metric, list.filter((d) => d.curve.t.length));
  };
  for (const metric of new Set(shown.flatMap((p) => p.gauges ?? []))) put(metric, from, gauges?.series.filter((d) => d.labels.__name__ === metric) ?? []);
  wish.rates.forEach((r, i) => put(r.metric, whole(since, r.step), rates[i]!.series));
  const newest = Math.max(0, ...[...drawn.values()].flat().map((d) => d.curve.t.at(-1)!));
  return { ...k, drawn, newest: newest || start, late: [...k.late.filter((l) => l.to <= from), ...(gauges?.late ?? [])] };
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
      The agent was last seen {ago(Date.parse(a.last_seen), now())}. On the host, <code>sentinel-agent</code>’s log says why. A longer time range shows what came before.
    </Notice>
  );
}

function Body({ view, id, picked }: { view: View; id: string; picked: [number, number] | null }) {
  const drawn = useMemo(() => {
    const known = knownOf(view.drawn, view.samples);
    const all = view.shown.map((p) => ({ panel: p, lines: p.lines(known), note: p.note?.(known) ?? "", top: p.top?.(known), gap: view.gap(p) }));
    return view.samples.length ? all : all.filter((p) => p.lines.length); // of a host that is silent, what came before
  }, [view]);
  return (
    <>
      {view.samples.length > 0 && <Tiles samples={view.samples} old={now() - view.newest > silentAfter} />}
      {picked && <Changed key={picked.join()} id={id} samples={view.samples} from={picked[0]} to={picked[1]} onClose={() => setQuery("changed", "")} />}
      <div class="charts">
        {drawn.map(({ panel: p, lines, note, top, gap }) => (
          <Chart key={p.id} title={p.title} note={note} unit={p.unit} lines={lines} stacked={!!p.stacked} atLeast={p.atLeast ?? 0} top={top} from={view.from} to={view.to} gap={gap} late={view.late} picked={picked} onPick={pick} />
        ))}
        <FileSystems samples={view.samples} />
      </div>
      <HostNews id={id} />
      {view.samples.length > 0 && <Values samples={view.samples} />}
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
