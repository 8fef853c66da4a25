// One alert: what is wrong, since when, who was told, and what can be done.
import { useState } from "preact/hooks";
import { now } from "./api";
import { HostOf, IncidentWord, Lasting, SeverityWord, words } from "./alertparts";
import { ackIncident, deliveries, explain, type Explained, type Delivery, type Incident, incident, type IncidentChange, rule, type Rule } from "./alerting";
import { Chart } from "./chart";
import { Ask, Field } from "./form";
import { number, plural, type Unit } from "./format";
import { graph, linesOf, promRange, type Drawing } from "./graph";
import { useHappenings } from "./live";
import { type Matcher, matcherText } from "./matchers";
import { Coming, Empty, FailureNotice, Heading, Labels, Notice, Skeleton, When } from "./parts";
import { useLoad } from "./poll";
import { Link } from "./route";
import { SilenceDialog } from "./silencing";
import { lookOf } from "./threshold";
import { may } from "./who";

export const unitOf = (series: string, ratio = false): Unit => (ratio ? "number" : /_percent\b/.test(series) ? "percent" : /_bytes\b/.test(series) ? "bytes" : "number");

export function AlertPage({ id }: { id: string }) {
  const { data: i, failure, since, again } = useLoad((abort) => incident(id, abort), 10_000, [id]);
  useHappenings("alert.", again);
  const [asking, setAsking] = useState<"ack" | "silence" | null>(null);
  if (failure?.trouble === "missing" || (failure?.trouble === "invalid" && !i)) {
    return (
      <>
        <Heading title="No such alert">There is no such alert</Heading>
        <Empty title={id}>
          It may be long over. <Link to="/alerts">All alerts</Link>
        </Empty>
      </>
    );
  }
  return (
    <>
      <nav class="crumbs" aria-label="Where you are">
        <Link to="/alerts">Alerts</Link> <span aria-hidden="true">/</span> <span aria-current="page">{i?.alert ?? id}</span>
      </nav>
      <div class="top">
        <Heading title={i ? `${i.alert} on ${i.hostname || "the fleet"}` : "Alert"}>
          {i ? (
            <>
              {i.alert} <IncidentWord state={i.state} /> <SeverityWord severity={i.severity} />
            </>
          ) : (
            "Alert"
          )}
        </Heading>
        {i && may("operator") && (
          <div class="row">
            {i.state === "firing" && !i.acked_by && (
              <button type="button" class="primary" onClick={() => setAsking("ack")}>
                Acknowledge …
              </button>
            )}
            <button type="button" class="plain" onClick={() => setAsking("silence")}>
              Silence …
            </button>
          </div>
        )}
      </div>
      <Coming of={{ data: i, failure, since }} name="the alert" />
      {i && <Content i={i} />}
      {i && asking === "ack" && <Acknowledge i={i} onClose={() => setAsking(null)} onDone={again} />}
      {i && asking === "silence" && <SilenceDialog matchers={narrow(i).map(matcherText)} onClose={() => setAsking(null)} onMade={again} />}
    </>
  );
}

/** What tells this alert from others, without what follows from the rest. */
function narrow(i: Incident): Matcher[] {
  const series = /\{(.*)\}/.exec(i.series ?? "")?.[1] ?? "";
  return Object.entries(i.labels)
    .filter(([k]) => k === "alertname" || k === "hostname" || series.includes(`${k}="`))
    .map(([name, value]) => ({ name, op: "=", value }));
}

function Acknowledge({ i, onClose, onDone }: { i: Incident; onClose: () => void; onDone: () => void }) {
  const [comment, setComment] = useState("");
  return (
    <Ask
      title="Take this alert on?"
      action="Acknowledge"
      danger={false}
      onClose={onClose}
      work={async () => {
        await ackIncident(i.fingerprint, comment.trim());
        onDone();
      }}
    >
      <p>It is neither repeated nor escalated while it fires. Others see that you look after it.</p>
      <Field label="Comment" value={comment} onValue={setComment} maxLength={1000} autocomplete="off" placeholder="Looking at it" />
    </Ask>
  );
}

