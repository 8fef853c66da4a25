// What the REST interface offers, as far as this page uses it; the types follow
// /openapi.json.
import { ask } from "./api";
import type { Fleet } from "./fleetdata";
import type { Role } from "./who";

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
  in_flight: number;
  etag: string;
}

export interface Sample {
  name: string;
  labels: Record<string, string>;
  unit: string;
  kind: "gauge" | "counter" | "unknown";
  time: string;
  value: number;
}

const host = (id: string): string => `/agents/${encodeURIComponent(id)}`;

/** Follows the cursors of a list. */
export async function all<K extends string, T>(path: string, key: K, query: Record<string, string | undefined>, abort: AbortSignal, most = Infinity): Promise<T[]> {
  const rows: T[] = [];
  for (let after: string | undefined; ; ) {
    const page = await ask<Record<K, T[]> & { next?: string }>("GET", path, { query: { ...query, after }, abort });
    rows.push(...page[key]);
    if (!page.next || rows.length >= most) return rows;
    after = page.next;
  }
}

export const agents = (abort: AbortSignal): Promise<Agent[]> => all("/agents", "agents", { limit: "1000" }, abort);
export const fleet = (abort: AbortSignal): Promise<Fleet> => ask("GET", "/fleet", { abort });
export const agent = (id: string, abort?: AbortSignal): Promise<Agent> => ask("GET", host(id), abort ? { abort } : {});

export async function latest(id: string, abort: AbortSignal, metric = ""): Promise<Sample[]> {
  const l = await ask<{ samples: Sample[] }>("GET", `${host(id)}/latest`, { query: { metric }, abort });
  return l.samples;
}

export const changeAgent = (id: string, etag: string, change: { labels?: Record<string, string>; disabled?: boolean }): Promise<Agent> => ask("PATCH", host(id), { body: change, ifMatch: etag });
export const deleteAgent = (id: string): Promise<void> => ask("DELETE", host(id));

export interface Key {
  id: string;
  state: "pending" | "active" | "retiring" | "revoked";
  master_key: string;
  created_at: string;
  activated_at?: string;
  expires_at?: string;
}

export const keys = async (id: string, abort: AbortSignal): Promise<Key[]> => (await ask<{ keys: Key[] }>("GET", `${host(id)}/keys`, { abort })).keys;
export const rotateKey = (id: string): Promise<{ key_id: string }> => ask("POST", `${host(id)}/keys`);
export const revokeKey = (id: string, key: string): Promise<void> => ask("DELETE", `${host(id)}/keys/${encodeURIComponent(key)}`);

export interface Book {
  appended: number;
  stored: number;
  rejected: number;
  quarantined: number;
  lost: number;
  lost_by?: Record<string, number>;
  in_flight: number;
  samples: number;
}

export interface EpochBook extends Book {
  epoch: string;
  holes: number;
  forked: boolean;
}

export interface Books {
  agent: string;
  epochs: EpochBook[];
  total: Book;
}

export const books = (id: string, abort: AbortSignal): Promise<Books> => ask("GET", `${host(id)}/books`, { abort });

export interface EnrolmentToken {
  id: number;
  name: string;
  hostnames?: string;
  labels: Record<string, string>;
  max_uses: number;
  uses: number;
  state: "valid" | "revoked" | "expired" | "used up";
  created_at: string;
  expires_at: string;
}

export interface IssuedEnrolmentToken extends EnrolmentToken {
  secret: string;
  ca_pin?: string;
}

export interface NewEnrolmentToken {
  name: string;
  ttl: string;
  max_uses: number;
  hostnames: string;
  labels: Record<string, string>;
}

export const enrolmentTokens = async (abort: AbortSignal): Promise<EnrolmentToken[]> => (await ask<{ tokens: EnrolmentToken[] }>("GET", "/enrolment-tokens", { abort })).tokens;
export const createEnrolmentToken = (t: NewEnrolmentToken): Promise<IssuedEnrolmentToken> => ask("POST", "/enrolment-tokens", { body: t });
export const revokeEnrolmentToken = (id: number): Promise<void> => ask("DELETE", `/enrolment-tokens/${id}`);

