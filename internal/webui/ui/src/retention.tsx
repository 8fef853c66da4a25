// How long samples are kept, and what that takes of the disk.
import { useEffect, useState } from "preact/hooks";
import { ask, messageOf } from "./api";
import { Field, useAsk } from "./form";
import { number, plural, value } from "./format";
import { Coming, Notice, Pair, ProblemNotice, Tile, When } from "./parts";
import { useLoad, useTask } from "./poll";
import { may } from "./who";

interface Tier {
  tier: "raw" | "minute" | "hour";
  what: string;
  days: number; // 0: for ever
  configured_days: number | null;
  chosen_days: number | null;
  bytes: number;
  oldest: string | null;
  bytes_per_day: number | null;
  projected_bytes: number | null;
  drops?: { before: string; bytes: number; parts: number };
}

interface Kept {
  tiers: Tier[];
  bytes: number;
  bytes_per_day: number | null;
  projected_bytes: number | null;
  database_bytes: number;
  changed_at: string | null;
  changed_by: string;
}

type Days = Record<Tier["tier"], string>;

const retention = (days: Partial<Days>, abort: AbortSignal): Promise<Kept> => ask("GET", "/retention", { query: days, abort });
const putRetention = (body: { raw_days: number | null; minute_days: number | null; hour_days: number | null; drop: boolean }): Promise<Kept> => ask("PUT", "/retention", { body });

const colors: Record<Tier["tier"], string> = { raw: "c-blue", minute: "c-teal", hour: "c-purple" };
const bytes = (v: number | null): string => (v === null ? "not known yet" : value(v, "bytes"));

