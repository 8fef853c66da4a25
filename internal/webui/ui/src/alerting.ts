// What the REST interface offers about alerts; the types follow /openapi.json.
import { ask } from "./api";
import { all } from "./resources";

export type Severity = "info" | "warning" | "critical";
export type IncidentState = "pending" | "firing" | "resolved" | "unknown" | "inactive";

export interface Incident {
  fingerprint: string;
  rule: string; // group/alert
  alert: string;
  severity: Severity;
  agent: string;
  hostname: string;
  series?: string;
  state: IncidentState;
  was?: string;
  reason: string;
  starts_at?: string;
  fired_at?: string;
  ends_at?: string;
  changed_at: string;
  labels: Record<string, string>;
  annotations?: Record<string, string>;
  values?: Record<string, number>;
  runbook?: string;
  acked_by?: string;
  acked_at?: string;
  ack_comment?: string;
}

export interface IncidentChange {
  at: string;
  noted_at: string;
  from: string;
  to: string;
  reason: string;
  values?: Record<string, number>;
}

export interface IncidentQuery {
  state?: string;
  agent?: string;
  rule?: string;
  all?: string; // "true": also those that are over
}

export const mostIncidents = 2000;

export const incidents = (q: IncidentQuery, abort: AbortSignal): Promise<Incident[]> => all("/incidents", "incidents", { ...q, limit: "1000" }, abort, mostIncidents);
export const incident = (fingerprint: string, abort: AbortSignal): Promise<Incident & { timeline: IncidentChange[] }> => ask("GET", `/incidents/${encodeURIComponent(fingerprint)}`, { abort });
export const ackIncident = (fingerprint: string, comment: string): Promise<Incident> => ask("POST", `/incidents/${encodeURIComponent(fingerprint)}/ack`, { body: { comment } });

export interface Silence {
  id: string;
  matchers: string[];
  author: string;
  comment: string;
  starts_at: string;
  ends_at: string;
  state: "pending" | "active" | "expired";
}

export const silences = async (withOver: boolean, abort: AbortSignal): Promise<Silence[]> => (await ask<{ silences: Silence[] }>("GET", "/silences", { query: { all: withOver ? "true" : "" }, abort })).silences;
export const createSilence = (s: { matchers: string[]; comment: string; lasts: string }): Promise<Silence> => ask("POST", "/silences", { body: s });
export const endSilence = (id: string): Promise<Silence> => ask("DELETE", `/silences/${encodeURIComponent(id)}`);
export const previewSilence = async (matchers: string[], abort: AbortSignal): Promise<Incident[]> => (await ask<{ incidents: Incident[] }>("GET", "/silences/preview", { query: { matcher: matchers }, abort })).incidents;

export interface Rule {
  group: string;
  alert: string;
  kind: "threshold" | "absence" | "anomaly" | "forecast" | "expr";
  severity: Severity;
  sentence: string;
  expr?: string;
  asked?: { at: string; answered_at?: string; took_ms: number; series: number; error?: string };
  series?: string;
  divided_by?: string;
  minus?: string;
  agents?: string;
  function?: string;
  window?: string;
  condition?: string;
  recovery?: string;
  runbook?: string;
  yaml: string;
  version: number;
  changed_at: string;
  changed_by: string;
}

const rulePath = (group: string, alert: string): string => `/rules/${encodeURIComponent(group)}/${encodeURIComponent(alert)}`;

export const rules = async (abort: AbortSignal): Promise<Rule[]> => (await ask<{ rules: Rule[] }>("GET", "/rules", { abort })).rules;
export const rule = (group: string, alert: string, abort: AbortSignal): Promise<Rule> => ask("GET", rulePath(group, alert), { abort });
export const ruleVersions = async (group: string, alert: string, abort: AbortSignal): Promise<Rule[]> => (await ask<{ rules: Rule[] }>("GET", rulePath(group, alert) + "/versions", { abort })).rules;
export const deleteRule = (group: string, alert: string): Promise<void> => ask("DELETE", rulePath(group, alert));

/** Keeps, or with dryRun only checks, the rules of a file. */
export const applyRules = async (yaml: string, dryRun: boolean, abort?: AbortSignal): Promise<Rule[]> =>
  (await ask<{ rules: Rule[] }>("POST", "/rules", { body: { yaml, dry_run: dryRun }, ...(abort && { abort }) })).rules;

export interface Played {
  rule: string;
  fired: number;
  resolved: number;
  messages: number;
  current?: Played;
}

export interface Backtest {
  from: string;
  to: string;
  minutes: boolean;
  agents: number;
  cycles: number;
  samples: number;
  took_ms: number;
  rules: Played[];
  transitions: { at: string; fingerprint: string; agent: string; hostname: string; series?: string; from: string; to: string; value: number }[];
  truncated?: number;
}

export const backtest = (yaml: string, since: string): Promise<Backtest> => ask("POST", "/backtests", { body: { yaml, since, against: true } });

export interface Receiver {
  name: string;
  channels: { id: string; kind: string }[];
}

export interface Route {
  path: string; // such as route.routes[2]
  receiver: string;
  matchers: string; // {} matches everything
  continue?: boolean;
  group_by?: string[];
  group_wait: string;
  group_interval: string;
  repeat_interval: string;
  mute?: string[];
  active?: string[];
  escalations?: string[];
  routes?: Route[];
}

export interface NotificationConfig {
  yaml: string;
  version: number;
  changed_at?: string;
  changed_by?: string;
  route: Route;
}

export interface Explained {
  path: string;
  trail: string[];
  receiver: string;
  group_key: string;
  muted_by?: string[];
  silenced_by?: string[];
  inhibited_by?: string;
  escalations?: string[];
}

export interface Delivery {
  id: number;
  at: string;
  channel: string;
  group_key: string;
  reason: string;
  alerts: number;
  attempt: number;
  took_ms: number;
  error?: string;
  gave_up?: boolean;
}

export interface Undelivered {
  id: string;
  channel: string;
  error: string;
  at: string;
  reason: string;
  alerts: string[];
}

export const notificationConfig = (abort: AbortSignal): Promise<NotificationConfig> => ask("GET", "/notifications/config", { abort });
export const putNotificationConfig = (yaml: string, version: number): Promise<NotificationConfig> => ask("PUT", "/notifications/config", { body: { yaml, version } });
export const receivers = async (abort: AbortSignal): Promise<Receiver[]> => (await ask<{ receivers: Receiver[] }>("GET", "/notifications/receivers", { abort })).receivers;
export const testReceiver = (channel: string): Promise<void> => ask("POST", "/notifications/test", { body: { channel } });
export const deliveries = async (query: { channel?: string; failed?: string; limit?: string }, abort: AbortSignal): Promise<Delivery[]> => (await ask<{ deliveries: Delivery[] }>("GET", "/notifications/deliveries", { query, abort })).deliveries;
export const undelivered = async (abort: AbortSignal): Promise<Undelivered[]> => (await ask<{ messages: Undelivered[] }>("GET", "/notifications/undelivered", { abort })).messages;
export const replayUndelivered = (id: string): Promise<void> => ask("POST", `/notifications/undelivered/${id}/replay`);
export const discardUndelivered = (id: string): Promise<void> => ask("DELETE", `/notifications/undelivered/${id}`);

/** Where an alert with these labels would go now. */
export const explain = async (labels: Record<string, string>, abort: AbortSignal): Promise<Explained[]> =>
  (await ask<{ routes: Explained[] }>("GET", "/notifications/explain", { query: { label: Object.entries(labels).map(([k, v]) => `${k}=${v}`) }, abort })).routes;
