// One rule: what it says, what it looks at, and what another wording would do.
import { useEffect, useState } from "preact/hooks";
import { messageOf, now, Problem } from "./api";
import { SeverityWord } from "./alertparts";
import { applyRules, type Backtest, backtest, deleteRule, type Rule, rule, rules, ruleVersions } from "./alerting";
import { Chart } from "./chart";
import { Editor, type Mistake, mistakeOf } from "./editor";
import { Choice, Field, useAsk } from "./form";
import { number, plural } from "./format";
import { graph, linesOf, promRange, type Drawing } from "./graph";
import { unitOf } from "./incident";
import { Coming, Empty, Heading, Notice, ProblemNotice, Refused, Skeleton, When } from "./parts";
import { useLoad, useTask } from "./poll";
import { go, Link } from "./route";
import { rulePage } from "./rules";
import { lookOf } from "./threshold";
import { may } from "./who";

const template = `alert: MemoryAlmostFull
series: sentinel_host_memory_used_percent
condition: above 90
recovery: below 85
for: 5m
severity: warning
annotations:
  summary: "{{ labels.hostname }}: {{ value | percent }} of its memory is in use"
`;

/** The text of a rule as a file of one group; the rule's first line is the file's
 * fifth. */
const fileOf = (group: string, text: string): string => `groups:\n- name: ${JSON.stringify(group)}\n  rules:\n  -\n${text.split("\n").map((l) => (l.trim() ? "    " + l : "")).join("\n")}\n`;
const linesBefore = 4;

export function RulePage({ group, alert }: { group: string; alert: string }) {
  const { data: r, failure, since, again } = useLoad((abort) => rule(group, alert, abort), 60_000, [group, alert]);
  if (failure?.trouble === "missing") {
    return (
      <>
        <Heading title="No such rule">There is no such rule</Heading>
        <Empty title={`${group}/${alert}`}>
          It may have been removed. <Link to="/rules">All rules</Link>
        </Empty>
      </>
    );
  }
  return (
    <Frame name={alert} heading={<>{alert} {r && <SeverityWord severity={r.severity} />}</>}>
      <Coming of={{ data: r, failure, since }} name="the rule" />
      {r && (
        <>
          <p class="lead">{r.sentence}</p>
          {r.asked?.error && (
            <Notice kind="warn" title="The expression is not answered; what was the case stays so.">
              {r.asked.error}
              {r.asked.answered_at && <> The last answer: <When time={r.asked.answered_at} />.</>}
            </Notice>
          )}
          <Work key={r.version} saved={r} group={group} onSaved={again} />
          <Versions of={r} />
        </>
      )}
    </Frame>
  );
}

export function NewRule() {
  const [group, setGroup] = useState("default");
  if (!may("operator")) return <Refused need="operator" what="Making rules" />;
  return (
    <Frame name="New rule" heading="New rule">
      <div class="pad-below">
        <Field label="Group" value={group} onValue={setGroup} required maxLength={128} autocomplete="off" spellcheck={false} />
      </div>
      <Work saved={null} group={group.trim() || "default"} onSaved={(r) => go(rulePage(r))} />
    </Frame>
  );
}

const Frame = ({ name, heading, children }: { name: string; heading: preact.ComponentChildren; children: preact.ComponentChildren }) => (
  <>
    <nav class="crumbs" aria-label="Where you are">
      <Link to="/rules">Rules</Link> <span aria-hidden="true">/</span> <span aria-current="page">{name}</span>
    </nav>
    <div class="top">
      <Heading title={name}>{heading}</Heading>
    </div>
    {children}
  </>
);

