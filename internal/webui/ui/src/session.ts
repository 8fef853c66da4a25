// What a tab, and what this browser, remembers. An API token lives in sessionStorage,
// so it ends with the tab and no other tab sees it. A session's cookie is out of
// reach of any script: only that there may be one is remembered.

const tokenKey = "sentinel.token";
const setupKey = "sentinel.setup";
const sessionKey = "sentinel.session";
const themeKey = "sentinel.theme";

export type Theme = "light" | "dark";

export const setupPath = "/setup";

/** Moves a token from the address (#token=…) into the tab's memory and removes it
 * from the address and from the history. A fragment never reaches a server. The
 * setup page's token signs nobody in: it is kept apart. */
export function takeTokenFromAddress(): string | null {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get("token")?.trim();
  if (token === undefined) return null;
  history.replaceState(null, "", location.pathname + location.search);
  if (location.pathname === setupPath) {
    saveSetupToken(token);
    return null;
  }
  saveToken(token);
  return token;
}

function save(store: Storage, key: string, value: string): void {
  if (value) store.setItem(key, value);
  else store.removeItem(key);
}

export const savedToken = (): string => sessionStorage.getItem(tokenKey) ?? "";
export const saveToken = (token: string): void => save(sessionStorage, tokenKey, token);

export const savedSetupToken = (): string => sessionStorage.getItem(setupKey) ?? "";
export const saveSetupToken = (token: string): void => save(sessionStorage, setupKey, token);

/** Whether somebody signed in with a password here and did not sign out. */
export const maybeSession = (): boolean => localStorage.getItem(sessionKey) !== null;
export const noteSession = (begun: boolean): void => save(localStorage, sessionKey, begun ? "1" : "");

/** Calls when another tab signs in or out. */
export function onSessionChange(then: (begun: boolean) => void): void {
  window.addEventListener("storage", (e) => e.key === sessionKey && then(e.newValue !== null));
}

/** The theme that was chosen by hand, if one was. */
export function chosenTheme(): Theme | null {
  const t = localStorage.getItem(themeKey);
  return t === "light" || t === "dark" ? t : null;
}

export function applyTheme(t: Theme | null): void {
  if (t) document.documentElement.dataset.theme = t;
  else delete document.documentElement.dataset.theme;
}

export function chooseTheme(t: Theme): void {
  localStorage.setItem(themeKey, t);
  applyTheme(t);
}
