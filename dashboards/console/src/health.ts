// Health and sources as sentences: what the API says of itself enters, what a person can act on leaves.

import { ask } from "./api";
import { duration, number, plain, size } from "./format";
import { may } from "./session";
import { t, word, type Key } from "./words";

export interface Problem {
  what: string;
  stage?: string;
  seconds?: number;
  free_bytes?: number;
  [name: string]: unknown;
}
export interface StageState {
  up: boolean;
  pid: number;
  seen_seconds_ago: number;
  backlog_events: number;
  [name: string]: unknown;
}
export interface Health {
  status: "ok" | "degraded";
  stages: Record<string, StageState>;
  problems: Problem[];
  /** What works and should be better: whose accounts have no second factor. */
  advice: Problem[];
  disk_free_bytes: number;
  disk_total_bytes: number;
  /** So much stays free: with less nothing more is taken in. */
  disk_reserve_bytes: number;
  canaries: Canary[];
  channels?: Channel[];
  queue?: Record<string, number>;
}
export interface Canary {
  machine: string;
  source: string;
  kind: string;
  state: "good" | "late" | "waiting";
  sent: string;
  last_good: string | null;
  seconds: number | null;
  reached: string[];
  failures: number;
  fault: string;
}
export interface Channel {
  channel: string;
  kind: string;
  set: boolean;
  waiting: number;
  dead: number;
  sent: number;
  failures: number;
  error: string;
  succeeded: number;
  failed: number;
  oldest: number | null;
  [name: string]: unknown;
}

export interface Source {
  source: string;
  received: number;
  stored: number;
  already_stored: number;
  /** On its way to the store. */
  held: number;
  dropped: number;
  examined: number;
  alerts: number;
  reasons: Record<string, number>;
  /** The last minute in which anything came, in minutes since 1970. */
  last_minute: number;
  /** It is silent against its habit. */
  quiet: boolean;
  /** The clock of its hosts that is off most, in seconds; null: none is known. */
  clock_behind: number | null;
  clocks_off: number;
}
export type SourceState = "sending" | "quiet" | "idle" | "once" | "never";

/** What the pipeline counts for itself, beside the sources that send. */
const OWN = new Set(["alerts", "haidang"]);
/** What comes once: nobody waits for more of it. */
const ONCE = /^(import|demo(-.*)?)$/;
export const SENDING_MINUTES = 15;

export const healthOf = (signal: AbortSignal, byItself = false): Promise<Health> =>
  ask<Health>("/health", { signal, byItself });
export const sourcesOf = async (signal: AbortSignal, byItself = false): Promise<Source[]> =>
  (await ask<Source[]>("/sources", { signal, byItself })).filter(({ source }) => !OWN.has(source));

export function stateOf(source: Source): SourceState {
  if (!source.last_minute) return "never";
  if (source.quiet) return "quiet";
  if (ONCE.test(source.source)) return "once";
  return Date.now() / 60_000 - source.last_minute <= SENDING_MINUTES ? "sending" : "idle";
}
export const stageWord = (name = ""): string =>
  name
    .split("@")
    .map((part, place) => (place ? part : word("stage", part)))
    .join(" @ ");
export const reasonWord = (name: string): string => word("reason", name);

/** What a problem says where its reason is one word of ours, and not a sentence of the server's. */
const steps = (reached: unknown): string =>
  String(reached ?? "")
    .split(", ")
    .map((step) => word("canary.step", step))
    .join(", ");

export interface Told {
  says: string;
  /** The screen on which one does something about it. */
  screen: string;
  values?: Record<string, string>;
}

/** Where a problem is mended, and what is chosen there. */
function placeOf({ what, channel }: Problem): Omit<Told, "says"> {
  switch (what) {
    case "channel_failing":
      return { screen: "delivery", values: { channel: String(channel ?? "") } };
    case "messages_dead":
      return { screen: "delivery", values: { channel: String(channel ?? ""), status: "dead" } };
    case "dead_letters": // what they are is events, and not for everybody
      return { screen: may("events.read") ? "health" : "sources" };
    case "rules_refused":
    case "packet_rules_unread":
      return { screen: "rules" };
    case "indicators_fault":
    case "indicator_list":
      return { screen: "indicators" };
    case "case_late":
      return { screen: "cases" };
    case "no_second_factor":
      return { screen: "users" };
    default:
      return { screen: "health" };
  }
}

/** Return what should be better as sentences. */
export const adviceOf = (advice: readonly Problem[]): Told[] =>
  advice.map((each) => ({ ...placeOf(each), says: sentenceOf(each) }));

/** Return the problems as sentences, each with where it is mended; stages that are silent in one. */
export function toldOf(problems: readonly Problem[]): Told[] {
  const silent = problems.filter(({ what }) => what === "stage_silent");
  const others = problems
    .filter(({ what }) => what !== "stage_silent")
    .map((each) => ({ ...placeOf(each), says: sentenceOf(each) }));
  if (!silent.length) return others;
  const longest = Math.max(...silent.map(({ seconds = 0 }) => seconds));
  const says = t("problem.stage_silent", {
    stages: silent.map(({ stage }) => stageWord(stage)).join(", "),
    time: duration(longest),
  });
  return [{ screen: "health", says }, ...others];
}

function sentenceOf(problem: Problem): string {
  const values = Object.fromEntries(
    Object.entries(problem).map(([name, value]) => [name, typeof value === "number" ? number(value) : plain(value)]),
  );
  const key = `problem.${problem.what}` as Key;
  const told = {
    ...values,
    stage: stageWord(problem.stage),
    free: size(problem.free_bytes ?? 0),
    reached: steps(problem.reached),
    names: problem.names ? ` (${plain(problem.names)})` : "",
    ...(problem.reason === "stale" ? { reason: t("problem.stale") } : {}),
  };
  const sentence = t(key, told);
  return sentence === key ? t("problem.other", told) : sentence;
}
