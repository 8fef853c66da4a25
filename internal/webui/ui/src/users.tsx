// People who sign in with a password.
import { useState } from "preact/hooks";
import { Problem } from "./api";
import { Ask, Buttons, Choice, Dialog, Field, NewPassword } from "./form";
import { Ago, Empty, FailureNotice, ProblemNotice, Skeleton, StateWord, When } from "./parts";
import { useLoad, useTask } from "./poll";
import { changeUser, createUser, deleteUser, type User, users } from "./resources";
import { Link } from "./route";
import { duties, type Role, roles, who } from "./who";

type Asking = { what: "new" } | { what: "edit" | "password" | "delete"; user: User };

export function Users() {
  const { data: list, failure, since, again } = useLoad(users, 5000);
  const [asking, setAsking] = useState<Asking | null>(null);
  const close = () => setAsking(null);
  const changed = () => {
    close();
    again();
  };
  const self = (u: User) => who.value?.kind === "user" && who.value.name === u.name;
  return (
    <>
      {failure && <FailureNotice failure={failure} since={since} />}
      {!list && !failure && <Skeleton name="users" />}
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
                          <button type="button" class="link bad" onClick={() => setAsking({ what: "delete", user: u })} aria-label={`Delete ${u.name}`}>
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
      {asking?.what === "delete" && (
        <Ask
          title={`Delete ${asking.user.name}?`}
          action="Delete"
          onClose={close}
          work={async () => {
            await deleteUser(asking.user.name);
            again();
          }}
        >
          <p>All sessions end at once. API tokens that {asking.user.name} made stay; the list of tokens shows them.</p>
        </Ask>
      )}
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
  const submit = async (e: Event) => {
    e.preventDefault();
    const good = await task.run(async () => {
      if (password !== again) throw new Problem("invalid", "The two passwords are not the same.");
      await createUser({ name: name.trim(), role, password });
    });
    if (good) onDone();
  };
  return (
    <Dialog title="New user" onClose={onClose}>
      <form onSubmit={submit}>
        <Field label="Name" required maxLength={64} autocomplete="off" autocapitalize="none" spellcheck={false} value={name} onValue={setName} wrong={task.problem?.fields.name} help="Lower case, as in ann or ann.lee" />
        <Choice label="Role" value={role} onValue={(v) => setRole(v as Role)} options={roleOptions} help={duties[role]} />
        <NewPassword value={password} onValue={setPassword} again={again} onAgain={setAgain} wrong={task.problem?.fields.password} />
        <ProblemNotice problem={task.problem} />
        <Buttons>
          <button type="button" class="plain" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={task.busy}>
            Make the user
          </button>
        </Buttons>
      </form>
    </Dialog>
  );
}

function EditUser({ user, onClose, onDone }: FormProps & { user: User }) {
  const [role, setRole] = useState(user.role);
  const [state, setState] = useState(user.disabled ? "disabled" : "enabled");
  const task = useTask();
  const disabled = state === "disabled";
  const same = role === user.role && disabled === user.disabled;
  const submit = async (e: Event) => {
    e.preventDefault();
    const change = { ...(role !== user.role && { role }), ...(disabled !== user.disabled && { disabled }) };
    if (await task.run(async () => void (await changeUser(user.name, change)))) onDone();
  };
  return (
    <Dialog title={`Change ${user.name}`} onClose={onClose}>
      <form onSubmit={submit}>
        <Choice label="Role" value={role} onValue={(v) => setRole(v as Role)} options={roleOptions} help={duties[role]} />
        <Choice label="Signing in" value={state} onValue={setState} options={[["enabled", "allowed"], ["disabled", "not allowed: disabled"]]} />
        {!same && <p class="note">All sessions of {user.name} end at once.</p>}
        <ProblemNotice problem={task.problem} />
        <Buttons>
          <button type="button" class="plain" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={task.busy || same}>
            Save
          </button>
        </Buttons>
      </form>
    </Dialog>
  );
}

function SetPassword({ user, onClose, onDone }: FormProps & { user: User }) {
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const task = useTask();
  const submit = async (e: Event) => {
    e.preventDefault();
    const good = await task.run(async () => {
      if (password !== again) throw new Problem("invalid", "The two passwords are not the same.");
      await changeUser(user.name, { password });
    });
    if (good) onDone();
  };
  return (
    <Dialog title={`A new password for ${user.name}`} onClose={onClose}>
      <form onSubmit={submit}>
        <p class="note">All sessions of {user.name} end at once.</p>
        <NewPassword value={password} onValue={setPassword} again={again} onAgain={setAgain} wrong={task.problem?.fields.password} />
        <ProblemNotice problem={task.problem} />
        <Buttons>
          <button type="button" class="plain" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={task.busy}>
            Set it
          </button>
        </Buttons>
      </form>
    </Dialog>
  );
}
