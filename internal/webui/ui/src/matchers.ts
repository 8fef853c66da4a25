// Matchers of labels as people type them: severity="critical", hostname=~"web-.*".

export interface Matcher {
  name: string;
  op: "=" | "!=" | "=~" | "!~";
  value: string;
}

export interface Matchers {
  list: Matcher[];
  wrong: string; // what is no matcher; empty where all is well
}

const one = /^\s*([A-Za-z_]\w*)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"{}]*))\s*(?:,|\n|$)/;

/** Reads matchers between commas or one a line; quotes may be left out, and braces
 * around all of them are allowed. */
export function parseMatchers(text: string): Matchers {
  const list: Matcher[] = [];
  let rest = text.trim().replace(/^\{([^]*)\}$/, "$1").trim();
  while (rest) {
    const m = one.exec(rest);
    if (!m) return { list, wrong: `“${rest.split(/[,\n]/)[0]}” is no matcher: write name="value", or one of != =~ !~ in the place of =` };
    const value = m[3] !== undefined ? m[3].replace(/\\(.)/g, (_, c: string) => (c === "n" ? "\n" : c)) : m[4]!;
    const matcher = { name: m[1]!, op: m[2] as Matcher["op"], value };
    if (matcher.op.endsWith("~") && !pattern(value)) return { list, wrong: `“${value}” is no regular expression` };
    list.push(matcher);
    rest = rest.slice(m[0].length).trimStart();
  }
  return { list, wrong: "" };
}

function pattern(value: string): RegExp | null {
  try {
    return new RegExp(`^(?:${value})$`, "su");
  } catch {
    return null;
  }
}

/** Whether labels pass all matchers; a label that is not there counts as empty. */
export function matcherTest(list: Matcher[]): (labels: Record<string, string>) => boolean {
  const tests = list.map(({ name, op, value }) => {
    const p = op.endsWith("~") ? pattern(value) : null;
    const wanted = !op.startsWith("!");
    return (labels: Record<string, string>) => (p ? p.test(labels[name] ?? "") : (labels[name] ?? "") === value) === wanted;
  });
  return (labels) => tests.every((t) => t(labels));
}

const quoted = (v: string): string => `"${v.replace(/[\\"]/g, "\\$&").replaceAll("\n", "\\n")}"`;

export const matcherText = (m: Matcher): string => m.name + m.op + quoted(m.value);

/** A selector of PromQL with one more matcher. */
export function withMatcher(selector: string, m: Matcher): string {
  const at = selector.lastIndexOf("}");
  if (at < 0) return `${selector}{${matcherText(m)}}`;
  const inner = selector.slice(selector.indexOf("{") + 1, at).trim().replace(/,$/, "");
  return `${selector.slice(0, selector.indexOf("{"))}{${inner ? inner + "," : ""}${matcherText(m)}}`;
}
