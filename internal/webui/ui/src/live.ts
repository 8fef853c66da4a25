// One stream of what happens in the fleet, shared by all views of this tab.
import { useEffect } from "preact/hooks";
import { openStream } from "./api";

export interface Happening {
  id: number;
  at: string;
  kind: string; // such as agent.connected, alert.firing
  agent?: string;
  detail?: string;
}

const listeners = new Set<(e: Happening) => void>();
const slowest = 30_000;

let running: AbortController | null = null;
let seen = ""; // the last event's id: whoever comes back misses none

/** Calls for all that happens from now on; returns what ends that. */
function listen(then: (e: Happening) => void): () => void {
  listeners.add(then);
  wake();
  return () => {
    listeners.delete(then);
    wake();
  };
}

/** A hidden tab, and one that shows nothing that happens, has no stream. */
function wake(): void {
  const wanted = listeners.size > 0 && !document.hidden;
  if (wanted && !running) void follow((running = new AbortController()).signal);
  if (!wanted && running) {
    running.abort();
    running = null;
  }
}

document.addEventListener("visibilitychange", wake);

async function follow(abort: AbortSignal): Promise<void> {
  for (let failures = 0; !abort.aborted; ) {
    try {
      const answer = await openStream("/events/stream", seen ? { "Last-Event-ID": seen } : {}, abort);
      if (!answer.ok || !answer.body) throw new Error("no stream");
      failures = 0;
      await read(answer.body.pipeThrough(new TextDecoderStream()).getReader());
    } catch {
      failures++; // pages ask as well, and say what is wrong
    }
    const wait = Math.min(slowest, 1000 * 2 ** failures) * (0.75 + Math.random() / 2);
    await new Promise((done) => setTimeout(done, wait));
  }
}

async function read(stream: ReadableStreamDefaultReader<string>): Promise<void> {
  for (let text = ""; ; ) {
    const { value, done } = await stream.read();
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop()!;
    for (const block of blocks) {
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (!data) continue;
      const e = JSON.parse(data) as Happening;
      seen = String(e.id);
      for (const then of [...listeners]) then(e);
    }
  }
}

/** Calls, at most once a second, when something happens whose kind begins so. */
export function useHappenings(kind: string, then: () => void, agent = "", on = true): void {
  useEffect(() => {
    if (!on) return;
    let timer = 0;
    const stop = listen((e) => {
      if (timer || !e.kind.startsWith(kind) || (agent && e.agent !== agent)) return;
      timer = window.setTimeout(() => {
        timer = 0;
        then();
      }, 1000);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [kind, then, agent, on]);
}
