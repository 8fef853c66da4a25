// Small parts that several pages show.
import { useEffect, useRef, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { now, type Problem, sentence, type Trouble } from "./api";
import { ago, clock, moment, value } from "./format";
import type { Failure, Loaded } from "./poll";
import type { Agent } from "./resources";
import { nameOf, who } from "./who";

/** Without a sign of life for this long, a host counts as silent: four heartbeats. */
export const silentAfter = 120_000;

export type State = "up" | "silent" | "new" | "disabled";

/** What an agent's last heartbeat, or anything newer that is known of it, says. */
export function stateOf(a: Agent, newestSample = 0): State {
  if (a.disabled) return "disabled";
  const seen = Math.max(a.last_seen ? Date.parse(a.last_seen) : 0, newestSample);
  if (!seen) return "new";
  return now() - seen > silentAfter ? "silent" : "up";
}

const stateNames: Record<State, string> = { up: "up", silent: "silent", new: "not seen yet", disabled: "disabled" };

export const StatePill = ({ state }: { state: State }) => (
  <span class={`pill ${state}`}>
    <i aria-hidden="true" />
    {stateNames[state]}
  </span>
);

export const Labels = ({ labels }: { labels: Record<string, string> }) => (
  <span class="labels">
    {Object.entries(labels)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([k, v]) => (
        <span class="label" key={k}>
          {k}={v}
        </span>
      ))}
  </span>
);

/** Renders again every second, for texts that tell how long ago something was. */
export function useSeconds(): void {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, []);
}

export function Ago({ time, none = "never" }: { time: string | undefined; none?: string }) {
  useSeconds();
  if (!time) return <>{none}</>;
  return (
    <time dateTime={time} title={new Date(time).toLocaleString()}>
      {ago(Date.parse(time), now())}
    </time>
  );
}

/** A percentage as a small bar and a number. */
export function Meter({ percent, name }: { percent: number | undefined; name: string }) {
  if (percent === undefined) return <span class="meter none" aria-label={`${name}: no value`}>–</span>;
  const level = percent >= 90 ? "high" : percent >= 75 ? "warm" : "fine";
  return (
    <span class="meter">
      <span class="track" aria-hidden="true">
        <span class={level} style={{ width: `${Math.min(100, Math.max(percent, 0.5))}%` }} />
      </span>
      <span class="num">{value(percent, "percent")}</span>
    </span>
  );
}

export const Notice = ({ kind, title, children }: { kind: "info" | "good" | "warn" | "bad"; title: string; children?: ComponentChildren }) => (
  <div class={`notice ${kind}`} role={kind === "bad" ? "alert" : "status"}>
    <strong>{title}</strong>
    {children && <span>{children}</span>}
  </div>
);

/** Says what went wrong and what happens next; `since` is when what is shown was asked for. */
export function FailureNotice({ failure, since }: { failure: Failure; since: number }) {
  useSeconds();
  const wait = Math.max(0, Math.ceil((failure.retryAt - Date.now()) / 1000));
  const held = since ? ` What you see is from ${clock(since / 1000, true)}.` : "";
  const calm = failure.trouble === "missing" || failure.trouble === "unauthenticated";
  return (
    <Notice kind={failure.trouble === "forbidden" ? "warn" : "bad"} title={titleOf(failure.trouble)}>
      {failure.trouble !== "down" && <Said text={sentence(failure.message)} />}
      {failure.trouble === "forbidden" && " " + roleHelp()}
      {held} {calm ? "" : wait ? `Trying again in ${wait} s.` : "Trying again now."}
    </Notice>
  );
}

/** A message of the service, with its commands as such: they stand between backticks. */
export const Said = ({ text }: { text: string }) => <>{text.split("`").map((part, i) => (i % 2 ? <code key={i}>{part}</code> : part))}</>;

const titles: Partial<Record<Trouble, string>> = {
  down: "The service does not answer.",
  missing: "Not found.",
  unauthenticated: "Signed out.",
  conflict: "That does not fit what is there now.",
  busy: "Too many attempts.",
};

const titleOf = (t: Trouble): string => (t === "forbidden" ? "Your role may not do this." : (titles[t] ?? "That did not work."));

