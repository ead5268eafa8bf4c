// The query text: a field and a value enter, a text that includes or excludes them leaves.
// The language is the one of docs/search.md: Lucene's, `field:"value" AND NOT …`.

import { adjust, chosen, go, type Chosen } from "./address";

/** Write a value so that it is taken as it is. */
export function quoted(value: unknown): string {
  return `"${String(value).replace(/[\\"]/g, "\\$&")}"`;
}

/** Return what asks for a field's value. */
export function clause(field: string, value: unknown): string {
  return value === null || value === "" ? `NOT _exists_:${field}` : `${field}:${quoted(value)}`;
}

/** Return a query with one more clause. */
export function narrowed(query: string, more: string): string {
  if (!query.trim()) return more;
  const before = /\bOR\b|\|\|/.test(query) && !/^\(.*\)$/.test(query) ? `(${query})` : query;
  return before.split(" AND ").includes(more) ? query : `${before} AND ${more}`;
}

export type Ask = "include" | "exclude" | "only" | "group" | "pivot";

/** Hunt for a value, together with what the query asks for already where that is a hunt. */
export function askFor(how: Ask, field: string, value: unknown, onHunt: boolean): void {
  const query = onHunt ? (chosen.value.q ?? "") : "";
  const wanted = clause(field, value);
  const values: Chosen = {
    include: { q: narrowed(query, wanted) },
    exclude: { q: narrowed(query, `NOT ${wanted}`) },
    only: { q: wanted },
    group: { group: field, ...(onHunt ? {} : { q: wanted }) },
    pivot: { q: quoted(value) },
  }[how];
  if (onHunt) adjust({ ...values, event: "" });
  else go("hunt", values);
}

/** Fields that name a host: `PC-7` and `pc-7` are one (RFC 4343), though they are two values of a field. */
export const NAMES_HOST = /(^|\.)host\.(name|hostname)$|^winlog\.computer_name$/;

/** Return the fields of an event that say which host, user or address it is about, for the pivot to an entity. */
export function entityOf(field: string, value: unknown): string | null {
  if (typeof value !== "string" || !value) return null;
  if (NAMES_HOST.test(field)) return `host:${value}`;
  if (/^user\.name$|\.user\.name$/.test(field)) return `user:${value}`;
  if (/\.(ip|address)$/.test(field) && /^[\da-f.:]+$/i.test(value)) return `address:${value}`;
  return null;
}

/** Return the clauses that a query joins by AND; one where it joins them otherwise. */
export function clausesOf(query: string): string[] {
  const found: string[] = [];
  let depth = 0,
    quote = false,
    start = 0;
  for (let place = 0; place < query.length; place += 1) {
    const sign = query[place];
    if (sign === "\\") place += 1;
    else if (sign === '"') quote = !quote;
    else if (quote) continue;
    else if (sign === "(" || sign === "[" || sign === "{") depth += 1;
    else if (sign === ")" || sign === "]" || sign === "}") depth -= 1;
    else if (!depth && /^ (OR|\|\|) /.test(query.slice(place, place + 4))) return [query.trim()];
    else if (!depth && query.startsWith(" AND ", place)) {
      found.push(query.slice(start, place).trim());
      start = place + 5;
    }
  }
  return [...found, query.slice(start).trim()].filter(Boolean);
}

/** Return the query without one of its clauses, or with it turned round. */
export function without(query: string, clause: string): string {
  return clausesOf(query)
    .filter((each) => each !== clause)
    .join(" AND ");
}

export function turned(query: string, clause: string): string {
  const other = clause.startsWith("NOT ") ? clause.slice(4) : `NOT ${clause}`;
  return clausesOf(query)
    .map((each) => (each === clause ? other : each))
    .join(" AND ");
}
