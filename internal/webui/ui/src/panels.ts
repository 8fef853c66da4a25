// The charts of a host. A new chart is one more entry in the list below.
import type { Sample } from "./resources";
import type { Unit } from "./format";
import type { Drawn } from "./graph";
import { bare, type Curve, scaled, sum } from "./series";

/** How a line is broken where colours come again: pixels drawn and left out. The style
 * sheet has a .dash-N for each that is. */
export const dashes: (number[] | undefined)[] = [undefined, [7, 4], [2, 3]];

export interface Line {
  label: string;
  color: string; // a custom property of the style sheet, without --
  dash?: number; // which of the dashes; not broken where it is missing
  curve: Curve;
  fill?: boolean;
}

export interface Known {
  /** A metric's series; of a rate, its sums, per second. */
  metric(name: string): Drawn[];
  /** The values that a label has in a metric. */
  values(metric: string, label: string): string[];
}

/** Counters whose growth per second a chart shows, added up by the server. */
interface Rate {
  metric: string;
  by?: string; // a sum for each value of this label
  device?: (name: string) => boolean; // only of these, where there are any
}

export interface Panel {
  id: string;
  title: string;
  unit: Unit;
  /** Shown where the host has all of these. */
  needs: string[];
  /** What is drawn. */
  gauges?: string[];
  rates?: Rate[];
  stacked?: boolean;
  /** The top of the scale is at least this. */
  atLeast?: number;
  /** The top of the scale, always. */
  top?(k: Known): number | undefined;
  note?(k: Known): string;
  lines(k: Known): Line[];
}

const gauge = (k: Known, name: string, label: string, color: string, fill = false): Line[] => k.metric(name).slice(0, 1).map((s) => ({ label, color, fill, curve: s.curve }));

// Devices that only pass on what others carry would be counted twice.
const realDisk = (d: string) => !/^(dm-|md|loop|sr|z?ram)\d/.test(d);
const realNetwork = (d: string) => !/^(lo|ifb|docker|br-|bridge|virbr|veth|cni|flannel|cali|tun|tap|utun|wg|dummy|bond|gif|stf|awdl|llw|anpi|ap\d)/i.test(d);

const rate = (k: Known, metric: string, label: string, color: string): Line[] => k.metric(metric).slice(0, 1).map((s) => ({ label, color, fill: true, curve: s.curve }));

/** Those of the devices that are wanted; all where none is. */
const chosen = (devices: string[], wanted: (d: string) => boolean): string[] => {
  const some = devices.filter(wanted);
  return some.length ? some : devices;
};

const devices = (k: Known, metric: string, wanted: (d: string) => boolean): string => {
  const names = chosen(k.values(metric, "device"), wanted);
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
  const modes = k.metric("node_cpu_seconds_total");
  const all = sum(modes.map((s) => s.curve));
  const whole = new Map(all.t.map((t, i) => [t, all.v[i]]));
  const lines: Line[] = [];
  for (const [label, color, names] of cpuModes) {
    const mine = modes.filter((s) => names.includes(s.labels.mode ?? ""));
    if (!mine.length) continue;
    const c = sum(mine.map((s) => s.curve));
    const v = c.v.map((x, i) => {
      const w = whole.get(c.t[i]!);
      return x === null || !w ? null : (x / w) * 100;
    });
    // A mode that never ran is no use in the legend.
    if (label === "user" || label === "system" || v.some((x) => x !== null && x > 0)) lines.push({ label, color, curve: { t: c.t, v } });
  }
  return lines;
}

const lastOf = (k: Known, name: string): number | undefined => k.metric(name)[0]?.curve.v.at(-1) ?? undefined;

function memory(k: Known): Line[] {
  const total = lastOf(k, memTotal) ?? 0;
  const used = (v: number) => total - v;
  return [
    ...k.metric("node_memory_MemAvailable_bytes").slice(0, 1).map<Line>((s) => ({ label: "used", color: "c-blue", fill: true, curve: scaled(s.curve, used) })),
    ...k.metric("node_memory_MemFree_bytes").slice(0, 1).map<Line>((s) => ({ label: "used and cache", color: "c-teal", curve: bare(scaled(s.curve, used)) })),
  ];
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
  const states = k.metric("node_processes_state");
  return processStates.flatMap(([state, label, color]) => {
    const s = states.find((s) => s.labels.state === state);
    if (!s || (state !== "R" && !s.curve.v.some((v) => v))) return [];
    return [{ label, color, curve: bare(s.curve) }];
  });
}

const memTotal = "node_memory_MemTotal_bytes";
const [diskRead, diskWritten] = ["node_disk_read_bytes_total", "node_disk_written_bytes_total"];
const [netIn, netOut] = ["node_network_receive_bytes_total", "node_network_transmit_bytes_total"];

