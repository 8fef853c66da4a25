// The charts of a host. A new chart is one more entry in the list below.
import type { Sample } from "./resources";
import type { Unit } from "./format";
import { type Curve, type Grid, gaugeCurve, rateCurve, sum, type Track, type Tracks } from "./series";

export interface Line {
  label: string;
  color: string; // a custom property of the style sheet, without --
  curve: Curve;
  fill?: boolean;
}

export interface Known {
  metric(name: string): Track[];
  /** The last value of a series without labels. */
  last(name: string): number | undefined;
  grid: Grid;
}

export interface Panel {
  id: string;
  title: string;
  unit: Unit;
  /** Shown where the host has all of these. */
  needs: string[];
  /** Asked for where the host has them. */
  wants?: string[];
  stacked?: boolean;
  /** The top of the scale is at least this. */
  atLeast?: number;
  /** The top of the scale, always. */
  top?(k: Known): number | undefined;
  note?(k: Known): string;
  lines(k: Known): Line[];
}

const gauge = (k: Known, name: string, label: string, color: string, fill = false): Line[] =>
  k.metric(name).slice(0, 1).map((tr) => ({ label, color, fill, curve: gaugeCurve(tr, k.grid) }));

const labelled = (tracks: Track[], label: string, wanted: (v: string) => boolean): Track[] => {
  const some = tracks.filter((tr) => wanted(tr.labels[label] ?? ""));
  return some.length ? some : tracks;
};

// Devices that only pass on what others carry would be counted twice.
const realDisk = (d: string) => !/^(dm-|md|loop|sr|z?ram)\d/.test(d);
const realNetwork = (d: string) => !/^(lo|ifb|docker|br-|bridge|virbr|veth|cni|flannel|cali|tun|tap|utun|wg|dummy|bond|gif|stf|awdl|llw|anpi|ap\d)/i.test(d);

const rates = (k: Known, metric: string, label: string, color: string, wanted: (d: string) => boolean, fill = false): Line[] => {
  const tracks = labelled(k.metric(metric), "device", wanted);
  return tracks.length ? [{ label, color, fill, curve: sum(tracks.map((tr) => rateCurve(tr, k.grid))) }] : [];
};

const devices = (k: Known, metric: string, wanted: (d: string) => boolean): string => {
  const names = labelled(k.metric(metric), "device", wanted).map((tr) => tr.labels.device ?? "");
  return names.length > 3 ? `${names.length} devices` : names.join(", ");
};

const cpuModes: [label: string, color: string, modes: string[]][] = [
  ["user", "c-blue", ["user"]],
  ["nice", "c-teal", ["nice"]],
  ["system", "c-orange", ["system"]],
  ["interrupts", "c-purple", ["irq", "softirq", "interrupt", "dpc"]],
  ["waiting for disk", "c-red", ["iowait"]],
  ["stolen", "c-grey", ["steal"]],
];

/** Each mode's share of all the time that the processors counted. */
function cpuByMode(k: Known): Line[] {
  const tracks = k.metric("node_cpu_seconds_total");
  const all = sum(tracks.map((tr) => rateCurve(tr, k.grid)));
  const whole = new Map(all.t.map((t, i) => [t, all.v[i]]));
  const lines: Line[] = [];
  for (const [label, color, modes] of cpuModes) {
    const mine = tracks.filter((tr) => modes.includes(tr.labels.mode ?? ""));
    if (!mine.length) continue;
    const c = sum(mine.map((tr) => rateCurve(tr, k.grid)));
    const v = c.v.map((x, i) => {
      const w = whole.get(c.t[i]!);
      return x === null || !w ? null : (x / w) * 100;
    });
    // A mode that never ran is no use in the legend.
    if (label === "user" || label === "system" || v.some((x) => x !== null && x > 0)) lines.push({ label, color, curve: { t: c.t, v } });
  }
  return lines;
}

function memory(k: Known): Line[] {
  const total = k.last("node_memory_MemTotal_bytes") ?? 0;
  const lines = k.metric("node_memory_MemAvailable_bytes").map<Line>((tr) => ({
    label: "used", color: "c-blue", fill: true, curve: gaugeCurve(tr, k.grid, (v) => total - v),
  }));
  for (const tr of k.metric("node_memory_MemFree_bytes")) {
    lines.push({ label: "used and cache", color: "c-teal", curve: gaugeCurve(tr, { ...k.grid, step: 0 }, (v) => total - v) });
  }
  return lines;
}

const processStates: [state: string, label: string, color: string][] = [
  ["R", "running", "c-teal"],
  ["S", "sleeping", "c-blue"],
  ["I", "idle kernel threads", "c-grey"],
  ["D", "waiting for disk", "c-red"],
  ["Z", "zombie", "c-purple"],
  ["T", "stopped", "c-orange"],
  ["t", "traced", "c-pink"],
];

