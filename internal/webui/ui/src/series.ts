// What is between an answer of the REST interface and a line on a chart: keeping
// points while they come in, rates of counters, sums, gaps. No drawing here.
import type { Series } from "./resources";

/** One series' points in ascending time; t in seconds since 1970. */
export interface Track {
  labels: Record<string, string>;
  t: number[];
  last: number[];
  min: number[];
  max: number[];
  avg: number[];
}

/** A metric's series by their labels. */
export type Tracks = Map<string, Track>;

const keyOf = (labels: Record<string, string>): string =>
  Object.keys(labels)
    .sort()
    .map((k) => `${k}=${labels[k]}`)
    .join("\u0000");

/** Puts an answer for all time from `from` on in the place of what was known of that
 * time, and forgets what is before `keep`. */
export function merge(tracks: Tracks, answer: Series[], from: number, keep: number): void {
  for (const tr of tracks.values()) {
    trim(tr, (t) => t >= keep && t < from);
  }
  for (const s of answer) {
    const key = keyOf(s.labels);
    let tr = tracks.get(key);
    if (!tr) tracks.set(key, (tr = { labels: s.labels, t: [], last: [], min: [], max: [], avg: [] }));
    for (const p of s.points) {
      tr.t.push(Date.parse(p.time) / 1000);
      tr.last.push(p.last);
      tr.min.push(p.min);
      tr.max.push(p.max);
      tr.avg.push(p.avg);
    }
  }
  for (const [key, tr] of tracks) if (!tr.t.length) tracks.delete(key);
}

function trim(tr: Track, wanted: (t: number) => boolean): void {
  const keep = tr.t.map(wanted);
  if (keep.every(Boolean)) return;
  for (const col of ["last", "min", "max", "avg"] as const) tr[col] = tr[col].filter((_, i) => keep[i]);
  tr.t = tr.t.filter((_, i) => keep[i]);
}

/** The newest time that any series has, or 0. */
export function newest(tracks: Tracks): number {
  let t = 0;
  for (const tr of tracks.values()) t = Math.max(t, tr.t.at(-1) ?? 0);
  return t;
}

/** Values over time; lo and hi, where present, are what the step's samples spanned. */
export interface Curve {
  t: number[];
  v: (number | null)[];
  lo?: (number | null)[];
  hi?: (number | null)[];
}

/** How the points were asked for. */
export interface Grid {
  step: number; // seconds; 0: every sample
  gap: number; // more seconds than this between two points are a gap
  now: number; // seconds since 1970
}

/** The middle distance of the times; 0 where there are not two. */
export function pace(t: number[]): number {
  const d = t.slice(1).map((x, i) => x - t[i]!);
  return d.sort((a, b) => a - b)[d.length >> 1] ?? 0;
}

export function gaugeCurve(tr: Track, grid: Grid, scale: (v: number) => number = (v) => v): Curve {
  const c: Curve = { t: tr.t, v: tr.avg.map(scale) };
  if (grid.step) {
    const a = tr.min.map(scale);
    const b = tr.max.map(scale); // a falling scale turns them round
    c.lo = a.map((x, i) => Math.min(x, b[i]!));
    c.hi = a.map((x, i) => Math.max(x, b[i]!));
  }
  return c;
}

/** A counter's increase per second. A counter that went down began again at zero.
 * Across a gap there is no value: nobody knows when it grew. A step that still runs
 * is left out, because it is not as long as the others. */
export function rateCurve(tr: Track, grid: Grid): Curve {
  const c: Curve = { t: [], v: [] };
  for (let i = 1; i < tr.t.length; i++) {
    const dt = tr.t[i]! - tr.t[i - 1]!;
    if (grid.step && tr.t[i]! + grid.step > grid.now) break;
    const grown = tr.last[i]! - tr.last[i - 1]!;
    c.t.push(tr.t[i]!);
    c.v.push(dt <= 0 || dt > grid.gap ? null : (grown < 0 ? tr.last[i]! : grown) / dt);
  }
  return c;
}

/** The sum of curves where at least one has a value. */
export function sum(curves: Curve[]): Curve {
  const at = new Map<number, number | null>();
  for (const c of curves) {
    c.t.forEach((t, i) => {
      const v = c.v[i];
      const old = at.get(t);
      if (v === null || v === undefined) at.set(t, old ?? null);
      else at.set(t, (old ?? 0) + v);
    });
  }
  const t = [...at.keys()].sort((a, b) => a - b);
  return { t, v: t.map((x) => at.get(x) ?? null) };
}

/** Curves on one time axis. Where one has no point of its own it has undefined (the
 * line goes on), in a gap null (the line ends). */
export interface Table {
  t: number[];
  v: (number | null | undefined)[][];
  lo: (number | null | undefined)[][];
  hi: (number | null | undefined)[][];
}

export function align(curves: Curve[], gap: number): Table {
  const times = new Set<number>();
  const holes = curves.map((c) => {
    const h: number[] = [];
    c.t.forEach((t, i) => {
      times.add(t);
      if (i && t - c.t[i - 1]! > gap) h.push(c.t[i - 1]! + gap / 2);
    });
    h.forEach((t) => times.add(t));
    return h;
  });
  const t = [...times].sort((a, b) => a - b);
  const at = new Map(t.map((x, i) => [x, i]));
  const spread = (c: Curve, k: number, col?: (number | null)[]) => {
    const out = new Array<number | null | undefined>(t.length).fill(undefined);
    if (col) c.t.forEach((x, i) => (out[at.get(x)!] = col[i]));
    holes[k]!.forEach((x) => (out[at.get(x)!] = null));
    return out;
  };
  return { t, v: curves.map((c, k) => spread(c, k, c.v)), lo: curves.map((c, k) => spread(c, k, c.lo)), hi: curves.map((c, k) => spread(c, k, c.hi)) };
}

/** Each row on top of the ones before; null where no row has a value. */
export function stack(rows: Table["v"]): (number | null)[][] {
  const n = rows[0]?.length ?? 0;
  const base = new Array<number>(n).fill(0);
  const known = Array.from({ length: n }, (_, i) => rows.some((r) => r[i] !== null && r[i] !== undefined));
  return rows.map((r) => r.map((v, i) => (known[i] ? (base[i]! += v ?? 0) : null)));
}
