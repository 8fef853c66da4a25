// Asks again and again while the tab is visible.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
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

export interface Loaded<T> {
  data: T | null;
  failure: Failure | null;
  /** When the data was asked for, this computer's clock. */
  since: number;
  /** Asks at once, because something was changed. */
  again: () => void;
}

/** Keeps what load gives. Other deps forget what was there. */
export function useLoad<T>(load: (abort: AbortSignal) => Promise<T>, every: number, deps: unknown[] = [], on = true): Loaded<T> {
  const [kept, keep] = useState<{ data: T | null; since: number; of: string }>({ data: null, since: 0, of: "" });
  const [round, setRound] = useState(0);
  const of = JSON.stringify(deps);
  const failure = usePoll(
    async (abort) => {
      const data = await load(abort);
      if (!abort.aborted) keep({ data, since: Date.now(), of });
    },
    every,
    [of, round],
    on,
  );
  const again = useCallback(() => setRound((n) => n + 1), []);
  const mine = kept.of === of;
  return { data: mine ? kept.data : null, failure, since: mine ? kept.since : 0, again };
}

export interface Task {
  /** Does the work, unless it is being done; true where it went well. */
  run: (work: () => Promise<void>) => Promise<boolean>;
  busy: boolean;
  problem: Problem | null;
  clear: () => void;
}

/** One thing that is done on somebody's wish, and what came of it. */
export function useTask(): Task {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const running = useRef(false);
  const run = async (work: () => Promise<void>) => {
    if (running.current) return false;
    running.current = true;
    setBusy(true);
    setProblem(null);
    try {
      await work();
      return true;
    } catch (e) {
      setProblem(e instanceof Problem ? e : new Problem("failed", String(e)));
      return false;
    } finally {
      running.current = false;
      setBusy(false);
    }
  };
  return { run, busy, problem, clear: () => setProblem(null) };
}
