import { signal } from "@preact/signals";
import { render } from "preact";
import { Fleet } from "./fleet";
import { Host } from "./host";
import { firing, useFiring } from "./firing";
import { Account, Admin, AlertPage, Alerts, Explore, HostBooks, HostManage, NewRule, Palette, Receivers, RulePage, Rules, SetUp, Silences } from "./lazy";
import { Empty, Heading, ProblemNotice, Skeleton } from "./parts";
import { address, go, Link } from "./route";
import { setupPath, takeTokenFromAddress } from "./session";
import { SignIn } from "./signin";
import { theme, toggleTheme } from "./theme";
import { nameOf, recall, signInNote, signInWithToken, signOut, unknownWhy, who } from "./who";
import { messageOf } from "./api";

/** Whether the list of all places is open. */
const finding = signal(false);

function Header() {
  const other = theme.value === "dark" ? "light" : "dark";
  const { path } = address.value;
  const w = who.value;
  useFiring(!!w);
  const fires = firing.value?.length ?? 0;
  const here = (on: boolean) => (on ? ("true" as const) : undefined);
  return (
    <header class="bar">
      <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); document.getElementById("main")?.focus(); }}>
        Skip to the content
      </a>
      <Link to="/" class="brand" aria-label="Sentinel, all hosts">
        <img src="/assets/icon.svg" alt="" width="26" height="26" />
        <span class="wide-only">Sentinel</span>
      </Link>
      {w && (
        <nav class="places" aria-label="Main">
          <Link to="/" aria-current={here(path === "/" || path.startsWith("/hosts/"))}>
            Hosts
          </Link>
          <Link to="/alerts" aria-current={here(/^\/(alerts|rules|silences|receivers)\b/.test(path))}>
            Alerts
            {fires > 0 && (
              <span class="count">
                {fires}
                <span class="sr"> firing</span>
              </span>
            )}
          </Link>
          <Link to="/explore" aria-current={here(path === "/explore")}>
            Explore
          </Link>
          <Link to="/admin" aria-current={here(path.startsWith("/admin"))}>
            Admin<span class="wide-only">istration</span>
          </Link>
        </nav>
      )}
      <span class="grow" />
      {w && (
        <button type="button" class="quiet wide-only" onClick={() => (finding.value = true)} aria-keyshortcuts="Control+K">
          Go to … <kbd>Ctrl K</kbd>
        </button>
      )}
      <button type="button" class="quiet" onClick={toggleTheme} aria-label={`Switch to the ${other} theme`} title={`Switch to the ${other} theme`}>
        <svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true">
          <circle cx="10" cy="10" r="7" fill="none" stroke="currentColor" stroke-width="1.6" />
          <path d="M10 3a7 7 0 0 1 0 14z" fill="currentColor" />
        </svg>
      </button>
      {w && (
        <>
          <Link to="/account" class="quiet" aria-label={`You: ${nameOf(w)}, ${w.role}`} aria-current={here(path === "/account")}>
            <svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.6">
              <circle cx="10" cy="7" r="3.4" />
              <path d="M3.5 17c.6-3.4 3.2-5 6.5-5s5.900 1.600 6.500 5" stroke-linecap="round" />
            </svg>
            <span class="wide-only">{nameOf(w)}</span>
          </Link>
          <button type="button" class="quiet wide-only" onClick={() => void signOut().catch(() => go("/account"))}>
            Sign out
          </button>
        </>
      )}
    </header>
  );
}

function Page() {
  const { path } = address.value;
  const host = /^\/hosts\/([^/]+)(?:\/(books|manage))?\/?$/.exec(path);
  if (path === "/") return <Fleet />;
  const alert = /^\/alerts\/([^/]+)\/?$/.exec(path);
  if (path === "/alerts") return <Alerts />;
  if (alert) return <AlertPage key={alert[1]} id={decode(alert[1]!)} />;
  const rule = /^\/rules\/([^/]+)\/([^/]+)\/?$/.exec(path);
  if (path === "/rules") return <Rules />;
  if (path === "/rules/new") return <NewRule />;
  if (rule) return <RulePage key={path} group={decode(rule[1]!)} alert={decode(rule[2]!)} />;
  if (path === "/receivers") return <Receivers />;
  if (path === "/explore") return <Explore />;
  if (path === "/silences") return <Silences />;
  if (path === "/account") return <Account />;
  if (path === "/admin" || path.startsWith("/admin/")) return <Admin place={path.slice("/admin/".length)} />;
  if (host) {
    const id = decode(host[1]!);
    const Tab = host[2] === "books" ? HostBooks : host[2] === "manage" ? HostManage : Host;
    return <Tab key={id} id={id} />;
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

function Content() {
  if (address.value.path === setupPath) {
    return (
      <main class="signin" id="main">
        <SetUp />
      </main>
    );
  }
  if (who.value === null) return <SignIn />;
  return (
    <main id="main" tabIndex={-1}>
      {who.value ? (
        <Page />
      ) : unknownWhy.value ? (
        <>
          <Heading title="Sentinel">Sentinel</Heading>
          <ProblemNotice problem={unknownWhy.value} />
          <button type="button" class="plain" onClick={() => void recall()}>
            Try again
          </button>
        </>
      ) : (
        <>
          <h1 class="sr">Sentinel</h1>
          <Skeleton name="who you are" />
        </>
      )}
    </main>
  );
}

function App() {
  return (
    <>
      <Header />
      <Content />
      {finding.value && who.value && <Palette onClose={() => (finding.value = false)} />}
    </>
  );
}

// A sign-in link opened in a tab that shows this page already.
window.addEventListener("hashchange", () => {
  const t = takeTokenFromAddress();
  if (t) void signInWithToken(t).catch((e) => (signInNote.value = messageOf(e)));
});

window.addEventListener("keydown", (e) => {
  if (e.key.toLowerCase() !== "k" || !(e.ctrlKey || e.metaKey) || e.altKey || e.shiftKey || !who.value) return;
  e.preventDefault();
  if (!document.querySelector("dialog[open]")) finding.value = true;
});

if (who.value === undefined) void recall();
render(<App />, document.getElementById("app")!);
