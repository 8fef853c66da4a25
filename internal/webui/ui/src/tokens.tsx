// API tokens: how programs come in.
import { useState } from "preact/hooks";
import { now } from "./api";
import { Ask, Buttons, Choice, Copy, Dialog, Field, lives } from "./form";
import { until } from "./format";
import { Ago, Empty, FailureNotice, ProblemNotice, Skeleton, StateWord, useSeconds, When } from "./parts";
import { useLoad, useTask } from "./poll";
import { createToken, revokeToken, type Token, tokens } from "./resources";
import { may, recall, type Role, roles } from "./who";

export function Tokens() {
  useSeconds();
  const { data: list, failure, since, again } = useLoad(tokens, 5000);
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState<Token | null>(null);
  const over = (t: Token) => !!t.expires_at && Date.parse(t.expires_at) <= now();
  return (
    <>
      {failure && <FailureNotice failure={failure} since={since} />}
      {!list && !failure && <Skeleton name="API tokens" />}
      {list && (
        <section class="card" aria-label="API tokens">
          <div class="top inner">
            <p class="note">For programs: sentinelctl, scripts, dashboards.</p>
            <button type="button" class="plain" onClick={() => setMaking(true)}>
              New token
            </button>
          </div>
          {!list.length ? (
            <Empty title="No API token yet">Scripts and sentinelctl sign in with one.</Empty>
          ) : (
            <table class="list">
              <thead>
                <tr>
                  <th scope="col">Name</th>
                  <th scope="col">Role</th>
                  <th scope="col">State</th>
                  <th scope="col">Made by</th>
                  <th scope="col">Made</th>
                  <th scope="col">Last used</th>
                  <th scope="col">Ends</th>
                  <th scope="col">
                    <span class="sr">Actions</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {list.map((t) => (
                  <tr key={t.id} class={over(t) ? "past" : ""}>
                    <th scope="row">{t.name}</th>
                    <td data-name="Role">{t.role}</td>
                    <td data-name="State">{over(t) ? <StateWord kind="calm">expired</StateWord> : <StateWord kind="good">valid</StateWord>}</td>
                    <td data-name="Made by">{t.created_by ?? "–"}</td>
                    <td data-name="Made"><When time={t.created_at} /></td>
                    <td data-name="Last used"><Ago time={t.last_used} /></td>
                    <td data-name="Ends">{t.expires_at ? (over(t) ? <When time={t.expires_at} /> : until(Date.parse(t.expires_at), now())) : "never"}</td>
                    <td class="acts">
                      {may(t.role) && (
                        <button type="button" class="link bad" onClick={() => setRevoking(t)} aria-label={`Revoke ${t.name}`}>
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
      {making && (
        <NewToken
          onClose={() => {
            setMaking(false);
            again();
          }}
        />
      )}
      {revoking && (
        <Ask
          title={`Revoke “${revoking.name}”?`}
          action="Revoke"
          onClose={() => setRevoking(null)}
          work={async () => {
            if ((await revokeToken(revoking.id)).own) await recall();
            else again();
          }}
        >
          <p>Whatever uses it is refused from now on. If it is the one that you are signed in with, this signs you out.</p>
        </Ask>
      )}
    </>
  );
}

function NewToken({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const [ttl, setTtl] = useState("720h");
  const [secret, setSecret] = useState("");
  const task = useTask();
  const bad = task.problem?.fields ?? {};
  if (secret) {
    return (
      <Dialog key="made" title={`Token “${name.trim()}”`} onClose={onClose} wide>
        <div class="stack">
          <Copy label="The token. It cannot be shown again." text={secret} secret />
          <Copy label="To try it" text={`curl -H "Authorization: Bearer ${secret}" ${location.origin}/api/v1/status`} />
          <Buttons>
            <button type="button" class="primary" onClick={onClose}>
              Done
            </button>
          </Buttons>
        </div>
      </Dialog>
    );
  }
  const submit = (e: Event) => {
    e.preventDefault();
    void task.run(async () => setSecret((await createToken({ name: name.trim(), role, ...(ttl && { ttl }) })).secret));
  };
  return (
    <Dialog key="form" title="New API token" onClose={onClose}>
      <form onSubmit={submit}>
        <Field label="Name" required maxLength={255} placeholder="What uses it" value={name} onValue={setName} wrong={bad.name} autocomplete="off" />
        <div class="two">
          <Choice label="Role" value={role} onValue={(v) => setRole(v as Role)} options={roles.filter(may).map((r) => [r, r])} help="At most your own" />
          <Choice label="Valid for" value={ttl} onValue={setTtl} options={[...lives, ["", "for ever"]]} />
        </div>
        <ProblemNotice problem={task.problem} />
        <Buttons>
          <button type="button" class="plain" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={task.busy}>
            Make the token
          </button>
        </Buttons>
      </form>
    </Dialog>
  );
}
