// What the pages about alerts share.
import { useEffect, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { now } from "./api";
import type { Incident, IncidentState, Severity } from "./alerting";
import { duration } from "./format";
import { Tabs } from "./hostframe";
import { type Matchers, parseMatchers } from "./matchers";
import { Heading, StateWord, useSeconds } from "./parts";
import { address, Link, setQuery } from "./route";

const places = [
  ["/alerts", "Alerts"],
  ["/rules", "Rules"],
  ["/silences", "Silences"],
  ["/receivers", "Receivers"],
] as const;

/** What every page about alerts has at its top. */
export function AlertFrame({ tab, title, heading, aside, children }: { tab: string; title: string; heading?: ComponentChildren; aside?: ComponentChildren; children: ComponentChildren }) {
  return (
    <>
      <Heading key={tab} title={title}>
        {heading ?? title}
      </Heading>
      <div class="top under">
        <Tabs name="About alerts" tabs={places.map(([to, label]) => ({ to, label, current: to === tab }))} />
        {aside && <div class="aside">{aside}</div>}
      </div>
      {children}
    </>
  );
}

export const severities: Severity[] = ["critical", "warning", "info"];

export const SeverityWord = ({ severity }: { severity: string }) => <span class={`sev ${severity}`}>{severity}</span>;

const kinds: Record<IncidentState, "bad" | "warn" | "calm" | "good"> = { firing: "bad", pending: "warn", unknown: "calm", resolved: "good", inactive: "calm" };

/** Who an alert is about: a host, or what an expression over all of them found. */
export const HostOf = ({ incident: i }: { incident: { agent: string; hostname: string } }) =>
  i.agent ? <Link to={`/hosts/${encodeURIComponent(i.agent)}`}>{i.hostname || i.agent}</Link> : <>{i.hostname || "the fleet"}</>;

export const IncidentWord = ({ state }: { state: string }) => <StateWord kind={kinds[state as IncidentState] ?? "calm"}>{state}</StateWord>;

/** For how long it is, or was, so. */
export function Lasting({ of: i }: { of: Incident }) {
  useSeconds();
  const from = Date.parse(i.fired_at ?? i.starts_at ?? i.changed_at);
  const to = i.ends_at ? Date.parse(i.ends_at) : now();
  return <>{duration((to - from) / 1000)}</>;
}

export const words = (reason: string): string => reason.replaceAll("_", " ");

/** Matchers that are in the address once they can be read. */
export function useMatchers(key = "m"): [text: string, set: (t: string) => void, parsed: Matchers] {
  const kept = address.value.query.get(key) ?? "";
  const [text, setText] = useState(kept);
  useEffect(() => setText((t) => (parseMatchers(t).wrong ? t : kept)), [kept]);
  const set = (t: string) => {
    setText(t);
    if (!parseMatchers(t).wrong) setQuery(key, t);
  };
  return [text, set, parseMatchers(text)];
}

export function MatcherFilter({ label, placeholder, of: [text, set, parsed] }: { label: string; placeholder: string; of: ReturnType<typeof useMatchers> }) {
  return <input type="search" class="filter matchers" placeholder={placeholder} aria-label={label} title={parsed.wrong} value={text} spellcheck={false} autocomplete="off" aria-invalid={!!parsed.wrong} onInput={(e) => set(e.currentTarget.value)} />;
}
