// What changed: a span of a host's time beside the span before it, series by series.
import { useEffect, useRef } from "preact/hooks";
import { changeOf, type Change, groups, growth, least } from "./changes";
import { clock, duration, number, plural, sample, value } from "./format";
import { type Drawn, graph } from "./graph";
import { matcherText } from "./matchers";
import { Empty, FailureNotice, Skeleton } from "./parts";
import { useLoad } from "./poll";
import type { Sample } from "./resources";
import { Link } from "./route";
import type { Curve } from "./series";

const mostShown = 10;
const mostOfOne = 3; // of one metric, so that sixty-four processors do not fill the list
const points = 40; // of the two spans together
const mostSeries = 190; // of one request: the server gives 200
const mostCharacters = 3500; // of a selector: the server reads 4096

interface Found extends Change {
  name: string;
  labels: Record<string, string>;
  unit: string;
  counter: boolean;
  curve: Curve;
}

interface Answer {
  found: Found[];
  compared: number; // series that have enough values on both sides
  left: number; // series that were not looked at
}

async function compare(id: string, samples: Sample[], from: number, to: number, abort: AbortSignal): Promise<Answer> {
  const counts = new Map<string, number>();
  for (const s of samples) counts.set(s.name, (counts.get(s.name) ?? 0) + 1);
  const asked = groups(counts, mostSeries, mostCharacters);
  const start = from - (to - from);
  const answers = await Promise.all(asked.groups.map((names) => graph(`{agent="${id}",__name__=~"${names.join("|")}"}`, start, to, abort, points)));
  const all = answers.flatMap((a) => a.series).flatMap((s) => {
    const curve = s.counter ? growth(s.curve) : s.curve;
    const change = changeOf(curve, from);
    return change ? [{ ...change, name: s.labels.__name__!, labels: ownLabels(s, samples), unit: s.unit, counter: s.counter, curve }] : [];
  });
  const of = new Map<string, number>();
  const found = all
    .filter((f) => f.score > least)
    .sort((a, b) => b.score - a.score || (a.name < b.name ? -1 : 1))
    .filter((f) => {
      const n = of.get(f.name) ?? 0;
      of.set(f.name, n + 1);
      return n < mostOfOne;
    });
  return { found: found.slice(0, mostShown), compared: all.length, left: asked.left };
}

/** Those labels that tell a series from others of its host. */
function ownLabels(s: Drawn, samples: Sample[]): Record<string, string> {
  const own = new Set(samples.filter((x) => x.name === s.labels.__name__).flatMap((x) => Object.keys(x.labels)));
  return Object.fromEntries(Object.entries(s.labels).filter(([k]) => own.has(k)));
}

export function Changed({ id, samples, from, to, onClose }: { id: string; samples: Sample[]; from: number; to: number; onClose: () => void }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    heading.current?.focus();
    heading.current?.scrollIntoView({ block: "nearest" });
  }, []);
  const { data, failure, since } = useLoad((abort) => compare(id, samples, from, to, abort), 3_600_000, [id, from, to], samples.length > 0);
  return (
    <section class="card changed" aria-labelledby="changed">
      <div class="top inner">
        <h2 id="changed" ref={heading} tabIndex={-1}>
          What changed? <span class="note">{clock(from, true)} to {clock(to, true)}, beside the {duration(to - from)} before</span>
        </h2>
        <button type="button" class="plain" onClick={onClose}>
          Close
        </button>
      </div>
      {failure && <FailureNotice failure={failure} since={since} />}
      {!samples.length && <Empty title="Nothing to compare">The host has sent nothing for more than ten minutes.</Empty>}
      {samples.length > 0 && !data && !failure && <Skeleton name="what changed" />}
      {data && !data.found.length && (
        <Empty title={data.compared ? "Nothing stands out" : "Too little to compare"}>
          {data.compared ? `None of ${plural(data.compared, "series", "series")} moved by more than ${least} times its usual spread.` : "Each of the two spans needs three values at the least: drag over a longer time, or a later one."}
        </Empty>
      )}
      {data && data.found.length > 0 && (
        <>
          <ol>
            {data.found.map((f) => (
              <Row key={f.name + JSON.stringify(f.labels)} f={f} id={id} from={from} to={to} />
            ))}
          </ol>
          <p class="note inset">
            Of {plural(data.compared, "series", "series")}, by how far the middle value moved against the usual spread; at most {mostOfOne} of one metric.
            {data.left > 0 && ` ${plural(data.left, "series was", "series were")} too many of one metric to be looked at.`}
          </p>
        </>
      )}
    </section>
  );
}

function Row({ f, id, from, to }: { f: Found; id: string; from: number; to: number }) {
  const selector = `${f.name}{${[["agent", id] as const, ...Object.entries(f.labels)].map(([name, value]) => matcherText({ name, op: "=", value })).join(",")}}`;
  const query = new URLSearchParams({ q: f.counter ? `rate(${selector}[1m])` : selector, from: String(from - (to - from)), to: String(to) });
  // Seconds a second are a share of the time.
  const said = (v: number) => (f.counter && f.unit === "seconds" ? value(v * 100, "percent") : sample(v, f.unit) + (f.counter ? "/s" : ""));
  return (
    <li>
      <span class="any">
        <Link to={`/explore?${query}`}>{f.name}</Link>
        {f.counter && <span class="tag">per second</span>}
        <span class="sub">{Object.entries(f.labels).map(([k, v]) => `${k}=${v}`).join(" ") || " "}</span>
      </span>
      <Small curve={f.curve} from={from - (to - from)} at={from} to={to} />
      <span class="moved">
        <span class="note">{said(f.before)} <span aria-hidden="true">→</span><span class="sr">to</span></span> <b>{said(f.after)}</b>
        <span class="sub">{number(Math.round(f.score))}× its spread</span>
      </span>
    </li>
  );
}

const [width, high] = [180, 34];

/** The two spans, the first one paler. */
function Small({ curve, from, at, to }: { curve: Curve; from: number; at: number; to: number }) {
  const vs = curve.v as number[];
  const [low, top] = [Math.min(...vs), Math.max(...vs)];
  const x = (t: number) => ((t - from) / (to - from)) * width;
  const y = (v: number) => 2 + (1 - (v - low) / (top - low || 1)) * (high - 4);
  const path = (of: (t: number) => boolean) => curve.t.flatMap((t, i) => (of(t) ? [`${x(t).toFixed(1)} ${y(vs[i]!).toFixed(1)}`] : [])).join("L");
  return (
    <svg viewBox={`0 0 ${width} ${high}`} width={width} height={high} aria-hidden="true">
      <rect x={x(at)} width={width - x(at)} height={high} class="after" />
      <path d={`M${path((t) => t < at)}`} class="was" />
      <path d={`M${path((t) => t >= at)}`} />
    </svg>
  );
}