const roleHelp = (): string =>
  who.value ? `You are signed in as ${who.value.kind === "user" ? who.value.name : `the token ${nameOf(who.value)}`}, with the role ${who.value.role}. An administrator can give you another.` : "";

/** What stopped something that was asked for once. */
export const ProblemNotice = ({ problem }: { problem: Problem | null }) =>
  problem && (
    <Notice kind={problem.trouble === "forbidden" || problem.trouble === "conflict" ? "warn" : "bad"} title={titleOf(problem.trouble)}>
      {problem.trouble === "down" ? "This can be repeated once it does." : <Said text={problem.message} />} {problem.trouble === "forbidden" && roleHelp()}
    </Notice>
  );

/** In the place of a page that a role may not see. */
export const Refused = ({ need, what }: { need: string; what: string }) => (
  <Empty title="Your role does not reach here">
    {what} needs the role {need}. {roleHelp()}
  </Empty>
);

/** In the place of what is asked for and not there: that it comes, or why not. With
 * what was there before, only what is wrong. */
export const Coming = ({ of: { data, failure, since }, name }: { of: Pick<Loaded<unknown>, "data" | "failure" | "since">; name: string }) =>
  failure ? <FailureNotice failure={failure} since={since} /> : !data ? <Skeleton name={name} /> : null;

/** Where nothing is known yet. */
export const Skeleton = ({ name, rows = 3 }: { name: string; rows?: number }) => (
  <div class="card skeleton" role="status" aria-label={`Loading ${name}`}>
    {Array.from({ length: rows }, (_, i) => (
      <i key={i} />
    ))}
  </div>
);

export const StateWord = ({ kind, children }: { kind: "good" | "warn" | "bad" | "calm"; children: ComponentChildren }) => (
  <span class={`pill is-${kind}`}>
    <i aria-hidden="true" />
    {children}
  </span>
);

/** A number that is looked at first. */
export const Tile = ({ name, big, note }: { name: string; big: string; note: string }) => (
  <div class="card">
    <dt>{name}</dt>
    <dd>
      <span class="big">{big}</span>
      <span class="note">{note}</span>
    </dd>
  </div>
);

/** A name and what it is, in a list of pairs. */
export const Pair = ({ name, value, bad = false }: { name: string; value: ComponentChildren; bad?: boolean }) => (
  <div>
    <dt>{name}</dt>
    <dd class={bad ? "is-bad" : ""}>{value}</dd>
  </div>
);

/** A point in time: a date where it is long ago or ahead, else the time of day. */
export function When({ time, none = "–" }: { time: string | undefined; none?: string }) {
  if (!time) return <>{none}</>;
  const d = new Date(time);
  return (
    <time dateTime={time} title={d.toLocaleString()}>
      {moment(d.getTime() / 1000, now() / 1000)}
    </time>
  );
}

export const Empty = ({ title, children }: { title: string; children?: ComponentChildren }) => (
  <div class="empty">
    <h2>{title}</h2>
    {children && <p>{children}</p>}
  </div>
);

/** The page's heading; it takes the focus when the page opens, so that a screen
 * reader says where one is. */
export function Heading({ children, title }: { children: ComponentChildren; title: string }) {
  const h = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · Sentinel`;
  }, [title]);
  useEffect(() => h.current?.focus({ preventScroll: true }), []);
  return (
    <h1 ref={h} tabIndex={-1}>
      {children}
    </h1>
  );
}

const batch = 100;

/** How many rows of a long list to render, and what to put at its end: coming near
 * the end renders more. */
export function useGrowing(total: number, key: string): [number, ComponentChildren] {
  const [shown, setShown] = useState(batch);
  const end = useRef<HTMLButtonElement>(null);
  useEffect(() => setShown(batch), [key]);
  const more = () => setShown((n) => n + batch);
  useEffect(() => {
    if (!end.current) return;
    const watch = new IntersectionObserver((es) => es.some((e) => e.isIntersecting) && more(), { rootMargin: "600px" });
    watch.observe(end.current);
    return () => watch.disconnect();
  }, [shown < total, shown]);
  const rest = total - shown;
  return [
    Math.min(shown, total),
    rest > 0 && (
      <button type="button" class="more" ref={end} onClick={more}>
        Show {Math.min(batch, rest)} more of {total}
      </button>
    ),
  ];
}
