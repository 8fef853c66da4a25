// Every series' last value, with a search.
import { useMemo } from "preact/hooks";
import type { Sample } from "./resources";
import { sample } from "./format";
import { Empty, useGrowing } from "./parts";
import { address, setQuery } from "./route";

const labelText = (labels: Record<string, string>): string =>
  Object.entries(labels)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([k, v]) => `${k}=${v}`)
    .join(" ");

export function Values({ samples }: { samples: Sample[] }) {
  const find = address.value.query.get("find") ?? "";
  const rows = useMemo(() => samples.map((s) => ({ s, labels: labelText(s.labels), text: `${s.name} ${labelText(s.labels)}`.toLowerCase() })), [samples]);
  const words = find.toLowerCase().split(/\s+/).filter(Boolean);
  const found = words.length ? rows.filter((r) => words.every((w) => r.text.includes(w))) : rows;
  const [shown, more] = useGrowing(found.length, find);
  return (
    <section class="card values" aria-labelledby="values">
      <div class="top">
        <h2 id="values">
          All last values <span class="note">{found.length === rows.length ? rows.length : `${found.length} of ${rows.length}`} series</span>
        </h2>
        <input type="search" class="filter" placeholder="Find a metric or a label …" aria-label="Find a metric or a label" value={find} onInput={(e) => setQuery("find", e.currentTarget.value)} />
      </div>
      {found.length ? (
        <table>
          <thead>
            <tr>
              <th scope="col">Metric</th>
              <th scope="col">Labels</th>
              <th scope="col" class="right">Value</th>
            </tr>
          </thead>
          <tbody>
            {found.slice(0, shown).map(({ s, labels }) => (
              <tr key={s.name + labels}>
                <th scope="row">{s.name}</th>
                <td class="sub">{labels}</td>
                <td class="right" title={`${s.value}, a ${s.kind}`}>{sample(s.value, s.unit)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : (
        <Empty title="No series matches">Nothing has “{find}” in its name or labels.</Empty>
      )}
      {more}
    </section>
  );
}
