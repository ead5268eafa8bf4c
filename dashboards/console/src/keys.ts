// Keys: presses enter, what the screen in front has bound to them is done. They never fire inside a text field.

import { signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { Key } from "./words";

export interface Bound {
  /** A key as the keyboard names it, or `g q`: one after the other. */
  keys: string;
  /** What it does, for the list of all keys. */
  says: Key;
  run: () => void;
}

/** The bindings in force, the innermost last. */
const layers = signal<readonly (readonly Bound[])[]>([]);
const FOLLOWS_MS = 1500;
let first = { key: "", at: 0 };

/** Bind keys from before the component is seen until it is gone; a binding hides those of the same keys that were there before. */
export function useKeys(bound: readonly Bound[]): void {
  const latest = useRef(bound);
  latest.current = bound;
  useLayoutEffect(() => {
    const layer = bound.map(({ keys, says }, place) => ({ keys, says, run: () => latest.current[place]?.run() }));
    layers.value = [...layers.value, layer];
    return () => void (layers.value = layers.value.filter((each) => each !== layer));
  }, [bound.map(({ keys }) => keys).join("|")]);
}

/** Return what is bound now, each keys once: the screen's own first, the ways to other screens last. */
export function inForce(): Bound[] {
  const found = new Map<string, Bound>();
  for (const layer of layers.value.toReversed())
    for (const bound of layer) if (!found.has(bound.keys)) found.set(bound.keys, bound);
  const leads = ({ keys }: Bound) => Number(keys.includes(" "));
  return [...found.values()].sort((one, other) => leads(one) - leads(other));
}

export function listenToKeys(): void {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key !== "Escape" && isTyped(event.target)) return;
    if (document.querySelector("dialog[open]")) return; // a question is in front: Escape closes it, and nothing else
    const pair = Date.now() - first.at < FOLLOWS_MS ? `${first.key} ${event.key}` : "";
    const bound = find(pair) ?? find(event.key);
    first = bound ? { key: "", at: 0 } : { key: event.key, at: Date.now() };
    if (!bound) return;
    event.preventDefault();
    bound.run();
  });
}

function find(keys: string): Bound | undefined {
  if (!keys) return undefined;
  for (const layer of layers.value.toReversed()) {
    const found = layer.find((each) => each.keys === keys);
    if (found) return found;
  }
  return undefined;
}

function isTyped(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable ||
      (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) &&
        !/^(checkbox|radio|button|submit)$/.test((target as HTMLInputElement).type ?? "")))
  );
}
