// Every view is a link: what is shown follows from the address alone.
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";

interface Address {
  path: string;
  query: URLSearchParams;
}

const read = (): Address => ({ path: location.pathname, query: new URLSearchParams(location.search) });

export const address = signal<Address>(read());

window.addEventListener("popstate", () => (address.value = read()));

export function go(to: string): void {
  const from = location.pathname;
  history.pushState(null, "", to);
  address.value = read();
  if (location.pathname !== from) window.scrollTo(0, 0);
}

/** Sets or removes one part of the query without a step in the history. */
export function setQuery(key: string, value: string): void {
  history.replaceState(null, "", withQuery(key, value));
  address.value = read();
}

/** The present address with one part of the query changed. */
export function withQuery(key: string, value: string): string {
  const query = new URLSearchParams(location.search);
  if (value) query.set(key, value);
  else query.delete(key);
  const text = query.toString();
  return location.pathname + (text ? "?" + text : "");
}

interface LinkProps {
  to: string;
  children: ComponentChildren;
  class?: string;
  "aria-current"?: "true" | "page" | undefined;
  "aria-label"?: string;
}

/** A link within the page; with a modifier key it opens as any other. */
export function Link({ to, children, ...rest }: LinkProps) {
  const follow = (e: MouseEvent) => {
    if (e.button || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
    e.preventDefault();
    go(to);
  };
  return (
    <a {...rest} href={to} onClick={follow}>
      {children}
    </a>
  );
}
