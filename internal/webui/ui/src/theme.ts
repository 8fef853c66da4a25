// Dark or light: the system's choice until one is made by hand.
import { computed, signal } from "@preact/signals";
import { chooseTheme, chosenTheme, type Theme } from "./session";

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const system = signal<Theme>(dark.matches ? "dark" : "light");
dark.addEventListener("change", (e) => (system.value = e.matches ? "dark" : "light"));

const chosen = signal(chosenTheme());

export const theme = computed<Theme>(() => chosen.value ?? system.value);

export function toggleTheme(): void {
  const t = theme.value === "dark" ? "light" : "dark";
  chooseTheme(t); // before the signal: whoever redraws reads the new colours
  chosen.value = t;
}
