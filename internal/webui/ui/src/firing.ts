// What fires now: the number in the navigation, and which hosts need attention.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { type Incident, incidents } from "./alerting";
import { useHappenings } from "./live";
import { useLoad } from "./poll";

/** What fires, as far as that is known; null before anything is. */
export const firing = signal<Incident[] | null>(null);

/** Keeps `firing` true while somebody is signed in. */
export function useFiring(on: boolean): void {
  const { data, again } = useLoad((abort) => incidents({ state: "firing" }, abort), 30_000, [], on);
  useHappenings("alert.", again, "", on);
  useEffect(() => {
    if (data) firing.value = data;
  }, [data]);
}
