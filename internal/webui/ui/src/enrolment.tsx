// Enrolment tokens: what buys hosts their identity.
import { AddHosts } from "./addhosts";
import { now } from "./api";
import { useAsk } from "./form";
import { until } from "./format";
import { Coming, Empty, Labels, StateWord, useSeconds, When } from "./parts";
import { useLoad } from "./poll";
import { enrolmentTokens, revokeEnrolmentToken } from "./resources";
import { address, setQuery } from "./route";

const kinds = { valid: "good", "used up": "calm", expired: "calm", revoked: "bad" } as const;

export function Enrolment() {
  useSeconds();
  const load = useLoad(enrolmentTokens, 5000);
  const { data: list, again } = load;
  const [ask, dialog] = useAsk(again);
  const add = () => setQuery("add", "1");
  return (
    <>
      <Coming of={load} name="enrolment tokens" />
      {list && (
        <section class="card" aria-label="Enrolment tokens">
          <div class="top inner">
            <p class="note">Tokens that buy hosts their identity.</p>
            <button type="button" class="plain" onClick={add}>
              Add hosts
            </button>
          </div>
          {!list.length ? (
            <Empty title="No enrolment token yet">“Add hosts” makes one and shows the command for the hosts.</Empty>
          ) : (
            <table class="list">
              <thead>
                <tr>
                  <th scope="col">Name</th>
                  <th scope="col">State</th>
                  <th scope="col">Hosts</th>
                  <th scope="col">Hostnames</th>
                  <th scope="col">Labels</th>
                  <th scope="col">Made</th>
                  <th scope="col">Ends</th>
                  <th scope="col">
                    <span class="sr">Actions</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {list.map((t) => (
                  <tr key={t.id} class={t.state === "valid" ? "" : "past"}>
                    <th scope="row">{t.name}</th>
                    <td data-name="State"><StateWord kind={kinds[t.state]}>{t.state}</StateWord></td>
                    <td data-name="Hosts">{t.uses} of {t.max_uses}</td>
                    <td data-name="Hostnames">{t.hostnames ? <code>{t.hostnames}</code> : "any"}</td>
                    <td data-name="Labels">{Object.keys(t.labels).length ? <Labels labels={t.labels} /> : "–"}</td>
                    <td data-name="Made"><When time={t.created_at} /></td>
                    <td data-name="Ends">{t.state === "valid" ? until(Date.parse(t.expires_at), now()) : "–"}</td>
                    <td class="acts">
                      {t.state === "valid" && (
                        <button
                          type="button"
                          class="link bad"
                          aria-label={`Revoke ${t.name}`}
                          onClick={() => ask({ title: `Revoke “${t.name}”?`, action: "Revoke", children: <p>No further host enrols with it. Those that have keep their identity.</p>, work: () => revokeEnrolmentToken(t.id) })}
                        >
                          Revoke
                        </button>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </section>
      )}
      {address.value.query.has("add") && (
        <AddHosts
          onClose={() => {
            setQuery("add", "");
            again();
          }}
        />
      )}
      {dialog}
    </>
  );
}
