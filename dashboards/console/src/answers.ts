// Answers: what is to be asked enters, the last answer, whether another is on its way, and what went wrong leave.
// The last answer stays while the next one loads or cannot be had; what fails only for now is tried again.

import { signal, type ReadonlySignal, useSignal, useSignalEffect } from "@preact/signals";
import { useCallback, useEffect, useRef } from "preact/hooks";
import { Refused } from "./api";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15_000;

export interface Answer<T> {
  value: T | null;
  fault: Refused | null;
  /** Another answer is awaited; what is shown is the last one. */
  waits: boolean;
  /** Ask again; `quietly`: by itself, which keeps no session open. */
  again: (quietly?: boolean) => void;
}

/** How many screens cannot reach the server now. */
export const away = signal(0);

/**
 * Ask whenever `key` changes. `load` gets a signal that ends when the answer is not wanted any more, and whether nobody
 * asked for it. Where `key` is null nothing is asked.
 */
export function useAnswer<T>(
  key: string | null,
  load: (until: AbortSignal, byItself: boolean) => Promise<T>,
): Answer<T> {
  const state = useSignal<Omit<Answer<T>, "again">>({ value: null, fault: null, waits: key !== null });
  const asking = useRef<{ stop: AbortController; timer: number; failures: number } | null>(null);
  const latest = useRef(load);
  latest.current = load;

  const run = useCallback(async (byItself: boolean, failures = 0) => {
    end(asking.current);
    const turn = { stop: new AbortController(), timer: 0, failures };
    asking.current = turn;
    state.value = { ...state.value, waits: true };
    try {
      const value = await latest.current(turn.stop.signal, byItself);
      if (asking.current === turn) state.value = { value, fault: null, waits: false };
    } catch (error) {
      if (asking.current !== turn || turn.stop.signal.aborted) return;
      if (!(error instanceof Refused)) throw error;
      state.value = { ...state.value, fault: error, waits: false };
      if (error.passes) turn.timer = window.setTimeout(() => void run(true, failures + 1), pause(failures));
    }
  }, []);

  useEffect(() => {
    if (key === null) state.value = { value: null, fault: null, waits: false };
    else void run(false);
    return () => end(asking.current);
  }, [key]);

  const isAway = state.value.fault?.status === 0;
  useEffect(() => {
    if (!isAway) return undefined;
    away.value += 1;
    return () => void (away.value -= 1);
  }, [isAway]);

  return { ...state.value, again: (quietly = false) => void run(quietly) };
}

/** Do something when a signal changes, not at first. */
export function useChange<T>(of: ReadonlySignal<T>, work: (value: T) => void): void {
  const before = useRef(of.peek());
  const latest = useRef(work);
  latest.current = work;
  useSignalEffect(() => {
    const value = of.value;
    if (value === before.current) return;
    before.current = value;
    queueMicrotask(() => latest.current(value));
  });
}

function end(turn: { stop: AbortController; timer: number } | null): void {
  turn?.stop.abort();
  clearTimeout(turn?.timer);
}

function pause(failures: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** failures) * (0.5 + Math.random() / 2);
}
