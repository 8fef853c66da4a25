// Labels as people type them.

export interface Parsed {
  labels: Record<string, string>;
  wrong: string; // what is not a label; empty where all is well
}

/** Reads one label a line, or several between commas: name=value. */
export function parseLabels(text: string): Parsed {
  const labels: Record<string, string> = {};
  for (const part of text.split(/[\n,]/).map((p) => p.trim()).filter(Boolean)) {
    const at = part.indexOf("=");
    const name = part.slice(0, Math.max(at, 0)).trim();
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return { labels, wrong: at < 0 ? `“${part}” has no “=”: write name=value` : `“${name || part}” is not a label’s name: letters, digits and _, not beginning with a digit` };
    if (name in labels) return { labels, wrong: `“${name}” stands there twice` };
    labels[name] = part.slice(at + 1).trim();
  }
  return { labels, wrong: "" };
}

export const labelsText = (labels: Record<string, string>, between = "\n"): string =>
  Object.keys(labels)
    .sort()
    .map((k) => `${k}=${labels[k]}`)
    .join(between);
