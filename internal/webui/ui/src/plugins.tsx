// Plugins: which agents are to run them, and how far that has come.
import { ask } from "./api";
import { words } from "./alertparts";
import { useAsk } from "./form";
import { plural } from "./format";
import { Ago, Coming, Empty, Labels, Notice, StateWord, useGrowing } from "./parts";
import { PushPlugin } from "./pluginpush";
import { useLoad } from "./poll";
import { address, Link, setQuery } from "./route";
import { may } from "./who";

export interface Plugin {
  name: string;
  version: string;
  digest: string;
  previous?: string;
  selector: Record<string, string>;
  stages: number[];
  stage: number;
  halted?: string;
  agents: number;
  running: number;
  failed: number;
  waiting: number;
  changed_at: string;
}

export interface PluginState {
  agent: string;
  plugin: string;
  version: string;
  state: string; // running, backing_off, quarantined or refused
  error?: string;
  unsigned: boolean;
  reported_at: string;
}

const plugins = async (abort: AbortSignal): Promise<Plugin[]> => (await ask<{ plugins: Plugin[] }>("GET", "/plugins", { abort })).plugins;
export const pluginStates = async (abort: AbortSignal): Promise<PluginState[]> => (await ask<{ states: PluginState[] }>("GET", "/plugin-states", { abort })).states;
const deletePlugin = (name: string): Promise<void> => ask("DELETE", `/plugins/${encodeURIComponent(name)}`);

export function Plugins() {
  const { data, failure, since, again } = useLoad(async (abort) => {
    const [list, states] = await Promise.all([plugins(abort), pluginStates(abort)]);
    return { list, states };
  }, 5000);
  const [ask, dialog] = useAsk(again);
  const remove = (p: Plugin) => ask({ title: `Remove ${p.name}?`, action: "Remove", typed: p.name, children: <p>All its versions go, here and from {plural(p.agents, "agent", "agents")}. What it collected stays.</p>, work: () => deletePlugin(p.name) });
  const push = address.value.query.get("push") ?? "";
  const pushed = data?.list.find((p) => p.name === push);
  const [rows, more] = useGrowing(data?.states.length ?? 0, "");
  return (
    <>
      <Coming of={{ data: data, failure, since }} name="plugins" />
      {may("admin") && data && (
        <div class="top">
          <p class="note">Collectors in WebAssembly, delivered to agents by their labels, in stages.</p>
          <button type="button" class="plain" onClick={() => setQuery("push", "1")}>
            Push a plugin …
          </button>
        </div>
      )}
      {data && !data.list.length && !data.states.length && (
        <Empty title="No plugin is rolled out">
          {may("admin") ? (
            <>
              “Push a plugin” uploads a signed bundle; <code>sentinelctl plugin new</code> begins one, <code>sentinelctl plugin pack</code> makes the bundle.
            </>
          ) : (
            "An administrator delivers signed bundles here, by labels and in stages."
          )}
        </Empty>
      )}
      {data?.list.map((p) => (
        <section class="card pad" key={p.name} aria-label={p.name}>
          <div class="top">
            <h2>
              {p.name} <span class="note">{p.version}{p.previous && `, before ${p.previous}`}</span> <RolloutWord p={p} />
            </h2>
            {may("admin") && (
              <span class="row">
                <button type="button" class="plain" onClick={() => setQuery("push", p.name)} aria-label={`Change the roll-out of ${p.name} …`}>
                  Change …
                </button>
                <button type="button" class="plain bad" onClick={() => remove(p)} aria-label={`Remove ${p.name} …`}>
                  Remove …
                </button>
              </span>
            )}
          </div>
          {p.halted && <Notice kind="bad" title="It goes no further.">{p.halted}</Notice>}
          <Progress p={p} />
          <div class="row stages">
            <span class="note">Stages</span>
            <Stages p={p} />
          </div>
          <p class="note">
            For {Object.keys(p.selector).length ? <Labels labels={p.selector} /> : "all agents"}. Changed <Ago time={p.changed_at} />.
          </p>
        </section>
      ))}
      {data && data.states.length > 0 && (
        <section class="card" aria-labelledby="states">
          <div class="top inner">
            <h2 id="states">On the agents</h2>
          </div>
          <table class="list">
            <thead>
              <tr>
                <th scope="col">Plugin</th>
                <th scope="col">Agent</th>
                <th scope="col">Version</th>
                <th scope="col">State</th>
                <th scope="col">Said</th>
              </tr>
            </thead>
            <tbody>
              {data.states.slice(0, rows).map((s) => (
                <StateRow key={s.agent + s.plugin} s={s} />
              ))}
            </tbody>
          </table>
          {more}
        </section>
      )}
      {dialog}
      {push && may("admin") && data && (push === "1" || pushed) && (
        <PushPlugin
          key={push}
          of={pushed}
          onClose={() => setQuery("push", "")}
          onDone={() => {
            setQuery("push", "");
            again();
          }}
        />
      )}
    </>
  );
}

export const PluginWord = ({ state }: { state: string }) => <StateWord kind={state === "running" ? "good" : state === "backing_off" ? "warn" : "bad"}>{words(state)}</StateWord>;

const StateRow = ({ s }: { s: PluginState }) => (
  <tr>
    <th scope="row">
      {s.plugin}
      {s.unsigned && <span class="tag">unsigned</span>}
      {s.error && <span class="sub any">{s.error}</span>}
    </th>
    <td data-name="Agent">
      <Link to={`/hosts/${encodeURIComponent(s.agent)}`}>{s.agent}</Link>
    </td>
    <td data-name="Version">{s.version}</td>
    <td data-name="State"><PluginWord state={s.state} /></td>
    <td data-name="Said"><Ago time={s.reported_at} /></td>
  </tr>
);

function RolloutWord({ p }: { p: Plugin }) {
  if (p.halted) return <StateWord kind="bad">halted</StateWord>;
  if (p.stage >= p.stages.length && p.running >= p.agents) return <StateWord kind="good">everywhere</StateWord>;
  return <StateWord kind="warn">rolling out</StateWord>;
}

/** The stages: those that are over, the one that runs, those to come. */
const Stages = ({ p }: { p: Plugin }) => (
  <ol aria-label={`Stages of ${p.name}`}>
    {p.stages.map((percent, i) => {
      const done = i + 1 < p.stage || (p.stage >= p.stages.length && p.running >= p.agents && !p.halted);
      const now = i + 1 === p.stage && !done;
      return (
        <li key={percent} class={done ? "done" : now ? (p.halted ? "halted" : "now") : ""} aria-current={now ? "step" : undefined}>
          {percent} %<span class="sr">{done ? ", done" : now ? (p.halted ? ", halted" : ", now") : ", to come"}</span>
        </li>
      );
    })}
  </ol>
);

/** How many of the agents run it, in one bar. */
function Progress({ p }: { p: Plugin }) {
  const part = (n: number) => `${p.agents ? (n / p.agents) * 100 : 0}%`;
  return (
    <div class="rollout">
      <span class="track" aria-hidden="true">
        <span class="fine" style={{ width: part(p.running) }} />
        <span class="high" style={{ width: part(p.failed) }} />
        <span class="warm" style={{ width: part(p.waiting) }} />
      </span>
      <span>
        {p.running} of {plural(p.agents, "agent", "agents")} {p.running === 1 ? "runs" : "run"} it{p.failed > 0 && `, ${p.failed} ${p.failed === 1 ? "says that it cannot" : "say that they cannot"}`}
        {p.waiting > 0 && `, ${p.waiting} ${p.waiting === 1 ? "has" : "have"} not answered yet`}
      </span>
    </div>
  );
}
