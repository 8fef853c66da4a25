// Which of many series changed most from one span of time to the next.
import type { Curve } from "./series";

export interface Change {
  score: number; // how many times the usual spread the middle moved
  before: number; // the middle values
  after: number;
}

/** A line that rises or falls all the time, such as a clock, scores 2.7: its middle
 * moves by as much as its span, and its spread is what 1.4826 quarters of that are. */
export const least = 3;

/** Values on each side without which nothing is said. */
const fewest = 3;

/** How far the middle of a curve moved at a time, in terms of its usual spread: the
 * median distance from the middle of its own side or, where that is less because the
 * curve rests most of the time, the mean of all but the farthest twentieth. The spread
 * counts as at least a fiftieth of the values, or what never moves would be infinitely
 * far with any step. */
export function changeOf(c: Curve, at: number): Change | null {
  const side = (of: (t: number) => boolean) => c.v.filter((v, i): v is number => v !== null && of(c.t[i]!));
  const [a, b] = [side((t) => t < at), side((t) => t >= at)];
  if (a.length < fewest || b.length < fewest) return null;
  const [before, after] = [median(a), median(b)];
  const far = [...a.map((v) => Math.abs(v - before)), ...b.map((v) => Math.abs(v - after))].sort((x, y) => x - y);
  const near = far.slice(0, Math.ceil(far.length * 0.95));
  const spread = Math.max(1.4826 * median(far), near.reduce((x, y) => x + y, 0) / near.length);
  const moved = Math.abs(after - before);
  return { score: moved ? moved / Math.max(spread, Math.max(Math.abs(before), Math.abs(after)) / 50) : 0, before, after };
}

export function median(values: number[]): number {
  const v = [...values].sort((a, b) => a - b);
  const mid = v.length >> 1;
  return v.length % 2 ? v[mid]! : (v[mid - 1]! + v[mid]!) / 2;
}

/** The growth per second of a counter whose greatest value of each step a curve has in
 * hi. Where it went down it began again: nothing is said of that step. */
export function growth(c: Curve): Curve {
  const out: Curve = { t: [], v: [] };
  for (let i = 1; i < c.t.length; i++) {
    const grown = c.hi![i]! - c.hi![i - 1]!;
    if (grown < 0) continue;
    out.t.push(c.t[i]!);
    out.v.push(grown / (c.t[i]! - c.t[i - 1]!));
  }
  return out;
}

/** Puts metrics together so that each group has at most that many series, and its names
 * at most that many characters; what is too large by itself is left out. */
export function groups(counts: Map<string, number>, series: number, characters: number): { groups: string[][]; left: number } {
  const out: string[][] = [];
  let left = 0;
  let room = { series: 0, characters: 0 };
  for (const [name, n] of counts) {
    if (n > series) {
      left += n;
      continue;
    }
    if (!out.length || n > room.series || name.length + 1 > room.characters) {
      out.push([]);
      room = { series, characters };
    }
    out.at(-1)!.push(name);
    room = { series: room.series - n, characters: room.characters - name.length - 1 };
  }
  return { groups: out, left };
}