export const panels: Panel[] = [
  {
    id: "cpu", title: "CPU used", unit: "percent", needs: ["sentinel_host_cpu_used_percent"], gauges: ["sentinel_host_cpu_used_percent"], atLeast: 10,
    lines: (k) => gauge(k, "sentinel_host_cpu_used_percent", "used", "c-blue", true),
  },
  {
    id: "cpu-modes", title: "CPU by mode", unit: "percent", needs: ["node_cpu_seconds_total"], rates: [{ metric: "node_cpu_seconds_total", by: "mode" }], stacked: true, atLeast: 10,
    note: (k) => {
      const n = k.values("node_cpu_seconds_total", "cpu").length;
      return n ? `100 % is ${n === 1 ? "the one processor" : `all ${n} processors`}` : "";
    },
    lines: cpuByMode,
  },
  {
    id: "memory", title: "Memory", unit: "bytes", needs: [memTotal, "node_memory_MemAvailable_bytes"], gauges: [memTotal, "node_memory_MemAvailable_bytes", "node_memory_MemFree_bytes"],
    top: (k) => lastOf(k, memTotal),
    lines: memory,
  },
  {
    id: "load", title: "Load", unit: "number", needs: ["node_load1"], gauges: ["node_load1", "node_load5", "node_load15"], atLeast: 1,
    lines: (k) => [
      ...gauge(k, "node_load1", "1 min", "c-blue"),
      ...[...gauge(k, "node_load5", "5 min", "c-orange"), ...gauge(k, "node_load15", "15 min", "c-purple")].map((l) => ({ ...l, curve: bare(l.curve) })),
    ],
  },
  {
    id: "disk", title: "Disk I/O", unit: "bytes/s", needs: [diskRead, diskWritten], rates: [{ metric: diskRead, device: realDisk }, { metric: diskWritten, device: realDisk }], atLeast: 1000,
    note: (k) => devices(k, diskRead, realDisk),
    lines: (k) => [...rate(k, diskWritten, "written", "c-orange"), ...rate(k, diskRead, "read", "c-blue")],
  },
  {
    id: "network", title: "Network", unit: "bytes/s", needs: [netIn, netOut], rates: [{ metric: netIn, device: realNetwork }, { metric: netOut, device: realNetwork }], atLeast: 1000,
    note: (k) => devices(k, netIn, realNetwork),
    lines: (k) => [...rate(k, netIn, "in", "c-teal"), ...rate(k, netOut, "out", "c-purple")],
  },
  {
    id: "processes", title: "Processes by state", unit: "number", needs: ["node_processes_state"], gauges: ["node_processes_state"], stacked: true, atLeast: 5,
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
  { id: "7d", label: "7 d", name: "7 days", seconds: 7 * 86_400 },
];

/** The panels that a host with these last values has; all where it has none (any more). */
export function panelsFor(samples: Sample[]): Panel[] {
  if (!samples.length) return panels;
  const has = new Set(samples.map((s) => s.name));
  return panels.filter((p) => p.needs.every((m) => has.has(m)));
}

/** All that a panel draws. */
export const metricsOf = (p: Panel): string[] => [...(p.gauges ?? []), ...(p.rates ?? []).map((r) => r.metric)];

/** How often a metric is collected, in seconds. */
export type Interval = (metric: string) => number;

/** PromQL that says how many samples each of the metrics has had in some seconds, with
 * the metric's name in the label "of". */
export const countQuery = (id: string, metrics: string[], seconds: number): string =>
  metrics.map((m) => `label_replace(max(count_over_time(${m}{agent="${id}"}[${Math.ceil(seconds)}s])), "of", "${m}", "", "")`).join(" or ");

export interface Wish {
  gauges: string; // a selector; empty: none
  rates: { metric: string; query: string; step: number }[];
}

/** What to ask for to draw panels of a host. */
export function wishFor(id: string, shown: Panel[], samples: Sample[], step: number, every: Interval): Wish {
  const host = `agent="${id}"`;
  const gauges = [...new Set(shown.flatMap((p) => p.gauges ?? []))];
  const rates = shown.flatMap((p) => p.rates ?? []).map(({ metric, by, device }) => {
    const names = device ? chosen(valuesOf(samples, metric, "device"), device) : [];
    const of = names.length ? `,device=~${JSON.stringify(names.map(plain).join("|"))}` : "";
    // Between two samples while a step has few of them, else over all of a step's.
    const [fn, window] = step < 3 * every(metric) ? ["irate", every(metric) * 2.5] : ["rate", step + every(metric)];
    return { metric, query: `sum${by ? ` by (${by}) ` : ""}(${fn}(${metric}{${host}${of}}[${Math.ceil(window)}s]))`, step: Math.max(step, Math.round(every(metric))) };
  });
  return { gauges: gauges.length ? `{${host},__name__=~"${gauges.join("|")}"}` : "", rates };
}

/** A text as a regular expression that means it. */
const plain = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");

const valuesOf = (samples: Sample[], metric: string, label: string): string[] => [...new Set(samples.filter((s) => s.name === metric).map((s) => s.labels[label] ?? ""))].filter(Boolean);

export const knownOf = (drawn: Map<string, Drawn[]>, samples: Sample[]): Known => ({
  metric: (name) => drawn.get(name) ?? [],
  values: (metric, label) => valuesOf(samples, metric, label),
});
