// Dead letters: batches that could not be used, kept until somebody decides.
import { useState } from "preact/hooks";
import { Dialog, useAsk } from "./form";
import { number, plural, value } from "./format";
import { Coming, Empty, FailureNotice, Notice, ProblemNotice, Skeleton, StateWord, useGrowing, When } from "./parts";
import { useLoad, useTask } from "./poll";
import { type DeadLetter, deadLetter, deadLetters, type LetterContent, type LetterFilter, purgeLetter, purgeLetters, replayLetter } from "./resources";
import { address, Link, setQuery } from "./route";
import { may } from "./who";

export function Letters() {
  const { query } = address.value;
  const [agent, reason, orphans] = [query.get("agent") ?? "", query.get("reason") ?? "", query.get("orphans") ?? ""];
  const filter: LetterFilter = { agent, reason, orphans };
  const { data: list, failure, since, again } = useLoad((abort) => deadLetters(filter, abort), 5000, [agent, reason, orphans]);
  const [ask, dialog] = useAsk(again);
  const [shown, more] = useGrowing(list?.length ?? 0, agent + reason + orphans);
  const show = Number(query.get("show")) || 0;
  const reasons = [...new Set([...(list ?? []).map((l) => l.reason), ...(reason ? [reason] : [])])].sort();
  const filtered = !!(agent || reason || orphans);
  const purgeAll = () =>
    ask({
      title: filtered ? "Purge these dead letters?" : "Purge all dead letters?",
      action: "Purge for good",
      typed: "purge",
      children: <p>{filtered ? "All that fit the filter go" : "All of them go"}, with their bytes, those included that came meanwhile. Their records stay counted as quarantined. This cannot be undone.</p>,
      work: () => purgeLetters(filter),
    });
  const purge = (l: DeadLetter) =>
    ask({
      title: `Purge dead letter ${l.id}?`,
      action: "Purge for good",
      children: <p>It goes with its bytes; {plural(l.charged, "record stays", "records stay")} counted as quarantined. This cannot be undone.</p>,
      work: () => purgeLetter(l.id),
    });
  return (
    <>
      <Coming of={{ data: list, failure, since }} name="dead letters" />
      {list && (
        <section class="card" aria-label="Dead letters">
          <div class="top inner">
            <p class="note">Batches that could not be used{list.length > 0 && `: ${list.length >= 1000 ? "the newest 1,000" : number(list.length)}`}.</p>
            {(list.length > 0 || filtered) && (
              <div class="filters">
                <select aria-label="Reason" value={reason} onChange={(e) => setQuery("reason", e.currentTarget.value)}>
                  <option value="">Any reason</option>
                  {reasons.map((r) => (
                    <option key={r} value={r} selected={r === reason}>
                      {r}
                    </option>
                  ))}
                </select>
                <label class="check">
                  <input type="checkbox" checked={orphans === "true"} onChange={(e) => setQuery("orphans", e.currentTarget.checked ? "true" : "")} /> Of no agent
                </label>
                {agent && (
                  <button type="button" class="plain" onClick={() => setQuery("agent", "")}>
                    {agent} ✕<span class="sr"> Show those of all agents</span>
                  </button>
                )}
                {may("admin") && list.length > 0 && (
                  <button type="button" class="plain bad" onClick={purgeAll}>
                    Purge {filtered ? "these" : "all"} …
                  </button>
                )}
              </div>
            )}
          </div>
          {!list.length ? (
            <Empty title={filtered ? "No dead letter fits" : "No dead letters"}>{filtered ? "Nothing here has this reason and origin." : "Every batch that came in could be used."}</Empty>
          ) : (
            <table class="list">
              <thead>
                <tr>
                  <th scope="col">Reason</th>
                  <th scope="col">Agent</th>
                  <th scope="col" class="right">Records</th>
                  <th scope="col">Received</th>
                  <th scope="col">State</th>
                  <th scope="col">
                    <span class="sr">Actions</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {list.slice(0, shown).map((l) => (
                  <tr key={l.id}>
                    <th scope="row">
                      <button type="button" class="link" onClick={() => setQuery("show", String(l.id))} aria-label={`Show dead letter ${l.id}, ${l.reason}`}>
                        {l.reason}
                      </button>
                      <span class="sub any">{l.detail}</span>
                    </th>
                    <td data-name="Agent">{l.orphan ? <span class="note">{l.agent || "unknown"} (not proven)</span> : <Link to={`/hosts/${encodeURIComponent(l.agent)}`}>{l.agent}</Link>}</td>
                    <td data-name="Records" class="right">{number(l.count)}</td>
                    <td data-name="Received"><When time={l.received_at} /></td>
                    <td data-name="State"><Fate letter={l} /></td>
                    <td class="acts">
                      {may("admin") && (
                        <button type="button" class="link bad" onClick={() => purge(l)} aria-label={`Purge dead letter ${l.id}`}>
                          Purge
                        </button>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
          {more}
        </section>
      )}
      {show > 0 && <Letter key={show} id={show} onClose={() => setQuery("show", "")} onChange={again} />}
      {dialog}
    </>
  );
}

/** What has become of it since it came. A try after the last replay says that the
 * replay was of no use. */
function Fate({ letter: l }: { letter: DeadLetter }) {
  if (!l.replayed_at) return <StateWord kind="calm">waits</StateWord>;
  if (l.tried_at && l.tried_at >= l.replayed_at) return <StateWord kind="bad">replay failed</StateWord>;
  return <StateWord kind="warn">replayed</StateWord>; // it goes once its records are stored
}

function Letter({ id, onClose, onChange }: { id: number; onClose: () => void; onChange: () => void }) {
  const { data: l, failure, since, again } = useLoad((abort) => deadLetter(id, abort), 2000, [id]);
  const [replayed, setReplayed] = useState(false);
  const task = useTask();
  const gone = failure?.trouble === "missing";
  const replay = () =>
    void task.run(async () => {
      await replayLetter(id);
      setReplayed(true);
      again();
      onChange();
    });
  return (
    <Dialog title={`Dead letter ${id}`} onClose={onClose} wide>
      <div class="stack">
        {gone && replayed ? (
          <Notice kind="good" title="It is stored.">The replay was good, and the dead letter is gone.</Notice>
        ) : gone ? (
          <Notice kind="info" title="It is not here any more.">It was replayed or purged.</Notice>
        ) : (
          failure && <FailureNotice failure={failure} since={since} />
        )}
        {!l && !failure && <Skeleton name="the dead letter" />}
        {l && !gone && <Content letter={l} />}
        <ProblemNotice problem={task.problem} />
        <div class="buttons">
          <button type="button" class="plain" onClick={onClose}>
            Close
          </button>
          {may("operator") && l && !gone && (
            <button type="button" class="primary" disabled={task.busy || !l.replayable} onClick={replay} title={l.replayable ? "" : "Its bytes are not a whole batch"}>
              Replay
            </button>
          )}
        </div>
      </div>
    </Dialog>
  );
}

function Content({ letter: l }: { letter: LetterContent }) {
  const rows: [string, preact.ComponentChildren][] = [
    ["Reason", <><b>{l.reason}</b> {l.detail}</>],
    ["State", <Fate letter={l} />],
    ["Agent", l.orphan ? `${l.agent || "unknown"}, which nothing proves` : l.agent],
    ["Records", `${number(l.count)}, from number ${number(l.seq)} of epoch ${l.epoch}`],
    ["Holds", [l.codec?.replace(/^CODEC_(.*)_V(\d+)$/, (_, what: string, v: string) => `${what.toLowerCase()}, version ${v}`), l.cycles && plural(l.cycles, "cycle", "cycles"), l.series && `of ${plural(l.series, "series", "series")}`, l.losses && plural(l.losses, "declared loss", "declared losses"), value(l.bytes, "bytes")].filter(Boolean).join(", ")],
    ["Of the time", l.from && l.to ? <><When time={l.from} /> to <When time={l.to} /></> : "–"],
    ["Signed with", l.key_id ? <code>{l.key_id}</code> : "–"],
    ["Received", <When time={l.received_at} />],
    ["Replayed", <When time={l.replayed_at} none="never" />],
  ];
  return (
    <>
      <dl class="pairs">
        {rows.map(([k, v]) => (
          <div key={k}>
            <dt>{k}</dt>
            <dd class="any">{v}</dd>
          </div>
        ))}
      </dl>
      {l.unread && <Notice kind="info" title="Not all of it can be read.">{l.unread}</Notice>}
    </>
  );
}