export function Retention() {
  const load = useLoad((abort) => retention({}, abort), 30_000);
  const { data: kept, again } = load;
  const [edited, setEdited] = useState<Partial<Days>>({});
  const [would, setWould] = useState<Kept | string | null>(null); // with what is typed; or why that cannot be said
  const task = useTask();
  const [ask, dialog] = useAsk(() => {
    setEdited({});
    again();
  });
  const key = JSON.stringify(edited);
  useEffect(() => {
    if (key === "{}") return setWould(null);
    const abort = new AbortController();
    const timer = setTimeout(() => retention(edited, abort.signal).then(setWould, (e) => abort.signal.aborted || setWould(messageOf(e))), 300);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [key]);
  const said = would && typeof would !== "string" ? would : kept;
  const days = (t: Tier) => edited[t.tier] ?? String(t.days);
  const type = (t: Tier, text: string) => {
    task.clear();
    const { [t.tier]: _, ...rest } = edited;
    setEdited(text === String(t.days) ? rest : { ...rest, [t.tier]: text });
  };
  const put = async (drop: boolean, chosen: (t: Tier) => number | null) => {
    const [raw_days, minute_days, hour_days] = kept!.tiers.map(chosen) as [number | null, number | null, number | null];
    await putRetention({ raw_days, minute_days, hour_days, drop });
  };
  const typed = (t: Tier) => (edited[t.tier] === undefined ? t.chosen_days : Number(edited[t.tier]));
  const dropped = said?.tiers.filter((t) => t.drops) ?? [];
  const save = (e: Event) => {
    e.preventDefault();
    if (!dropped.length) {
      return void task.run(() => put(false, typed)).then((good) => {
        if (!good) return;
        setEdited({});
        again();
      });
    }
    ask({ title: "Keep less?", action: "Drop and save", typed: "drop", work: () => put(true, typed), children: <Dropped of={dropped} /> });
  };
  const fromFile = () =>
    ask({
      title: "Take what the configuration file says?",
      action: "Take the file’s",
      danger: false,
      work: () => put(false, () => null),
      children: <p>{kept!.tiers.map((t) => `${nameOf(t)}: ${t.configured_days === null ? "not known yet" : length(t.configured_days)}`).join("; ")}. Where that is less than now, it is refused first and you are told what would go.</p>,
    });
  return (
    <>
      <Coming of={load} name="retention" />
      {kept && said && (
        <>
          <dl class="tiles">
            <Tile name="Samples and roll-ups" big={value(kept.bytes, "bytes")} note={`of ${value(kept.database_bytes, "bytes")} in the database`} />
            <Tile name="A day adds" big={said.bytes_per_day === null ? "–" : value(said.bytes_per_day, "bytes")} note={said.bytes_per_day === null ? "not known before some hours have passed" : "measured from the tables"} />
            <Tile name="In the end it takes" big={said.projected_bytes === null ? "–" : value(said.projected_bytes, "bytes")} note={said.projected_bytes === null ? "not known yet" : "once the oldest of each is as old as it may get"} />
          </dl>
          <form class="card pad retention" aria-label="Retention" onSubmit={save}>
            <Bars now={kept} said={said} />
            <div class="tiers">
              {kept.tiers.map((t, i) => {
                const s = said.tiers[i]!;
                return (
                  <div key={t.tier}>
                    {may("admin") ? (
                      <Field label={nameOf(t)} type="number" min={0} max={36500} required value={days(t)} onValue={(v) => type(t, v)} wrong={typeof would === "string" ? "" : task.problem?.fields[`${t.tier}_days`]} help={`${t.days ? "days" : "0 is for ever"}; ${origin(t)}${more(t)}`} />
                    ) : (
                      <p>
                        <b>{nameOf(t)}</b>
                        <span class="sub">{length(t.days)}; {origin(t)}{more(t)}</span>
                      </p>
                    )}
                    <dl class="pairs">
                      <Pair name="Oldest" value={<When time={t.oldest ?? undefined} none="nothing yet" />} />
                      <Pair name="Now" value={value(t.bytes, "bytes")} />
                      <Pair name="A day adds" value={bytes(s.bytes_per_day)} />
                      <Pair name="In the end" value={bytes(s.projected_bytes)} />
                    </dl>
                  </div>
                );
              })}
            </div>
            {dropped.length > 0 && (
              <Notice kind="warn" title="This drops what is there.">
                <Dropped of={dropped} />
              </Notice>
            )}
            {typeof would === "string" ? <Notice kind="warn" title="This cannot be.">{would}</Notice> : <ProblemNotice problem={task.problem} />}
            {may("admin") && (
              <div class="buttons start">
                <button type="submit" class="primary" disabled={task.busy || key === "{}" || typeof would === "string"}>
                  Save
                </button>
                {key !== "{}" && (
                  <button type="button" class="plain" onClick={() => { setEdited({}); task.clear(); }}>
                    Undo
                  </button>
                )}
                {key === "{}" && kept.tiers.some((t) => t.chosen_days !== null) && (
                  <button type="button" class="plain" onClick={fromFile}>
                    Take the configuration file’s …
                  </button>
                )}
              </div>
            )}
            <p class="note">
              Workers take a change within a minute, and drop whole partitions of what is too old at their next maintenance.
              {kept.changed_at && <> Changed <When time={kept.changed_at} /> by {kept.changed_by.replace(/^(user |token |console )?(\d+ )?/, "")}.</>}
            </p>
          </form>
        </>
      )}
      {dialog}
    </>
  );
}

const length = (days: number): string => (days ? plural(days, "day", "days") : "for ever");

/** What a tier is, and what else there is to be said of it. */
const nameOf = (t: Tier): string => t.what.split(",")[0]!;
const more = (t: Tier): string => (t.what.includes(",") ? "." + t.what.slice(t.what.indexOf(",") + 1).replace(/^ (.)/, (_, c: string) => " " + c.toUpperCase()) : "");

const origin = (t: Tier): string => (t.chosen_days !== null ? `chosen here${t.configured_days === null ? "" : `; the file says ${number(t.configured_days)}`}` : "as the configuration file says");

const Dropped = ({ of }: { of: Tier[] }) => (
  <>
    {of.map((t) => (
      <p key={t.tier}>
        {nameOf(t)} from before <When time={t.drops!.before} /> go: {value(t.drops!.bytes, "bytes")} in {plural(t.drops!.parts, "part", "parts")}. That cannot be undone.
      </p>
    ))}
  </>
);

/** What is taken now and in the end, on one scale. */
function Bars({ now, said }: { now: Kept; said: Kept }) {
  const end = said.tiers.map((t) => t.projected_bytes ?? t.bytes);
  const sum = (list: number[]) => list.reduce((a, b) => a + b, 0);
  const whole = Math.max(1, sum(end), sum(now.tiers.map((t) => t.bytes)));
  const bar = (name: string, sizes: number[]) => (
    <div class="row">
      <span>{name}</span>
      <span class="track">
        {now.tiers.map((t, i) => (
          <i key={t.tier} class={colors[t.tier]} style={{ width: `${(sizes[i]! / whole) * 100}%` }} />
        ))}
      </span>
      <b>{value(sum(sizes), "bytes")}</b>
    </div>
  );
  return (
    <div class="bars">
      {bar("Now", now.tiers.map((t) => t.bytes))}
      {said.projected_bytes !== null && bar("In the end", end)}
      <ul class="legend">
        {now.tiers.map((t) => (
          <li key={t.tier}>
            <i class={`dot ${colors[t.tier]}`} />
            {nameOf(t)}
          </li>
        ))}
      </ul>
    </div>
  );
}
