// Pages that few open come when they are opened, all in one file.
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Notice, Skeleton } from "./parts";
import { who } from "./who";

type More = Omit<typeof import("./more"), "who">;

let loaded: More | null = null;

/** A quiet part shows nothing while it comes. */
function lazy<K extends keyof More>(name: K, quiet = false) {
  type Props = More[K] extends (p: infer P) => unknown ? P : never;
  return function Lazy(props: Props) {
    const [state, setState] = useState<"there" | "coming" | "failed">(loaded ? "there" : "coming");
    useEffect(() => {
      if (loaded) return;
      let gone = false;
      import("./more").then(
        (m) => {
          // Where the server has been updated meanwhile, this is another build, with
          // another copy of all that both use.
          const same = m.who === who;
          if (same) loaded = m;
          if (!gone) setState(same ? "there" : "failed");
        },
        () => gone || setState("failed"),
      );
      return () => {
        gone = true;
      };
    }, []);
    if (state === "failed") {
      if (quiet) return null;
      return (
        <Notice kind="bad" title="This part of the page could not be loaded.">
          The server does not answer, or has been updated meanwhile.{" "}
          <button type="button" class="link" onClick={() => location.reload()}>
            Load the page again
          </button>
        </Notice>
      );
    }
    if (!loaded) {
      if (quiet) return null;
      return (
        <>
          <h1 class="sr">Sentinel</h1>
          <Skeleton name="the page" />
        </>
      );
    }
    const Page = loaded[name] as unknown as ComponentType<Props>;
    return <Page {...(props as Props & object)} />;
  };
}

export const AddHosts = lazy("AddHosts");
export const Account = lazy("Account");
export const Admin = lazy("Admin");
export const HostBooks = lazy("HostBooks");
export const HostManage = lazy("HostManage");
export const SetUp = lazy("SetUp");
export const Alerts = lazy("Alerts");
export const AlertPage = lazy("AlertPage");
export const Silences = lazy("Silences");
export const Receivers = lazy("Receivers");
export const Rules = lazy("Rules");
export const RulePage = lazy("RulePage");
export const NewRule = lazy("NewRule");
export const Explore = lazy("Explore");
export const Palette = lazy("Palette", true);
export const Changed = lazy("Changed");
export const HostAlerts = lazy("HostAlerts", true);
export const HostNews = lazy("HostNews", true);