function Content({ i }: { i: Incident & { timeline: IncidentChange[] } }) {
  const [group, alert] = [i.rule.slice(0, i.rule.lastIndexOf("/")), i.rule.slice(i.rule.lastIndexOf("/") + 1)];
  const { data: r } = useLoad((abort) => rule(group, alert, abort).catch(() => null), 60_000, [i.rule]);
  const facts: [string, preact.ComponentChildren][] = [
    ["Host", <HostOf incident={i} />],
    [i.ends_at ? "Lasted" : i.state === "pending" ? "Waits for" : "For", <Lasting of={i} />],
    ["Since", <When time={i.starts_at} />],
    ...(i.ends_at ? [["Over since", <When time={i.ends_at} />] as [string, preact.ComponentChildren]] : []),
    ...Object.entries(i.values ?? {}).map(([k, v]) => [k.charAt(0).toUpperCase() + k.slice(1), number(v)] as [string, string]),
    ["Rule", <Link to={`/rules/${i.rule.split("/").map(encodeURIComponent).join("/")}`}>{i.rule}</Link>],
    ["Labels", <Labels labels={Object.fromEntries(Object.entries(i.labels).filter(([k]) => !["agent", "alertname", "severity", "hostname"].includes(k)))} />],
  ];
  return (
    <>
      {i.annotations?.summary && <p class="lead">{i.annotations.summary}</p>}
      {Object.entries(i.annotations ?? {}).filter(([k]) => k !== "summary").map(([k, v]) => (
        <p key={k} class="note lead any">{v}</p>
      ))}
      {i.acked_by && (
        <Notice kind="info" title={`${i.acked_by.replace(/^\d+ /, "")} looks after it.`}>
          {i.ack_comment} <span class="note"><When time={i.acked_at} /></span>
        </Notice>
      )}
      {i.state === "unknown" && <Notice kind="warn" title={`It is not known whether this holds: ${words(i.reason)}.`}>Before that, it was {i.was || "inactive"}.</Notice>}
      <dl class="facts">
        {facts.map(([k, v]) => (
          <div key={k}>
            <dt>{k}</dt>
            <dd>{v}</dd>
          </div>
        ))}
      </dl>
      {r && <Course i={i} r={r} />}
      {i.runbook && (
        <p class="lead">
          Runbook: <RunbookLink url={i.runbook} />
        </p>
      )}
      <div class="panes">
        <section class="card" aria-labelledby="timeline">
          <div class="top inner">
            <h2 id="timeline">What became of it</h2>
          </div>
          <ol class="timeline">
            {[...i.timeline].sort((a, b) => (a.noted_at < b.noted_at ? 1 : -1)).map((c) => (
              <li key={c.noted_at + c.to}>
                <IncidentWord state={c.to} />
                <span>
                  {words(c.reason)}
                  {c.values?.value !== undefined && <span class="note"> at {number(c.values.value)}</span>}
                </span>
                <span class="note"><When time={c.at} /></span>
              </li>
            ))}
          </ol>
        </section>
        <Told i={i} />
      </div>
    </>
  );
}

/** Only what a browser opens as a page becomes a link. */
export const RunbookLink = ({ url }: { url: string }) =>
  /^https?:\/\//.test(url) ? (
    <a href={url} rel="noreferrer noopener" target="_blank">
      {url}
    </a>
  ) : (
    <>{url}</>
  );

/** What the rule looks at, from before it began until now. */
function Course({ i, r }: { i: Incident; r: Rule }) {
  const look = lookOf(r, i.series, [{ name: "agent", op: "=", value: i.agent }]);
  const starts = Date.parse(i.starts_at ?? i.changed_at) / 1000;
  const { data: d, failure } = useLoad<Drawing>(
    (abort) => {
      const to = i.ends_at ? Date.parse(i.ends_at) / 1000 + 900 : now() / 1000;
      const from = Math.max(Math.min(starts - 600, to - 900), to - 14 * 86_400);
      return look!.plain ? graph(look!.expr, from, to, abort) : promRange(look!.expr, from, to, abort);
    },
    i.ends_at ? 120_000 : 15_000,
    [i.fingerprint, look?.expr, i.ends_at],
    !!look,
  );
  if (!look) return null;
  if (failure) return <FailureNotice failure={failure} since={0} />;
  if (!d) return <Skeleton name="the chart" />;
  const unit = unitOf(i.series ?? "", !!r.divided_by);
  return (
    <div class="solo">
      <Chart title={r.sentence} note="" unit={unit} lines={linesOf(d.series)} stacked={false} atLeast={0} top={undefined} from={d.from} to={d.to} gap={d.gap} late={d.late} marks={look.marks} />
    </div>
  );
}

/** Who was told: attempts of the groups that the alert is in now. */
function Told({ i }: { i: Incident }) {
  const { data, failure } = useLoad<{ routes: Explained[]; sent: Delivery[] }>(
    async (abort) => {
      const routes = await explain(i.labels, abort);
      const keys = new Set(routes.map((r) => r.group_key));
      const all = await deliveries({ limit: "1000" }, abort);
      const from = Date.parse(i.starts_at ?? i.changed_at);
      return { routes, sent: all.filter((d) => keys.has(d.group_key) && Date.parse(d.at) >= from) };
    },
    10_000,
    [i.fingerprint],
  );
  return (
    <section class="card" aria-labelledby="told">
      <div class="top inner">
        <h2 id="told">Who is told</h2>
        <Link to={`/receivers?${Object.entries(i.labels).map(([k, v]) => `label=${encodeURIComponent(`${k}=${v}`)}`).join("&")}`}>Why these?</Link>
      </div>
      {failure && !data && <p class="inset note">{failure.message}</p>}
      {data && (
        <>
          <p class="inset">
            {[...new Set(data.routes.map((r) => r.receiver))].join(", ") || "Nobody"}
            {data.routes.some((r) => r.silenced_by?.length) && <span class="tag">silenced</span>}
            {data.routes.some((r) => r.muted_by?.length) && <span class="tag">muted</span>}
            {data.routes.some((r) => r.inhibited_by) && <span class="tag">inhibited</span>}
          </p>
          <ol class="timeline">
            {data.sent.slice(0, 20).map((d) => (
              <DeliveryLine key={d.id} d={d} />
            ))}
          </ol>
          {!data.sent.length && <p class="inset note">Nothing was sent since it began.</p>}
        </>
      )}
    </section>
  );
}

export const DeliveryLine = ({ d }: { d: Delivery }) => (
  <li>
    <span class={`pill ${d.error ? "is-bad" : "is-good"}`}>
      <i aria-hidden="true" />
      {d.error ? (d.gave_up ? "given up" : "failed") : "sent"}
    </span>
    <span class="any">
      {d.channel} <span class="note">{words(d.reason)}, {plural(d.alerts, "alert", "alerts")}{d.attempt > 1 && `, attempt ${d.attempt}`}</span>
      {d.error && <span class="sub any">{d.error}</span>}
    </span>
    <span class="note"><When time={d.at} /></span>
  </li>
);
