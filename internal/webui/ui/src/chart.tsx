// One chart: uPlot draws it, the legend below says in text what it shows.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { clock, moment, tick, type Unit, value } from "./format";
import type { Late } from "./graph";
import { dashes, type Line } from "./panels";
import { align, stack, type Table } from "./series";
import { theme } from "./theme";

interface Props {
  title: string;
  note: string;
  unit: Unit;
  lines: Line[];
  stacked: boolean;
  atLeast: number;
  top: number | undefined;
  from: number; // seconds since 1970
  to: number;
  gap: number;
  /** Lines across, such as thresholds, and what they are called. */
  marks?: { at: number; name: string }[];
  /** Times whose data came late. */
  late?: Late[];
  /** Calls with a span that was dragged over, or chosen by Shift and the arrow keys. */
  onPick?: (from: number, to: number) => void;
  /** The span that was chosen. */
  picked?: [number, number] | null;
}

const height = 190;
const nowhere = { left: -10, top: -10 };

/** Moves the cursor of the plot and of all others on the page; the types leave the
 * last argument out. */
const moveCursor = (u: uPlot | null, to: { left: number; top: number }) =>
  (u?.setCursor as ((at: typeof to, fire: boolean, publish: boolean) => void) | undefined)?.(to, true, true);
const binarySteps = Array.from({ length: 52 }, (_, i) => 2 ** i);

/** A colour of the style sheet, as the canvas needs it. */
const color = (name: string) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

/** The same colour, more transparent; colours of the style sheet are #rrggbb. */
const faded = (name: string, alpha: number) => color(name) + Math.round(alpha * 255).toString(16).padStart(2, "0");

