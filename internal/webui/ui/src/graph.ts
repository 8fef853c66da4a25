// Series over time as charts need them: of selectors from /graph, of any PromQL from
// the interface that speaks Prometheus' words.
import { ask } from "./api";
import { dashes, type Line } from "./panels";
import { isSelector } from "./promql";
import { banded, type Curve, extended, pace } from "./series";

export interface Drawn {
  labels: Record<string, string>;
  unit: string;
  counter: boolean;
  curve: Curve;
}

/** A stretch of an agent's time whose data came after it was over for long. */
export interface Late {
  agent: string;
  from: number; // seconds since 1970
  to: number;
  noted: number; // when the last of it was there
}

/** Curves with the gap that their points say. */
export interface Drawing {
  series: Drawn[];
  from: number; // seconds since 1970
  to: number;
  gap: number;
  late: Late[];
}

interface GraphAnswer {
  from: string;
  step: number;
  late: { agent: string; from: string; to: string; noted_at: string }[];
  series: { name: string; labels: Record<string, string>; unit: string; kind: string; min: (number | null)[]; max: (number | null)[]; avg: (number | null)[] }[];
}

const iso = (seconds: number): string => new Date(seconds * 1000).toISOString();

/** The steps that the server takes, in seconds, as far as one of them is enough. */
const graphSteps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];

/** The shortest step of which that many are enough. */
export const stepFor = (seconds: number, points: number): number => graphSteps.find((s) => seconds / s <= points) ?? 3600;

/** Least, greatest and average of what a selector finds. The step is the shortest round
 * one of which `points` are enough: n + 1 for n whole steps. */
export async function graph(match: string, from: number, to: number, abort: AbortSignal, points = 400): Promise<Drawing> {
  const a = await ask<GraphAnswer>("GET", "/graph", { query: { match, from: iso(from), to: iso(to), points: String(points) }, abort });
  const first = Date.parse(a.from) / 1000;
  const series = a.series.map<Drawn>((s) => {
    const c = { t: [] as number[], v: [] as number[], lo: [] as number[], hi: [] as number[] };
    s.avg.forEach((v, i) => {
      if (v === null) return;
      c.t.push(first + i * a.step);
      c.v.push(v);
      c.lo.push(s.min[i]!);
      c.hi.push(s.max[i]!);
    });
    return { labels: { __name__: s.name, ...s.labels }, unit: s.unit, counter: s.kind === "counter", curve: c };
  });
  const seconds = (time: string) => Date.parse(time) / 1000;
  const late = a.late.map((l) => ({ agent: l.agent, from: seconds(l.from), to: seconds(l.to), noted: seconds(l.noted_at) }));
  return { series, from, to, gap: gapOf(series, a.step), late };
}

/** A step without a value is a gap only where the steps beside it have some: series
 * may come slower than steps. */
const gapOf = (series: Drawn[], step: number): number => Math.max(step * 1.5, ...series.map((s) => pace(s.curve.t) * 2.5));

type Pair = [number, string];

interface PromAnswer {
  data: { resultType: string; result: { metric: Record<string, string>; values: Pair[] }[] };
}

const steps = [...graphSteps, 7200, 21600, 86400];
export const promStep = (seconds: number, points = 240): number => steps.find((s) => seconds / s <= points) ?? 86400;

/** An expression over time. */
export async function promRange(query: string, from: number, to: number, abort: AbortSignal, step = promStep(to - from)): Promise<Drawing> {
  const start = Math.floor(from / step) * step;
  const a = await ask<PromAnswer>("GET", "/prometheus/api/v1/query_range", { query: { query, start: String(start), end: String(to), step: String(step) }, abort });
  const result = a.data.resultType === "matrix" ? a.data.result : [];
  const series = result.map<Drawn>((s) => {
    const good = s.values.map(([t, v]) => [t, Number(v)] as const).filter(([, v]) => Number.isFinite(v));
    return { labels: s.metric, unit: "", counter: false, curve: { t: good.map(([t]) => t), v: good.map(([, v]) => v) } };
  });
  return { series, from, to, gap: step * 1.5, late: [] };
}

