// All rules, said as sentences, and what comes of each now.
import { useMemo } from "preact/hooks";
import { AlertFrame, SeverityWord } from "./alertparts";
import { type Incident, incidents, type Rule, rules } from "./alerting";
import { plural } from "./format";
import { useHappenings } from "./live";
import { Coming, Empty, StateWord } from "./parts";
import { useLoad } from "./poll";
import { address, Link, setQuery } from "./route";
import { may } from "./who";

export const rulePage = (r: { group: string; alert: string }): string => `/rules/${encodeURIComponent(r.group)}/${encodeURIComponent(r.alert)}`;

export function Rules() {
  const { data, failure, since, again } = useLoad(
    async (abort) => {
      const [list, open] = await Promise.all([rules(abort), incidents({}, abort)]);
      return { list, open };
    },
    15_000,
  );
  useHappenings("alert.", again);
  const find = address.value.query.get("q") ?? "";
  const groups = useMemo(() => {
    const words = find.toLowerCase().split(/\s+/).filter(Boolean);
    const out = new Map<string, Rule[]>();
    for (const r of data?.list ?? []) {
      const text = `${r.group} ${r.alert} ${r.severity} ${r.sentence}`.toLowerCase();
      if (words.every((w) => text.includes(w))) out.set(r.group, [...(out.get(r.group) ?? []), r]);
    }
    return [...out];
  }, [data, find]);
  return (
    <AlertFrame
      tab="/rules"
      title="Rules"
      aside={
        <>
          <input type="search" class="filter" placeholder="Find a rule …" aria-label="Find a rule" value={find} onInput={(e) => setQuery("q", e.currentTarget.value)} />
          {may("operator") && (
            <Link to="/rules/new" class="plain">
              New rule
            </Link>
          )}
        </>
      }
    >
      <Coming of={{ data: data, failure, since }} name="rules" />
      {data && !data.list.length && <Empty title="There is no rule">Nobody is told of anything before there is one.</Empty>}
      {data && data.list.length > 0 && !groups.length && <Empty title="No rule matches">Nothing has “{find}” in its name or sentence.</Empty>}
      {groups.map(([group, list]) => (
        <section class="card" key={group} aria-label={group}>
          <div class="top inner">
            <h2>
              {group} <span class="note">{plural(list.length, "rule", "rules")}</span>
            </h2>
          </div>
          <table class="list rules">
            <thead class="sr">
              <tr>
                <th scope="col">Rule</th>
                <th scope="col">Severity</th>
                <th scope="col">State</th>
              </tr>
            </thead>
            <tbody>
              {list.map((r) => (
                <tr key={r.alert}>
                  <th scope="row">
                    <Link to={rulePage(r)}>{r.alert}</Link>
                    <span class="sub any">{r.sentence}</span>
                  </th>
                  <td data-name="Severity">
                    <SeverityWord severity={r.severity} />
                  </td>
                  <td data-name="State">
                    <RuleState of={r} open={data!.open} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      ))}
    </AlertFrame>
  );
}

export function RuleState({ of: r, open }: { of: Rule; open: Incident[] }) {
  const mine = open.filter((i) => i.rule === `${r.group}/${r.alert}`);
  const n = (state: string) => mine.filter((i) => i.state === state).length;
  const filter = `/alerts?m=${encodeURIComponent(`rule="${r.group}/${r.alert}"`)}`;
  if (n("firing")) return <Link to={filter}><StateWord kind="bad">{`${n("firing")} firing`}</StateWord></Link>;
  if (n("pending")) return <Link to={filter}><StateWord kind="warn">{`${n("pending")} pending`}</StateWord></Link>;
  if (n("unknown")) return <Link to={filter}><StateWord kind="calm">{`${n("unknown")} unknown`}</StateWord></Link>;
  return <StateWord kind="good">fine</StateWord>;
}