export function Chart(p: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const live = useRef(p);
  live.current = p;
  const [at, setAt] = useState<number | null>(null);
  const dragging = useRef(false);
  const anchor = useRef<number | null>(null); // where Shift was pressed, seconds since 1970

  const table = useMemo(() => align(p.lines.map((l) => l.curve), p.gap), [p.lines, p.gap]);
  const banded = p.stacked ? [] : p.lines.map((l, i) => (l.curve.lo ? i : -1)).filter((i) => i >= 0);
  const data = useMemo(
    () => [table.t, ...(p.stacked ? stack(table.v) : table.v), ...banded.flatMap((i) => [table.hi[i]!, table.lo[i]!])] as uPlot.AlignedData,
    [table, p.stacked],
  );

  const lastAt = lastKnown(table, p.from);

  // What the plot is made of; when this changes, it is made anew.
  const shape = JSON.stringify([p.lines.map((l) => [l.label, l.color, l.dash, l.fill]), banded, p.stacked, p.unit, p.marks, theme.value]);

  useLayoutEffect(() => {
    const div = box.current;
    if (!div) return;
    const { lines, stacked, unit } = p;
    const ink = color("ink-2");
    const grid = { stroke: color("grid"), width: 1 };
    const font = "11px system-ui, sans-serif";
    const bands: uPlot.Band[] = [];
    if (stacked) for (let i = lines.length; i > 1; i--) bands.push({ series: [i, i - 1], fill: faded(lines[i - 1]!.color, 0.8) });
    banded.forEach((l, k) => {
      const hi = 1 + lines.length + 2 * k;
      bands.push({ series: [hi, hi + 1], fill: faded(lines[l]!.color, 0.28) });
    });
    const series: uPlot.Series[] = [{}];
    lines.forEach((l, i) => {
      const s: uPlot.Series = { label: l.label, stroke: color(l.color), width: stacked ? 0 : 1.6, dash: dashes[l.dash ?? 0], points: { show: alone } };
      if (stacked && i === 0) s.fill = faded(l.color, 0.8);
      if (!stacked && l.fill) s.fill = faded(l.color, banded.length ? 0.08 : 0.14);
      series.push(s);
    });
    for (const l of banded) for (let k = 0; k < 2; k++) series.push({ label: lines[l]!.label, width: 0, points: { show: false } });

    const u = new uPlot(
      {
        width: div.clientWidth, height, series, bands,
        padding: [8, 20, 0, 0],
        legend: { show: false },
        cursor: { sync: { key: "host" }, drag: { setScale: false, x: !!live.current.onPick, y: false, dist: 6 }, points: { size: 7 }, y: false },
        scales: {
          x: { time: true, range: () => [live.current.from, live.current.to] },
          y: { range: (_u, min, max) => scaleOf(live.current, min ?? 0, max ?? 0) },
        },
        axes: [
          { stroke: ink, grid: { show: false }, ticks: { ...grid, size: 4 }, font, space: (_u, _i, min, max, width) => Math.max(max - min < 200 ? 84 : 64, width / 7), size: 28, values: (_u, ts) => ts.map((t) => clock(t, ts.some((x) => x % 60 !== 0))) },
          { stroke: ink, grid, ticks: { show: false }, font, space: 34, size: 66, gap: 6, values: (_u, vs) => vs.map((v) => tick(v, unit)), ...(unit === "bytes" && { incrs: binarySteps }) },
        ],
        hooks: {
          setCursor: [(u) => setAt(u.cursor.idx ?? null)],
          setSelect: [
            (u) => {
              if (!dragging.current) return;
              dragging.current = false;
              live.current.onPick?.(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"));
            },
          ],
          draw: [(u) => drawMarks(u, live.current.marks ?? []), (u) => drawLate(u, live.current.late ?? [])],
        },
      },
      data,
      div,
    );
    plot.current = u;
    // Of the charts that move together, the one that was dragged over says so.
    u.over.addEventListener("mousedown", (e) => (dragging.current = e.button === 0));
    const size = new ResizeObserver(() => u.setSize({ width: div.clientWidth, height }));
    size.observe(div);
    return () => {
      size.disconnect();
      u.destroy();
      plot.current = null;
      setAt(null);
    };
  }, [shape, lastAt === null]);

  useEffect(() => plot.current?.setData(data), [data, p.from, p.to]);
  const show = (span: [number, number] | null | undefined) => {
    const u = plot.current;
    if (!u || !p.onPick || dragging.current) return;
    const [left, right] = (span ?? [0, 0]).map((t) => Math.min(u.over.clientWidth, Math.max(0, u.valToPos(t, "x"))));
    u.setSelect({ left: left!, width: span ? right! - left! : 0, top: 0, height: u.over.clientHeight }, false);
  };
  useEffect(() => show(p.picked), [data, p.from, p.to, p.picked?.join(), shape]);
  useEffect(() => {
    const up = () => setTimeout(() => (dragging.current = false)); // after the plot has heard of it
    document.addEventListener("mouseup", up);
    return () => document.removeEventListener("mouseup", up);
  }, []);

  const shown = at ?? lastAt;
  const t = shown === null ? undefined : table.t[shown];
  const summary = p.lines
    .map((l) => {
      const vs = l.curve.v.filter((v): v is number => v !== null);
      return vs.length ? `${l.label}: now ${value(vs.at(-1), p.unit)}, lowest ${value(Math.min(...vs), p.unit)}, highest ${value(Math.max(...vs), p.unit)}` : `${l.label}: no value`;
    })
    .join("; ");

  // The arrow keys do what the mouse does.
  const onKeyDown = (e: KeyboardEvent) => {
    const u = plot.current;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    if (!u || !table.t.length) return;
    if (e.key === "Escape") return moveCursor(u, nowhere);
    if (!step) return;
    e.preventDefault();
    const to = table.t[Math.min(table.t.length - 1, Math.max(0, (at ?? table.t.length) + step))]!;
    anchor.current = e.shiftKey ? (anchor.current ?? (at === null ? to : table.t[at]!)) : null;
    moveCursor(u, { left: u.valToPos(to, "x"), top: 10 });
    if (anchor.current !== null) show([Math.min(anchor.current, to), Math.max(anchor.current, to)]);
  };
  const onKeyUp = (e: KeyboardEvent) => {
    if (e.key !== "Shift" || anchor.current === null) return;
    const [a, b] = [anchor.current, at === null ? anchor.current : table.t[at]!];
    anchor.current = null;
    if (a !== b) p.onPick?.(Math.min(a, b), Math.max(a, b));
  };
  const late = (p.late ?? []).filter((l) => l.to > p.from && l.from < p.to);
  const lateAt = t === undefined ? undefined : late.find((l) => l.from <= t && t < l.to);
  const lateText = (l: Late) => `came late, by ${moment(l.noted, p.to)}`;

  return (
    <figure class="card chart">
      <figcaption>
        <h2>{p.title}</h2>
        <span class="note">{at !== null && t !== undefined ? clock(t, true) + (lateAt ? ", " + lateText(lateAt) : "") : p.note}</span>
      </figcaption>
      {lastAt === null ? (
        <p class="nothing">Nothing in this time.</p>
      ) : (
        <div class="plot" ref={box} role="img" tabIndex={0} aria-label={`${p.title}. ${summary}${late.map((l) => `; ${clock(l.from, false)} to ${clock(l.to, false)} ${lateText(l)}`).join("")}`} aria-keyshortcuts={p.onPick ? "ArrowLeft ArrowRight Shift+ArrowLeft Shift+ArrowRight" : undefined} onKeyDown={onKeyDown} onKeyUp={onKeyUp} onBlur={() => moveCursor(plot.current, nowhere)} />
      )}
      <ul class="legend">
        {p.lines.map((l, i) => (
          <li key={i}>
            <i class={`dot ${l.color} dash-${l.dash ?? 0}`} />
            {l.label}
            <b>{value(shown === null ? null : table.v[i]?.[shown], p.unit)}</b>
            {at !== null && table.lo[i]?.[at] !== undefined && table.lo[i]?.[at] !== null && (
              <span class="note">
                {value(table.lo[i]?.[at], p.unit)} – {value(table.hi[i]?.[at], p.unit)}
              </span>
            )}
          </li>
        ))}
        {late.length > 0 && (
          <li title="The service got this data more than a minute and a half after its time: an agent was cut off, or a worker">
            <i class="dot late" />
            came late
            <b>{late.length === 1 ? `by ${moment(late[0]!.noted, p.to)}` : `${late.length}×`}</b>
          </li>
        )}
        {(p.marks ?? []).map((m) => (
          <li key={m.name}>
            <i class="dot mark" />
            {m.name}
            <b>{value(m.at, p.unit)}</b>
          </li>
        ))}
      </ul>
    </figure>
  );
}

/** From zero, unless something is below it, up to all that is to be seen. */
function scaleOf(p: Props, min: number, max: number): [number, number] {
  const marks = (p.marks ?? []).map((m) => m.at);
  const high = p.top ?? Math.max(p.atLeast, Math.max(max, ...marks) * 1.08);
  const low = Math.min(0, min, ...marks) * 1.08;
  return [low, high > low ? high : low + 1];
}

function drawMarks(u: uPlot, marks: { at: number }[]): void {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.strokeStyle = color("high");
  ctx.lineWidth = 1.4 * devicePixelRatio;
  ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
  for (const m of marks) {
    const y = u.valToPos(m.at, "y", true);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
  }
  ctx.restore();
}

const lateHeight = 6; // pixels

/** Hatches the bottom of the times whose data came late. */
function drawLate(u: uPlot, late: Late[]): void {
  const { ctx, bbox } = u;
  const h = lateHeight * devicePixelRatio;
  const bottom = bbox.top + bbox.height;
  ctx.save();
  ctx.strokeStyle = color("warm");
  ctx.lineWidth = 1.6 * devicePixelRatio;
  for (const l of late) {
    const [a, b] = [l.from, l.to].map((t) => Math.min(bbox.left + bbox.width, Math.max(bbox.left, u.valToPos(t, "x", true))));
    if (b! <= a!) continue;
    ctx.save();
    ctx.beginPath();
    ctx.rect(a!, bottom - h, b! - a!, h);
    ctx.clip();
    ctx.fillStyle = faded("warm", 0.22);
    ctx.fillRect(a!, bottom - h, b! - a!, h);
    ctx.beginPath();
    for (let x = a! - h; x < b!; x += h * 0.8) {
      ctx.moveTo(x, bottom);
      ctx.lineTo(x + h, bottom - h);
    }
    ctx.stroke();
    ctx.restore();
  }
  ctx.restore();
}

/** A point is drawn only where no line could be: beside gaps on both sides. */
function alone(u: uPlot, _s: number, _from: number, _to: number): boolean {
  return u.data[0].length < 3;
}

function lastKnown({ t, v }: Table, from: number): number | null {
  for (let i = t.length - 1; i >= 0 && t[i]! >= from; i--) if (v.some((r) => typeof r[i] === "number")) return i;
  return null;
}
