// API tokens: how programs come in.
import { useState } from "preact/hooks";
import { now } from "./api";
import { Buttons, Choice, Copy, Dialog, Field, FormDialog, lives, useAsk } from "./form";
import { until } from "./format";
import { Ago, Coming, Empty, StateWord, useSeconds, When } from "./parts";
import { useLoad, useTask } from "./poll";
import { createToken, revokeToken, type Token, tokens } from "./resources";
import { may, recall, type Role, roles } from "./who";

export function Tokens() {
  useSeconds();
  const { data: list, failure, since, again } = useLoad(tokens, 5000);
  const [making, setMaking] = useState(false);
  const [ask, dialog] = useAsk(again);
  const revoke = (t: Token) =>
    ask({
      title: `Revoke “${t.name}”?`,
      action: "Revoke",
      children: <p>Whatever uses it is refused from now on. If it is the one that you are signed in with, this signs you out.</p>,
      work: async () => (await revokeToken(t.id)).own && recall(),
    });
  const over = (t: Token) => !!t.expires_at && Date.parse(t.expires_at) <= now();
  return (
    <>
      <Coming of={{ data: list, failure, since }} name="API tokens" />
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
                    <td data-name="Made by">{t.created_by?.replace(/^(user|console):/, "").replace(/^token:(\d+ )?/, "token ") ?? "–"}</td>
                    <td data-name="Made"><When time={t.created_at} /></td>
                    <td data-name="Last used"><Ago time={t.last_used} /></td>
                    <td data-name="Ends">{t.expires_at ? (over(t) ? <When time={t.expires_at} /> : until(Date.parse(t.expires_at), now())) : "never"}</td>
                    <td class="acts">
                      {may(t.role) && (
                        <button type="button" class="link bad" onClick={() => revoke(t)} aria-label={`Revoke ${t.name}`}>
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
      {dialog}
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
  const work = async () => setSecret((await createToken({ name: name.trim(), role, ...(ttl && { ttl }) })).secret);
  return (
    <FormDialog key="form" title="New API token" action="Make the token" task={task} work={work} onClose={onClose} onDone={() => {}}>
      <Field label="Name" required maxLength={255} placeholder="What uses it" value={name} onValue={setName} wrong={bad.name} autocomplete="off" />
      <div class="two">
        <Choice label="Role" value={role} onValue={(v) => setRole(v as Role)} options={roles.filter(may).map((r) => [r, r])} help="At most your own" />
        <Choice label="Valid for" value={ttl} onValue={setTtl} options={[...lives, ["", "for ever"]]} />
      </div>
    </FormDialog>
  );
}
