// What may be done with a host: labels, keys, disabling, removal.
import { useEffect, useState } from "preact/hooks";
import { now, Problem } from "./api";
import { Area, useAsk } from "./form";
import { until } from "./format";
import { HostFrame } from "./hostframe";
import { labelsText, parseLabels } from "./labels";
import { Coming, Labels, Notice, ProblemNotice, StateWord, When } from "./parts";
import { useLoad, useTask } from "./poll";
import { type Agent, agent, changeAgent, deleteAgent, type Key, keys, revokeKey, rotateKey } from "./resources";
import { go } from "./route";
import { may } from "./who";

export function HostManage({ id }: { id: string }) {
  const load = useLoad(async (abort) => Promise.all([agent(id, abort), keys(id, abort)]), 2000, [id]);
  const { data, failure, again } = load;
  const [removed, setRemoved] = useState(false);
  const [a, ks] = data ?? [null, null];
  return (
    <HostFrame id={id} agent={a} newest={0} tab="manage" missing={failure?.trouble === "missing" && !removed}>
      <Coming of={load} name="the host" />
      {a && ks && (
        <>
          {may("operator") && <LabelEditor agent={a} onChange={again} />}
          <Keys agent={a} keys={ks} onChange={again} />
          {may("operator") && <Existence agent={a} onChange={again} onRemoved={() => setRemoved(true)} />}
        </>
      )}
    </HostFrame>
  );
}

/** Edits labels. What somebody else changed meanwhile is shown and never overwritten
 * unseen: the change is sent with the ETag of what is shown. */
function LabelEditor({ agent: a, onChange }: { agent: Agent; onChange: () => void }) {
  const [base, setBase] = useState<Agent | null>(null); // what the edit began with
  const [text, setText] = useState("");
  const [theirs, setTheirs] = useState<Agent | null>(null);
  const [saved, setSaved] = useState(false);
  const task = useTask();
  const shown = labelsText(a.labels);
  const now = base ? text : shown;
  const parsed = parseLabels(now);
  const dirty = base !== null && text !== labelsText(base.labels);

  const edit = (v: string) => {
    setSaved(false);
    if (!base) setBase(a);
    setText(v);
  };
  const leave = () => {
    setBase(null);
    setTheirs(null);
    task.clear();
  };
  const submit = async (e: Event) => {
    e.preventDefault();
    if (parsed.wrong) return;
    const good = await task.run(async () => {
      try {
        await changeAgent(a.id, (base ?? a).etag, { labels: parsed.labels });
      } catch (e) {
        if (!(e instanceof Problem && e.trouble === "conflict")) throw e;
        setTheirs(await agent(a.id));
        throw new Problem("conflict", "Somebody changed this host meanwhile, so your labels were not saved.");
      }
    });
    if (!good) return;
    leave();
    setSaved(true);
    onChange();
  };
  return (
    <section class="card pad" aria-labelledby="labels">
      <h2 id="labels">Labels</h2>
      <form class="stack" onSubmit={submit}>
        <Area label="One a line, name=value" rows={Math.max(2, now.split("\n").length)} value={now} onValue={edit} wrong={parsed.wrong} placeholder="site=fra" />
        {theirs ? (
          <Notice kind="warn" title={task.problem?.message ?? ""}>
            It has now: {Object.keys(theirs.labels).length ? <Labels labels={theirs.labels} /> : "no labels"}{" "}
            <span class="row">
              <button type="button" class="plain" onClick={leave}>
                Take theirs
              </button>
              <button
                type="button"
                class="plain"
                onClick={() => {
                  setBase(theirs);
                  setTheirs(null);
                  task.clear();
                }}
              >
                Keep mine, to save it over theirs
              </button>
            </span>
          </Notice>
        ) : (
          <ProblemNotice problem={task.problem} />
        )}
        {saved && !dirty && <Notice kind="good" title="The labels are saved." />}
        <div class="buttons start">
          <button type="submit" class="primary" disabled={task.busy || !!parsed.wrong || (!dirty && !base) || !!theirs}>
            Save labels
          </button>
          {base && !theirs && (
            <button type="button" class="plain" onClick={leave}>
              Undo
            </button>
          )}
        </div>
      </form>
    </section>
  );
}

const keyStates: Record<Key["state"], ["good" | "warn" | "bad" | "calm", string]> = {
  pending: ["warn", "handed over to the agent, which has to prove it"],
  active: ["good", "signs what the agent sends"],
  retiring: ["calm", "still good for what is on the way"],
  revoked: ["bad", "nothing signed with it is taken"],
};

