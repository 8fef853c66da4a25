// What every page of a host has at its top.
import type { ComponentChildren } from "preact";
import { Empty, Heading, stateOf, StatePill } from "./parts";
import type { Agent } from "./resources";
import { Link } from "./route";
import { may } from "./who";

export type HostTab = "" | "books" | "manage";

interface Props {
  id: string;
  agent: Agent | null;
  newest: number; // of its samples, where that is known; milliseconds since 1970
  tab: HostTab;
  aside?: ComponentChildren;
  missing: boolean;
  children: ComponentChildren;
}

export function HostFrame({ id, agent, newest, tab, aside, missing, children }: Props) {
  if (missing) {
    return (
      <>
        <Heading title="No such host">There is no such host</Heading>
        <Empty title={id}>
          No agent has this identity. <Link to="/">All hosts</Link>
        </Empty>
      </>
    );
  }
  const name = agent?.hostname || id;
  const tabs: [HostTab, string][] = [
    ["", "Metrics"],
    ["books", "Books"],
    ["manage", may("operator") ? "Manage" : "Keys"],
  ];
  const to = `/hosts/${encodeURIComponent(id)}`;
  return (
    <>
      <nav class="crumbs" aria-label="Where you are">
        <Link to="/">Hosts</Link> <span aria-hidden="true">/</span> {tab ? <Link to={to}>{name}</Link> : <span aria-current="page">{name}</span>}
      </nav>
      <Heading title={name}>
        {name} {agent && <StatePill state={stateOf(agent, newest)} />}
      </Heading>
      <div class="top under">
        <Tabs name="Of this host" tabs={tabs.map(([t, label]) => ({ to: t ? `${to}/${t}` : to, label, current: t === tab }))} />
        {aside}
      </div>
      {children}
    </>
  );
}

export const Tabs = ({ name, tabs }: { name: string; tabs: { to: string; label: string; current: boolean }[] }) => (
  <nav class="tabs" aria-label={name}>
    {tabs.map((t) => (
      <Link key={t.to} to={t.to} aria-current={t.current ? "page" : undefined}>
        {t.label}
      </Link>
    ))}
  </nav>
);
