// One marked sample through every stage of the pipeline, timed.
import { useState } from "preact/hooks";
import { ask, sentence } from "./api";
import { Notice, ProblemNotice, Said, StateWord } from "./parts";
import { useTask } from "./poll";

interface Stage {
  name: string;
  what: string;
  state: "passed" | "failed" | "skipped";
  ms: number;
  error?: string;
}

interface Result {
  ok: boolean;
  started_at: string;
  took_ms: number;
  error?: string;
  stages: Stage[];
}

const selfTest = (): Promise<Result> => ask("POST", "/pipeline/self-test");

/** When each stage began, in milliseconds: one after the other; what judges alerts reads
 * the broker beside what stores. */
export function starts(stages: Pick<Stage, "name" | "ms">[]): number[] {
  let at = 0;
  let store = 0;
  return stages.map((s) => {
    if (s.name === "alerting") return store;
    if (s.name === "store") store = at;
    at += s.ms;
    return at - s.ms;
  });
}

const titles: Record<string, string> = { admit: "Admit", broker: "Broker", store: "Store", query: "Query", alerting: "Alerting" };
const words = { passed: "good", failed: "bad", skipped: "calm" } as const;

const millis = (ms: number): string => (ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`);

export function SelfTest() {
  const [result, setResult] = useState<Result | null>(null);
  const task = useTask();
  const run = () => {
    setResult(null);
    void task.run(async () => setResult(await selfTest()));
  };
  const from = starts(result?.stages ?? []);
  const whole = Math.max(1, ...(result?.stages ?? []).map((s, i) => from[i]! + s.ms));
  return (
    <section class="card selftest" aria-labelledby="selftest">
      <div class="top inner">
        <h2 id="selftest">
          Self-test <span class="note">one marked sample through every stage</span>
        </h2>
        <button type="button" class="plain" disabled={task.busy} onClick={run}>
          {task.busy ? "Running …" : result || task.problem ? "Run again" : "Run"}
        </button>
      </div>
      <div role="status">
        {task.busy && <p class="inset note">The sample is on its way; the test ends after 15 seconds at the most.</p>}
        {task.problem && <div class="say"><ProblemNotice problem={task.problem} /></div>}
        {result && (
          <div class="say">
            {result.ok ? <Notice kind="good" title={`Every stage works: ${millis(result.took_ms)} from admission to the answer of a query.`} /> : <Notice kind="bad" title="The sample did not come through."><Said text={sentence(result.error ?? "")} /></Notice>}
          </div>
        )}
      </div>
      {result && (
        <ol>
          {result.stages.map((s, i) => (
            <li key={s.name} class={s.state}>
              <span>
                <b>{titles[s.name] ?? s.name}</b>
                <span class="sub"><Said text={s.error ?? s.what} /></span>
              </span>
              <span class="track" aria-hidden="true">
                {s.state !== "skipped" && <span style={{ marginLeft: `${(from[i]! / whole) * 100}%`, width: `max(3px, ${(s.ms / whole) * 100}%)` }} />}
              </span>
              <span class="right">{s.state === "passed" ? millis(s.ms) : <StateWord kind={words[s.state]}>{s.state}</StateWord>}</span>
            </li>
          ))}
        </ol>
      )}
      {!result && !task.busy && !task.problem && <p class="inset note">It shows what works and where time goes, without a trace in anybody’s books: the sample belongs to no host.</p>}
    </section>
  );
}
