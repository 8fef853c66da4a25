// People who sign in with a password.
import { useState } from "preact/hooks";
import { Problem } from "./api";
import { Choice, Field, FormDialog, NewPassword, useAsk } from "./form";
import { Ago, Coming, Empty, StateWord, When } from "./parts";
import { useLoad, useTask } from "./poll";
import { changeUser, createUser, deleteUser, type User, users } from "./resources";
import { Link } from "./route";
import { duties, type Role, roles, who } from "./who";

type Asking = { what: "new" } | { what: "edit" | "password"; user: User };

export function Users() {
  const { data: list, failure, since, again } = useLoad(users, 5000);
  const [asking, setAsking] = useState<Asking | null>(null);
  const [ask, dialog] = useAsk(again);
  const close = () => setAsking(null);
  const changed = () => {
    close();
    again();
  };
  const self = (u: User) => who.value?.kind === "user" && who.value.name === u.name;
  return (
    <>
      <Coming of={{ data: list, failure, since }} name="users" />
      {list && (
        <section class="card" aria-label="Users">
          <div class="top inner">
            <p class="note">People, who sign in with a password.</p>
            <button type="button" class="plain" onClick={() => setAsking({ what: "new" })}>
              New user
            </button>
          </div>
          {!list.length ? (
            <Empty title="No user yet">You are signed in with a token. A user signs in with a name and a password.</Empty>
          ) : (
            <table class="list">
              <thead>
                <tr>
                  <th scope="col">Name</th>
                  <th scope="col">Role</th>
                  <th scope="col">State</th>
                  <th scope="col">Last signed in</th>
                  <th scope="col">Password set</th>
                  <th scope="col">Made</th>
                  <th scope="col">
                    <span class="sr">Actions</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {list.map((u) => (
                  <tr key={u.name} class={u.disabled ? "past" : ""}>
                    <th scope="row">
                      {u.name} {self(u) && <span class="tag">you</span>}
                    </th>
                    <td data-name="Role">{u.role}</td>
                    <td data-name="State">{u.disabled ? <StateWord kind="calm">disabled</StateWord> : <StateWord kind="good">may sign in</StateWord>}</td>
                    <td data-name="Last signed in"><Ago time={u.last_login} /></td>
                    <td data-name="Password set"><When time={u.password_at} /></td>
                    <td data-name="Made"><When time={u.created_at} /></td>
                    <td class="acts">
                      {self(u) ? (
                        <Link to="/account">Your account</Link>
                      ) : (
                        <>
                          <button type="button" class="link" onClick={() => setAsking({ what: "edit", user: u })} aria-label={`Change ${u.name}`}>
                            Change
                          </button>
                          <button type="button" class="link" onClick={() => setAsking({ what: "password", user: u })} aria-label={`Set the password of ${u.name}`}>
                            Password
                          </button>
                          <button type="button" class="link bad" onClick={() => ask({ title: `Delete ${u.name}?`, action: "Delete", children: <p>All sessions end at once. API tokens that {u.name} made stay; the list of tokens shows them.</p>, work: () => deleteUser(u.name) })} aria-label={`Delete ${u.name}`}>
                            Delete
                          </button>
                        </>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </section>
      )}
      {asking?.what === "new" && <NewUser onClose={close} onDone={changed} />}
      {asking?.what === "edit" && <EditUser user={asking.user} onClose={close} onDone={changed} />}
      {asking?.what === "password" && <SetPassword user={asking.user} onClose={close} onDone={changed} />}
      {dialog}
    </>
  );
}

interface FormProps {
  onClose: () => void;
  onDone: () => void;
}

const roleOptions = roles.map((r): [string, string] => [r, r]);

function NewUser({ onClose, onDone }: FormProps) {
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const task = useTask();
  const work = async () => {
    if (password !== again) throw new Problem("invalid", "The two passwords are not the same.");
    await createUser({ name: name.trim(), role, password });
  };
  return (
    <FormDialog title="New user" action="Make the user" task={task} work={work} onClose={onClose} onDone={onDone}>
      <Field label="Name" required maxLength={64} autocomplete="off" autocapitalize="none" spellcheck={false} value={name} onValue={setName} wrong={task.problem?.fields.name} help="Lower case, as in ann or ann.lee" />
      <Choice label="Role" value={role} onValue={(v) => setRole(v as Role)} options={roleOptions} help={duties[role]} />
      <NewPassword value={password} onValue={setPassword} again={again} onAgain={setAgain} wrong={task.problem?.fields.password} />
    </FormDialog>
  );
}

function EditUser({ user, onClose, onDone }: FormProps & { user: User }) {
  const [role, setRole] = useState(user.role);
  const [state, setState] = useState(user.disabled ? "disabled" : "enabled");
  const task = useTask();
  const disabled = state === "disabled";
  const same = role === user.role && disabled === user.disabled;
  const work = async () => void (await changeUser(user.name, { ...(role !== user.role && { role }), ...(disabled !== user.disabled && { disabled }) }));
  return (
    <FormDialog title={`Change ${user.name}`} action="Save" blocked={same} task={task} work={work} onClose={onClose} onDone={onDone}>
      <Choice label="Role" value={role} onValue={(v) => setRole(v as Role)} options={roleOptions} help={duties[role]} />
      <Choice label="Signing in" value={state} onValue={setState} options={[["enabled", "allowed"], ["disabled", "not allowed: disabled"]]} />
      {!same && <p class="note">All sessions of {user.name} end at once.</p>}
    </FormDialog>
  );
}

function SetPassword({ user, onClose, onDone }: FormProps & { user: User }) {
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const task = useTask();
  const work = async () => {
    if (password !== again) throw new Problem("invalid", "The two passwords are not the same.");
    await changeUser(user.name, { password });
  };
  return (
    <FormDialog title={`A new password for ${user.name}`} action="Set it" task={task} work={work} onClose={onClose} onDone={onDone}>
      <p class="note">All sessions of {user.name} end at once.</p>
      <NewPassword value={password} onValue={setPassword} again={again} onAgain={setAgain} wrong={task.problem?.fields.password} />
    </FormDialog>
  );
}
