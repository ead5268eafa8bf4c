// The fields that the store knows, for completion: asked for once, and again after a while.

import { ask, withValues } from "./api";
import { clausesOf } from "./query";
import { timeFilter } from "./range";

export interface Known {
  name: string;
  type: string;
  /** What ECS means by it, where that is known: `ip`, `host`, `user`. */
  kind?: string;
}
const FRESH_MS = 60_000;
let known: Promise<Known[]> | null = null;
let at = 0;

export function fieldsKnown(): Promise<Known[]> {
  if (!known || Date.now() - at > FRESH_MS) {
    at = Date.now();
    known = ask<{ fields: Known[] }>(withValues("/fields", { index: "events" })).then(
      ({ fields }) => fields,
      () => [],
    );
  }
  return known;
}

/** Return the fields that a query names, outside of quotation marks. */
export function fieldsIn(query: string): string[] {
  const bare = query.replace(/"(?:[^"\\]|\\.)*"/g, '""');
  const named = [...bare.matchAll(/(?:^|[\s(!-])(@?[A-Za-z_][\w.@-]*):/g)].map(([, name]) => name ?? "");
  return [...new Set(named.filter((name) => name && name !== "_exists_"))];
}

/** Return what a query writes as `field=value`, which asks for those words; outside of quotation marks. */
export function equalsIn(query: string): string[] {
  const bare = query.replace(/"(?:[^"\\]|\\.)*"/g, (quoted) => "_".repeat(quoted.length));
  const found = [...bare.matchAll(/(?<=^|[\s(!-])@?[A-Za-z_][\w@-]*(?:\.[\w@-]+)*=(?=[^\s=)])/g)];
  return found.map(
    ({ 0: name, index }) => name + (/^(?:"(?:[^"\\]|\\.)*"|[^\s)]+)/.exec(query.slice(index + name.length))?.[0] ?? ""),
  );
}

/** Return the values that a query asks of fields that hold addresses, and that are none. */
export function noAddressesIn(query: string, known: readonly Known[]): [field: string, value: string][] {
  const addresses = new Set(known.filter(({ kind }) => kind === "ip").map(({ name }) => name));
  const asked = [...query.matchAll(/(@?[A-Za-z_][\w.@-]*):(?:"([^"]*)"|([^\s()"[\]{}<>]+))/g)];
  return asked
    .map(([, field = "", quoted, bare = ""]): [string, string] => [field, quoted ?? bare])
    .filter(([field, value]) => addresses.has(field) && !isAddress(value.replaceAll("\\", "")));
}

/** Say whether a text is an address, a network, or the beginning of one. */
function isAddress(text: string): boolean {
  const [host = "", length] = text.split("/");
  if (/[*?]/.test(host)) return /^[\da-f.:*?]+$/i.test(host);
  if (length !== undefined && !(/^\d{1,3}$/.test(length) && Number(length) <= (host.includes(":") ? 128 : 32)))
    return false;
  if (!host.includes(":"))
    return /^\d{1,3}(\.\d{1,3}){3}$/.test(host) && host.split(".").every((part) => Number(part) <= 255);
  try {
    return Boolean(new URL(`http://[${host}]/`));
  } catch {
    return false;
  }
}

/** Where in a query somebody types: a field's name, or the beginning of a field's value. */
export interface Typed {
  from: number;
  field: string;
  text: string;
  isValue: boolean;
}

export function typedAt(query: string, caret: number): Typed | null {
  const before = query.slice(0, caret);
  const value = /([\w@.]+):"?([^\s"():]*)$/.exec(before);
  if (value)
    return {
      from: caret - (value[2] ?? "").length - (before.at(-(value[2] ?? "").length - 1) === '"' ? 1 : 0),
      field: value[1] ?? "",
      text: value[2] ?? "",
      isValue: true,
    };
  const name = /(?:^|[\s(!])([\w@.]+)$/.exec(before);
  return name ? { from: caret - (name[1] ?? "").length, field: "", text: name[1] ?? "", isValue: false } : null;
}

interface Terms {
  aggregations: { values: { buckets: { key: string | number; doc_count: number }[] } };
}

/** Return the values of a field that begin so, the most frequent first, among what the rest of the query finds. */
export async function valuesOf(
  query: string,
  field: string,
  text: string,
  until: AbortSignal,
): Promise<[string, number][]> {
  const rest = clausesOf(query)
    .filter((clause) => !clause.startsWith(`${field}:`))
    .join(" AND ");
  const begins = text ? `${field}:${text.replace(/[^\p{L}\p{N}_.]/gu, "\\$&")}*` : `_exists_:${field}`;
  const body = {
    size: 0,
    query: {
      bool: { must: [{ query_string: { query: rest ? `(${rest}) AND ${begins}` : begins } }], filter: timeFilter() },
    },
    aggs: { values: { terms: { field, size: 10 } } },
  };
  const answer = await ask<Terms>("/search/events", { method: "POST", body, signal: until, byItself: true });
  return answer.aggregations.values.buckets.map(({ key, doc_count: count }) => [String(key), count]);
}
