// Drafts: what somebody has begun to write and not saved yet. It outlives other screens and a reload of this tab, and is
// there again for the same person; before the tab is closed the browser asks.

import { signal, type Signal } from "@preact/signals";
import { person } from "./session";

export interface Draft<T> {
  /** What was written; null: nothing that is not saved. */
  readonly value: T | null;
  keep: (value: T) => void;
  drop: () => void;
}

const KEPT = "haidang.draft.";
const drafts = new Map<string, Signal<unknown>>();

/** Return the draft of something, such as `case-note.7`. `secret`: it is never written to where the browser keeps it. */
export function draftOf<T>(what: string, secret = false): Draft<T> {
  const key = `${KEPT}${person.value?.name ?? ""}.${what}`;
  let held = drafts.get(key);
  if (!held) drafts.set(key, (held = signal<unknown>(stored(key))));
  const now = held;
  return {
    get value() {
      return now.value as T | null;
    },
    keep(value) {
      now.value = value;
      if (!secret) sessionStorage.setItem(key, JSON.stringify(value));
    },
    drop() {
      now.value = null;
      sessionStorage.removeItem(key);
    },
  };
}

addEventListener("beforeunload", (event) => {
  const mine = `${KEPT}${person.value?.name ?? ""}.`;
  const isKept = Object.keys(sessionStorage).some((key) => key.startsWith(mine));
  const isHeld = [...drafts].some(([key, draft]) => key.startsWith(mine) && draft.value !== null);
  if (person.value && (isKept || isHeld)) event.preventDefault();
});

function stored(key: string): unknown {
  try {
    return JSON.parse(sessionStorage.getItem(key) ?? "null");
  } catch {
    return null;
  }
}
