// The way of a new host: a token, one command there, its first samples here.
import { useRef, useState } from "preact/hooks";
import { now } from "./api";
import { Area, Buttons, Choice, Copy, Dialog, Field, FormDialog, lives } from "./form";
import { plural, until } from "./format";
import { parseLabels } from "./labels";
import { FailureNotice, Notice } from "./parts";
import { usePoll, useTask } from "./poll";
import { type Agent, agents, createEnrolmentToken, enrolmentTokens, type IssuedEnrolmentToken, latest } from "./resources";
import { Link } from "./route";
import { installCommand } from "./shell";

export function AddHosts({ onClose }: { onClose: () => void }) {
  const [made, setMade] = useState<{ token: IssuedEnrolmentToken; before: Set<string> } | null>(null);
  if (!made) return <Form key="form" onClose={onClose} onMade={setMade} />;
  return (
    <Dialog key="made" title={`Add hosts: ${made.token.name}`} onClose={onClose} wide>
      <Made {...made} onClose={onClose} />
    </Dialog>
  );
}

function Form({ onClose, onMade }: { onClose: () => void; onMade: (m: { token: IssuedEnrolmentToken; before: Set<string> }) => void }) {
  const [name, setName] = useState("");
  const [uses, setUses] = useState("1");
  const [ttl, setTtl] = useState("24h");
  const [hostnames, setHostnames] = useState("");
  const [labels, setLabels] = useState("");
  const task = useTask();
  const parsed = parseLabels(labels);
  const bad = task.problem?.fields ?? {};
  const work = async () => {
    const before = await agents(new AbortController().signal);
    const token = await createEnrolmentToken({ name: name.trim(), ttl, max_uses: Number(uses), hostnames: hostnames.trim(), labels: parsed.labels });
    onMade({ token, before: new Set(before.map((a) => a.id)) });
  };
  return (
    <FormDialog title="Add hosts" action="Make the token" blocked={!!parsed.wrong} task={task} work={work} onClose={onClose} onDone={() => {}}>
      <p class="note">An enrolment token buys each host its own identity. It is shown once.</p>
      <Field label="Name" required maxLength={255} placeholder="What the hosts are, such as: web servers in Frankfurt" value={name} onValue={setName} wrong={bad.name} autocomplete="off" />
      <div class="two">
        <Field label="Hosts" type="number" required min={1} max={100000} value={uses} onValue={setUses} help="How many may use it" wrong={bad.max_uses} />
        <Choice label="Valid for" value={ttl} onValue={setTtl} options={lives} />
      </div>
      <Field label="Hostname pattern" placeholder="Any host; or for instance web-*" maxLength={255} value={hostnames} onValue={setHostnames} wrong={bad.hostnames} autocomplete="off" spellcheck={false} />
      <Area label="Labels" rows={2} placeholder={"site=fra\nrole=web"} value={labels} onValue={setLabels} help="name=value, one a line: what the hosts get" wrong={parsed.wrong} />
    </FormDialog>
  );
}

function Made({ token, before, onClose }: { token: IssuedEnrolmentToken; before: Set<string>; onClose: () => void }) {
  const ip6 = location.hostname.startsWith("[") ? location.hostname : location.hostname.includes(":") ? `[${location.hostname}]` : location.hostname;
  const [server, setServer] = useState(`${ip6}:7443`);
  return (
    <div class="stack">
      <Copy label="The token. It cannot be shown again." text={token.secret} secret />
      <Field label="The gateway, as the hosts reach it" value={server} onValue={setServer} spellcheck={false} autocomplete="off" />
      <div class="stack tight">
        <h3>On each host, with sentinel-agent in /usr/local/bin</h3>
        <Copy label="1. Put the token into a file" text={`(umask 077; echo ${token.secret} > enrolment.token)`} />
        <Copy label="2. Enrol, install as a service and start" text={installCommand(server.trim(), token.ca_pin)} />
      </div>
      <Checklist token={token} before={before} />
      <Buttons>
        <button type="button" class="primary" onClick={onClose}>
          Done
        </button>
      </Buttons>
    </div>
  );
}

interface Progress {
  uses: number;
  state: string;
  hosts: Agent[];
}

function Checklist({ token, before }: { token: IssuedEnrolmentToken; before: Set<string> }) {
  const [p, setProgress] = useState<Progress>({ uses: 0, state: "valid", hosts: [] });
  const [sampled, setSampled] = useState<ReadonlySet<string>>(new Set());
  const since = useRef(0);
  const failure = usePoll(
    async (abort) => {
      const [list, all] = await Promise.all([enrolmentTokens(abort), agents(abort)]);
      const mine = list.find((t) => t.id === token.id);
      const made = Date.parse(token.created_at);
      const hosts = all.filter((a) => !before.has(a.id) && Date.parse(a.created_at) >= made && Object.entries(token.labels).every(([k, v]) => a.labels[k] === v));
      setProgress({ uses: mine?.uses ?? 0, state: mine?.state ?? "revoked", hosts });
      const waiting = hosts.filter((a) => !sampled.has(a.id)).slice(0, 10);
      const found = await Promise.all(waiting.map(async (a) => ((await latest(a.id, abort)).length ? a.id : "")));
      if (found.some(Boolean)) setSampled(new Set([...sampled, ...found.filter(Boolean)]));
      since.current = Date.now();
    },
    2000,
    [token.id, sampled],
  );
  const enrolled = Math.max(p.uses, p.hosts.length);
  const one = p.hosts.length === 1 ? p.hosts[0]! : null;
  const steps: [done: boolean, busy: boolean, text: preact.ComponentChildren][] = [
    [true, false, `The token is made: for ${plural(token.max_uses, "host", "hosts")}, it ends ${until(Date.parse(token.expires_at), now())}.`],
    [enrolled > 0, true, enrolled ? (one ? `${one.hostname || one.id} has enrolled.` : `${enrolled} of ${plural(token.max_uses, "host has", "hosts have")} enrolled.`) : "Waiting for a host to enrol …"],
    [sampled.size > 0, enrolled > 0, sampled.size ? `The first samples are here${p.hosts.length > 1 ? `, of ${plural(sampled.size, "host", "hosts")}` : ""}.` : "First samples"],
  ];
  return (
    <section class="progress" aria-label="How far it is">
      <ol aria-live="polite">
        {steps.map(([done, busy, text], i) => (
          <li key={i} class={done ? "done" : busy ? "busy" : ""}>
            <i aria-hidden="true" />
            <span>
              {text}
              <span class="sr">{done ? " Done." : ""}</span>
            </span>
          </li>
        ))}
      </ol>
      {p.hosts.length > 0 && (
        <ul class="found">
          {p.hosts.map((a) => (
            <li key={a.id}>
              <Link to={`/hosts/${encodeURIComponent(a.id)}`}>{a.hostname || a.id}</Link>
              <span class="note">{sampled.has(a.id) ? "sends samples" : "enrolled, no samples yet"}</span>
            </li>
          ))}
        </ul>
      )}
      {p.state !== "valid" && p.state !== "used up" && <Notice kind="warn" title={`The token is ${p.state}.`} />}
      {failure && <FailureNotice failure={failure} since={since.current} />}
    </section>
  );
}
