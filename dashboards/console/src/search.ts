// Searches: what the address says enters, a search body leaves; the store's answer enters, rows and bars leave.

import { ask } from "./api";
import { chosen } from "./address";
import { plain } from "./format";
import type { Document } from "./parts/fields";
import { NAMES_HOST } from "./query";
import type { Bar } from "./parts/histogram";
import { endsOf, timeFilter, widthFor } from "./range";

export interface Hit {
  _id: string;
  _source: Document;
}
export interface Bucket {
  key: string | number;
  key_as_string?: string;
  doc_count: number;
  [name: string]: unknown;
}
export interface Found {
  took: number;
  hits: { total: { value: number }; hits: Hit[] };
  aggregations: Record<string, { buckets: Bucket[]; value?: number; sum_other_doc_count?: number }>;
}

/** Rows beyond this are not shown: the query is to be narrowed, or the rows exported. */
export const WINDOW = 10_000;

/** Return what the whole page looks at: a query, the time range, the unit. */
export function queryOf(text: string, time: object[] = timeFilter()): object {
  const unit = chosen.value.unit;
  const filter = [...time, ...(unit ? [{ term: { "organization.id": unit } }] : [])];
  return { bool: { must: [{ query_string: { query: text || "*" } }], filter } };
}

export function search(
  body: object,
  until?: AbortSignal,
  byItself = false,
  index: "events" | "alerts" = "events",
): Promise<Found> {
  return ask<Found>(`/search/${index}`, { method: "POST", body, byItself, ...(until ? { signal: until } : {}) });
}

/** Return what was counted by a field; of one that names hosts, those that differ by case alone are one. */
export function oneHost<B extends Pick<Bucket, "key" | "doc_count">>(field: string, buckets: readonly B[]): B[] {
  if (!NAMES_HOST.test(field)) return [...buckets];
  const found = new Map<string, B>();
  for (const bucket of buckets) {
    const name = String(bucket.key).toLowerCase();
    const before = found.get(name); // the spelling that is there most comes first
    found.set(name, before ? { ...before, doc_count: before.doc_count + bucket.doc_count } : bucket);
  }
  return [...found.values()].sort((one, other) => other.doc_count - one.doc_count);
}

export interface Drawn {
  bars: Bar[];
  widthMs: number;
}

/** Return how many events there were when; of all of time, between the first and the last of them. */
export async function countsOverTime(
  text: string,
  until: AbortSignal,
  byItself = false,
  index: "events" | "alerts" = "events",
): Promise<Drawn & { total: number; took: number }> {
  const query = queryOf(text);
  const [begin, end] = endsOf() ?? (await outermost(query, until, index));
  const width = widthFor(end - begin);
  const bounds = { min: begin, max: end };
  const body = {
    size: 0,
    query,
    aggs: {
      time: {
        date_histogram: { field: "@timestamp", fixed_interval: `${width}s`, min_doc_count: 0, extended_bounds: bounds },
      },
    },
  };
  const found = await search(body, until, byItself, index);
  const bars = (found.aggregations.time?.buckets ?? []).map(({ key, doc_count: count }) => ({
    at: Number(key),
    count,
  }));
  return { bars, widthMs: width * 1000, total: found.hits.total.value, took: found.took };
}

async function outermost(query: object, until: AbortSignal, index: "events" | "alerts"): Promise<[number, number]> {
  const edge = async (order: "asc" | "desc") => {
    const found = await search(
      { size: 1, query, _source: ["@timestamp"], sort: [{ "@timestamp": order }] },
      until,
      true,
      index,
    );
    return Date.parse(String(found.hits.hits[0]?._source["@timestamp"] ?? ""));
  };
  const [first, last] = await Promise.all([edge("asc"), edge("desc")]);
  return Number.isNaN(first) ? [Date.now() - 86_400_000, Date.now()] : [first, last + 1000];
}

/** What a line says of an event, the first that is there. */
const SUMMARIES = [
  "message",
  "event.original",
  "process.command_line",
  "url.original",
  "dns.question.name",
  "rule.name",
  "event.action",
];

/** Say in a line what an event is. */
export function summaryOf(event: Document): string {
  for (const field of SUMMARIES) if (event[field]) return plain(event[field]).slice(0, 400);
  return Object.entries(event)
    .filter(([name]) => !/^(@timestamp|event\.(id|ingested)|observer|labels)/.test(name))
    .map(([name, value]) => `${name}=${plain(value)}`)
    .join(" ")
    .slice(0, 400);
}
