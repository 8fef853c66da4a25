import { render } from "preact";
import { signIn, signOut, token } from "./api";
import { Fleet } from "./fleet";
import { Host } from "./host";
import { Empty, Heading } from "./parts";
import { address, Link } from "./route";
import { takeTokenFromAddress } from "./session";
import { SignIn } from "./signin";
import { theme, toggleTheme } from "./theme";

function Header() {
  const other = theme.value === "dark" ? "light" : "dark";
  return (
    <header class="bar">
      <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); document.getElementById("main")?.focus(); }}>
        Skip to the content
      </a>
      <Link to="/" class="brand">
        <img src="/assets/icon.svg" alt="" width="26" height="26" />
        Sentinel
      </Link>
      <span class="grow" />
      <button type="button" class="quiet" onClick={toggleTheme} aria-label={`Switch to the ${other} theme`} title={`Switch to the ${other} theme`}>
        <svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true">
          <circle cx="10" cy="10" r="7" fill="none" stroke="currentColor" stroke-width="1.6" />
          <path d="M10 3a7 7 0 0 1 0 14z" fill="currentColor" />
        </svg>
      </button>
      {token.value && (
        <button type="button" class="quiet" onClick={() => signOut()}>
          Sign out
        </button>
      )}
    </header>
  );
}

function Page() {
  const { path } = address.value;
  const host = /^\/hosts\/([^/]+)\/?$/.exec(path);
  if (path === "/") return <Fleet />;
  if (host) {
    const id = decode(host[1]!);
    return <Host key={id} id={id} />;
  }
  return (
    <>
      <Heading title="Not found">There is no page here</Heading>
      <Empty title={path}>
        The address may be mistyped. <Link to="/">All hosts</Link>
      </Empty>
    </>
  );
}

function decode(s: string): string {
  try {
    return decodeURIComponent(s);
  } catch {
    return s;
  }
}

function App() {
  return (
    <>
      <Header />
      {token.value ? (
        <main id="main" tabIndex={-1}>
          <Page />
        </main>
      ) : (
        <SignIn />
      )}
    </>
  );
}

// A sign-in link opened in a tab that shows this page already.
window.addEventListener("hashchange", () => {
  const t = takeTokenFromAddress();
  if (t) signIn(t);
});

render(<App />, document.getElementById("app")!);
