// The fleet at a glance: which hosts need attention, in which order, and how that is
// said.
import type { Incident } from "./alerting";
import { plural } from "./format.js";
import { matcherTest, parseMatchers } from "./matchers.js";

export interface FleetHost {
  id: string;
  hostname: string;
  labels: Record<string, string>;
  version: string;
  os: string;
  last_seen?: string;
  state: "up" | "silent" | "never seen" | "disabled";
  at?: string;
  cpu?: number;
  memory?: number;
  disk?: number;
  load1?: number;
  uptime?: number;
  spark?: (number | null)[];
}

export interface Fleet {
  time: string;
  step: number;
  hosts: FleetHost[];
  cut?: boolean;
}

export interface Row {
  host: FleetHost;
  alerts: number;
  critical: number;
  attention: boolean;
}

/** In this order web-9 is before web-10. A collator knows that as well, and takes ten
 * times as long, which 2,000 hosts feel. */
const sortable = (name: string): string => name.toLowerCase().replace(/\d+/g, (d) => d.padStart(9, "0"));
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const order = { up: 1, "never seen": 2, disabled: 3, silent: 0 };

/** Hosts that need attention first: those with critical alerts, those that are silent,
 * those with other alerts. */
export function rowsOf(hosts: FleetHost[], firing: Incident[]): Row[] {
  const by = new Map<string, { alerts: number; critical: number }>();
  for (const i of firing) {
    const n = by.get(i.agent) ?? { alerts: 0, critical: 0 };
    n.alerts++;
    if (i.severity === "critical") n.critical++;
    by.set(i.agent, n);
  }
  const rank = (r: Row) => (!r.attention ? 3 + order[r.host.state] : r.critical ? 0 : r.host.state === "silent" ? 1 : 2);
  const keyed = hosts.map((host) => {
    const n = by.get(host.id) ?? { alerts: 0, critical: 0 };
    const row: Row = { host, ...n, attention: host.state === "silent" || (n.alerts > 0 && host.state !== "disabled") };
    return { row, key: rank(row) + sortable(host.hostname) };
  });
  return keyed.sort((a, b) => compare(a.key, b.key)).map((k) => k.row);
}

export function sentence(rows: Row[]): string {
  const n = (fits: (r: Row) => boolean) => rows.filter(fits).length;
  const attention = n((r) => r.attention);
  const well = n((r) => r.host.state === "up" && !r.attention);
  const parts = [
    (well > 0 || !attention) && `${plural(well, "host is", "hosts are")} well`,
    attention && `${plural(attention, well ? "needs" : "host needs", well ? "need" : "hosts need")} attention`,
    ...(["never seen", "disabled"] as const).map((s) => {
      const k = n((r) => r.host.state === s && !r.attention);
      return k && `${plural(k, "is", "are")} ${s === "never seen" ? "not seen yet" : s}`;
    }),
  ];
  return parts.filter(Boolean).join(", ") + ".";
}

/** What a filter lets through: matchers of labels, where it looks like some, else
 * words that must all be in what a row shows. */
export function filterOf(text: string): { test: (r: Row) => boolean; wrong: string } {
  if (/["~]|!=/.test(text)) {
    const { list, wrong } = parseMatchers(text);
    const test = matcherTest(list);
    return { wrong, test: ({ host: h }) => test({ ...h.labels, hostname: h.hostname, agent: h.id, os: h.os, version: h.version, state: h.state }) };
  }
  const words = text.toLowerCase().split(/[\s,]+/).filter(Boolean);
  return {
    wrong: "",
    test: ({ host: h, alerts }) => {
      const all = [h.hostname, h.id, h.os, h.version, h.state, alerts ? "firing" : "", ...Object.entries(h.labels).map(([k, v]) => `${k}=${v}`)].join(" ").toLowerCase();
      return words.every((w) => all.includes(w));
    },
  };
}

export interface Group {
  name: string; // empty where hosts are not grouped
  rows: Row[];
}

/** Groups by a label, those with most to attend to first; within each the order stays. */
export function groupRows(rows: Row[], label: string): Group[] {
  if (!label) return [{ name: "", rows }];
  const by = new Map<string, Row[]>();
  for (const r of rows) {
    const name = r.host.labels[label] === undefined ? `no ${label}` : `${label}=${r.host.labels[label]}`;
    const list = by.get(name);
    if (list) list.push(r);
    else by.set(name, [r]);
  }
  const attention = (g: Group) => g.rows.filter((r) => r.attention).length;
  return [...by].map(([name, rows]) => ({ name, rows })).sort((a, b) => attention(b) - attention(a) || compare(sortable(a.name), sortable(b.name)));
}
