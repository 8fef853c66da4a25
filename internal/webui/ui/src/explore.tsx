// Any question in PromQL: typed or built, drawn and listed. The address is the view.
import { useEffect, useId, useState } from "preact/hooks";
import { messageOf, now } from "./api";
import { Chart } from "./chart";
import { moment, number, type Unit, value } from "./format";
import { answer, type Drawing, linesOf, metricNames, seriesNames } from "./graph";
import { Empty, FailureNotice, Heading, Skeleton, useGrowing } from "./parts";
import { useLoad } from "./poll";
import { spans } from "./panels";
import { aggregates, build, type Built, functions, write } from "./promql";
import { QueryInput } from "./queryinput";
import { address, go, Link, withQuery } from "./route";
import { bare } from "./series";

const mostLines = 40;
const mostBands = 8; // more of them hide each other
const mostQueries = 6;

interface Answer {
  query: string;
  drawing: Drawing | null;
  wrong: string;
}

/** The present address with other queries. */
function withQueries(queries: string[]): string {
  const q = new URLSearchParams(location.search);
  q.delete("q");
  for (const one of queries) q.append("q", one);
  return `${location.pathname}?${q}`;
}

export function Explore() {
  const { query } = address.value;
  const queries = query.getAll("q");
  const [from, to] = [Number(query.get("from")), Number(query.get("to"))];
  const fixed = from > 0 && to > from;
  const span = spans.find((s) => s.id === query.get("range")) ?? spans[1]!;
  const { data: metrics } = useLoad(metricNames, 300_000);
  const { data, failure, since } = useLoad<Answer[]>(
    (abort) => {
      const end = fixed ? to : now() / 1000;
      const start = fixed ? from : end - span.seconds;
      return Promise.all(
        queries.filter(Boolean).map((q) =>
          answer(q, start, end, abort).then(
            (drawing) => ({ query: q, drawing, wrong: "" }),
            (e) => {
              if (abort.aborted || e.trouble === "down" || e.trouble === "unauthenticated") throw e;
              return { query: q, drawing: null, wrong: messageOf(e) };
            },
          ),
        ),
      );
    },
    fixed ? 3_600_000 : span.seconds > 3600 ? 30_000 : 5000,
    [queries, span.id, from, to],
    queries.some(Boolean),
  );
  const shown = queries.length ? queries : [""];
  const set = (i: number, text: string | null) => go(withQueries(text === null ? shown.filter((_, k) => k !== i) : shown.map((q, k) => (k === i ? text : q))));
  return (
    <>
      <div class="top">
        <Heading title="Explore">Explore</Heading>
        <div class="row">
          <nav class="ranges" aria-label="Time range">
            {spans.map((s) => (
              <Link key={s.id} to={withoutTimes(s.id)} aria-current={!fixed && s === span ? "true" : undefined} aria-label={`${s.label}: the last ${s.name}`}>
                {s.label}
              </Link>
            ))}
          </nav>
          {data?.[0]?.drawing && !fixed && (
            <button type="button" class="plain" title="The address then means this very time, also tomorrow" onClick={() => go(withTimes(data[0]!.drawing!))}>
              Hold this time
            </button>
          )}
          {fixed && <span class="note">{moment(from, now() / 1000)} to {moment(to, now() / 1000)}</span>}
        </div>
      </div>
      <section class="card pad queries" aria-label="Questions">
        {shown.map((q, i) => (
          <Question key={i} n={i} text={q} metrics={metrics ?? []} wrong={data?.find((a) => a.query === q)?.wrong ?? ""} alone={shown.length === 1} onText={(t) => set(i, t)} />
        ))}
        {shown.length < mostQueries && shown.every(Boolean) && (
          <button type="button" class="link" onClick={() => go(withQueries([...shown, ""]))}>
            One more question
          </button>
        )}
      </section>
      {failure && <FailureNotice failure={failure} since={since} />}
      {!queries.some(Boolean) && <Start metrics={metrics ?? []} />}
      {queries.some(Boolean) && !data && !failure && <Skeleton name="the answer" />}
      {data && data.some((a) => a.drawing) && <Answers of={data.filter((a) => a.drawing)} />}
    </>
  );
}

