// Parts of forms, and dialogs.
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { ProblemNotice } from "./parts";
import { type Task, useTask } from "./poll";
import { strength } from "./verdict";

interface FieldProps {
  label: string;
  value: string;
  onValue: (v: string) => void;
  help?: ComponentChildren;
  wrong?: string | undefined;
  type?: "text" | "password" | "number";
  name?: string;
  autocomplete?: "off" | "username" | "current-password" | "new-password";
  autocapitalize?: "none";
  spellcheck?: boolean;
  required?: boolean;
  maxLength?: number;
  min?: number;
  max?: number;
  placeholder?: string;
}

/** A labelled input with what helps and what is wrong below it. */
export function Field({ label, value, onValue, help, wrong, type = "text", ...rest }: FieldProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input {...({ type, ...rest } as object)} id={id} value={value} onInput={(e) => onValue(e.currentTarget.value)} aria-invalid={!!wrong} aria-describedby={`${id}-h`} />
      <Help id={`${id}-h`} help={help} wrong={wrong} />
    </div>
  );
}

const Help = ({ id, help, wrong }: { id: string; help: ComponentChildren; wrong: string | undefined }) => (
  <p id={id} class={wrong ? "help wrong" : "help"}>
    {wrong || help}
  </p>
);

interface AreaProps {
  label: string;
  value: string;
  onValue: (v: string) => void;
  rows: number;
  help?: string;
  wrong?: string;
  placeholder?: string;
}

export function Area({ label, value, onValue, rows, help, wrong, placeholder }: AreaProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <textarea id={id} rows={rows} spellcheck={false} placeholder={placeholder ?? ""} value={value} onInput={(e) => onValue(e.currentTarget.value)} aria-invalid={!!wrong} aria-describedby={`${id}-h`} />
      <Help id={`${id}-h`} help={help} wrong={wrong} />
    </div>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  onValue: (v: string) => void;
  options: [value: string, name: string][];
  help?: string;
}

export function Choice({ label, value, onValue, options, help }: ChoiceProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} value={value} onChange={(e) => onValue(e.currentTarget.value)} aria-describedby={`${id}-h`}>
        {options.map(([v, name]) => (
          <option key={v} value={v} selected={v === value}>
            {name}
          </option>
        ))}
      </select>
      <Help id={`${id}-h`} help={help} wrong={undefined} />
    </div>
  );
}

/** A new password, twice, with what its length is worth. */
export function NewPassword({ value, onValue, again, onAgain, wrong }: { value: string; onValue: (v: string) => void; again: string; onAgain: (v: string) => void; wrong?: string | undefined }) {
  const s = strength(value);
  return (
    <>
      <Field
        label="New password"
        type="password"
        autocomplete="new-password"
        required
        maxLength={1024}
        value={value}
        onValue={onValue}
        wrong={wrong}
        help={
          <span class={`strength s${s.level}`}>
            <span class="steps" aria-hidden="true">
              <i />
              <i />
              <i />
            </span>
            {s.text}
          </span>
        }
      />
      <Field label="The same again" type="password" autocomplete="new-password" required maxLength={1024} value={again} onValue={onAgain} wrong={again && again.length >= value.length && again !== value ? "The two are not the same." : ""} />
    </>
  );
}

/** Text to take along, shown in full. */
export function Copy({ label, text, secret = false }: { label: string; text: string; secret?: boolean }) {
  const [done, setDone] = useState("");
  const box = useRef<HTMLElement>(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setDone("Copied");
    } catch {
      getSelection()?.selectAllChildren(box.current!);
      setDone("Press Ctrl-C");
    }
  };
  useEffect(() => {
    if (!done) return;
    const timer = setTimeout(() => setDone(""), 2500);
    return () => clearTimeout(timer);
  }, [done]);
  return (
    <div class="copy">
      <span class="copy-label">{label}</span>
      <code ref={box} class={secret ? "secret" : ""} tabIndex={0} aria-label={label} role="textbox" aria-readonly="true">
        {text}
      </code>
      <button type="button" class="plain" onClick={copy}>
        <span aria-live="polite">{done || "Copy"}</span>
        <span class="sr"> {label}</span>
      </button>
    </div>
  );
}

