// What changed on the server: its stream of events enters, a mark for each subject leaves. Nothing is changed on a screen
// by this: who looks at a mark decides.

import { effect, signal } from "@preact/signals";
import { person } from "./session";

export const SUBJECTS = ["queue", "cases", "health", "events", "deliveries", "sharing"] as const;
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

/** What the tabs of a browser tell each other: marks, or that a new one wants to know them. */
type Told = { marks: Record<string, string> } | { asks: true };

const LOCK = "haidang.live";
const AGAIN_MS = 5000;

let stream: EventSource | null = null;
let waiting: Record<string, string> = {};
let stop: AbortController | null = null;
/** A browser opens few connections to one server (six over HTTP/1.1), so one tab listens for all of them. */
const tabs = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel(LOCK);

tabs?.addEventListener("message", ({ data }: MessageEvent<Told>) => {
  if ("marks" in data) heard(data.marks);
  else if (stream && Object.keys(waiting).length) tabs.postMessage({ marks: waiting } satisfies Told);
});

/** Follow what changes while somebody is logged in. */
export function listen(): void {
  effect(() => {
    const now = person.value;
    if (now && !stop) begin(now.marks);
    if (!now) end();
  });
  effect(() => {
    if (!paused.value) take(waiting);
  });
}

function begin(known: Record<string, string>): void {
  stop = new AbortController();
  waiting = known;
  take(known); // what is shown from here on is not older: the same marks from the stream are no change
  const until = stop.signal;
  if (!tabs || !navigator.locks) return open();
  tabs.postMessage({ asks: true } satisfies Told);
  // The lock is held as long as this tab listens; when it is closed, another one gets it.
  const held = () =>
    new Promise<void>((done) => {
      open();
      until.addEventListener("abort", () => done());
    });
  navigator.locks.request(LOCK, { signal: until }, held).catch(() => null); // logged out before it was ours
}

function end(): void {
  stop?.abort();
  stop = null;
  close();
}

function open(): void {
  stream = new EventSource("/api/v1/live");
  stream.addEventListener("open", () => (connected.value = true));
  stream.addEventListener("error", () => {
    connected.value = false;
    if (stream?.readyState !== EventSource.CLOSED) return; // it tries again by itself
    close();
    setTimeout(() => stop && !stream && open(), AGAIN_MS);
  });
  stream.addEventListener("changed", (event) => {
    const found: Record<string, string> = JSON.parse((event as MessageEvent<string>).data);
    tabs?.postMessage({ marks: found } satisfies Told);
    heard(found);
  });
}

function heard(found: Record<string, string>): void {
  waiting = found;
  connected.value = true;
  if (!paused.value) take(found);
}

function take(found: Record<string, string>): void {
  for (const name of SUBJECTS) if (found[name] !== undefined) marks[name].value = found[name];
}

function close(): void {
  stream?.close();
  stream = null;
  connected.value = false;
}
