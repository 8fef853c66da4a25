// Who is signed in, and what they may.
import { computed, signal } from "@preact/signals";
import { ask, onRefused, Problem, useToken } from "./api";
import { maybeSession, noteSession, onSessionChange, savedToken, saveToken } from "./session";

export type Role = "viewer" | "operator" | "admin";

export interface Who {
  kind: "user" | "token";
  name: string;
  role: Role;
  expires_at?: string;
}

export const roles: Role[] = ["viewer", "operator", "admin"];

/** What each role may do, for people. */
export const duties: Record<Role, string> = {
  viewer: "sees hosts, charts, books and the pipeline",
  operator: "also adds and changes hosts, rotates keys, makes tokens, tests the pipeline and replays dead letters",
  admin: "also manages users, plugins and the retention, removes hosts and dead letters, and reads the audit log",
};

/** The one who is signed in; null is nobody, undefined is not known yet. */
export const who = signal<Who | null | undefined>(savedToken() || maybeSession() ? undefined : null);

/** Why the sign-in page shows, where that needs saying. */
export const signInNote = signal("");

/** Why it is not known who is signed in. */
export const unknownWhy = signal<Problem | null>(null);

const rank = computed(() => (who.value ? roles.indexOf(who.value.role) : -1));

/** The name to show: a token's begins with its number. */
export const nameOf = (w: Who): string => (w.kind === "token" ? w.name.replace(/^\d+ /, "") : w.name);

/** Whether the one who is signed in has at least this role. */
export const may = (role: Role): boolean => rank.value >= roles.indexOf(role);

const badToken = "This token is not valid. It may be mistyped, expired or revoked.";
const ended = "Your session has ended. Sign in again to go on where you were.";

function forget(note: string): void {
  saveToken("");
  useToken("");
  signInNote.value = note;
  who.value = null;
}

onRefused((what) => {
  if (what === "session") noteSession(false);
  forget(what === "token" ? badToken : ended);
});

onSessionChange((begun) => {
  if (savedToken()) return;
  if (begun) void recall();
  else if (who.value) forget("You are signed out: in another tab, or because the session has ended.");
});

/** Asks who the token, or the cookie, belongs to. */
export async function recall(): Promise<void> {
  unknownWhy.value = null;
  try {
    who.value = await ask<Who>("GET", "/session");
  } catch (e) {
    // A refusal has been dealt with: see onRefused.
    if (!(e instanceof Problem && e.trouble === "unauthenticated")) unknownWhy.value = e instanceof Problem ? e : new Problem("failed", String(e));
  }
}

/** Signs in with a token; throws where it is not good, and then nothing changes. */
export async function signInWithToken(t: string): Promise<void> {
  let found: Who;
  try {
    found = await ask<Who>("GET", "/session", { as: t });
  } catch (e) {
    throw e instanceof Problem && e.trouble === "unauthenticated" ? new Problem(e.trouble, badToken) : e;
  }
  saveToken(t);
  useToken(t);
  signInNote.value = "";
  who.value = found;
}

export async function signInWithPassword(user: string, password: string): Promise<void> {
  const found = await ask<Who>("POST", "/session", { body: { user, password }, open: true });
  saveToken("");
  useToken("");
  noteSession(true);
  signInNote.value = "";
  who.value = found;
}

/** Signs out. A token is only forgotten here, and stays good. */
export async function signOut(): Promise<void> {
  if (who.value?.kind === "user") {
    try {
      await ask("DELETE", "/session");
    } catch (e) {
      // Whoever walks away must know that the cookie is still good.
      if (!(e instanceof Problem && e.trouble === "unauthenticated")) throw e;
    }
    noteSession(false);
  }
  forget("");
}
