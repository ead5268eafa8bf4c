// Health and sources as sentences: what the API says of itself enters, what a person can act on leaves.

import { ask } from "./api";
import { duration, number, plain, size } from "./format";
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
  disk_free_bytes: number;
  canaries: Record<string, unknown>[];
  channels?: Channel[];
  queue?: Record<string, number>;
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

export const isLasting = ({ source }: Source): boolean => !ONCE.test(source);
export const isSending = ({ last_minute: minute }: Source): boolean => Date.now() / 60_000 - minute <= SENDING_MINUTES;
export function stateOf(source: Source): SourceState {
  if (!source.last_minute) return "never";
  if (source.quiet) return "quiet";
  if (isSending(source)) return "sending";
  return isLasting(source) ? "idle" : "once";
}
export const stageWord = (name = ""): string =>
  name
    .split("@")
    .map((part, place) => (place ? part : word("stage", part)))
    .join(" @ ");
export const reasonWord = (name: string): string => word("reason", name);

/** Return the problems as sentences; stages that are silent in one. */
export function sentencesOf(problems: readonly Problem[]): string[] {
  const silent = problems.filter(({ what }) => what === "stage_silent");
  const others = problems
    .filter(({ what }) => what !== "stage_silent")
    .map((problem) => {
      const values = Object.fromEntries(
        Object.entries(problem).map(([name, value]) => [
          name,
          typeof value === "number" ? number(value) : plain(value),
        ]),
      );
      const key = `problem.${problem.what}` as Key;
      const told = { ...values, stage: stageWord(problem.stage), free: size(problem.free_bytes ?? 0) };
      const sentence = t(key, told);
      return sentence === key ? t("problem.other", told) : sentence;
    });
  if (!silent.length) return others;
  const longest = Math.max(...silent.map(({ seconds = 0 }) => seconds));
  return [
    t("problem.stage_silent", {
      stages: silent.map(({ stage }) => stageWord(stage)).join(", "),
      time: duration(longest),
    }),
    ...others,
  ];
}