/** The text, checked while it is typed, beside what it looks at. */
function Work({ saved, group, onSaved }: { saved: Rule | null; group: string; onSaved: (r: Rule) => void }) {
  const [text, setText] = useState(saved?.yaml ?? template);
  const [read, setRead] = useState<Rule | null>(saved);
  const [mistake, setMistake] = useState<Mistake | null>(null);
  const [ask, dialog] = useAsk(() => go("/rules"));
  const [done, setDone] = useState("");
  const task = useTask();
  const mine = may("operator");
  const changed = text !== saved?.yaml;

  const refuse = (e: unknown) => setMistake(mistakeOf(e instanceof Problem ? (e.fields.yaml ?? e.message) : messageOf(e), linesBefore));
  useEffect(() => {
    if (!mine || !changed) {
      setMistake(null);
      setRead(saved);
      return;
    }
    const abort = new AbortController();
    const timer = setTimeout(() => {
      applyRules(fileOf(group, text), true, abort.signal).then(
        ([r]) => {
          setRead(r ?? null);
          setMistake(null);
        },
        (e) => abort.signal.aborted || refuse(e),
      );
    }, 400);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [text, group]);

  const save = () =>
    void task.run(async () => {
      // The name is the rule's identity: another name would be another rule beside it.
      if (saved && read && read.alert !== saved.alert) throw new Problem("invalid", `The rule's name is ${saved.alert}. Make a new rule for another name.`);
      if (!saved && read && (await rules(new AbortController().signal)).some((r) => r.group === group && r.alert === read.alert)) throw new Problem("conflict", `There is a rule ${group}/${read.alert} already.`);
      const [r] = await applyRules(fileOf(group, text), false);
      setDone("Saved. It holds within seconds.");
      if (r) onSaved(r);
    });

  return (
    <>
      <div class="panes work">
        <section class="card pad" aria-label="The rule's text">
          <Editor label={mine ? "The rule, as YAML" : "The rule"} value={text} onValue={setText} mistake={mistake} readOnly={!mine} />
          {changed && read && !mistake && <p class="note said">{read.sentence}</p>}
          <ProblemNotice problem={task.problem} />
          {done && !changed && <Notice kind="good" title={done} />}
          {mine && (
            <div class="buttons start">
              <button type="button" class="primary" disabled={!changed || !!mistake || task.busy} onClick={save}>
                Save
              </button>
              {saved && changed && (
                <button type="button" class="plain" onClick={() => setText(saved.yaml)}>
                  Undo
                </button>
              )}
              {saved && (
                <button type="button" class="plain bad" onClick={() => ask({ title: `Delete ${saved.alert}?`, action: "Delete", children: <p>What fires by it resolves. Its versions stay in the database.</p>, work: () => deleteRule(saved.group, saved.alert) })}>
                  Delete …
                </button>
              )}
            </div>
          )}
        </section>
        <div>
          {read ? <Look of={read} /> : <Skeleton name="the chart" />}
          {mine && <Playing group={group} text={text} bad={!!mistake} />}
        </div>
      </div>
      {dialog}
    </>
  );
}

const most = 12;

/** The series that it looks at now, with its thresholds. */
function Look({ of: r }: { of: Rule }) {
  const look = lookOf(r);
  const { data: d, failure } = useLoad<Drawing>(
    (abort) => {
      const to = now() / 1000;
      return look!.plain ? graph(look!.expr, to - 3600, to, abort, 240) : promRange(look!.expr, to - 3600, to, abort);
    },
    30_000,
    [look?.expr],
    !!look,
  );
  if (!look) return <Empty title="Nothing to draw">This rule is about whether agents answer, not about a value.</Empty>;
  if (failure) return <Notice kind="warn" title="This cannot be drawn.">{failure.message}</Notice>;
  if (!d) return <Skeleton name="the chart" />;
  const shown = d.series.slice(0, most);
  const note = d.series.length > most ? `${most} of ${d.series.length} series` : r.agents ? "of all agents" : "the last hour";
  return <Chart title="What it looks at" note={note} unit={unitOf(r.series ?? "", !!r.divided_by)} lines={linesOf(shown)} stacked={false} atLeast={0} top={undefined} from={d.from} to={d.to} gap={d.gap} marks={look.marks} />;
}

const spans: [string, string][] = [
  ["1h", "the last hour"],
  ["24h", "the last day"],
  ["168h", "the last 7 days"],
  ["720h", "the last 30 days"],
];

/** What would have come of it. */
function Playing({ group, text, bad }: { group: string; text: string; bad: boolean }) {
  const [since, setSince] = useState("24h");
  const [result, setResult] = useState<Backtest | null>(null);
  const task = useTask();
  useEffect(() => setResult(null), [text, since]);
  const played = result?.rules[0];
  return (
    <section class="card pad" aria-labelledby="backtest">
      <h2 id="backtest">Would it have fired?</h2>
      <div class="row">
        <Choice label="Play it over" value={since} onValue={setSince} options={spans} />
        <button type="button" class="plain low" disabled={task.busy || bad} onClick={() => void task.run(async () => setResult(await backtest(fileOf(group, text), since)))}>
          {task.busy ? "Playing …" : "Play"}
        </button>
      </div>
      <ProblemNotice problem={task.problem} />
      {result && played && (
        <div class="played" role="status">
          <p>
            It would have fired <b>{number(played.fired)}×</b> and sent <b>{plural(played.messages, "message", "messages")}</b>
            {played.current && (played.current.fired === played.fired ? ", as the rule that holds." : `; the rule that holds: ${number(played.current.fired)}×.`)}
          </p>
          <p class="note">
            {plural(result.agents, "agent", "agents")}, {plural(result.samples, "sample", "samples")}, {(result.took_ms / 1000).toFixed(1)} s{result.minutes && "; minutes were played"}
          </p>
          {result.transitions.length > 0 && (
            <ol class="timeline">
              {result.transitions.slice(0, 12).map((t) => (
                <li key={t.at + t.fingerprint + t.to}>
                  <span class={`pill ${t.to === "firing" ? "is-bad" : t.to === "pending" ? "is-warn" : "is-good"}`}>
                    <i aria-hidden="true" />
                    {t.to}
                  </span>
                  <span class="any">
                    {t.hostname || t.agent || t.series || "the fleet"} <span class="note">at {number(t.value)}</span>
                  </span>
                  <span class="note"><When time={t.at} /></span>
                </li>
              ))}
            </ol>
          )}
        </div>
      )}
    </section>
  );
}

function Versions({ of: r }: { of: Rule }) {
  const { data } = useLoad((abort) => ruleVersions(r.group, r.alert, abort), 300_000, [r.version]);
  const older = (data ?? []).filter((v) => v.version !== r.version);
  return (
    <section class="card pad" aria-labelledby="versions">
      <h2 id="versions">What it was</h2>
      <p class="note">
        As it is since <When time={r.changed_at} /> by {r.changed_by.replace(/^\d+ /, "")}.
      </p>
      {older.map((v) => (
        <details key={v.version}>
          <summary>
            <When time={v.changed_at} /> by {v.changed_by.replace(/^\d+ /, "")}: {v.sentence}
          </summary>
          <pre class="text" tabIndex={0} aria-label={`Version ${v.version}`}>{v.yaml}</pre>
        </details>
      ))}
    </section>
  );
}
