// The token and the theme: what a tab remembers. The token lives in sessionStorage,
// so it ends with the tab and no other tab sees it.

const tokenKey = "sentinel.token";
const themeKey = "sentinel.theme";

export type Theme = "light" | "dark";

/** Moves a token from the address (#token=…) into the tab's memory and removes it
 * from the address and from the history. A fragment never reaches a server. */
export function takeTokenFromAddress(): string | null {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get("token");
  if (token === null) return null;
  history.replaceState(null, "", location.pathname + location.search);
  saveToken(token.trim());
  return token.trim();
}

export const savedToken = (): string => sessionStorage.getItem(tokenKey) ?? "";

export function saveToken(token: string): void {
  if (token) sessionStorage.setItem(tokenKey, token);
  else sessionStorage.removeItem(tokenKey);
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
