// A measured number with its unit, as text.

import { duration, number, short, size } from "../format";
import type { Options } from "./model";

export function write(value: number, { unit = "", metric = "count" }: Options, whole = false): string {
  if (!Number.isFinite(value)) return "–";
  if (unit === "bytes") return size(value);
  if (unit === "seconds") return duration(value);
  if (unit === "percent") return `${number(Math.round(value * 10) / 10)} %`;
  return whole && Math.abs(value) < 1e6
    ? number(metric === "avg" ? Math.round(value * 100) / 100 : value)
    : short(value);
}

/** Say whether what is measured comes in whole numbers. */
export const isWhole = ({ metric = "count" }: Options): boolean => metric === "count" || metric === "cardinality";
