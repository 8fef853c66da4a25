// What a rule looks at, as something to draw.
import type { Rule } from "./alerting";
import { type Matcher, withMatcher } from "./matchers";

export interface Look {
  expr: string;
  /** A selector alone: then there is a band of least and greatest. */
  plain: boolean;
  marks: { at: number; name: string }[];
}

const numbers = /-?\d+(?:\.\d+)?(?:e[+-]?\d+)?/i;

function bound(text: string | undefined): number | null {
  const m = numbers.exec(text ?? "");
  return m ? Number(m[0]) : null;
}

const comparison = /^(.+?)\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*$/is;

/** What an expression compares with a number at its end; else it is drawn where it has
 * a result. */
function lookOfExpression(expr: string): Look {
  const m = comparison.exec(expr);
  if (!m || /\b(and|or|unless|bool)\b|[<>=]/i.test(m[1]!.replace(/\{[^}]*\}/g, ""))) return { expr, plain: false, marks: [] };
  return { expr: m[1]!, plain: false, marks: [{ at: Number(m[3]), name: m[2]! }] };
}

/** The expression whose values a rule compares, and with what; null where a rule is
 * about no series. */
export function lookOf(r: Rule, series = r.series, more: Matcher[] = []): Look | null {
  if (r.expr) return lookOfExpression(r.expr);
  if (!series) return null;
  const select = (s: string) => more.reduce(withMatcher, s);
  const braces = series.includes("{") ? series.slice(series.indexOf("{")) : "";
  let expr = select(series);
  let plain = true;
  const second = r.divided_by ?? r.minus;
  if (second) {
    expr = `${expr} ${r.divided_by ? "/" : "-"} ${select(second.includes("{") ? second : second + braces)}`;
    plain = false;
  }
  const window = r.window && r.kind === "threshold" ? r.window : "";
  if (window && r.function && r.function !== "last") {
    const range = plain ? `${expr}[${window}]` : `(${expr})[${window}:]`;
    expr = r.function === "p95" ? `quantile_over_time(0.95, ${range})` : `${r.function}${/^(avg|min|max)$/.test(r.function) ? "_over_time" : ""}(${range})`;
    plain = false;
  }
  const marks: Look["marks"] = [];
  if (r.kind === "threshold") {
    const [at, back] = [bound(r.condition), bound(r.recovery)];
    if (at !== null) marks.push({ at, name: r.condition!.replace(numbers, "").trim() });
    if (back !== null && back !== at) marks.push({ at: back, name: `over when ${r.recovery!.replace(numbers, "").trim()}` });
  }
  return { expr, plain, marks };
}
