// Who is told what: routes, receivers, what was sent, what could not be.
import { useEffect, useState } from "preact/hooks";
import { messageOf, Problem } from "./api";
import { AlertFrame, words } from "./alertparts";
import { deliveries, discardUndelivered, explain, type Explained, notificationConfig, type NotificationConfig, putNotificationConfig, type Receiver, receivers, replayUndelivered, type Route, testReceiver, undelivered } from "./alerting";
import { Editor, mistakeOf } from "./editor";
import { useAsk } from "./form";
import { DeliveryLine } from "./incident";
import { Coming, Empty, FailureNotice, Notice, ProblemNotice, When } from "./parts";
import { useLoad, useTask } from "./poll";
import { address, setQuery } from "./route";
import { may } from "./who";

export function Receivers() {
  const load = useLoad(async (abort) => {
    const [config, list] = await Promise.all([notificationConfig(abort), receivers(abort)]);
    return { config, list };
  }, 30_000);
  const { data, again } = load;
  const [taken, setTaken] = useState<Explained[]>([]);
  return (
    <AlertFrame tab="/receivers" title="Receivers">
      <Coming of={load} name="receivers" />
      {data && data.config.version === 0 && <Notice kind="info" title="Nobody is told of alerts yet.">{may("admin") ? "Write below who is to be told." : "An administrator can say who is to be told."}</Notice>}
      {data && (
        <>
          <div class="panes">
            <section class="card pad" aria-labelledby="routes">
              <h2 id="routes">Where alerts go</h2>
              <p class="note">An alert takes the first route that it fits, and those after it where it says “goes on”.</p>
              <ul class="tree">
                <RouteItem r={data.config.route} taken={new Set(taken.map((t) => t.path))} />
              </ul>
              <Where onTaken={setTaken} taken={taken} />
            </section>
            <section class="card" aria-labelledby="channels">
              <div class="top inner">
                <h2 id="channels">Who can be told</h2>
              </div>
              {data.list.map((r) => (
                <ReceiverItem key={r.name} r={r} />
              ))}
            </section>
          </div>
          <GivenUp />
          <Sent list={data.list} />
          <ConfigText config={data.config} onSaved={again} />
        </>
      )}
    </AlertFrame>
  );
}

function RouteItem({ r, taken }: { r: Route; taken: Set<string> }) {
  const notes = [
    r.group_by?.length && (r.group_by[0] === "..." ? "each alert by itself" : `grouped by ${r.group_by.join(", ")}`),
    `waits ${r.group_wait}, repeats after ${r.repeat_interval}`,
    r.mute?.length && `not during ${r.mute.join(", ")}`,
    r.active?.length && `only during ${r.active.join(", ")}`,
    ...(r.escalations ?? []),
  ].filter(Boolean);
  return (
    <li class={taken.has(r.path) ? "taken" : ""} title={r.path}>
      <div>
        <code>{r.matchers === "{}" ? "everything" : r.matchers.slice(1, -1)}</code> <span aria-hidden="true">→</span> <b>{r.receiver}</b>
        {r.continue && <span class="tag">goes on</span>}
        {taken.has(r.path) && <span class="tag">this way</span>}
        <span class="sub">{notes.join("; ")}</span>
      </div>
      {r.routes && (
        <ul>
          {r.routes.map((below) => (
            <RouteItem key={below.path} r={below} taken={taken} />
          ))}
        </ul>
      )}
    </li>
  );
}

