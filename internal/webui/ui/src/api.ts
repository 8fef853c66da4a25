// How this page speaks with the REST interface: requests, what goes wrong with them,
// and the server's clock. What is asked for is in resources.ts.
import { savedToken } from "./session";

export type Trouble = "unauthenticated" | "forbidden" | "missing" | "conflict" | "invalid" | "busy" | "down" | "failed";

/** A request that did not give what was asked for. */
export class Problem extends Error {
  constructor(
    readonly trouble: Trouble,
    message: string,
    readonly fields: Record<string, string> = {}, // what is wrong with body.…, by name
  ) {
    super(message);
  }
}

export const messageOf = (e: unknown): string => (e instanceof Error ? e.message : String(e));

let token = savedToken();
let refused: (what: "token" | "session") => void = () => {};

/** The token that requests carry; empty: the session's cookie, where there is one. */
export const useToken = (t: string): void => {
  token = t;
};

/** Calls when an answer says that nobody is signed in (any more). */
export const onRefused = (then: typeof refused): void => {
  refused = then;
};

/** How far the server's clock is ahead of this one, in milliseconds. */
let ahead = 0;

/** The server's time, so that a wrong clock here does not make hosts look silent. */
export const now = (): number => Date.now() + ahead;

export interface Request {
  /** A list stands there once for each of its values. */
  query?: Record<string, string | string[] | undefined>;
  body?: unknown;
  ifMatch?: string;
  abort?: AbortSignal;
  /** Another token than the one in use. */
  as?: string;
  /** A refusal ends nothing: it is about what is sent. */
  open?: boolean;
}

/** Asks the REST interface. Throws a Problem; an abort throws the browser's AbortError. */
export async function ask<T>(method: string, path: string, r: Request = {}): Promise<T> {
  const query = Object.entries(r.query ?? {}).flatMap(([k, v]) => [v ?? ""].flat().filter(Boolean).map((one) => [k, one]));
  const search = new URLSearchParams(query).toString();
  const as = r.as ?? token;
  const headers: Record<string, string> = { Accept: "application/json" };
  if (as && !r.open) headers.Authorization = `Bearer ${as}`;
  if (r.body !== undefined) headers["Content-Type"] = "application/json";
  if (r.ifMatch) headers["If-Match"] = r.ifMatch;
  let answer: Response;
  try {
    answer = await fetch(`${path.startsWith("/prometheus/") ? "" : "/api/v1"}${path}${search ? "?" + search : ""}`, {
      method,
      headers,
      body: r.body === undefined ? null : JSON.stringify(r.body),
      signal: r.abort ?? null,
      cache: "no-store",
      credentials: headers.Authorization ? "omit" : "same-origin",
    });
  } catch (e) {
    if (r.abort?.aborted) throw e;
    throw new Problem("down", "The server does not answer.");
  }
  const date = Date.parse(answer.headers.get("Date") ?? "");
  // The header has whole seconds: a smaller difference says nothing.
  if (date) ahead = Math.abs(date - Date.now()) > 2000 ? date - Date.now() : 0;
  if (answer.ok) return (answer.status === 204 || answer.headers.get("Content-Length") === "0" ? undefined : await answer.json()) as T;

  const p = await problemOf(answer);
  // An answer to an older token says nothing about the one in use now.
  if (p.trouble === "unauthenticated" && !r.open && r.as === undefined && as === token) refused(as ? "token" : "session");
  throw p;
}

/** Opens a stream of the REST interface, as the one who is signed in. */
export const openStream = (path: string, headers: Record<string, string>, abort: AbortSignal): Promise<Response> =>
  fetch(`/api/v1${path}`, { headers: { ...headers, ...(token && { Authorization: `Bearer ${token}` }) }, signal: abort, cache: "no-store", credentials: token ? "omit" : "same-origin" });

interface Details {
  detail?: string;
  error?: string; // as Prometheus says it
  errors?: { location?: string; message?: string }[];
}

const troubles: Record<number, Trouble> = { 400: "invalid", 401: "unauthenticated", 403: "forbidden", 404: "missing", 409: "conflict", 412: "conflict", 422: "invalid", 429: "busy", 502: "down", 503: "down", 504: "down" };

async function problemOf(answer: Response): Promise<Problem> {
  const d = await answer.json().then(
    (p: Details | null) => p ?? {},
    (): Details => ({}),
  );
  const fields: Record<string, string> = {};
  const rest: string[] = [];
  for (const e of d.errors ?? []) {
    const name = /^body\.(\w+)/.exec(e.location ?? "")?.[1];
    if (name) fields[name] = sentence(e.message ?? "");
    else if (e.message) rest.push(e.message);
  }
  const trouble = troubles[answer.status] ?? "failed";
  const wait = answer.headers.get("Retry-After");
  const texts: Partial<Record<Trouble, string>> = {
    forbidden: "Your role does not allow that.",
    missing: "There is no such thing (any more).",
    down: "A part of the service does not answer.",
    busy: "Too many attempts.",
  };
  const text = rest.join("; ") || Object.values(fields).join(" ") || d.detail || d.error || texts[trouble] || `The server answered ${answer.status}.`;
  return new Problem(trouble, sentence(text) + (trouble === "busy" && wait ? ` Try again in ${wait} s.` : ""), fields);
}

/** Messages of the service begin small and end without a stop. */
export const sentence = (s: string): string => s.charAt(0).toUpperCase() + s.slice(1) + (/[.!?]$/.test(s) ? "" : ".");
