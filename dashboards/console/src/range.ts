// The time range: what the address says enters, bounds as the API takes them leave.
// `from` is `now-24h`, an ISO time, or `all`; `to` is an ISO time, or nothing for now.

import { computed } from "@preact/signals";
import { adjust, chosen, place } from "./address";
import { moment } from "./format";
import { t, type Key } from "./words";

export const RANGES = ["15m", "1h", "4h", "24h", "7d", "30d", "90d"] as const;
const USUAL = "now-24h";
/** Screens of what is open, however old it is. */
const OF_ALL_TIME = new Set(["queue", "cases"]);
const UNITS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export interface Range {
  from: string;
  to: string;
}

export const range = computed<Range>(() => {
  const usual = OF_ALL_TIME.has(place.value.screen) ? "all" : USUAL;
  return { from: chosen.value.from || usual, to: chosen.value.to || "" };
});

/** Return the bounds as parameters of the API; none for all of time. */
export function bounds(of: Range = range.value): { from: string; to: string } {
  return { from: of.from === "all" ? "" : of.from, to: of.to };
}

/** Return the filter of a search body; none for all of time. */
export function timeFilter(of: Range = range.value): object[] {
  const { from, to } = bounds(of);
  const ends = { ...(from && { gte: from }), ...(to && { lte: to }) };
  return Object.keys(ends).length ? [{ range: { "@timestamp": ends } }] : [];
}

/** Return the ends in milliseconds; of all of time, none. */
export function endsOf(of: Range = range.value, now = Date.now()): [number, number] | null {
  const { from, to } = bounds(of);
  const end = to ? momentOf(to, now) : now;
  return from ? [momentOf(from, now), end] : null;
}

/** Return the moment of `now`, `now-15m` or an ISO time, in milliseconds. */
export function momentOf(text: string, now: number): number {
  const [, count, unit] = /^now-(\d+)([smhd])$/.exec(text) ?? [];
  if (count && unit) return now - Number(count) * (UNITS[unit] ?? 0);
  return text === "now" ? now : Date.parse(text);
}

export const chooseRange = (from: string, to = ""): void => adjust({ from, to });

/** Choose what lies between two moments, in milliseconds. */
export function chooseSpan(from: number, to: number): void {
  chooseRange(new Date(from).toISOString(), new Date(to).toISOString());
}

/** Say in words which range it is. */
export function nameOf(of: Range = range.value): string {
  if (of.from === "all" && !of.to) return t("range.all");
  const name = of.from.replace("now-", "");
  if (!of.to && (RANGES as readonly string[]).includes(name)) return t(`range.${name}` as Key);
  const end = of.to ? moment(of.to) : t("range.now");
  return `${of.from === "all" ? "…" : of.from.startsWith("now") ? of.from : moment(of.from)} – ${end}`;
}

/** How wide the bars of a histogram may be, in seconds. */
const WIDTHS = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800,
  2_592_000,
];

/** Return the width of a histogram's bars for a span, in seconds: about sixty of them. */
export function widthFor(spanMs: number, most = 60): number {
  return WIDTHS.find((width) => spanMs / 1000 / width <= most) ?? 7_776_000;
}
