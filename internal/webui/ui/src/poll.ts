// Asks again and again while the tab is visible.
import { useEffect, useState } from "preact/hooks";
import { Problem, type Trouble } from "./api";

export interface Failure {
  trouble: Trouble;
  message: string;
  retryAt: number; // milliseconds since 1970, this computer's clock
}

const slowest = 30_000;

/** Runs work at once and then every so many milliseconds; a failure doubles the wait
 * up to half a minute. A hidden tab asks nothing; when it is seen again, it asks at
 * once. Returns the failure that stands, if one does. */
export function usePoll(work: (abort: AbortSignal) => Promise<void>, every: number, deps: unknown[], on = true): Failure | null {
  const [failure, setFailure] = useState<Failure | null>(null);
  useEffect(() => {
    if (!on) return;
    const abort = new AbortController();
    let timer = 0;
    let running = false;
    let failures = 0;
    const next = (wait: number) => {
      clearTimeout(timer);
      timer = window.setTimeout(run, wait);
    };
    const run = async () => {
      if (document.hidden || running || abort.signal.aborted) return;
      running = true;
      try {
        await work(abort.signal);
        failures = 0;
        if (!abort.signal.aborted) setFailure(null);
        next(every);
      } catch (e) {
        if (abort.signal.aborted) return;
        const p = e instanceof Problem ? e : new Problem("failed", String(e));
        // The first retry comes soon, the later ones ever later, and never all tabs at once.
        const wait = Math.min(slowest, Math.max(every, 2000) * 2 ** failures++) * (0.75 + Math.random() / 2);
        setFailure({ trouble: p.trouble, message: p.message, retryAt: Date.now() + wait });
        next(wait);
      } finally {
        running = false;
      }
    };
    const seen = () => void run();
    document.addEventListener("visibilitychange", seen);
    setFailure(null);
    void run();
    return () => {
      document.removeEventListener("visibilitychange", seen);
      clearTimeout(timer);
      abort.abort();
    };
  }, [...deps, every, on]);
  return failure;
}
