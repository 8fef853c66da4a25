import { useState } from "preact/hooks";
import { Problem, signIn, signInNote, tryToken } from "./api";
import { Heading, Notice } from "./parts";

export function SignIn() {
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState("");
  const note = wrong || signInNote.value;

  const submit = async (e: Event) => {
    e.preventDefault();
    const t = text.trim();
    if (!t) return setWrong("Paste a token first.");
    setBusy(true);
    setWrong("");
    try {
      await tryToken(t);
      signIn(t);
    } catch (e) {
      // A token that may not list hosts is a good token all the same.
      if (e instanceof Problem && e.trouble === "forbidden") return signIn(t);
      setWrong(e instanceof Error ? e.message : String(e));
    } finally {
      setBusy(false);
    }
  };

  return (
    <main class="signin" id="main">
      <form class="card" onSubmit={submit} method="post">
        <img src="/assets/icon.svg" alt="" width="44" height="44" />
        <Heading title="Sign in">Sign in to Sentinel</Heading>
        <label for="token">API token</label>
        <input id="token" type="password" autocomplete="off" spellcheck={false} value={text} onInput={(e) => setText(e.currentTarget.value)} aria-invalid={!!note} aria-describedby="token-help" placeholder="Paste it here" />
        {note && <Notice kind="bad" title={note} />}
        <button type="submit" class="primary" disabled={busy}>
          {busy ? "Asking the server …" : "Sign in"}
        </button>
        <p id="token-help" class="note">
          The all-in-one <code>sentinel</code> prints a link that signs you in. For any other server, <code>sentinel-server token create</code> makes a token. It is kept in this tab only and forgotten with it.
        </p>
      </form>
    </main>
  );
}
