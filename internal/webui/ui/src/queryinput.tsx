// Where PromQL is typed: what could come next is offered.
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { labelNames, labelValues } from "./graph";
import { fitting, functions, aggregates, type Place, placeOf } from "./promql";

interface Props {
  label: string;
  value: string;
  metrics: string[];
  wrong: boolean;
  onValue: (v: string) => void;
  onRun: () => void;
}

export function QueryInput({ label, value, metrics, wrong, onValue, onRun }: Props) {
  const id = useId();
  const input = useRef<HTMLInputElement>(null);
  const [place, setPlace] = useState<Place | null>(null);
  const [names, setNames] = useState<string[]>([]);
  const [at, setAt] = useState(-1);

  useEffect(() => {
    if (!place) return setNames([]);
    if (place.kind === "metric") return setNames(place.prefix ? [...metrics, ...functions, ...aggregates] : metrics);
    const abort = new AbortController();
    const match = place.metric || '{__name__=~".+"}';
    (place.kind === "label" ? labelNames(match, abort.signal) : labelValues(place.label, match, abort.signal)).then(setNames, () => abort.signal.aborted || setNames([]));
    return () => abort.abort();
  }, [place?.kind, place?.metric, place?.label, !place?.prefix, metrics]);

  const offers = place ? fitting(names.filter((n) => n !== "__name__"), place.prefix) : [];
  const open = offers.length > 0;
  const look = () => {
    const i = input.current!;
    setPlace(document.activeElement === i ? placeOf(i.value, i.selectionStart ?? 0) : null);
    setAt(-1);
  };
  const take = (name: string) => {
    if (!place) return;
    const end = place.from + place.prefix.length;
    const rest = value.slice(end);
    const tail = place.kind === "label" && value.slice(0, place.from).lastIndexOf("{") > value.slice(0, place.from).lastIndexOf("}") && !/^\s*[=!]/.test(rest) ? '="' : place.kind === "value" && !rest.startsWith('"') ? '"' : functions.includes(name) || (aggregates.includes(name) && place.kind === "metric") ? "(" : "";
    const text = value.slice(0, place.from) + name + tail + rest;
    onValue(text);
    const caret = place.from + name.length + tail.length;
    requestAnimationFrame(() => {
      if (input.current?.value !== text) return; // somebody has typed on
      input.current.setSelectionRange(caret, caret);
      if (tail === '="' || tail === "(") look();
      else setPlace(null);
    });
  };
  const onKeyDown = (e: KeyboardEvent) => {
    if (open && (e.key === "ArrowDown" || e.key === "ArrowUp")) {
      e.preventDefault();
      setAt((at + (e.key === "ArrowDown" ? 1 : -1) + offers.length + (at < 0 && e.key === "ArrowUp" ? 1 : 0)) % offers.length);
    } else if (open && at >= 0 && (e.key === "Enter" || e.key === "Tab")) {
      e.preventDefault();
      take(offers[at]!);
    } else if (e.key === "Enter") {
      setPlace(null);
      onRun();
    } else if (e.key === "Escape" && open) {
      e.stopPropagation();
      setPlace(null);
    }
  };
  return (
    <div class="query-input">
      <input
        ref={input}
        class="filter"
        role="combobox"
        aria-label={label}
        aria-expanded={open}
        aria-controls={`${id}-l`}
        aria-autocomplete="list"
        aria-activedescendant={at >= 0 ? `${id}-${at}` : undefined}
        aria-invalid={wrong}
        placeholder="node_load1, or rate(node_network_receive_bytes_total[5m])"
        spellcheck={false}
        autocomplete="off"
        autocapitalize="none"
        value={value}
        onInput={(e) => {
          onValue(e.currentTarget.value);
          look();
        }}
        onFocus={look}
        onClick={look}
        onBlur={() => setPlace(null)}
        onKeyDown={onKeyDown}
      />
      <ul id={`${id}-l`} role="listbox" aria-label="What could come next" class={open ? "offers" : "offers none"}>
        {offers.map((n, i) => (
          <li key={n} id={`${id}-${i}`} role="option" aria-selected={i === at} onMouseDown={(e) => { e.preventDefault(); take(n); }}>
            {n}
          </li>
        ))}
      </ul>
    </div>
  );
}