/** What tells a series from others in an answer. */
export const identity = (labels: Record<string, string>): string => JSON.stringify(Object.entries(labels).sort());

const longStep = 60; // seconds; what is newer than the last step of a longer one would be missed
const mostAround = 40; // series of which the server is asked for more than their values

/** An expression over time up to its present values, and around a selector alone what
 * lies between its points, where those are not too many series to look at. */
export async function answer(query: string, from: number, to: number, abort: AbortSignal): Promise<Drawing> {
  const step = promStep(to - from);
  const [line, present] = await Promise.all([promRange(query, from, to, abort, step), step > longStep ? promRange(query, to, to, abort, 1) : null]);
  const series = new Map(line.series.map((s) => [identity(s.labels), s]));
  for (const s of present?.series ?? []) {
    const known = series.get(identity(s.labels));
    series.set(identity(s.labels), known ? { ...known, curve: extended(known.curve, s.curve) } : s);
  }
  if (!isSelector(query) || series.size > mostAround) return { ...line, series: [...series.values()] };
  const start = Math.floor(from / step) * step - step;
  const around = await graph(query, start, to, abort, Math.ceil((to - start) / step) + 1).catch(() => null); // too many may have been there once
  for (const { labels, curve } of around?.series ?? []) {
    const known = series.get(identity(labels));
    if (known) series.set(identity(labels), { ...known, curve: banded(known.curve, curve, step) });
  }
  return { ...line, series: [...series.values()], late: around?.late ?? [] };
}

/** The present values of an expression. */
export async function promNow(query: string, abort: AbortSignal): Promise<{ labels: Record<string, string>; value: number }[]> {
  const a = await ask<{ data: { result: { metric: Record<string, string>; value: Pair }[] } }>("GET", "/prometheus/api/v1/query", { query: { query }, abort });
  return a.data.result.map((s) => ({ labels: s.metric, value: Number(s.value[1]) }));
}

/** All metrics that any agent has. */
export const metricNames = async (abort: AbortSignal): Promise<string[]> => Object.keys((await ask<{ data: Record<string, unknown> }>("GET", "/prometheus/api/v1/metadata", { abort })).data).sort();

export const labelNames = async (match: string, abort: AbortSignal): Promise<string[]> => (await ask<{ data: string[] }>("GET", "/prometheus/api/v1/labels", { query: { "match[]": match }, abort })).data;
export const labelValues = async (name: string, match: string, abort: AbortSignal): Promise<string[]> => (await ask<{ data: string[] }>("GET", `/prometheus/api/v1/label/${name}/values`, { query: { "match[]": match }, abort })).data;

const palette = ["c-blue", "c-orange", "c-teal", "c-purple", "c-red", "c-pink", "c-grey"];

/** The name of a series; labels that all of them share are left out of it. */
export function seriesNames(list: { labels: Record<string, string> }[]): string[] {
  const first = list[0]?.labels ?? {};
  const shared = list.length > 1 ? Object.keys(first).filter((k) => list.every((s) => s.labels[k] === first[k])) : ["agent", "job"];
  return list.map(({ labels }) => {
    const rest = Object.keys(labels).filter((k) => k !== "__name__" && !shared.includes(k)).sort();
    const name = shared.includes("__name__") ? "" : (labels.__name__ ?? "");
    return (rest.length ? `${name}{${rest.map((k) => `${k}="${labels[k]}"`).join(", ")}}` : name) || labels.__name__ || "{}";
  });
}

export function linesOf(series: Drawn[], offset = 0, names = seriesNames(series)): Line[] {
  return series.map((s, i) => {
    const n = i + offset;
    return { label: names[i]!, color: palette[n % palette.length]!, dash: Math.floor(n / palette.length) % dashes.length, curve: s.curve, fill: series.length === 1 && !offset };
  });
}
