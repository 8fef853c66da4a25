// What the books say, in words.
import { plural } from "./format.js"; // .js: the tests import this module as it is built
import type { Book, Books } from "./resources";

export const balances = (b: Book): boolean => b.appended === b.stored + b.rejected + b.quarantined + b.lost + b.in_flight;

export interface Verdict {
  kind: "good" | "warn" | "bad";
  word: string;
  text: string;
}

/** The judgement on all books of an agent, the same as sentinelctl agent audit's. */
export function verdict(b: Books): Verdict {
  const t = b.total;
  const forked = b.epochs.some((e) => e.forked);
  if (!balances(t) || b.epochs.some((e) => !balances(e))) {
    return { kind: "bad", word: "does not balance", text: "The parts do not add up to what the agent wrote. This must not happen: sentinelctl agent audit --wal on the host compares its log with these books." };
  }
  if (forked) {
    return { kind: "bad", word: "forked", text: "One number named two contents: two hosts write under this identity, as after a copied disk. Revoke its keys and enrol each host anew." };
  }
  const rest = [
    t.in_flight && `${plural(t.in_flight, "is", "are")} on the way`,
    t.quarantined && `${plural(t.quarantined, "lies", "lie")} in the dead letters`,
    t.rejected && `${plural(t.rejected, "was", "were")} refused and kept by the agent`,
    t.lost && `${plural(t.lost, "was", "were")} lost, as the agent itself declared (${Object.entries(t.lost_by ?? {})
      .sort()
      .map(([why, n]) => `${why}: ${n}`)
      .join(", ")})`,
  ].filter(Boolean);
  const text = t.appended === 0 ? "The agent has written nothing yet." : `Of ${plural(t.appended, "record", "records")} that the agent wrote, ${plural(t.stored, "is", "are")} stored${rest.length ? "; " + rest.join("; ") : ""}. Nothing is unaccounted for.`;
  return t.lost || t.quarantined || t.rejected ? { kind: "warn", word: "balances, with losses", text } : { kind: "good", word: "balances", text };
}

/** What a password's length is worth, before the server says whether it is enough. */
export function strength(password: string): { level: 0 | 1 | 2 | 3; text: string } {
  const n = [...password].length;
  if (n < 12) return { level: n ? 1 : 0, text: n ? `${n} of at least 12 characters` : "At least 12 characters; a sentence is good" };
  if (n < 16) return { level: 2, text: "Long enough; longer is stronger" };
  return { level: 3, text: "Strong, unless others know it" };
}
