// A text with numbered lines, and what is wrong at one of them.
import { useEffect, useId, useRef } from "preact/hooks";

export interface Mistake {
  line: number; // from 1 on; 0 is none
  text: string;
}

/** Reads a message such as “yaml:3: conditin: unknown key”. */
export function mistakeOf(message: string, offset = 0): Mistake {
  const m = /^yaml:(\d+):\s*/i.exec(message);
  const text = (m ? message.slice(m[0].length) : message).replace("groups[0].rules[0].", "").replace("groups[0].rules[0]: ", "");
  return { line: m ? Math.max(1, Number(m[1]) - offset) : 0, text: text.charAt(0).toUpperCase() + text.slice(1) };
}

interface Props {
  label: string;
  value: string;
  onValue: (v: string) => void;
  mistake: Mistake | null;
  readOnly?: boolean;
  rows?: number;
}

export function Editor({ label, value, onValue, mistake, readOnly = false, rows = 12 }: Props) {
  const id = useId();
  const gutter = useRef<HTMLPreElement>(null);
  const area = useRef<HTMLTextAreaElement>(null);
  const lines = value.split("\n").length;
  const follow = () => gutter.current && area.current && (gutter.current.scrollTop = area.current.scrollTop);
  useEffect(() => void follow(), [value]);
  const goTo = () => {
    const t = area.current;
    if (!t || !mistake?.line) return;
    const before = value.split("\n").slice(0, mistake.line - 1).join("\n").length + (mistake.line > 1 ? 1 : 0);
    t.focus();
    t.setSelectionRange(before, before + (value.split("\n")[mistake.line - 1]?.length ?? 0));
  };
  return (
    <div class="field editor">
      <label for={id}>{label}</label>
      <div class="lines">
        <pre ref={gutter} aria-hidden="true">
          {Array.from({ length: lines }, (_, i) => (
            <span key={i} class={mistake?.line === i + 1 ? "wrong" : ""}>
              {i + 1}
            </span>
          ))}
        </pre>
        <textarea ref={area} id={id} rows={Math.max(4, Math.min(28, Math.max(rows, lines + 1)))} wrap="off" spellcheck={false} autocapitalize="none" readOnly={readOnly} value={value} onScroll={follow} onInput={(e) => onValue(e.currentTarget.value)} aria-invalid={!!mistake} aria-describedby={`${id}-h`} />
      </div>
      <p id={`${id}-h`} class="help wrong" role={mistake ? "alert" : undefined}>
        {mistake &&
          (mistake.line ? (
            <>
              <button type="button" class="link bad" onClick={goTo}>
                Line {mistake.line}
              </button>
              : {mistake.text}
            </>
          ) : (
            mistake.text
          ))}
      </p>
    </div>
  );
}