/** A dialog over the page. It takes the focus and gives it back. */
export function Dialog({ title, onClose, children, wide = false }: { title: string; onClose: () => void; children: ComponentChildren; wide?: boolean }) {
  const box = useRef<HTMLDialogElement>(null);
  const id = useId();
  useLayoutEffect(() => {
    const before = document.activeElement;
    const d = box.current!;
    d.showModal();
    (d.querySelector<HTMLElement>("[autofocus], input, textarea, select") ?? d).focus();
    return () => {
      d.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  const onCancel = (e: Event) => {
    e.preventDefault(); // it goes with what rendered it
    onClose();
  };
  return (
    <dialog ref={box} class={wide ? "wide" : ""} aria-labelledby={id} onCancel={onCancel} tabIndex={-1}>
      <div class="head">
        <h2 id={id}>{title}</h2>
        <button type="button" class="quiet" onClick={onClose} aria-label="Close">
          <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
            <path d="M2 2l12 12M14 2L2 14" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" />
          </svg>
        </button>
      </div>
      {children}
    </dialog>
  );
}

interface FormProps {
  title: string;
  /** What the button says. */
  action: string;
  danger?: boolean;
  wide?: boolean;
  /** Nothing may be sent yet. */
  blocked?: boolean;
  /** Whose problem says what is wrong with which field. */
  task: Task;
  work: () => Promise<void>;
  /** Cancel has the focus, because there is nothing to fill in. */
  calm?: boolean;
  onClose: () => void;
  /** Follows work that went well; without it the dialog closes. */
  onDone?: () => void;
  children: ComponentChildren;
}

/** A form in a dialog: it does the work once at a time and shows what stopped it. */
export function FormDialog({ title, action, danger = false, wide = false, blocked = false, task, work, calm = false, onClose, onDone = onClose, children }: FormProps) {
  const submit = async (e: Event) => {
    e.preventDefault();
    if (!blocked && (await task.run(work))) onDone();
  };
  return (
    <Dialog title={title} onClose={onClose} wide={wide}>
      <form onSubmit={submit}>
        {children}
        <ProblemNotice problem={task.problem} />
        <Buttons>
          <button type="button" class="plain" onClick={onClose} autofocus={calm}>
            Cancel
          </button>
          <button type="submit" class={danger ? "danger" : "primary"} disabled={task.busy || blocked}>
            {action}
          </button>
        </Buttons>
      </form>
    </Dialog>
  );
}

interface Question {
  title: string;
  /** What the button says. */
  action: string;
  children: ComponentChildren;
  /** What has to be typed first, where it cannot be undone. */
  typed?: string;
  danger?: boolean;
  work: () => Promise<unknown>;
}

/** Asks before something is done, does it, and closes where it went well. */
export function Ask({ title, action, children, typed, danger = true, work, onClose }: Question & { onClose: () => void }) {
  const [text, setText] = useState("");
  const task = useTask();
  return (
    <FormDialog title={title} action={action} danger={danger} task={task} blocked={!!typed && text.trim() !== typed} calm={!typed} onClose={onClose} work={async () => void (await work())}>
      <div class="prose">{children}</div>
      {typed && <Field label={`Type ${typed} to confirm`} value={text} onValue={setText} autocomplete="off" spellcheck={false} />}
    </FormDialog>
  );
}

/** A function that asks, and what to render for it; `then` follows what went well. */
export function useAsk(then: () => void): [ask: (q: Question) => void, dialog: ComponentChildren] {
  const [q, setQuestion] = useState<Question | null>(null);
  const work = async () => {
    await q!.work();
    then();
  };
  return [setQuestion, q && <Ask {...q} work={work} onClose={() => setQuestion(null)} />];
}

export const Buttons = ({ children }: { children: ComponentChildren }) => <div class="buttons">{children}</div>;

export const lives: [string, string][] = [
  ["1h", "1 hour"],
  ["24h", "1 day"],
  ["168h", "7 days"],
  ["720h", "30 days"],
  ["8760h", "1 year"],
];
