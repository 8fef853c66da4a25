// The first user, for a setup token.
import { useState } from "preact/hooks";
import { Problem } from "./api";
import { Field, NewPassword } from "./form";
import { Heading, Notice, ProblemNotice } from "./parts";
import { useTask } from "./poll";
import { setUp } from "./resources";
import { go, Link } from "./route";
import { savedSetupToken, saveSetupToken } from "./session";
import { signInWithPassword } from "./who";

export function SetUp() {
  const [token, setToken] = useState(savedSetupToken());
  const [asked] = useState(!token); // only where the link had none
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const task = useTask();
  const bad = task.problem?.fields ?? {};

  const submit = async (e: Event) => {
    e.preventDefault();
    const done = await task.run(async () => {
      if (password !== again) throw new Problem("invalid", "The two passwords are not the same.");
      const u = await setUp(token.trim(), user.trim(), password);
      saveSetupToken("");
      await signInWithPassword(u.name, password);
    });
    if (done) go("/");
  };

  const spent = task.problem?.trouble === "unauthenticated";
  return (
    <form class="card" onSubmit={submit} method="post">
      <img src="/assets/icon.svg" alt="" width="44" height="44" />
      <Heading title="First administrator">Make the first administrator</Heading>
      <p class="note">Once, and only while there is no user. Everybody else is added later, under Administration.</p>
      {asked && <Field label="Setup token" type="password" autocomplete="off" spellcheck={false} required value={token} onValue={setToken} help={<>The link has it; <code>sentinel-server setup-token</code> makes one.</>} />}
      <Field label="User" autocomplete="username" autocapitalize="none" spellcheck={false} required maxLength={64} value={user} onValue={setUser} wrong={bad.user} help="Lower case, as in ann or ann.lee" />
      <NewPassword value={password} onValue={setPassword} again={again} onAgain={setAgain} wrong={bad.password} />
      {spent ? (
        <Notice kind="bad" title="This setup token is not valid (any more).">
          It serves once, within an hour, while there is no user. <Link to="/">Sign in</Link>, or make another with <code>sentinel-server setup-token</code>.
        </Notice>
      ) : (
        <ProblemNotice problem={task.problem} />
      )}
      <button type="submit" class="primary" disabled={task.busy}>
        {task.busy ? "Making it …" : "Make it and sign in"}
      </button>
    </form>
  );
}
