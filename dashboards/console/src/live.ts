// What changed on the server: its stream of events enters, a mark for each subject leaves. Nothing is changed on a screen
// by this: who looks at a mark decides.

import { effect, signal } from "@preact/signals";
import { person } from "./session";

export const SUBJECTS = ["queue", "cases", "health", "events", "deliveries"] as const;
export type Subject = (typeof SUBJECTS)[number];

/** Opaque marks; one differs from the last where something of its subject changed. */
export const marks = Object.fromEntries(SUBJECTS.map((name) => [name, signal("")])) as Record<
  Subject,
  ReturnType<typeof signal<string>>
>;

/** The reader wants nothing to move. */
export const paused = signal(false);
/** The stream is open. */
export const connected = signal(false);

let stream: EventSource | null = null;
let waiting: Record<string, string> = {};

/** Keep the stream open while somebody is logged in. */
export function listen(): void {
  effect(() => {
    const wanted = Boolean(person.value);
    if (wanted && !stream) open();
    if (!wanted) close();
  });
  effect(() => {
    if (!paused.value) take(waiting);
  });
}

function open(): void {
  stream = new EventSource("/api/v1/live");
  stream.addEventListener("open", () => (connected.value = true));
  stream.addEventListener("error", () => {
    connected.value = false;
    if (stream?.readyState === EventSource.CLOSED) {
      close();
      setTimeout(() => person.value && !stream && open(), 5000);
    }
  });
  stream.addEventListener("changed", (event) => {
    waiting = JSON.parse((event as MessageEvent<string>).data);
    if (!paused.value) take(waiting);
  });
}

function take(found: Record<string, string>): void {
  for (const name of SUBJECTS) if (found[name] !== undefined) marks[name].value = found[name];
}

function close(): void {
  stream?.close();
  stream = null;
  connected.value = false;
}
