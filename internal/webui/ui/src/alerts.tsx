// All alerts, those that fire first.
import { useMemo, useState } from "preact/hooks";
import { AlertFrame, HostOf, IncidentWord, Lasting, MatcherFilter, severities, SeverityWord, useMatchers } from "./alertparts";
import { type Incident, incidents, mostIncidents } from "./alerting";
import { plural } from "./format";
import { useHappenings } from "./live";
import { matcherTest, matcherText } from "./matchers";
import { Coming, Empty, useGrowing } from "./parts";
import { useLoad } from "./poll";
import { address, Link, setQuery } from "./route";
import { SilenceDialog } from "./silencing";
import { may } from "./who";

const order = ["firing", "pending", "unknown", "resolved", "inactive"];

export const incidentPath = (i: { fingerprint: string }): string => `/alerts/${i.fingerprint}`;

function sentence(list: Incident[]): string {
  const n = (state: string) => list.filter((i) => i.state === state).length;
  const critical = list.filter((i) => i.state === "firing" && i.severity === "critical").length;
  if (!n("firing")) return `Nothing fires${n("pending") ? `, ${plural(n("pending"), "alert waits", "alerts wait")}` : ""}.`;
  const more = [n("pending") && `${n("pending")} ${n("pending") === 1 ? "waits" : "wait"}`, n("unknown") && `of ${n("unknown")} nothing is known`].filter(Boolean);
  return `${plural(n("firing"), "alert fires", "alerts fire")}${critical ? `, ${critical} critical` : ""}${more.length ? "; " + more.join(", ") : ""}.`;
}

const groupings: [string, string][] = [
  ["", "By rule"],
  ["hostname", "By host"],
  ["severity", "By severity"],
  ["-", "Not grouped"],
];

const groupOf = (i: Incident, by: string): string => (by === "" ? i.alert : by === "-" ? "" : (i.labels[by] ?? `no ${by}`));

export function Alerts() {
  const withOver = address.value.query.get("all") === "1";
  const by = address.value.query.get("by") ?? "";
  const { data: list, failure, since, again } = useLoad((abort) => incidents({ all: withOver ? "true" : "" }, abort), 15_000, [withOver]);
  useHappenings("alert.", again);
  const filter = useMatchers();
  const matchers = filter[2].list;
  const [silencing, setSilencing] = useState(false);

  const groups = useMemo(() => {
    const test = matcherTest(matchers);
    const found = (list ?? [])
      .filter((i) => test({ ...i.labels, state: i.state, rule: i.rule }))
      .sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state) || severities.indexOf(a.severity) - severities.indexOf(b.severity) || (a.changed_at < b.changed_at ? 1 : -1));
    const out = new Map<string, Incident[]>();
    for (const i of found) out.set(groupOf(i, by), [...(out.get(groupOf(i, by)) ?? []), i]);
    return [...out];
  }, [list, matchers.map(matcherText).join(), by]);

  const heading = list ? sentence(list) : "Alerts";
  return (
    <AlertFrame
      tab="/alerts"
      title="Alerts"
      heading={
        <>
          {list && <span class={`lamp ${list.some((i) => i.state === "firing") ? "bad" : "up"}`} aria-hidden="true" />} {heading}
        </>
      }
    >
      <div class="tools spaced">
        <MatcherFilter label="Filter by labels" placeholder='severity="critical", hostname=~"web-.*"' of={filter} />
        <select aria-label="Group" value={by} onChange={(e) => setQuery("by", e.currentTarget.value)}>
          {groupings.map(([v, name]) => (
            <option key={v} value={v} selected={v === by}>
              {name}
            </option>
          ))}
        </select>
        <label class="check">
          <input type="checkbox" checked={withOver} onChange={(e) => setQuery("all", e.currentTarget.checked ? "1" : "")} /> Also what is over
        </label>
        {may("operator") && matchers.length > 0 && (
          <button type="button" class="plain" onClick={() => setSilencing(true)}>
            Silence these …
          </button>
        )}
      </div>
      {filter[2].wrong && <p class="help wrong">{filter[2].wrong}</p>}
      <Coming of={{ data: list, failure, since }} name="alerts" />
      {list && !list.length && (
        <Empty title="All is quiet">
          No rule finds anything wrong. <Link to="/rules">See the rules</Link>
        </Empty>
      )}
      {list && list.length > 0 && !groups.length && <Empty title="No alert matches">Nothing that is open has these labels.</Empty>}
      {groups.map(([name, incidents]) => (
        <Group key={name} name={name} list={incidents} />
      ))}
      {list && list.length >= mostIncidents && <p class="note foot">These are the last {mostIncidents}.</p>}
      {silencing && <SilenceDialog matchers={matchers.filter((m) => m.name !== "state" && m.name !== "rule").map(matcherText)} onClose={() => setSilencing(false)} />}
    </AlertFrame>
  );
}

function Group({ name, list }: { name: string; list: Incident[] }) {
  const [shown, more] = useGrowing(list.length, name);
  return (
    <section class="card" aria-label={name || "Alerts"}>
      {name && (
        <div class="top inner">
          <h2>
            {name} <span class="note">{list.length}</span>
          </h2>
        </div>
      )}
      <table class="list alerts">
        <thead>
          <tr>
            <th scope="col">Severity</th>
            <th scope="col">Alert</th>
            <th scope="col">Host</th>
            <th scope="col">State</th>
            <th scope="col" class="right">For</th>
          </tr>
        </thead>
        <tbody>
          {list.slice(0, shown).map((i) => (
            <AlertRow key={i.fingerprint} i={i} />
          ))}
        </tbody>
      </table>
      {more}
    </section>
  );
}

export const AlertRow = ({ i, host = true }: { i: Incident; host?: boolean }) => (
  <tr>
    <td>
      <SeverityWord severity={i.severity} />
    </td>
    <th scope="row">
      <Link to={incidentPath(i)}>{i.alert}</Link>
      <span class="sub any">{i.annotations?.summary ?? i.series}</span>
    </th>
    {host && (
      <td data-name="Host">
        <HostOf incident={i} />
      </td>
    )}
    <td data-name="State">
      <span>
        <IncidentWord state={i.state} />
        {i.acked_by && <span class="tag" title={i.ack_comment ?? ""}>taken by {i.acked_by.replace(/^\d+ /, "")}</span>}
      </span>
    </td>
    <td data-name="For" class="right nowrap">
      <Lasting of={i} />
    </td>
  </tr>
);