function Keys({ agent: a, keys, onChange }: { agent: Agent; keys: Key[]; onChange: () => void }) {
  const [ask, dialog] = useAsk(onChange);
  const [rotated, setRotated] = useState("");
  const fresh = keys.find((k) => k.id === rotated);
  useEffect(() => {
    if (rotated && !fresh) onChange();
  }, [rotated]);
  const rotate = () =>
    ask({
      title: "Rotate the key?",
      action: "Rotate",
      danger: false,
      children: <p>The agent gets a new key in its session and proves it. Only then the old one’s grace begins, and nothing that is on the way is refused.</p>,
      work: async () => setRotated((await rotateKey(a.id)).key_id),
    });
  const revoke = (k: Key) =>
    ask({
      title: "Revoke this key?",
      action: "Revoke",
      children: (
        <>
          <p>
            Within seconds nothing signed with <code>{k.id}</code> is taken, what is on the way included.
          </p>
          {k.state === "active" && <p><b>It is the key in use.</b> The agent is refused until it has another credential; it keeps what it collects. To replace a key without that, rotate it.</p>}
        </>
      ),
      work: () => revokeKey(a.id, k.id),
    });
  return (
    <section class="card" aria-labelledby="keys">
      <div class="top inner">
        <h2 id="keys">
          Keys <span class="note">each batch is signed with one</span>
        </h2>
        {may("operator") && (
          <button type="button" class="plain" onClick={rotate} disabled={a.disabled} title={a.disabled ? "A disabled agent cannot prove a new key" : ""}>
            Rotate
          </button>
        )}
      </div>
      <table class="list">
        <thead>
          <tr>
            <th scope="col">Key</th>
            <th scope="col">State</th>
            <th scope="col">Made</th>
            <th scope="col">Proven</th>
            <th scope="col">Ends</th>
            <th scope="col">
              <span class="sr">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {[...keys].reverse().map((k) => (
            <tr key={k.id}>
              <th scope="row">
                <code>{k.id}</code>
              </th>
              <td data-name="State" title={keyStates[k.state][1]}>
                <StateWord kind={keyStates[k.state][0]}>{k.state}</StateWord> <span class="note only-wide">{keyStates[k.state][1]}</span>
              </td>
              <td data-name="Made"><When time={k.created_at} /></td>
              <td data-name="Proven"><When time={k.activated_at} none="not yet" /></td>
              <td data-name="Ends">{k.expires_at && k.state === "retiring" ? until(Date.parse(k.expires_at), now()) : "–"}</td>
              <td class="acts">
                {may("operator") && k.state !== "revoked" && (
                  <button type="button" class="link bad" onClick={() => revoke(k)} aria-label={`Revoke key ${k.id}`}>
                    Revoke
                  </button>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <div class="say" aria-live="polite">
        {rotated && (fresh?.state === "active" ? <Notice kind="good" title={`The agent signs with its new key, ${rotated}.`} /> : <Notice kind="info" title="The new key is on its way.">The agent gets it with its session and proves it; the old key stays good until then.</Notice>)}
      </div>
      {dialog}
    </section>
  );
}

function Existence({ agent: a, onChange, onRemoved }: { agent: Agent; onChange: () => void; onRemoved: () => void }) {
  const [ask, dialog] = useAsk(onChange);
  const task = useTask();
  const name = a.hostname || a.id;
  const set = (disabled: boolean) => changeAgent(a.id, a.etag, { disabled });
  const disable = () => ask({ title: `Disable ${name}?`, action: "Disable", children: <p>The server refuses it within seconds. Nothing is lost: it keeps what it collects, as far as its log may grow.</p>, work: () => set(true) });
  const remove = () =>
    ask({
      title: `Delete ${name}?`,
      action: "Delete for good",
      typed: name,
      children: (
        <p>
          This cannot be undone. {a.in_flight > 0 && `It still has ${a.in_flight} records on the way. `}If its agent still runs, it is refused from now on: uninstall it there.
        </p>
      ),
      work: async () => {
        await deleteAgent(a.id);
        onRemoved();
        go("/");
      },
    });
  return (
    <section class="card pad" aria-labelledby="existence">
      <h2 id="existence">{may("admin") ? "Disable or delete" : "Disable"}</h2>
      <div class="choice">
        <div>
          <b>{a.disabled ? "This host is disabled" : "Disable this host"}</b>
          <p class="note">A disabled host is refused within seconds. It keeps what it collects in its own log, and sends it once it is enabled again.</p>
        </div>
        {a.disabled ? (
          <button type="button" class="primary" disabled={task.busy} onClick={() => void task.run(async () => (await set(false), onChange()))}>
            Enable
          </button>
        ) : (
          <button type="button" class="plain" onClick={disable}>
            Disable …
          </button>
        )}
      </div>
      <ProblemNotice problem={task.problem} />
      {may("admin") && (
        <div class="choice">
          <div>
            <b>Delete this host</b>
            <p class="note">Its keys, books, dead letters and series go for good, and its samples can no longer be read.</p>
          </div>
          <button type="button" class="plain bad" onClick={remove}>
            Delete …
          </button>
        </div>
      )}
      {dialog}
    </section>
  );
}
