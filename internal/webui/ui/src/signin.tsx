import { useState } from "preact/hooks";
import { Problem } from "./api";
import { Field } from "./form";
import { Heading, Notice, ProblemNotice } from "./parts";
import { useTask } from "./poll";
import { signInNote, signInWithPassword, signInWithToken } from "./who";

export function SignIn() {
  const [byToken, setByToken] = useState(false);
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const [token, setToken] = useState("");
  const task = useTask();

  const submit = (e: Event) => {
    e.preventDefault();
    void task.run(async () => {
      if (byToken) {
        if (!token.trim()) throw new Problem("invalid", "Paste a token first.");
        return signInWithToken(token.trim());
      }
      if (!user.trim() || !password) throw new Problem("invalid", "Type your name and your password first.");
      await signInWithPassword(user.trim(), password).catch((e) => {
        setPassword("");
        throw e;
      });
    });
  };
  const other = () => {
    task.clear();
    setByToken(!byToken);
  };

  return (
    <main class="signin" id="main">
      <form class="card" onSubmit={submit} method="post">
        <img src="/assets/icon.svg" alt="" width="44" height="44" />
        <Heading title="Sign in">Sign in to Sentinel</Heading>
        {signInNote.value && !task.problem && <Notice kind="warn" title={signInNote.value} />}
        {byToken ? (
          <Field key="token" label="API token" name="token" type="password" autocomplete="off" spellcheck={false} value={token} onValue={setToken} help="It is kept in this tab only and forgotten with it." />
        ) : (
          <>
            <Field key="user" label="User" name="user" autocomplete="username" autocapitalize="none" spellcheck={false} maxLength={255} value={user} onValue={setUser} />
            <Field key="password" label="Password" name="password" type="password" autocomplete="current-password" maxLength={4096} value={password} onValue={setPassword} />
          </>
        )}
        <ProblemNotice problem={task.problem && plain(task.problem)} />
        <button type="submit" class="primary" disabled={task.busy}>
          {task.busy ? "Asking the server …" : "Sign in"}
        </button>
        <button type="button" class="link" onClick={other}>
          {byToken ? "Sign in with a password" : "Sign in with an API token"}
        </button>
        <details class="note">
          <summary>No user yet?</summary>
          <p>
            The all-in-one <code>sentinel</code> prints a link that signs you in, and one that makes the first user. On any other server <code>sentinel-server setup-token</code> makes the first user’s token, and <code>sentinel-server token create</code> an API token.
          </p>
        </details>
      </form>
    </main>
  );
}

/** A refusal is what is expected here: it needs no title of its own. */
const plain = (p: Problem): Problem => (p.trouble === "unauthenticated" ? new Problem("failed", p.message) : p);