function processes(k: Known): Line[] {
  const tracks = k.metric("node_processes_state");
  return processStates.flatMap(([state, label, color]) => {
    const tr = tracks.find((tr) => tr.labels.state === state);
    if (!tr || (state !== "R" && !tr.max.some((v) => v > 0))) return [];
    return [{ label, color, curve: gaugeCurve(tr, { ...k.grid, step: 0 }) }];
  });
}

export const panels: Panel[] = [
  {
    id: "cpu", title: "CPU used", unit: "percent", needs: ["sentinel_host_cpu_used_percent"], atLeast: 10,
    lines: (k) => gauge(k, "sentinel_host_cpu_used_percent", "used", "c-blue", true),
  },
  {
    id: "cpu-modes", title: "CPU by mode", unit: "percent", needs: ["node_cpu_seconds_total"], stacked: true, atLeast: 10,
    note: (k) => {
      const n = new Set(k.metric("node_cpu_seconds_total").map((tr) => tr.labels.cpu)).size;
      return n ? `100 % is ${n === 1 ? "the one processor" : `all ${n} processors`}` : "";
    },
    lines: cpuByMode,
  },
  {
    id: "memory", title: "Memory", unit: "bytes", needs: ["node_memory_MemTotal_bytes", "node_memory_MemAvailable_bytes"], wants: ["node_memory_MemFree_bytes"],
    top: (k) => k.last("node_memory_MemTotal_bytes"),
    lines: memory,
  },
  {
    id: "load", title: "Load", unit: "number", needs: ["node_load1"], wants: ["node_load5", "node_load15"], atLeast: 1,
    lines: (k) => [...gauge(k, "node_load1", "1 min", "c-blue"), ...gauge(k, "node_load5", "5 min", "c-orange"), ...gauge(k, "node_load15", "15 min", "c-purple")].map((l, i) =>
      i ? { ...l, curve: { t: l.curve.t, v: l.curve.v } } : l,
    ),
  },
  {
    id: "disk", title: "Disk I/O", unit: "bytes/s", needs: ["node_disk_read_bytes_total", "node_disk_written_bytes_total"], atLeast: 1000,
    note: (k) => devices(k, "node_disk_read_bytes_total", realDisk),
    lines: (k) => [...rates(k, "node_disk_written_bytes_total", "written", "c-orange", realDisk, true), ...rates(k, "node_disk_read_bytes_total", "read", "c-blue", realDisk, true)],
  },
  {
    id: "network", title: "Network", unit: "bytes/s", needs: ["node_network_receive_bytes_total", "node_network_transmit_bytes_total"], atLeast: 1000,
    note: (k) => devices(k, "node_network_receive_bytes_total", realNetwork),
    lines: (k) => [...rates(k, "node_network_receive_bytes_total", "in", "c-teal", realNetwork, true), ...rates(k, "node_network_transmit_bytes_total", "out", "c-purple", realNetwork, true)],
  },
  {
    id: "processes", title: "Processes by state", unit: "number", needs: ["node_processes_state"], stacked: true, atLeast: 5,
    lines: processes,
  },
];

export interface Span {
  id: string;
  label: string;
  name: string;
  seconds: number;
}

export const spans: Span[] = [
  { id: "5m", label: "5 m", name: "5 minutes", seconds: 300 },
  { id: "1h", label: "1 h", name: "1 hour", seconds: 3600 },
  { id: "6h", label: "6 h", name: "6 hours", seconds: 6 * 3600 },
  { id: "24h", label: "24 h", name: "24 hours", seconds: 24 * 3600 },
];

const steps = [2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
const mostPoints = 420; // of one series
const mostValues = 60_000; // of one chart

/** The step for a span: none while the samples themselves are few enough, and never
 * so small that a step has one sample now and two then. */
export function stepFor(span: number, interval: number, widest: number): number {
  const most = Math.min(mostPoints, mostValues / Math.max(1, widest));
  if (span / interval <= most) return 0;
  const least = Math.max(span / Math.min(300, most), interval * 3);
  return steps.find((s) => s >= least) ?? steps.at(-1)!;
}

/** The metrics that the panels need of a host with these last values. */
export function wanted(samples: Sample[]): { shown: Panel[]; metrics: string[] } {
  const has = new Set(samples.map((s) => s.name));
  const shown = panels.filter((p) => p.needs.every((m) => has.has(m)));
  const drawn = shown.flatMap((p) => [...p.needs, ...(p.wants ?? [])]).filter((m) => has.has(m) && m !== "node_memory_MemTotal_bytes");
  return { shown, metrics: [...new Set(drawn)] };
}

export const knownOf = (tracks: Map<string, Tracks>, samples: Sample[], grid: Grid): Known => ({
  metric: (name) => [...(tracks.get(name)?.values() ?? [])],
  last: (name) => samples.find((s) => s.name === name && !Object.keys(s.labels).length)?.value,
  grid,
});
