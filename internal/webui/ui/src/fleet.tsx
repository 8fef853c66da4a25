// All hosts, the silent ones first.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { now } from "./api";
import { plural } from "./format";
import { Ago, Empty, FailureNotice, Heading, Labels, Meter, Skeleton, stateOf, type State, StatePill, useGrowing } from "./parts";
import { AddHosts } from "./lazy";
import { useLoad, usePoll } from "./poll";
import { type Agent, agents, latest } from "./resources";
import { address, go, Link, setQuery } from "./route";
import { may } from "./who";

const order: State[] = ["silent", "up", "new", "disabled"];

interface Row {
  agent: Agent;
  state: State;
}

/** Every word must be in something that the row shows. */
function matches(r: Row, words: string[]): boolean {
  const a = r.agent;
  const text = [a.hostname, a.id, a.os, a.arch, a.version, r.state, ...Object.entries(a.labels).map(([k, v]) => `${k}=${v}`)].join(" ").toLowerCase();
  return words.every((w) => text.includes(w));
}

function sentence(rows: Row[]): string {
  const n = (s: State) => rows.filter((r) => r.state === s).length;
  const is = (k: number) => `${k} ${k === 1 ? "is" : "are"}`;
  const more = [n("new") && `${is(n("new"))} not seen yet`, n("disabled") && `${is(n("disabled"))} disabled`].filter(Boolean);
  return `${plural(n("up"), "host is", "hosts are")} up, ${is(n("silent"))} silent${more.length ? ", " + more.join(", ") : ""}.`;
}

export function Fleet() {
  const { data: list, failure, since, again } = useLoad(agents, 5000);
  const adding = address.value.query.has("add") && may("operator");

  const filter = address.value.query.get("q") ?? "";
  const rows = useMemo(
    () =>
      (list ?? [])
        .map((agent) => ({ agent, state: stateOf(agent) }))
        .sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state) || a.agent.hostname.localeCompare(b.agent.hostname, "en", { numeric: true })),
    [list],
  );
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const found = words.length ? rows.filter((r) => matches(r, words)) : rows;
  const [shown, more] = useGrowing(found.length, filter);
  const silent = rows.some((r) => r.state === "silent");

  return (
    <>
      <div class="top">
        <Heading title="Hosts">
          {list ? (
            <>
              <span class={`lamp ${silent ? "silent" : rows.some((r) => r.state === "up") ? "up" : "new"}`} aria-hidden="true" /> {rows.length ? sentence(rows) : "No host is registered yet."}
            </>
          ) : (
            "Hosts"
          )}
        </Heading>
        <div class="tools">
          {rows.length > 0 && (
            <input type="search" class="filter" placeholder="Filter by name, label, OS, state …" aria-label="Filter hosts" value={filter} onInput={(e) => setQuery("q", e.currentTarget.value)} />
          )}
          {may("operator") && list && (
            <button type="button" class={rows.length ? "plain" : "primary"} onClick={() => setQuery("add", "1")}>
              Add hosts
            </button>
          )}
        </div>
      </div>
      {adding && (
        <AddHosts
          onClose={() => {
            setQuery("add", "");
            again();
          }}
        />
      )}
      {failure && <FailureNotice failure={failure} since={since} />}
      {!list && !failure && <Skeleton name="hosts" />}
      {list && !rows.length && (
        <Empty title="Nothing to watch yet">
          {may("operator") ? "“Add hosts” makes a token and shows the one command that each host needs; it is here seconds later." : "An operator or administrator can add hosts."}
        </Empty>
      )}
      {rows.length > 0 && !found.length && <Empty title="No host matches">Nothing has “{filter}” in its name, labels, system or state.</Empty>}
      {found.length > 0 && (
        <div class="card">
          <table class="hosts">
            <thead>
              <tr>
                <th scope="col">State</th>
                <th scope="col">Host</th>
                <th scope="col">System</th>
                <th scope="col">CPU</th>
                <th scope="col">Memory</th>
                <th scope="col">Disk</th>
                <th scope="col">Labels</th>
                <th scope="col">Version</th>
                <th scope="col">Last seen</th>
              </tr>
            </thead>
            <tbody>
              {found.slice(0, shown).map((r) => (
                <HostRow key={r.agent.id} row={r} every={rows.length > 5 ? 15_000 : 5000} />
              ))}
            </tbody>
          </table>
          {more}
        </div>
      )}
    </>
  );
}

const usageMetrics = ["sentinel_host_cpu_used_percent", "sentinel_host_memory_used_percent", "sentinel_host_disk_used_percent"];

/** A row asks for its own usage, and only while it is on the screen. */
function HostRow({ row: { agent: a, state }, every }: { row: Row; every: number }) {
  const tr = useRef<HTMLTableRowElement>(null);
  const [visible, setVisible] = useState(false);
  const [usage, setUsage] = useState<(number | undefined)[]>([]);
  useEffect(() => {
    const watch = new IntersectionObserver((es) => setVisible(es.at(-1)!.isIntersecting));
    watch.observe(tr.current!);
    return () => watch.disconnect();
  }, []);
  usePoll(
    async (abort) => {
      const answers = await Promise.all(usageMetrics.map((m) => latest(a.id, abort, m)));
      // A file system each has its own share: the fullest counts.
      setUsage(answers.map((ss) => (ss.length ? Math.max(...ss.map((s) => s.value)) : undefined)));
    },
    every,
    [a.id],
    visible && state === "up",
  );
  const to = `/hosts/${encodeURIComponent(a.id)}`;
  const open = (e: MouseEvent) => {
    if (!(e.target as Element).closest("a") && !getSelection()?.toString()) go(to);
  };
  const [cpu, memory, disk] = state === "up" ? usage : [];
  return (
    <tr ref={tr} onClick={open}>
      <td>
        <StatePill state={state} />
      </td>
      <th scope="row">
        <Link to={to}>{a.hostname || a.id}</Link>
        {a.hostname && <span class="sub">{a.id}</span>}
      </th>
      <td data-name="System">{a.os ? `${a.os}/${a.arch}` : "–"}</td>
      <td data-name="CPU" class="wide"><Meter percent={cpu} name="CPU" /></td>
      <td data-name="Memory" class="wide"><Meter percent={memory} name="Memory" /></td>
      <td data-name="Disk" class="wide"><Meter percent={disk} name="Disk" /></td>
      <td class="tags">{Object.keys(a.labels).length ? <Labels labels={a.labels} /> : "–"}</td>
      <td data-name="Version">{a.version || "–"}</td>
      <td data-name="Last seen">
        <Ago time={seen(a)} />
      </td>
    </tr>
  );
}

/** A heartbeat comes every half minute, so "just now" is as near as it gets. */
const seen = (a: Agent): string | undefined => (a.last_seen && Date.parse(a.last_seen) > now() ? new Date(now()).toISOString() : a.last_seen);