/** Asks where an alert with some labels would go; they are in the address. */
function Where({ taken, onTaken }: { taken: Explained[]; onTaken: (t: Explained[]) => void }) {
  const kept = address.value.query.getAll("label").join(", ");
  const [text, setText] = useState(kept);
  const [wrong, setWrong] = useState("");
  const labels = Object.fromEntries(text.split(",").map((p) => p.trim()).filter((p) => p.includes("=")).map((p) => [p.slice(0, p.indexOf("=")).trim(), p.slice(p.indexOf("=") + 1).trim().replace(/^"(.*)"$/, "$1")]));
  const key = JSON.stringify(labels);
  useEffect(() => {
    if (!Object.keys(labels).length) {
      setWrong("");
      return onTaken([]);
    }
    const abort = new AbortController();
    const timer = setTimeout(() => {
      explain(labels, abort.signal).then(
        (t) => {
          setWrong("");
          onTaken(t);
        },
        (e) => abort.signal.aborted || setWrong(messageOf(e)),
      );
    }, 300);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [key]);
  return (
    <div class="where">
      <label for="where">Where would this go?</label>
      <input id="where" class="filter matchers" placeholder="alertname=DiskFull, severity=critical" value={text} spellcheck={false} autocomplete="off" onInput={(e) => setText(e.currentTarget.value)} />
      {wrong && <p class="help wrong">{wrong}</p>}
      <div role="status">
        {taken.map((t) => (
          <p key={t.path}>
            To <b>{t.receiver}</b> by <code>{t.path}</code>
            {t.silenced_by?.length ? "; silenced now" : ""}
            {t.muted_by?.length ? `; muted by ${t.muted_by.join(", ")}` : ""}
            {t.inhibited_by ? `; inhibited by ${t.inhibited_by}` : ""}
            {t.escalations?.length ? `; ${t.escalations.join(", ")}` : ""}
          </p>
        ))}
      </div>
    </div>
  );
}

function ReceiverItem({ r }: { r: Receiver }) {
  return (
    <div class="inset receiver">
      <b>{r.name}</b>
      {!r.channels.length && <span class="note">tells nobody</span>}
      {r.channels.map((c) => (
        <ChannelItem key={c.id} id={c.id} kind={c.kind} />
      ))}
    </div>
  );
}

function ChannelItem({ id, kind }: { id: string; kind: string }) {
  const task = useTask();
  const [sent, setSent] = useState(false);
  return (
    <div class="channel">
      <span>
        {kind} <code>{id}</code>
      </span>
      {may("operator") && (
        <button
          type="button"
          class="plain"
          disabled={task.busy}
          aria-label={`Send a test message through ${id}`}
          onClick={() => {
            setSent(false);
            void task.run(() => testReceiver(id)).then(setSent);
          }}
        >
          {task.busy ? "Sending …" : "Test"}
        </button>
      )}
      <div role="status">
        {sent && <span class="pill is-good"><i aria-hidden="true" />arrived</span>}
        {task.problem && <span class="help wrong any">{task.problem.message}</span>}
      </div>
    </div>
  );
}

function GivenUp() {
  const { data: list, failure, again } = useLoad(undelivered, 10_000);
  const [ask, dialog] = useAsk(again);
  const task = useTask();
  if (failure && !list) return <Notice kind="warn" title="The notifier does not answer.">{failure.message}</Notice>;
  if (!list?.length) return null;
  return (
    <section class="card" aria-labelledby="given-up">
      <div class="top inner">
        <h2 id="given-up">
          Given up <span class="note">messages that could not be delivered</span>
        </h2>
      </div>
      <ProblemNotice problem={task.problem} />
      <table class="list">
        <thead>
          <tr>
            <th scope="col">Channel</th>
            <th scope="col">Alerts</th>
            <th scope="col">When</th>
            <th scope="col">
              <span class="sr">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {list.map((u) => (
            <tr key={u.id}>
              <th scope="row">
                {u.channel}
                <span class="sub any">{u.error}</span>
              </th>
              <td data-name="Alerts" class="any">
                <span>
                  {u.alerts.join(", ")} <span class="note">{words(u.reason)}</span>
                </span>
              </td>
              <td data-name="When"><When time={u.at} /></td>
              <td class="acts">
                {may("operator") && (
                  <>
                    <button type="button" class="link" disabled={task.busy} aria-label={`Send again: ${u.alerts.join(", ")}`} onClick={() => void task.run(() => replayUndelivered(u.id)).then(again)}>
                      Send again
                    </button>
                    <button
                      type="button"
                      class="link bad"
                      aria-label={`Discard: ${u.alerts.join(", ")}`}
                      onClick={() => ask({ title: "Discard this message?", action: "Discard", children: <p>It is never sent. The alert itself stays as it is.</p>, work: () => discardUndelivered(u.id) })}
                    >
                      Discard
                    </button>
                  </>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {dialog}
    </section>
  );
}

/** The delivery log. */
function Sent({ list }: { list: Receiver[] }) {
  const { query } = address.value;
  const [channel, failed] = [query.get("channel") ?? "", query.get("failed") ?? ""];
  const { data, failure, since } = useLoad((abort) => deliveries({ channel, failed, limit: "100" }, abort), 10_000, [channel, failed]);
  return (
    <section class="card" aria-labelledby="sent">
      <div class="top inner">
        <h2 id="sent">What was sent</h2>
        <div class="filters">
          <select aria-label="Receiver" value={channel} onChange={(e) => setQuery("channel", e.currentTarget.value)}>
            <option value="">Everybody</option>
            {list.map((r) => (
              <option key={r.name} value={r.name} selected={r.name === channel}>
                {r.name}
              </option>
            ))}
          </select>
          <label class="check">
            <input type="checkbox" checked={failed === "true"} onChange={(e) => setQuery("failed", e.currentTarget.checked ? "true" : "")} /> Only what failed
          </label>
        </div>
      </div>
      {failure && <FailureNotice failure={failure} since={since} />}
      {data && !data.length && <Empty title="Nothing was sent">{channel || failed ? "Nothing in the log fits." : "As soon as somebody is told of something, it stands here."}</Empty>}
      <ol class="timeline">
        {data?.map((d) => (
          <DeliveryLine key={d.id} d={d} />
        ))}
      </ol>
    </section>
  );
}

/** The file itself. Its secrets never come here: who changes it writes all of them. */
function ConfigText({ config, onSaved }: { config: NotificationConfig; onSaved: () => void }) {
  const [text, setText] = useState(config.yaml);
  const [open, setOpen] = useState(false);
  const task = useTask();
  const hidden = text.includes("<secret>");
  useEffect(() => setText(config.yaml), [config.version]);
  const p = task.problem;
  const mistake = p instanceof Problem && p.trouble === "invalid" ? mistakeOf(p.fields.yaml ?? p.message) : null;
  return (
    <section class="card pad" aria-labelledby="file">
      <h2 id="file">The notification file</h2>
      <p class="note">
        {config.version ? (
          <>
            Version {config.version}, <When time={config.changed_at} /> by {config.changed_by?.replace(/^\d+ /, "")}.
          </>
        ) : (
          "Nobody has written one."
        )}
      </p>
      {!open ? (
        <button type="button" class="plain" onClick={() => setOpen(true)}>
          {may("admin") ? "Show and change …" : "Show …"}
        </button>
      ) : (
        <div class="stack">
          <Editor label="YAML" value={text} onValue={setText} mistake={mistake} readOnly={!may("admin")} />
          {p && !mistake && <ProblemNotice problem={p} />}
          {may("admin") && hidden && <p class="note">Secrets are not shown. Write each in the place of &lt;secret&gt; before saving, or name a file that holds it.</p>}
          {may("admin") && (
            <div class="buttons start">
              <button type="button" class="primary" disabled={task.busy || hidden || text === config.yaml} onClick={() => void task.run(async () => void (await putNotificationConfig(text, config.version))).then((good) => good && onSaved())}>
                Save
              </button>
              <button type="button" class="plain" onClick={() => { setText(config.yaml); setOpen(false); task.clear(); }}>
                Close
              </button>
            </div>
          )}
        </div>
      )}
    </section>
  );
}
