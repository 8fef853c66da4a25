// The REST interface as this page uses it; the types follow /openapi.json.
import { signal } from "@preact/signals";
import { saveToken, savedToken } from "./session";

export interface Agent {
  id: string;
  hostname: string;
  labels: Record<string, string>;
  version: string;
  os: string;
  arch: string;
  created_at: string;
  last_seen?: string;
  disabled: boolean;
}

export interface Sample {
  name: string;
  labels: Record<string, string>;
  unit: string;
  kind: "gauge" | "counter" | "unknown";
  time: string;
  value: number;
}

export interface Point {
  time: string;
  last: number;
  min: number;
  max: number;
  avg: number;
  count: number;
}

export interface Series {
  name: string;
  labels: Record<string, string>;
  points: Point[];
}

export type Trouble = "unauthenticated" | "forbidden" | "missing" | "down" | "failed";

/** A request that did not give what was asked for. */
export class Problem extends Error {
  constructor(
    readonly trouble: Trouble,
    message: string,
  ) {
    super(message);
  }
}

/** The token that requests carry; empty means that nobody is signed in. */
export const token = signal(savedToken());

/** Why the sign-in page shows, where that needs saying. */
export const signInNote = signal("");

/** How far the server's clock is ahead of this one, in milliseconds. */
let ahead = 0;

/** The server's time, so that a wrong clock here does not make hosts look silent. */
export const now = (): number => Date.now() + ahead;

export function signIn(t: string): void {
  saveToken(t);
  signInNote.value = "";
  token.value = t;
}

export function signOut(note = ""): void {
  saveToken("");
  signInNote.value = note;
  token.value = "";
}

const badToken = "This token is not valid. It may be mistyped, expired or revoked.";

/** Asks the REST interface. Throws a Problem; an abort throws the browser's AbortError. */
async function get<T>(path: string, query: Record<string, string> = {}, abort?: AbortSignal, as = token.value): Promise<T> {
  const search = new URLSearchParams(query).toString();
  let answer: Response;
  try {
    answer = await fetch(`/api/v1${path}${search ? "?" + search : ""}`, {
      headers: { Authorization: `Bearer ${as}`, Accept: "application/json" },
      signal: abort ?? null,
      cache: "no-store",
      credentials: "omit",
    });
  } catch (e) {
    if (abort?.aborted) throw e;
    throw new Problem("down", "The server does not answer.");
  }
  const date = Date.parse(answer.headers.get("Date") ?? "");
  // The header has whole seconds: a smaller difference says nothing.
  if (date) ahead = Math.abs(date - Date.now()) > 2000 ? date - Date.now() : 0;
  if (answer.ok) return (await answer.json()) as T;

  const detail = await answer.json().then(
    (p: { detail?: string }) => p.detail ?? "",
    () => "",
  );
  switch (answer.status) {
    case 401:
      // An answer to an older token says nothing about the one in use now.
      if (as === token.value) signOut(badToken);
      throw new Problem("unauthenticated", badToken);
    case 403:
      throw new Problem("forbidden", detail || "This token may not see that.");
    case 404:
      throw new Problem("missing", detail || "There is no such thing.");
    case 502:
    case 503:
    case 504:
      throw new Problem("down", detail || "A part of the service does not answer.");
  }
  throw new Problem("failed", detail || `The server answered ${answer.status}.`);
}

/** Resolves where the token is good. */
export async function tryToken(t: string): Promise<void> {
  await get("/agents", { limit: "1" }, undefined, t);
}

export async function agents(abort: AbortSignal): Promise<Agent[]> {
  const all: Agent[] = [];
  for (let after = ""; ; ) {
    const page = await get<{ agents: Agent[]; next?: string }>("/agents", { limit: "1000", ...(after && { after }) }, abort);
    all.push(...page.agents);
    if (!page.next) return all;
    after = page.next;
  }
}

export const agent = (id: string, abort: AbortSignal): Promise<Agent> => get(`/agents/${encodeURIComponent(id)}`, {}, abort);

export async function latest(id: string, abort: AbortSignal, metric = ""): Promise<Sample[]> {
  const l = await get<{ samples: Sample[] }>(`/agents/${encodeURIComponent(id)}/latest`, metric ? { metric } : {}, abort);
  return l.samples;
}

const iso = (seconds: number): string => new Date(seconds * 1000).toISOString();

/** One metric from a time on (seconds since 1970); step 0 gives every sample.
 * The end lies ahead, because the host's clock may be ahead of the server's. */
export async function range(id: string, metric: string, from: number, step: number, abort: AbortSignal): Promise<Series[]> {
  const query: Record<string, string> = { metric, from: iso(from), to: iso(Math.max(from, now() / 1000) + 600) };
  if (step) query.step = `${step}s`;
  const r = await get<{ series: Series[] }>(`/agents/${encodeURIComponent(id)}/range`, query, abort);
  return r.series;
}
