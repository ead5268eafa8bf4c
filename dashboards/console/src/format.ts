// Numbers, times, sizes and values as text: values enter, what a person reads leaves.

import { boot } from "./boot";
import { language, t } from "./words";

const locale = language === "vi" ? "vi-VN" : "en-GB";
const numbers = new Intl.NumberFormat(locale);
const tenths = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
const percents = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 1 });
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });

/** The zone of the site; the reader's where the server has no name for it. */
export const zone = isZone(boot.zone) ? boot.zone : Intl.DateTimeFormat().resolvedOptions().timeZone;

const parts = new Intl.DateTimeFormat("en-GB", {
  timeZone: zone,
  year: "numeric",
  month: "2-digit",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});

function isZone(name: string): boolean {
  try {
    return Boolean(name && new Intl.DateTimeFormat("en", { timeZone: name }));
  } catch {
    return false;
  }
}

export const number = (value: number): string => numbers.format(value);
export const percent = (share: number): string => percents.format(share);

/** Write a number short: 12.4 nghìn, 1.2 triệu. */
export function short(value: number): string {
  if (Math.abs(value) < 10_000) return tenths.format(value);
  if (Math.abs(value) < 1e6) return t("number.thousands", { count: tenths.format(value / 1e3) });
  if (Math.abs(value) < 1e9) return t("number.millions", { count: tenths.format(value / 1e6) });
  return t("number.billions", { count: tenths.format(value / 1e9) });
}

export interface Clock {
  year: string;
  month: string;
  day: string;
  hour: string;
  minute: string;
  second: string;
}

/** Return what calendar and clock of the site's zone show at a moment. */
export function clockAt(value: string | number | Date): Clock | null {
  const date = new Date(value);
  if (Number.isNaN(date.getTime())) return null;
  return Object.fromEntries(parts.formatToParts(date).map(({ type, value: text }) => [type, text])) as unknown as Clock;
}

/** Write a time as 23/11/2026 23:59:07. */
export function moment(value: string | number | Date): string {
  const at = clockAt(value);
  return at ? `${at.day}/${at.month}/${at.year} ${at.hour}:${at.minute}:${at.second}` : String(value);
}

/** Write a day as 23/11/2026. */
export const day = (value: string | number | Date): string => moment(value).slice(0, 10);

/** Write a time as a line of a chart needs it: the hour within days, the day beyond. */
export function tick(value: number, spanMs: number): string {
  const at = clockAt(value);
  if (!at) return "";
  if (spanMs <= 3_600_000) return `${at.hour}:${at.minute}:${at.second}`;
  if (spanMs <= 86_400_000) return `${at.hour}:${at.minute}`;
  if (spanMs <= 4 * 86_400_000) return `${at.day}/${at.month} ${at.hour}:${at.minute}`;
  return `${at.day}/${at.month}/${at.year}`;
}

const STEPS: readonly [number, Intl.RelativeTimeFormatUnit][] = [
  [86_400, "day"],
  [3600, "hour"],
  [60, "minute"],
  [1, "second"],
];

/** Write how long ago a moment was, or how far it is. */
export function ago(value: string | number | Date): string {
  const seconds = (new Date(value).getTime() - Date.now()) / 1000;
  if (!Number.isFinite(seconds)) return "";
  const [size, unit] = STEPS.find(([each]) => Math.abs(seconds) >= each) ?? [1, "second"];
  return relative.format(Math.round(seconds / size), unit);
}

/** Write a number of seconds in the largest unit that fits. */
export function duration(seconds: number): string {
  if (seconds >= 172_800) return t("span.days", { count: tenths.format(seconds / 86_400) });
  if (seconds >= 7200) return t("span.hours", { count: tenths.format(seconds / 3600) });
  if (seconds >= 120) return t("span.minutes", { count: numbers.format(Math.round(seconds / 60)) });
  if (seconds >= 1) return t("span.seconds", { count: tenths.format(seconds) });
  return t("span.milliseconds", { count: numbers.format(Math.round(seconds * 1000)) });
}

const SIZES = ["B", "KB", "MB", "GB", "TB", "PB"];

/** Write a number of bytes, in thousands (SI). */
export function size(bytes: number): string {
  let value = bytes,
    unit = 0;
  while (Math.abs(value) >= 1000 && unit < SIZES.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${tenths.format(value)} ${SIZES[unit]}`;
}

// Control characters and the ones that turn the direction of writing are shown by their number, so that no value can
// look like another one.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

/** Return a value as text that shows everything that is in it. */
export function plain(value: unknown): string {
  if (value === null || value === undefined) return "";
  const text = typeof value === "string" ? value : typeof value === "object" ? JSON.stringify(value) : String(value);
  return text.replace(UNSEEN, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
