// The way of a plugin to the agents: a signed bundle, whom it is for, in which stages.
import { useId, useState } from "preact/hooks";
import { ask, Problem } from "./api";
import { Area, Choice, Field, FormDialog } from "./form";
import { plural, value } from "./format";
import { labelsText, parseLabels } from "./labels";
import type { Plugin } from "./plugins";
import { useLoad, useTask } from "./poll";
import { agents } from "./resources";

interface Bundle {
  name: string;
  version: string;
  signer: string;
  manifest: string;
}

const addPlugin = (content: string): Promise<Bundle> => ask("POST", "/plugins", { body: { content } });
const rollOut = (name: string, body: { version: string; selector: Record<string, string>; stages: number[]; hold_seconds: number }): Promise<void> => ask("PUT", `/plugins/${encodeURIComponent(name)}/rollout`, { body });

/** Uploads a bundle, then asks for whom it is; with a plugin that is rolled out already
 * only the latter. */
export function PushPlugin({ of, onClose, onDone }: { of?: Plugin | undefined; onClose: () => void; onDone: () => void }) {
  const [bundle, setBundle] = useState<Bundle | null>(null);
  if (!of && !bundle) return <Upload onClose={onClose} onBundle={setBundle} />;
  return <RollOut name={(of ?? bundle!).name} version={(of ?? bundle!).version} bundle={bundle} of={of} onClose={onClose} onDone={onDone} />;
}

const magic = "SENTPLG1";
const largest = 17 << 20; // bytes; the service says more exactly what is too large

/** Reads a file as base64; throws a Problem where it cannot be a bundle. */
async function read(file: File): Promise<string> {
  const wrong = (text: string) => new Problem("invalid", text, { content: text });
  if (file.size > largest) throw wrong(`${file.name} has ${value(file.size, "bytes")}: a bundle has 16 MiB at the most.`);
  if ((await file.slice(0, magic.length).text()) !== magic) throw wrong(`${file.name} is no bundle: sentinelctl plugin pack makes one of a plugin.`);
  const url = await new Promise<string>((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result as string);
    reader.onerror = () => fail(wrong(`${file.name} cannot be read.`));
    reader.readAsDataURL(file);
  });
  return url.slice(url.indexOf(",") + 1);
}

function Upload({ onClose, onBundle }: { onClose: () => void; onBundle: (b: Bundle) => void }) {
  const id = useId();
  const [file, setFile] = useState<File | null>(null);
  const task = useTask();
  const bad = task.problem?.fields.content;
  return (
    <FormDialog key="upload" title="Push a plugin" action={task.busy ? "Uploading …" : "Upload"} blocked={!file} task={bad ? { ...task, problem: null } : task} work={async () => onBundle(await addPlugin(await read(file!)))} onClose={onClose} onDone={() => {}}>
      <p class="note">
        A bundle that <code>sentinelctl plugin pack</code> has made and signed. Uploading alone runs it nowhere.
      </p>
      <div class="field">
        <label for={id}>Bundle</label>
        <input
          id={id}
          type="file"
          accept=".plugin"
          aria-invalid={!!bad}
          aria-describedby={id + "h"}
          onChange={(e) => {
            setFile(e.currentTarget.files?.[0] ?? null);
            task.clear();
          }}
        />
        <p id={id + "h"} class={bad ? "help wrong" : "help"}>{bad || "A file NAME-VERSION.plugin. Each agent itself decides whose signature it trusts."}</p>
      </div>
    </FormDialog>
  );
}

const holds: [string, string][] = [
  ["5", "5 seconds"],
  ["60", "1 minute"],
  ["600", "10 minutes"],
  ["3600", "1 hour"],
  ["86400", "1 day"],
];

/** Percents that rise, as people type them. */
export function parseStages(text: string): { stages: number[]; wrong: string } {
  const stages = text.split(/[\s,]+/).map((p) => p.replace(/%$/, "")).filter(Boolean).map(Number);
  const good = stages.every((s, i) => Number.isInteger(s) && s >= 1 && s <= 100 && (i === 0 || s > stages[i - 1]!));
  return { stages, wrong: good && stages.length ? "" : "Write percents from 1 to 100 that rise, such as 1, 10, 50, 100" };
}

function RollOut({ name, version, bundle, of, onClose, onDone }: { name: string; version: string; bundle: Bundle | null; of: Plugin | undefined; onClose: () => void; onDone: () => void }) {
  const [labels, setLabels] = useState(of ? labelsText(of.selector) : "");
  const [stages, setStages] = useState(of ? of.stages.join(", ") : "10, 100");
  const [hold, setHold] = useState("60");
  const task = useTask();
  const { data: all } = useLoad(agents, 30_000);
  const [parsed, steps] = [parseLabels(labels), parseStages(stages)];
  const fit = all?.filter((a) => Object.entries(parsed.labels).every(([k, v]) => a.labels[k] === v)).length;
  const bad = task.problem?.fields ?? {};
  const first = steps.stages[0] ?? 0;
  return (
    <FormDialog
      key="roll-out"
      title={`Roll out ${name} ${version}`}
      action={of ? "Begin anew" : "Roll out"}
      wide
      blocked={!!parsed.wrong || !!steps.wrong}
      task={task}
      work={() => rollOut(name, { version, selector: parsed.labels, stages: steps.stages, hold_seconds: Number(hold) })}
      onClose={onClose}
      onDone={onDone}
    >
      {bundle && (
        <>
          <p class="note any">
            Signed by <code>{bundle.signer}</code>. Only agents that trust this key run it.
          </p>
          <details>
            <summary>What it wants (manifest)</summary>
            <pre class="text" tabIndex={0}>{bundle.manifest}</pre>
          </details>
        </>
      )}
      <Area label="For agents with all of these labels" rows={Math.max(2, labels.split("\n").length)} value={labels} onValue={setLabels} wrong={parsed.wrong || (bad.selector ?? "")} placeholder="role=web" help="One a line, name=value; none: all agents" />
      <div class="two">
        <Field label="Stages, in percent" value={stages} onValue={setStages} wrong={steps.wrong || bad.stages} autocomplete="off" help="A stage ends when its agents run it; where more than a tenth do not, it goes no further" />
        <Choice label="Each lasts at least" value={hold} onValue={setHold} options={holds} />
      </div>
      <div class="progress preview" role="status">
        <b>{fit === undefined ? "Counting agents …" : fit ? `For ${plural(fit, "agent", "agents")} of ${all!.length}` : "No agent has these labels yet: those that get them later run it."}</b>
        {fit !== undefined && fit > 0 && !steps.wrong && steps.stages.length > 1 && <span class="note">It begins with about {Math.max(1, Math.round((fit * first) / 100))}.</span>}
      </div>
    </FormDialog>
  );
}