function withoutTimes(range: string): string {
  const q = new URLSearchParams(location.search);
  q.delete("from");
  q.delete("to");
  q.set("range", range);
  return `${location.pathname}?${q}`;
}

function withTimes(d: Drawing): string {
  const q = new URLSearchParams(location.search);
  q.set("from", String(Math.floor(d.from)));
  q.set("to", String(Math.floor(d.to)));
  return `${location.pathname}?${q}`;
}

const examples: [string, string][] = [
  ["Which hosts are busiest", "topk(5, sentinel_host_cpu_used_percent)"],
  ["Network in, by host", "sum by (instance) (rate(node_network_receive_bytes_total[5m]))"],
  ["Share of file systems left", "node_filesystem_avail_bytes / node_filesystem_size_bytes"],
  ["Load of all hosts", "node_load1"],
];

const Start = ({ metrics }: { metrics: string[] }) => (
  <div class="empty">
    <h2>Ask something</h2>
    <p>{metrics.length > 0 && `${number(metrics.length)} metrics are there. `}Type a metric’s name, build a question, or begin with one of these:</p>
    <ul class="examples">
      {examples.map(([name, q]) => (
        <li key={q}>
          <Link to={withQuery("q", q)}>{name}</Link>
        </li>
      ))}
    </ul>
  </div>
);

/** One question: the text, and the builder in step with it. */
function Question({ n, text, metrics, wrong, alone, onText }: { n: number; text: string; metrics: string[]; wrong: string; alone: boolean; onText: (t: string | null) => void }) {
  const [draft, setDraft] = useState(text);
  useEffect(() => setDraft(text), [text]);
  const built = build(draft);
  const change = (b: Partial<Built>) => {
    const t = write({ ...built!, ...b });
    setDraft(t);
    if (b.metric === undefined || metrics.includes(b.metric)) onText(t);
  };
  return (
    <div class="question">
      <div class="row">
        <QueryInput label={`Question ${n + 1} in PromQL`} value={draft} metrics={metrics} wrong={!!wrong && draft === text} onValue={setDraft} onRun={() => onText(draft.trim())} />
        <button type="button" class={draft.trim() === text ? "plain" : "primary"} onClick={() => onText(draft.trim())}>
          Ask
        </button>
        {!alone && (
          <button type="button" class="quiet" aria-label={`Remove question ${n + 1}`} onClick={() => onText(null)}>
            ✕
          </button>
        )}
      </div>
      {wrong && draft === text && <p class="help wrong" role="alert">{wrong}</p>}
      <details open={!text && alone}>
        <summary>Builder</summary>
        {built ? <Builder b={built} metrics={metrics} onChange={change} /> : <p class="note">This question is richer than the builder knows: go on in the text.</p>}
      </details>
    </div>
  );
}

function Builder({ b, metrics, onChange }: { b: Built; metrics: string[]; onChange: (b: Partial<Built>) => void }) {
  const id = useId();
  const select = (label: string, value: string, none: string, names: string[], set: (v: string) => void) => (
    <div class="field">
      <label for={id + label}>{label}</label>
      <select id={id + label} value={value} onChange={(e) => set(e.currentTarget.value)}>
        <option value="">{none}</option>
        {names.map((n) => (
          <option key={n} value={n} selected={n === value}>
            {n}
          </option>
        ))}
      </select>
    </div>
  );
  const text = (label: string, value: string, hint: string, set: (v: string) => void, list = "") => (
    <div class="field">
      <label for={id + label}>{label}</label>
      <input id={id + label} {...({ list: list || undefined } as object)} value={value} placeholder={hint} spellcheck={false} autocomplete="off" onChange={(e) => set(e.currentTarget.value.trim())} />
    </div>
  );
  return (
    <div class="builder">
      {text("Metric", b.metric, "node_load1", (metric) => onChange({ metric }), id + "m")}
      <datalist id={id + "m"}>
        {metrics.map((m) => (
          <option key={m} value={m} />
        ))}
      </datalist>
      {text("Labels", b.matchers, 'instance=~"web-.*"', (matchers) => onChange({ matchers }))}
      {select("Function", b.fn, "none", functions, (fn) => onChange({ fn }))}
      {b.fn && select("Over", b.window, "5m", ["1m", "5m", "15m", "1h", "1d"], (window) => onChange({ window }))}
      {select("Together", b.aggregate, "each series", aggregates, (aggregate) => onChange({ aggregate }))}
      {b.aggregate && text("By", b.by, "instance", (by) => onChange({ by }))}
    </div>
  );
}

