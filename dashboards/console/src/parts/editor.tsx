// A text with the numbers of its lines; lines that are wrong are marked, and can be gone to.

import { useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";

interface Props {
  label: string;
  value: string;
  readOnly?: boolean;
  /** What is wrong, by line. */
  faults: ReadonlyMap<number, string>;
  /** What is doubtful, by line. */
  doubts?: ReadonlyMap<number, string>;
  /** How many lines are in sight; as many as there is room for, where it is not said. */
  rows?: number;
  /** The line to go to; another `at` goes there again. */
  goTo: { line: number; at: number } | null;
  onInput: (text: string) => void;
}

export function Editor({ label, value, readOnly = false, faults, doubts, rows, goTo, onInput }: Props) {
  const area = useRef<HTMLTextAreaElement>(null);
  const top = useSignal(0);
  const lines = value.split("\n");
  useLayoutEffect(() => {
    const box = area.current;
    if (!goTo || !box) return;
    const start = lines.slice(0, goTo.line - 1).reduce((sum, each) => sum + each.length + 1, 0);
    box.focus();
    box.setSelectionRange(start, start + (lines[goTo.line - 1] ?? "").length);
    const height = parseFloat(getComputedStyle(box).lineHeight) || 20;
    box.scrollTop = Math.max(0, (goTo.line - 4) * height);
  }, [goTo]);
  return (
    <div class={`editor ${rows ? "sized" : ""}`}>
      <div class="numbers" aria-hidden="true">
        <div style={{ transform: `translateY(${-top.value}px)` }}>
          {lines.map((_, place) => (
            <div
              key={place}
              class={faults.has(place + 1) ? "wrong" : doubts?.has(place + 1) ? "doubtful" : ""}
              title={faults.get(place + 1) ?? doubts?.get(place + 1) ?? ""}
            >
              {place + 1}
            </div>
          ))}
        </div>
      </div>
      <textarea
        ref={area}
        aria-label={label}
        class="raw"
        spellcheck={false}
        autocomplete="off"
        wrap="off"
        {...(rows ? { rows } : {})}
        readOnly={readOnly}
        value={value}
        onInput={(event) => onInput(event.currentTarget.value)}
        onScroll={(event) => (top.value = event.currentTarget.scrollTop)}
      />
    </div>
  );
}