export interface Token {
  id: number;
  name: string;
  role: Role;
  created_at: string;
  created_by?: string;
  expires_at?: string;
  last_used?: string;
}

export const tokens = async (abort: AbortSignal): Promise<Token[]> => (await ask<{ tokens: Token[] }>("GET", "/tokens", { abort })).tokens;
export const createToken = (t: { name: string; role: Role; ttl?: string }): Promise<Token & { secret: string }> => ask("POST", "/tokens", { body: t });
export const revokeToken = (id: number): Promise<{ own: boolean }> => ask("DELETE", `/tokens/${id}`);

export interface User {
  name: string;
  role: Role;
  created_at: string;
  password_at: string;
  last_login?: string;
  disabled: boolean;
}

const person = (name: string): string => `/users/${encodeURIComponent(name)}`;

export const users = async (abort: AbortSignal): Promise<User[]> => (await ask<{ users: User[] }>("GET", "/users", { abort })).users;
export const createUser = (u: { name: string; role: Role; password: string }): Promise<User> => ask("POST", "/users", { body: u });
export const changeUser = (name: string, change: { role?: Role; disabled?: boolean; password?: string }): Promise<User> => ask("PATCH", person(name), { body: change });
export const deleteUser = (name: string): Promise<void> => ask("DELETE", person(name));
export const changePassword = (old: string, password: string): Promise<void> => ask("POST", "/session/password", { body: { old, new: password } });
export const setUp = (token: string, user: string, password: string): Promise<User> => ask("POST", "/setup", { body: { token, user, password }, open: true });

export interface AuditEntry {
  id: number;
  at: string;
  actor_kind: "user" | "token" | "console" | "nobody";
  actor: string;
  action: string;
  target?: string;
  request_id?: string;
  remote?: string;
  details?: Record<string, unknown>;
}

export interface AuditPage {
  entries: AuditEntry[];
  next?: string;
}

export const audit = (query: Record<string, string | undefined>, abort: AbortSignal): Promise<AuditPage> => ask("GET", "/audit", { query, abort });

export interface Status {
  version: string;
  uptime_seconds: number;
  time: string;
  database: { engine: "native" | "timescale"; version: string; schema: number; bytes: number };
  broker?: { messages: number; bytes: number; max_bytes: number; consumers: { name: string; pending: number; lag_seconds: number }[] };
  agents: Record<string, number>;
  records: { appended: number; stored: number; quarantined: number; lost: number; in_flight: number; samples: number };
  dead_letters: number;
  orphans: number;
  sessions: number;
}

export const status = (abort: AbortSignal): Promise<Status> => ask("GET", "/status", { abort });

export interface DeadLetter {
  id: number;
  agent: string;
  orphan: boolean;
  epoch: string;
  seq: number;
  count: number;
  charged: number;
  reason: string;
  detail: string;
  received_at: string;
  created_at: string;
  replayed_at?: string;
  tried_at?: string;
}

export interface LetterContent extends DeadLetter {
  bytes: number;
  codec?: string;
  key_id?: string;
  layout?: string;
  series?: number;
  cycles?: number;
  losses?: number;
  from?: string;
  to?: string;
  unread?: string;
  replayable: boolean;
}

export interface LetterFilter {
  agent?: string;
  reason?: string;
  orphans?: string; // "true", or not there
}

export const deadLetters = (f: LetterFilter, abort: AbortSignal): Promise<DeadLetter[]> => all("/dead-letters", "letters", { ...f, limit: "200" }, abort, 1000);
export const deadLetter = (id: number, abort: AbortSignal): Promise<LetterContent> => ask("GET", `/dead-letters/${id}`, { abort });
export const replayLetter = (id: number): Promise<DeadLetter> => ask("POST", `/dead-letters/${id}/replay`);
export const purgeLetter = (id: number): Promise<{ letters: number }> => ask("DELETE", `/dead-letters/${id}`);
export const purgeLetters = (f: LetterFilter): Promise<{ letters: number }> => ask("DELETE", "/dead-letters", { query: { ...f } });