function unitOf(queries: string[]): Unit {
  const all = (p: RegExp) => queries.every((q) => p.test(q));
  if (queries.some((q) => q.includes("/") || /\bcount\b/.test(q))) return "number";
  if (all(/_percent\b/)) return "percent";
  if (all(/\bi?rate\(.*_bytes/)) return "bytes/s";
  return all(/_bytes\b/) && !queries.some((q) => /_total\b/.test(q) && !/increase/.test(q)) ? "bytes" : "number";
}

function Answers({ of }: { of: Answer[] }) {
  const first = of[0]!.drawing!;
  const series = of.flatMap((a) => a.drawing!.series);
  const names = seriesNames(series);
  const unit = unitOf(of.map((a) => a.query));
  const gap = Math.max(...of.map((a) => a.drawing!.gap));
  const [rows, more] = useGrowing(series.length, of.map((a) => a.query).join("\n"));
  const shown = series.slice(0, mostLines);
  const lines = shown.length > mostBands ? shown.map((s) => ({ ...s, curve: bare(s.curve) })) : shown;
  if (!series.length) return <Empty title="No series">Nothing has values for this in this time.</Empty>;
  const save = () => {
    const quoted = (s: string) => `"${s.replaceAll('"', '""')}"`;
    const lines = series.flatMap((s, i) => s.curve.t.map((t, k) => `${quoted(names[i]!)},${new Date(t * 1000).toISOString()},${s.curve.v[k]}`));
    const a = document.createElement("a");
    a.href = URL.createObjectURL(new Blob(["series,time,value\n", lines.join("\n"), "\n"], { type: "text/csv" }));
    a.download = "sentinel.csv";
    a.click();
    URL.revokeObjectURL(a.href);
  };
  return (
    <>
      <div class="solo">
        <Chart title={of.length === 1 ? of[0]!.query : "All questions"} note={series.length > mostLines ? `${mostLines} of ${number(series.length)} series` : ""} unit={unit} lines={linesOf(lines, 0, names)} stacked={false} atLeast={0} top={undefined} from={first.from} to={first.to} gap={gap} late={of.flatMap((a) => a.drawing!.late)} />
      </div>
      <section class="card" aria-labelledby="values">
        <div class="top inner">
          <h2 id="values">
            Values <span class="note">{number(series.length)} series</span>
          </h2>
          <button type="button" class="plain" onClick={save}>
            CSV
          </button>
        </div>
        <table class="list">
          <thead>
            <tr>
              <th scope="col">Series</th>
              {["Last", "Least", "Average", "Greatest"].map((n) => (
                <th key={n} scope="col" class="right">
                  {n}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {series.slice(0, rows).map((s, i) => {
              const { v, lo = v, hi = v } = s.curve as { v: number[]; lo?: number[]; hi?: number[] };
              const cell = (name: string, x: number | undefined) => (
                <td class="right" data-name={name} title={String(x)}>
                  {value(x, unit)}
                </td>
              );
              return (
                <tr key={i}>
                  <th scope="row" class="any">
                    {names[i]}
                  </th>
                  {cell("Last", v.at(-1))}
                  {cell("Least", v.length ? Math.min(...lo) : undefined)}
                  {cell("Average", v.length ? v.reduce((a, b) => a + b, 0) / v.length : undefined)}
                  {cell("Greatest", v.length ? Math.max(...hi) : undefined)}
                </tr>
              );
            })}
          </tbody>
        </table>
        {more}
      </section>
    </>
  );
}
