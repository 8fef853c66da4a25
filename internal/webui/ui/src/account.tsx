// Who one is, and one's password.
import { useState } from "preact/hooks";
import { now, Problem } from "./api";
import { Field, NewPassword } from "./form";
import { until } from "./format";
import { Heading, Notice, ProblemNotice, useSeconds } from "./parts";
import { useTask } from "./poll";
import { changePassword } from "./resources";
import { duties, may, nameOf, roles, signInWithPassword, signOut, who } from "./who";

export function Account() {
  useSeconds();
  const out = useTask();
  const w = who.value;
  if (!w) return null;
  const facts: [string, string][] = [
    [w.kind === "user" ? "User" : "API token", nameOf(w)],
    ["Role", w.role],
    [w.kind === "user" ? "Session ends" : "Token ends", w.expires_at ? `${until(Date.parse(w.expires_at), now())}${w.kind === "user" ? ", and later with every use" : ""}` : "never"],
  ];
  return (
    <div class="narrow">
      <div class="top">
        <Heading title="You">You are {nameOf(w)}</Heading>
        <button type="button" class="plain" disabled={out.busy} onClick={() => void out.run(signOut)}>
          Sign out
        </button>
      </div>
      <ProblemNotice problem={out.problem} />
      <section class="card pad" aria-label="Who you are">
        <dl class="facts">
          {facts.map(([k, v]) => (
            <div key={k}>
              <dt>{k}</dt>
              <dd>{v}</dd>
            </div>
          ))}
        </dl>
        <ul class="duties">
          {roles.map((r) => (
            <li key={r} class={may(r) ? "" : "not"}>
              <b>{r}</b>
              <span>
                {duties[r]} {r === w.role && <span class="tag">you</span>}
              </span>
            </li>
          ))}
        </ul>
      </section>
      {w.kind === "user" ? <Password user={w.name} /> : <Notice kind="info" title="You are signed in with an API token.">It is kept in this tab only. People sign in with a user of their own: an administrator makes one.</Notice>}
    </div>
  );
}

function Password({ user }: { user: string }) {
  const [old, setOld] = useState("");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const [done, setDone] = useState(false);
  const task = useTask();
  const submit = async (e: Event) => {
    e.preventDefault();
    setDone(false);
    const good = await task.run(async () => {
      if (password !== again) throw new Problem("invalid", "The two passwords are not the same.");
      await changePassword(old, password);
      await signInWithPassword(user, password); // all sessions have ended, this one too
    });
    if (!good) return;
    for (const clear of [setOld, setPassword, setAgain]) clear("");
    setDone(true);
  };
  const wrongOld = task.problem?.trouble === "forbidden" ? task.problem.message : "";
  return (
    <section class="card pad" aria-labelledby="pw">
      <h2 id="pw">Change your password</h2>
      <p class="note">All your other sessions end.</p>
      <form class="stack" onSubmit={submit} method="post">
        <input type="hidden" autocomplete="username" name="username" value={user} />
        <Field label="Old password" type="password" autocomplete="current-password" required maxLength={4096} value={old} onValue={setOld} wrong={wrongOld} />
        <NewPassword value={password} onValue={setPassword} again={again} onAgain={setAgain} wrong={task.problem?.fields.new} />
        {!wrongOld && <ProblemNotice problem={task.problem} />}
        {done && <Notice kind="good" title="Your password is changed." />}
        <div class="buttons start">
          <button type="submit" class="primary" disabled={task.busy}>
            {task.busy ? "Changing it …" : "Change it"}
          </button>
        </div>
      </form>
    </section>
  );
}
