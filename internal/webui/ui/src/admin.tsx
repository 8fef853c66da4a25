// The section of what runs the service: each role sees what it may use.
import { useEffect } from "preact/hooks";
import type { ComponentType } from "preact";
import { Audit } from "./audit";
import { Enrolment } from "./enrolment";
import { Tabs } from "./hostframe";
import { Letters } from "./letters";
import { Empty, Heading, Refused } from "./parts";
import { Pipeline } from "./pipeline";
import { Plugins } from "./plugins";
import { Retention } from "./retention";
import { Link } from "./route";
import { Tokens } from "./tokens";
import { Users } from "./users";
import { may, type Role } from "./who";

interface Place {
  id: string;
  name: string;
  need: Role;
  page: ComponentType;
}

const places: Place[] = [
  { id: "", name: "Pipeline", need: "viewer", page: Pipeline },
  { id: "dead-letters", name: "Dead letters", need: "viewer", page: Letters },
  { id: "plugins", name: "Plugins", need: "viewer", page: Plugins },
  { id: "retention", name: "Retention", need: "viewer", page: Retention },
  { id: "enrolment", name: "Enrolment", need: "operator", page: Enrolment },
  { id: "tokens", name: "API tokens", need: "operator", page: Tokens },
  { id: "users", name: "Users", need: "admin", page: Users },
  { id: "audit", name: "Audit log", need: "admin", page: Audit },
];

export function Admin({ place: id }: { place: string }) {
  const place = places.find((p) => p.id === id.replace(/\/$/, ""));
  useEffect(() => {
    // On a phone the row of tabs is wider than the page.
    document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }, [id]);
  const open = places.filter((p) => may(p.need));
  return (
    <>
      <Heading key={id} title={place?.name ?? "Not found"}>
        {place?.name ?? "There is no page here"}
      </Heading>
      <div class="top under">
        <Tabs name="Administration" tabs={open.map((p) => ({ to: p.id ? `/admin/${p.id}` : "/admin", label: p.name, current: p === place }))} />
      </div>
      {!place ? (
        <Empty title={`/admin/${id}`}>
          The address may be mistyped. <Link to="/admin">Administration</Link>
        </Empty>
      ) : may(place.need) ? (
        <place.page />
      ) : (
        <Refused need={place.need} what={`“${place.name}”`} />
      )}
    </>
  );
}
