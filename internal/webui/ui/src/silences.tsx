// Silences: what is held back, by whom, until when.
import { now } from "./api";
import { AlertFrame } from "./alertparts";
import { endSilence, silences } from "./alerting";
import { useAsk } from "./form";
import { until } from "./format";
import { Coming, Empty, StateWord, When } from "./parts";
import { useLoad } from "./poll";
import { address, setQuery } from "./route";
import { SilenceDialog } from "./silencing";
import { may } from "./who";

const kinds = { active: "warn", pending: "calm", expired: "calm" } as const;

export function Silences() {
  const withOver = address.value.query.get("all") === "1";
  const adding = address.value.query.has("new") && may("operator");
  const load = useLoad((abort) => silences(withOver, abort), 10_000, [withOver]);
  const { data: list, again } = load;
  const [ask, dialog] = useAsk(again);
  return (
    <AlertFrame
      tab="/silences"
      title="Silences"
      aside={
        <>
          <label class="check">
            <input type="checkbox" checked={withOver} onChange={(e) => setQuery("all", e.currentTarget.checked ? "1" : "")} /> Also those of the last days
          </label>
          {may("operator") && (
            <button type="button" class="plain" onClick={() => setQuery("new", "1")}>
              New silence …
            </button>
          )}
        </>
      }
    >
      <Coming of={load} name="silences" />
      {list && !list.length && <Empty title="Nothing is silenced">Every alert is told to those whom the routes name.</Empty>}
      {list && list.length > 0 && (
        <section class="card" aria-label="Silences">
          <table class="list">
            <thead>
              <tr>
                <th scope="col">Labels</th>
                <th scope="col">Why</th>
                <th scope="col">By</th>
                <th scope="col">State</th>
                <th scope="col">Ends</th>
                <th scope="col">
                  <span class="sr">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {list.map((s) => (
                <tr key={s.id} class={s.state === "expired" ? "past" : ""}>
                  <th scope="row" class="any">
                    <span class="labels">
                      {s.matchers.map((m) => (
                        <span class="label" key={m}>
                          {m}
                        </span>
                      ))}
                    </span>
                  </th>
                  <td data-name="Why" class="any">{s.comment}</td>
                  <td data-name="By">{s.author.replace(/^\d+ /, "")}</td>
                  <td data-name="State">
                    <StateWord kind={kinds[s.state]}>{s.state === "expired" ? "over" : s.state}</StateWord>
                  </td>
                  <td data-name="Ends">
                    <span>
                      <When time={s.ends_at} />
                      {s.state === "active" && <span class="sub">{until(Date.parse(s.ends_at), now())}</span>}
                    </span>
                  </td>
                  <td class="acts">
                    {may("operator") && s.state !== "expired" && (
                      <button
                        type="button"
                        class="link"
                        aria-label={`End the silence of ${s.matchers.join(", ")}`}
                        onClick={() => ask({ title: "End this silence?", action: "End it now", danger: false, children: <p>What still fires is told at the next turn of its group.</p>, work: () => endSilence(s.id) })}
                      >
                        End now
                      </button>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      {adding && <SilenceDialog matchers={[]} onClose={() => setQuery("new", "")} onMade={again} />}
      {dialog}
    </AlertFrame>
  );
}
