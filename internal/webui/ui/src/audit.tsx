// Who did what. New entries come by themselves; older ones on request.
import { useEffect, useRef, useState } from "preact/hooks";
import { Empty, FailureNotice, ProblemNotice, Skeleton, When } from "./parts";
import { usePoll, useTask } from "./poll";
import { audit, type AuditEntry } from "./resources";
import { address, setQuery } from "./route";

const filters: [key: string, label: string, example: string][] = [
  ["actor", "Who", "ann"],
  ["action", "What", "user, token.create …"],
  ["target", "To what", "ag-…"],
];

const pageSize = "100";

export function Audit() {
  const { query } = address.value;
  const wish = filters.map(([key]) => query.get(key) ?? "");
  const since = query.get("from") ?? "";
  return (
    <section class="card" aria-label="Audit log">
      <div class="top inner">
        <p class="note">Every change, newest first; new ones come by themselves.</p>
        <form class="filters" role="search" onSubmit={(e) => e.preventDefault()}>
          {filters.map(([key, label, example]) => (
            <Filter key={key} name={key} label={label} example={example} />
          ))}
          <select aria-label="Since when" value={since} onChange={(e) => setQuery("from", e.currentTarget.value)}>
            {[["", "All time"], ["1", "Last hour"], ["24", "Last day"], ["168", "Last 7 days"]].map(([v, name]) => (
              <option key={v} value={v} selected={v === since}>
                {name}
              </option>
            ))}
          </select>
        </form>
      </div>
      <Entries key={[...wish, since].join("\n")} wish={wish} hours={Number(since) || 0} />
    </section>
  );
}

/** A filter that is in the address once typing rests. */
function Filter({ name, label, example }: { name: string; label: string; example: string }) {
  const kept = address.value.query.get(name) ?? "";
  const [text, setText] = useState(kept);
  const timer = useRef(0);
  useEffect(() => setText(kept), [kept]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const type = (v: string) => {
    setText(v);
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => setQuery(name, v.trim()), 300);
  };
  return <input type="search" class="filter" placeholder={`${label}: ${example}`} aria-label={label} value={text} spellcheck={false} onInput={(e) => type(e.currentTarget.value)} />;
}

function Entries({ wish, hours }: { wish: string[]; hours: number }) {
  const [list, setList] = useState<AuditEntry[] | null>(null);
  const [next, setNext] = useState<string | undefined>();
  const [open, setOpen] = useState<number | null>(null);
  const asked = useRef(0);
  const kept = useRef<AuditEntry[]>([]);
  const more = useTask();
  const query: Record<string, string | undefined> = Object.fromEntries(filters.map(([key], i) => [key, wish[i]]));
  const [from] = useState(() => (hours ? new Date(Date.now() - hours * 3_600_000).toISOString() : undefined));
  const keep = (l: AuditEntry[]) => {
    kept.current = l;
    setList(l);
  };
  const failure = usePoll(
    async (abort) => {
      const newest = kept.current[0];
      if (newest) {
        const page = await audit({ ...query, from, since: String(newest.id), limit: "1000" }, abort);
        if (page.entries.length) keep([...page.entries.reverse(), ...kept.current]);
      } else {
        const page = await audit({ ...query, from, limit: pageSize }, abort);
        setNext(page.next);
        keep(page.entries);
      }
      asked.current = Date.now();
    },
    2000,
    [],
  );
  const older = () =>
    void more.run(async () => {
      const page = await audit({ ...query, from, limit: pageSize, after: next }, new AbortController().signal);
      setNext(page.next);
      keep([...kept.current, ...page.entries]);
    });
  if (!list) return failure ? <FailureNotice failure={failure} since={0} /> : <Skeleton name="the audit log" rows={6} />;
  return (
    <>
      {failure && <FailureNotice failure={failure} since={asked.current} />}
      {!list.length ? (
        <Empty title="No entry">{wish.some(Boolean) || hours ? "Nothing fits these filters." : "Nothing has been changed yet."}</Empty>
      ) : (
        <table class="list audit">
          <thead>
            <tr>
              <th scope="col">When</th>
              <th scope="col">Who</th>
              <th scope="col">What</th>
              <th scope="col">To what</th>
              <th scope="col">From</th>
              <th scope="col">Details</th>
            </tr>
          </thead>
          <tbody>
            {list.map((e) => (
              <tr key={e.id}>
                <th scope="row"><When time={e.at} /></th>
                <td data-name="Who">
                  <span>
                    {e.actor || "–"} {e.actor_kind !== "user" && e.actor_kind !== e.actor && <span class="note">{e.actor_kind}</span>}
                  </span>
                </td>
                <td data-name="What" class={/refused/.test(e.action) ? "is-bad" : ""}>{e.action}</td>
                <td data-name="To what" class={e.target ? "any" : "none"}>{e.target || "–"}</td>
                <td data-name="From" class={e.remote ? "" : "none"}>{e.remote || "–"}</td>
                <td data-name="Details" class={e.details || e.request_id ? "any" : "none"}>
                  {e.details || e.request_id ? (
                    <>
                      <button type="button" class="link" aria-expanded={open === e.id} title={`Details of entry ${e.id}`} onClick={() => setOpen(open === e.id ? null : e.id)}>
                        {open === e.id ? "Less" : brief(e.details) || "More"}
                      </button>
                      {open === e.id && <pre>{JSON.stringify({ ...e.details, ...(e.request_id && { request: e.request_id }) }, null, 1)}</pre>}
                    </>
                  ) : (
                    "–"
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <ProblemNotice problem={more.problem} />
      {next && (
        <button type="button" class="more" onClick={older} disabled={more.busy}>
          Older entries
        </button>
      )}
    </>
  );
}

/** The first words of an entry's details. */
export function brief(details: Record<string, unknown> | undefined): string {
  const text = Object.entries(details ?? {})
    .map(([k, v]) => `${k} ${typeof v === "object" ? JSON.stringify(v) : String(v)}`)
    .join(", ");
  return text.length > 48 ? text.slice(0, 47) + "…" : text;
}
