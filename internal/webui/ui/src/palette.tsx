// Ctrl-K: to any page, host or metric by typing a part of its name.
import { useEffect, useRef, useState } from "preact/hooks";
import { Dialog } from "./form";
import { metricNames } from "./graph";
import { fitting } from "./promql";
import { fleet } from "./resources";
import { go } from "./route";
import { may } from "./who";

interface Goal {
  name: string;
  kind: string;
  to: string;
}

const pages: [name: string, to: string, need?: "operator" | "admin"][] = [
  ["Hosts", "/"],
  ["Alerts", "/alerts"],
  ["Rules", "/rules"],
  ["New rule", "/rules/new", "operator"],
  ["Silences", "/silences"],
  ["New silence", "/silences?new=1", "operator"],
  ["Receivers", "/receivers"],
  ["Explore", "/explore"],
  ["Pipeline", "/admin"],
  ["Dead letters", "/admin/dead-letters"],
  ["Plugins", "/admin/plugins"],
  ["Retention", "/admin/retention"],
  ["Add hosts", "/?add=1", "operator"],
  ["Enrolment", "/admin/enrolment", "operator"],
  ["API tokens", "/admin/tokens", "operator"],
  ["Users", "/admin/users", "admin"],
  ["Audit log", "/admin/audit", "admin"],
  ["Your account", "/account"],
];

export function Palette({ onClose }: { onClose: () => void }) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const [hosts, setHosts] = useState<Goal[]>([]);
  const [metrics, setMetrics] = useState<Goal[]>([]);
  const list = useRef<HTMLUListElement>(null);
  useEffect(() => {
    const abort = new AbortController();
    // What cannot be had is not offered.
    void fleet(abort.signal).then((f) => setHosts(f.hosts.map((h) => ({ name: h.hostname || h.id, kind: "host", to: `/hosts/${encodeURIComponent(h.id)}` }))), () => {});
    void metricNames(abort.signal).then((ms) => setMetrics(ms.map((m) => ({ name: m, kind: "metric", to: `/explore?q=${encodeURIComponent(m)}` }))), () => {});
    return () => abort.abort();
  }, []);
  const all = [...pages.filter(([, , need]) => !need || may(need)).map(([name, to]) => ({ name, kind: "page", to })), ...hosts, ...metrics];
  const goals = text.trim() ? pick(all, text.trim()) : all.slice(0, 12);
  const open = (g: Goal | undefined) => {
    if (!g) return;
    onClose();
    go(g.to);
  };
  const onKeyDown = (e: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (step && goals.length) {
      e.preventDefault();
      const to = (at + step + goals.length) % goals.length;
      setAt(to);
      list.current?.children[to]?.scrollIntoView({ block: "nearest" });
    }
    if (e.key === "Enter") {
      e.preventDefault();
      open(goals[at]);
    }
  };
  return (
    <Dialog title="Go to" onClose={onClose}>
      <div class="palette">
        <input
          class="filter"
          role="combobox"
          aria-label="Page, host or metric"
          aria-expanded="true"
          aria-controls="goals"
          aria-autocomplete="list"
          aria-activedescendant={goals.length ? `goal-${at}` : undefined}
          placeholder="Page, host or metric"
          autocomplete="off"
          spellcheck={false}
          value={text}
          onInput={(e) => {
            setText(e.currentTarget.value);
            setAt(0);
          }}
          onKeyDown={onKeyDown}
        />
        <ul id="goals" role="listbox" aria-label="Where to" ref={list}>
          {goals.map((g, i) => (
            <li key={g.kind + g.to} id={`goal-${i}`} role="option" aria-selected={i === at} onClick={() => open(g)}>
              {g.name} <span class="note">{g.kind}</span>
            </li>
          ))}
        </ul>
        {!goals.length && <p class="note">Nothing has this in its name.</p>}
      </div>
    </Dialog>
  );
}

function pick(all: Goal[], text: string): Goal[] {
  const exact = all.filter((g) => g.name.toLowerCase() === text.toLowerCase());
  const names = new Set(fitting([...new Set(all.map((g) => g.name))], text, 14));
  const rest = all.filter((g) => names.has(g.name) && !exact.includes(g));
  const begins = (g: Goal) => (g.name.toLowerCase().startsWith(text.toLowerCase()) ? 0 : 1);
  return [...exact, ...rest.sort((a, b) => begins(a) - begins(b))].slice(0, 20);
}
