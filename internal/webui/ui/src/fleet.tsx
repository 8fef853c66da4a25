// All hosts, those that need attention first.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { now } from "./api";
import { firing } from "./firing";
import { type FleetHost, filterOf, groupRows, type Row, rowsOf, sentence } from "./fleetdata";
import { number, plural } from "./format";
import { Ago, Empty, FailureNotice, Heading, Labels, Meter, Skeleton, type State, StatePill } from "./parts";
import { AddHosts } from "./lazy";
import { useHappenings } from "./live";
import { useLoad } from "./poll";
import { fleet } from "./resources";
import { address, go, Link, setQuery } from "./route";
import { may } from "./who";

const few = 200; // so many hosts are asked for often

export function Fleet() {
  const [every, setEvery] = useState(5000);
  const { data, failure, since, again } = useLoad(fleet, every);
  useHappenings("agent.", again);
  useEffect(() => setEvery(data && data.hosts.length > few ? 15_000 : 5000), [data]);
  const { query } = address.value;
  const adding = query.has("add") && may("operator");
  const [text, by] = [query.get("q") ?? "", query.get("by") ?? ""];

  const rows = useMemo(() => rowsOf(data?.hosts ?? [], firing.value ?? []), [data, firing.value]);
  const filter = useMemo(() => filterOf(text), [text]);
  const groups = useMemo(() => groupRows(filter.wrong || !text ? rows : rows.filter(filter.test), by), [rows, filter, by]);
  const labels = useMemo(() => [...new Set(rows.flatMap((r) => Object.keys(r.host.labels)))].sort(), [rows]);
  const found = groups.reduce((n, g) => n + g.rows.length, 0);

  return (
    <>
      <div class="top">
        <Heading title="Hosts">
          {data ? (
            <>
              <span class={`lamp ${rows.some((r) => r.critical) ? "bad" : rows.some((r) => r.attention) ? "silent" : rows.length ? "up" : "new"}`} aria-hidden="true" /> {rows.length ? sentence(rows) : "No host is registered yet."}
            </>
          ) : (
            "Hosts"
          )}
        </Heading>
        <div class="tools">
          {rows.length > 0 && (
            <>
              <input type="search" class="filter" placeholder='Name, or site="fra", role!="db"' aria-label="Filter hosts" aria-invalid={!!filter.wrong} title={filter.wrong} value={text} spellcheck={false} onInput={(e) => setQuery("q", e.currentTarget.value)} />
              {labels.length > 0 && (
                <select aria-label="Group hosts" value={by} onChange={(e) => setQuery("by", e.currentTarget.value)}>
                  <option value="">Not grouped</option>
                  {labels.map((l) => (
                    <option key={l} value={l} selected={l === by}>
                      By {l}
                    </option>
                  ))}
                </select>
              )}
            </>
          )}
          {may("operator") && data && (
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
      {filter.wrong && <p class="help wrong">{filter.wrong}</p>}
      {!data && !failure && <Skeleton name="hosts" />}
      {data && !rows.length && (
        <Empty title="Nothing to watch yet">
          {may("operator") ? "“Add hosts” makes a token and shows the one command that each host needs; it is here seconds later." : "An operator or administrator can add hosts."}
        </Empty>
      )}
      {rows.length > 0 && !found && <Empty title="No host matches">Nothing has “{text}” in its name, labels, system or state.</Empty>}
      {found > 0 && (
        <div class="card">
          <table class="hosts" aria-rowcount={found + 1}>
            <thead>
              <tr>
                <th scope="col">State</th>
                <th scope="col">Host</th>
                <th scope="col">CPU</th>
                <th scope="col">Last hour</th>
                <th scope="col">Memory</th>
                <th scope="col">Disk</th>
                <th scope="col" class="right">Load</th>
                <th scope="col">Labels</th>
                <th scope="col">Last seen</th>
              </tr>
            </thead>
            {groups.map((g, i) => (
              <GroupBody key={g.name} name={g.name} rows={g.rows} first={i === 0} />
            ))}
          </table>
        </div>
      )}
      {data?.cut && <p class="note foot">There are more hosts than these {plural(found, "host", "hosts")}: filter by labels to see the others.</p>}
    </>
  );
}

const block = 15;

/** Rows in blocks, of which only those near the screen are made. */
function GroupBody({ name, rows, first }: { name: string; rows: Row[]; first: boolean }) {
  const blocks = [];
  for (let i = 0; i < rows.length; i += block) blocks.push(<Block key={i} rows={rows.slice(i, i + block)} first={first && i === 0} />);
  const attention = rows.filter((r) => r.attention).length;
  return (
    <>
      {name && (
        <tbody class="group">
          <tr>
            <th colSpan={9} scope="rowgroup">
              {name} <span class="note">{plural(rows.length, "host", "hosts")}{attention > 0 && `, ${plural(attention, "needs", "need")} attention`}</span>
            </th>
          </tr>
        </tbody>
      )}
      {blocks}
    </>
  );
}

/** The height of a row that has not been there yet, in pixels. */
const guess = (): number => (window.matchMedia("(max-width: 860px)").matches ? 149 : 57);

function Block({ rows, first }: { rows: Row[]; first: boolean }) {
  const body = useRef<HTMLTableSectionElement>(null);
  const height = useRef(0); // of all rows, once they were there
  const [near, setNear] = useState(first);
  useEffect(() => {
    const watch = new IntersectionObserver(
      (es) => {
        const e = es.at(-1)!;
        if (!e.isIntersecting) height.current = e.boundingClientRect.height;
        setNear(e.isIntersecting);
      },
      { rootMargin: "250px" },
    );
    watch.observe(body.current!);
    return () => watch.disconnect();
  }, []);
  return (
    <tbody ref={body}>
      {near ? (
        rows.map((r) => <HostRow key={r.host.id} row={r} />)
      ) : (
        <tr class="gap" aria-hidden="true">
          <td colSpan={9} style={{ height: `${height.current || rows.length * guess()}px` }} />
        </tr>
      )}
    </tbody>
  );
}

const states: Record<FleetHost["state"], State> = { up: "up", silent: "silent", "never seen": "new", disabled: "disabled" };

function HostRow({ row: { host: h, alerts, critical } }: { row: Row }) {
  const to = `/hosts/${encodeURIComponent(h.id)}`;
  const open = (e: MouseEvent) => {
    if (!(e.target as Element).closest("a") && !getSelection()?.toString()) go(to);
  };
  const live = h.state === "up";
  return (
    <tr onClick={open}>
      <td>
        <StatePill state={states[h.state]} />
        {alerts > 0 && (
          <Link to={`/alerts?m=${encodeURIComponent(`agent="${h.id}"`)}`} class={`sev ${critical ? "critical" : "warning"}`}>
            {plural(alerts, "alert", "alerts")}
          </Link>
        )}
      </td>
      <th scope="row">
        <Link to={to}>{h.hostname || h.id}</Link>
        {h.hostname && <span class="sub">{h.id}</span>}
      </th>
      <td data-name="CPU" class="wide"><Meter percent={live ? h.cpu : undefined} name="CPU" /></td>
      <td data-name="Last hour" class="only-wide"><Spark values={h.spark} /></td>
      <td data-name="Memory" class="wide"><Meter percent={live ? h.memory : undefined} name="Memory" /></td>
      <td data-name="Disk" class="wide"><Meter percent={live ? h.disk : undefined} name="Disk" /></td>
      <td data-name="Load" class="right only-wide">{live && h.load1 !== undefined ? number(h.load1) : "–"}</td>
      <td class="tags">{Object.keys(h.labels).length ? <Labels labels={h.labels} /> : "–"}</td>
      <td data-name="Last seen">
        <Ago time={seen(h)} />
      </td>
    </tr>
  );
}

const [width, high] = [84, 22];

/** The CPU of the last hour as a line, from 0 to 100 %; where nothing is known, the
 * line ends. */
function Spark({ values }: { values: (number | null)[] | undefined }) {
  if (!values) return <span class="note">–</span>;
  let path = "";
  let down = false;
  values.forEach((v, i) => {
    if (v === null) return void (down = false);
    path += `${down ? "L" : "M"}${((i / Math.max(1, values.length - 1)) * width).toFixed(1)} ${(high - (Math.min(100, v) / 100) * (high - 2) - 1).toFixed(1)}`;
    if (!down && (values[i + 1] ?? null) === null) path += "h1"; // a value alone is a dot
    down = true;
  });
  const known = values.filter((v) => v !== null);
  return (
    <svg class="spark" viewBox={`0 0 ${width} ${high}`} width={width} height={high} role="img" aria-label={known.length ? `CPU of the last hour, from ${Math.round(Math.min(...known))} to ${Math.round(Math.max(...known))} percent` : "no values"}>
      <path d={path} fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" />
    </svg>
  );
}

/** A heartbeat comes every half minute, so "just now" is as near as it gets. */
const seen = (h: FleetHost): string | undefined => (h.last_seen && Date.parse(h.last_seen) > now() ? new Date(now()).toISOString() : h.last_seen);
