// What is between an answer of the REST interface and a line on a chart: keeping
// points while they come in, sums, gaps. No drawing here.

/** Values over time; lo and hi, where present, are what the step's samples spanned. */
export interface Curve {
  t: number[]; // seconds since 1970, rising
  v: (number | null)[];
  lo?: (number | null)[];
  hi?: (number | null)[];
}

/** Puts an answer for all time from `from` on in the place of what a curve had of that
 * time, and forgets what is before `keep`. */
export function renew(old: Curve | undefined, answer: Curve | undefined, from: number, keep: number): Curve {
  const kept = old?.t.map((t) => t >= keep && t < from) ?? [];
  const join = (a: (number | null)[] = [], b: (number | null)[] = []) => [...a.filter((_, i) => kept[i]), ...b];
  const c: Curve = { t: join(old?.t, answer?.t) as number[], v: join(old?.v, answer?.v) };
  if (old?.lo || answer?.lo) {
    c.lo = join(old?.lo, answer?.lo);
    c.hi = join(old?.hi, answer?.hi);
  }
  return c;
}

/** The same curve on another scale, which may be a falling one. */
export function scaled(c: Curve, scale: (v: number) => number): Curve {
  const all = (col: (number | null)[]) => col.map((v) => (v === null ? null : scale(v)));
  if (!c.lo || !c.hi) return { t: c.t, v: all(c.v) };
  const [a, b] = [all(c.lo), all(c.hi)];
  const pick = (of: (x: number, y: number) => number) => a.map((x, i) => (x === null || b[i] === null ? null : of(x, b[i]!)));
  return { t: c.t, v: all(c.v), lo: pick(Math.min), hi: pick(Math.max) };
}

/** A curve with what another one has after its end. */
export function extended(c: Curve, more: Curve): Curve {
  const end = c.t.at(-1) ?? -Infinity;
  const rest = more.t.map((t) => t > end);
  return { t: [...c.t, ...more.t.filter((_, i) => rest[i])], v: [...c.v, ...more.v.filter((_, i) => rest[i])] };
}

/** The curve with a band of what passed in the step before each point, known by the
 * beginnings of another one's steps. The line is in its band. */
export function banded(c: Curve, steps: Curve, step: number): Curve {
  const at = new Map(steps.t.map((t, i) => [t, i]));
  const before = (t: number) => (Math.ceil(t / step) - 1) * step;
  const edge = (col: (number | null)[] | undefined, of: (a: number, b: number) => number) =>
    c.t.map((t, i) => {
      const [k, v] = [at.get(before(t)), c.v[i] ?? null];
      return v === null || k === undefined ? v : of(v, col?.[k] ?? v);
    });
  return { t: c.t, v: c.v, lo: edge(steps.lo, Math.min), hi: edge(steps.hi, Math.max) };
}

/** Without its band. */
export const bare = ({ t, v }: Curve): Curve => ({ t, v });

/** The middle distance of the times; 0 where there are not two. */
export function pace(t: number[]): number {
  const d = t.slice(1).map((x, i) => x - t[i]!);
  return d.sort((a, b) => a - b)[d.length >> 1] ?? 0;
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
