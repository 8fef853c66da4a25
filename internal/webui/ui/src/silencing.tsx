// Making a silence, with what it would hold back now.
import { useEffect, useState } from "preact/hooks";
import { messageOf } from "./api";
import { createSilence, type Incident, previewSilence } from "./alerting";
import { Area, Choice, Field, FormDialog } from "./form";
import { plural } from "./format";
import { matcherText, parseMatchers } from "./matchers";
import { useTask } from "./poll";

const lengths: [string, string][] = [
  ["30m", "30 minutes"],
  ["2h", "2 hours"],
  ["8h", "8 hours"],
  ["24h", "1 day"],
  ["168h", "7 days"],
  ["720h", "30 days"],
];

export function SilenceDialog({ matchers, onClose, onMade }: { matchers: string[]; onClose: () => void; onMade?: () => void }) {
  const [text, setText] = useState(matchers.join("\n"));
  const [lasts, setLasts] = useState("2h");
  const [comment, setComment] = useState("");
  const task = useTask();
  const parsed = parseMatchers(text);
  const list = parsed.wrong ? [] : parsed.list.map(matcherText);
  const work = async () => {
    await createSilence({ matchers: list, comment: comment.trim(), lasts });
    onMade?.();
  };
  return (
    <FormDialog title="Silence alerts" action="Silence" wide blocked={!list.length} task={task} work={work} onClose={onClose}>
      <Area label="Labels" rows={Math.min(8, Math.max(3, text.split("\n").length))} value={text} onValue={setText} help="One a line; an alert must have all of them" wrong={parsed.wrong || (task.problem?.fields.matchers ?? "")} placeholder={'alertname="DiskAlmostFull"\nhostname=~"web-.*"'} />
      <Preview matchers={list} />
      <div class="two">
        <Choice label="For" value={lasts} onValue={setLasts} options={lengths} />
        <Field label="Why" required maxLength={1000} value={comment} onValue={setComment} wrong={task.problem?.fields.comment} placeholder="Disk is being replaced" autocomplete="off" />
      </div>
    </FormDialog>
  );
}

const examples = 5;

/** What fires now and would be held back. */
function Preview({ matchers }: { matchers: string[] }) {
  const [hits, setHits] = useState<Incident[] | string>([]);
  const key = matchers.join("\n");
  useEffect(() => {
    if (!matchers.length) return setHits([]);
    const abort = new AbortController();
    const timer = setTimeout(() => {
      previewSilence(matchers, abort.signal).then(setHits, (e) => abort.signal.aborted || setHits(messageOf(e)));
    }, 300);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [key]);
  if (typeof hits === "string") return <p class="help wrong">{hits}</p>;
  return (
    <div class="progress preview" role="status">
      <b>{!matchers.length ? "Labels say what is held back." : hits.length ? `Holds back ${plural(hits.length, "alert", "alerts")} that fire now:` : "Holds back nothing that fires now."}</b>
      {hits.length > 0 && (
        <ul>
          {hits.slice(0, examples).map((i) => (
            <li key={i.fingerprint}>
              {i.alert} <span class="note">on {i.hostname} {i.annotations?.summary}</span>
            </li>
          ))}
          {hits.length > examples && <li class="note">and {hits.length - examples} more</li>}
        </ul>
      )}
    </div>
  );
}
