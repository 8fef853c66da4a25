// PromQL as far as this page understands it: what the builder makes, and what could
// come next where somebody types. The server alone knows what is right.

export interface Built {
  aggregate: string; // sum, avg …; empty for none
  by: string; // labels, between commas
  fn: string; // rate …; empty for none
  window: string;
  metric: string;
  matchers: string; // without braces
}

export const aggregates = ["sum", "avg", "min", "max", "count"];
export const functions = ["rate", "increase", "irate", "delta", "avg_over_time", "min_over_time", "max_over_time"];

const inner = String.raw`(?:[^{}"]|"(?:[^"\\]|\\.)*")*`;
const form = new RegExp(
  String.raw`^\s*(?:(${aggregates.join("|")})\s*(?:by\s*\(([^()]*)\)\s*)?(\()\s*)?(?:(${functions.join("|")})\s*(\()\s*)?([A-Za-z_:][\w:]*)\s*(?:\{(${inner})\})?\s*(?:\[(\w+)\])?\s*(\)*)\s*$`,
);

/** What the builder would show of an expression; null where it cannot. */
export function build(text: string): Built | null {
  if (!text.trim()) return { aggregate: "", by: "", fn: "", window: "5m", metric: "", matchers: "" };
  const m = form.exec(text);
  if (!m) return null;
  const [, aggregate = "", by = "", open1, fn = "", open2, metric = "", matchers = "", window, closed = ""] = m;
  if (closed.length !== (open1 ? 1 : 0) + (open2 ? 1 : 0) || !!fn !== !!window) return null;
  return { aggregate, by: by.trim(), fn, window: window ?? "5m", metric, matchers: matchers.trim() };
}

/** Whether the text is a metric with its labels and nothing around it. */
export function isSelector(text: string): boolean {
  const b = build(text);
  return !!b?.metric && !b.fn && !b.aggregate;
}

export function write(b: Built): string {
  if (!b.metric) return "";
  let text = b.metric + (b.matchers ? `{${b.matchers}}` : "");
  if (b.fn) text = `${b.fn}(${text}[${b.window || "5m"}])`;
  if (b.aggregate) text = `${b.aggregate}${b.by ? ` by (${b.by}) ` : ""}(${text})`;
  return text;
}

export interface Place {
  kind: "metric" | "label" | "value";
  prefix: string;
  from: number; // where the prefix begins
  metric: string;
  label: string;
}

/** What is being typed at a place; null where nothing could be said. */
export function placeOf(text: string, caret: number): Place | null {
  const before = text.slice(0, caret);
  const open = before.lastIndexOf("{");
  if (open > before.lastIndexOf("}")) {
    const metric = /([A-Za-z_:][\w:]*)\s*$/.exec(before.slice(0, open))?.[1] ?? "";
    const inside = before.slice(open + 1);
    const value = /([A-Za-z_]\w*)\s*(?:=~|!~|!=|=)\s*"([^"]*)$/.exec(inside);
    if (value) return { kind: "value", prefix: value[2]!, from: caret - value[2]!.length, metric, label: value[1]! };
    const label = /(?:^|,)\s*(\w*)$/.exec(inside);
    return label ? { kind: "label", prefix: label[1]!, from: caret - label[1]!.length, metric, label: "" } : null;
  }
  const by = /\b(?:by|without)\s*\(([^()]*)$/.exec(before);
  if (by) {
    const prefix = /\w*$/.exec(by[1]!)![0];
    return { kind: "label", prefix, from: caret - prefix.length, metric: /([A-Za-z_:][\w:]*)\s*[{[]/.exec(text.slice(caret))?.[1] ?? "", label: "" };
  }
  const name = /[A-Za-z_:][\w:]*$/.exec(before)?.[0] ?? "";
  return name || !before.trim() || /[(\-+*/,\s]$/.test(before) ? { kind: "metric", prefix: name, from: caret - name.length, metric: "", label: "" } : null;
}

/** The names that fit best: those that begin so, then those that have it in them. */
export function fitting(names: string[], prefix: string, most = 12): string[] {
  const p = prefix.toLowerCase();
  const begin = names.filter((n) => n.toLowerCase().startsWith(p));
  const within = names.filter((n) => !n.toLowerCase().startsWith(p) && n.toLowerCase().includes(p));
  return [...begin, ...within].filter((n) => n !== prefix).slice(0, most);
}
