// What a panel shows: its settings enter, a search body leaves; the store's answer enters, plain numbers leave.
// Both are pure; nothing here knows how it is drawn.

import { NAMES_HOST } from "../query";
import { endsOf, range, timeFilter, widthFor } from "../range";
import { queryOf, type Bucket, type Found, type Hit } from "../search";
import { tagSays } from "../techniques";
import { language, spoken, word } from "../words";
import { USUAL_SIZE, type Metric, type Options, type Panel } from "./model";

export interface Series {
  name: string;
  field: string;
  values: number[];
}
export interface Cell {
  keys: string[];
  value: number;
}

export interface Data {
  /** Milliseconds, of what is over time. */
  times: number[];
  widthMs: number;
  series: Series[];
  /** Of what is counted by values: one or several keys and a number each. */
  cells: Cell[];
  /** One number, and the one of the time before. */
  value: number | null;
  before: number | null;
  hits: Hit[];
  total: number;
  /** What values are called in the reader's language, where that is not what they are. */
  words: Record<string, string>;
}

const HITS = 500;
const MEASURE = "measure";
const BARS = 120;
/** How wide bars are where nobody knows over how long a time they go. */
const ALL_OF_TIME_SECONDS = 604_800;

export const NOTHING: Data = {
  times: [],
  widthMs: 0,
  series: [],
  cells: [],
  value: null,
  before: null,
  hits: [],
  total: 0,
  words: {},
};

/** Return the body of a panel's search; null for one that asks for nothing, or whose fields are not chosen yet. */
export function bodyOf(panel: Panel, query: string, now = Date.now()): object | null {
  const fields = panel.fields.filter(Boolean);
  const ends = endsOf(range.value, now);
  const width = ends ? widthFor(ends[1] - ends[0], BARS) : ALL_OF_TIME_SECONDS;
  const asked = { query: queryOf(query), size: 0 };
  const { size = USUAL_SIZE } = panel.options;
  const measured = measureOf(panel.options);
  const overTime = (inner: object) => ({
    date_histogram: {
      field: "@timestamp",
      fixed_interval: `${width}s`,
      min_doc_count: 0,
      ...(ends ? { extended_bounds: { min: ends[0], max: ends[1] } } : {}),
    },
    aggs: { ...measured, ...inner },
  });
  const by = (field: string, inner: object, count = size) => ({
    terms: { field, size: count },
    aggs: { ...measured, ...saidBy(field), ...inner },
  });
  const spokenBy = Object.assign({}, ...fields.map(saidBy)) as Record<string, object>;
  switch (panel.kind) {
    case "line":
    case "area":
    case "stacked":
      return {
        ...asked,
        aggs: fields[0]
          ? { by: { terms: { field: fields[0], size }, aggs: { ...saidBy(fields[0]), time: overTime({}) } } }
          : { time: overTime({}) },
      };
    case "bar":
    case "pie":
    case "top":
      if (!fields[0]) return panel.kind === "bar" ? { ...asked, aggs: { time: overTime({}) } } : null;
      return { ...asked, aggs: { by: by(fields[0], {}) } };
    case "heatmap":
      if (!fields[0]) return null;
      return { ...asked, aggs: { by: by(fields[0], fields[1] ? { by: by(fields[1], {}) } : { time: overTime({}) }) } };
    case "number":
      return { ...asked, aggs: { ...measured, time: overTime({}) } };
    case "gauge":
      return { ...asked, aggs: measured };
    case "treemap":
      if (!fields[0]) return null;
      return { ...asked, aggs: { by: by(fields[0], fields[1] ? { by: by(fields[1], {}) } : {}) } };
    case "sankey":
    case "graph":
      if (!fields[0] || !fields[1]) return null;
      return {
        ...asked,
        aggs: {
          pairs: {
            multi_terms: {
              terms: fields.slice(0, panel.kind === "graph" ? 2 : 3).map((field) => ({ field })),
              size: size * 5,
            },
            aggs: { ...measured, ...spokenBy },
          },
        },
      };
    case "tilemap":
      return { ...asked, aggs: { by: by(fields[0] ?? "organization.id", {}, 200) } };
    case "table":
      if (fields.length && panel.options.metric)
        return {
          ...asked,
          aggs: {
            pairs:
              fields.length > 1
                ? {
                    multi_terms: { terms: fields.map((field) => ({ field })), size: Math.max(size, 50) },
                    aggs: { ...measured, ...spokenBy },
                  }
                : { terms: { field: fields[0], size: Math.max(size, 50) }, aggs: { ...measured, ...spokenBy } },
          },
        };
      return { ...asked, size: 100, sort: [{ "@timestamp": "desc" }] };
    case "points":
      return fields[0] && fields[1]
        ? {
            ...asked,
            size: HITS,
            query: queryOf(`${query ? `(${query}) AND ` : ""}_exists_:${fields[0]}`),
            sort: [{ "@timestamp": "desc" }],
          }
        : null;
    case "timeline":
      return { ...asked, size: HITS, sort: [{ "@timestamp": "desc" }] };
    case "text":
      return null;
  }
}

/** Return the body that measures the same in the time before, for a trend; null where there is no such time. */
export function bodyBefore(panel: Panel, query: string, now = Date.now()): object | null {
  const ends = endsOf(range.value, now);
  if (panel.kind !== "number" || !ends) return null;
  const [begin, end] = ends;
  const time = timeFilter({ from: new Date(2 * begin - end).toISOString(), to: new Date(begin).toISOString() });
  return { size: 0, query: queryOf(query, time), aggs: measureOf(panel.options) };
}

function measureOf({ metric = "count", metric_field: field }: Options): Record<string, object> {
  return metric === "count" || !field ? {} : { [MEASURE]: { [metric]: { field } } };
}

/** Return what a panel's answer says. */
export function dataOf(panel: Panel, found: Found, before: Found | null): Data {
  const { aggregations: aggs = {} } = found;
  const data: Data = { ...NOTHING, hits: found.hits.hits, total: found.hits.total.value };
  const measured = (bucket: Record<string, unknown>, count: number) =>
    (bucket[MEASURE] as { value: number | null } | undefined)?.value ?? count;
  if (panel.kind === "number" || panel.kind === "gauge") {
    data.value = measured(aggs, found.hits.total.value);
    data.before = before && measured(before.aggregations ?? {}, before.hits.total.value);
  }
  const split = aggs.by?.buckets ?? [];
  const series = (buckets: readonly Bucket[]) => buckets.map((bucket) => measured(bucket, bucket.doc_count));
  const timesOf = (buckets: readonly Bucket[]) => buckets.map(({ key }) => Number(key));
  const inner = (bucket: Bucket, name: string) => (bucket[name] as { buckets: Bucket[] } | undefined)?.buckets ?? [];
  if (aggs.time) {
    data.times = timesOf(aggs.time.buckets);
    data.series = [{ name: "", field: "", values: series(aggs.time.buckets) }];
  } else if (["line", "area", "stacked"].includes(panel.kind)) {
    [data.times, data.series] = aligned(
      split.map((bucket) => [String(bucket.key), timesOf(inner(bucket, "time")), series(inner(bucket, "time"))]),
      panel.fields[0] ?? "",
    );
  } else if (panel.kind === "heatmap" && !panel.fields[1]) {
    data.times = timesOf(inner(split[0] ?? ({} as Bucket), "time"));
    data.cells = split.flatMap((bucket) =>
      inner(bucket, "time").map((each) => ({
        keys: [String(bucket.key), String(each.key)],
        value: measured(each, each.doc_count),
      })),
    );
  } else if (panel.kind === "treemap" || panel.kind === "heatmap") {
    data.cells = split.flatMap((bucket) =>
      panel.fields[1]
        ? inner(bucket, "by").map((each) => ({
            keys: [String(bucket.key), String(each.key)],
            value: measured(each, each.doc_count),
          }))
        : [{ keys: [String(bucket.key)], value: measured(bucket, bucket.doc_count) }],
    );
  } else if (aggs.pairs) {
    data.cells = aggs.pairs.buckets.map((bucket) => ({
      keys: (Array.isArray(bucket.key) ? bucket.key : [bucket.key]).map(String),
      value: measured(bucket, bucket.doc_count),
    }));
  } else {
    data.cells = split.map((bucket) => ({ keys: [String(bucket.key)], value: measured(bucket, bucket.doc_count) }));
  }
  const fields = panel.fields.filter(Boolean);
  const adds = ADDS[panel.options.metric ?? "count"];
  if (adds) {
    data.cells = oneOf(fields, data.cells, adds);
    data.series = oneSeries(data.series, adds);
  }
  const rule = fields.indexOf(SPOKEN);
  const inners = fields[1] === SPOKEN ? split.flatMap((bucket) => inner(bucket, "by")) : [];
  data.words = {
    ...wordsOf([
      [fields[0] ?? "", data.series.map(({ name }) => name)],
      ...fields.map((field, place) => [field, data.cells.map(({ keys }) => keys[place] ?? "")] as const),
    ]),
    ...spokenIn([...split, ...inners, ...(rule >= 0 ? (aggs.pairs?.buckets ?? []) : [])], Math.max(0, rule)),
  };
  data.widthMs = data.times.length > 1 ? (data.times[1] as number) - (data.times[0] as number) : 0;
  return data;
}

/** How what is measured of two is measured of both; of a mean, and of how many values there are, nobody can say. */
const ADDS: Partial<Record<Metric, (one: number, other: number) => number>> = {
  count: (one, other) => one + other,
  sum: (one, other) => one + other,
  max: Math.max,
  min: Math.min,
};

/** Make one of the cells whose hosts differ by case alone. */
function oneOf(
  fields: readonly string[],
  cells: readonly Cell[],
  adds: (one: number, other: number) => number,
): Cell[] {
  if (!fields.some((field) => NAMES_HOST.test(field))) return [...cells];
  const found = new Map<string, Cell>();
  const spelt = new Map<string, string>();
  for (const { keys, value } of cells) {
    const named = keys.map((key, place) => {
      if (!NAMES_HOST.test(fields[place] ?? "")) return key;
      const first = spelt.get(key.toLowerCase()) ?? key;
      spelt.set(key.toLowerCase(), first);
      return first;
    });
    const before = found.get(JSON.stringify(named));
    found.set(JSON.stringify(named), { keys: named, value: before ? adds(before.value, value) : value });
  }
  const made = [...found.values()];
  return made.length < cells.length ? made.sort((one, other) => other.value - one.value) : made;
}

function oneSeries(series: readonly Series[], adds: (one: number, other: number) => number): Series[] {
  const found = new Map<string, Series>();
  for (const each of series) {
    const name = NAMES_HOST.test(each.field) ? each.name.toLowerCase() : each.name;
    const before = found.get(name);
    const values = before?.values.map((value, place) => adds(value, each.values[place] ?? 0));
    found.set(name, before && values ? { ...before, values } : each);
  }
  return [...found.values()];
}

/** Words that the store has for a value: a rule's name in Vietnamese stands beside the English one. */
const SPOKEN = "rule.name";
const SAID = "said";

/** Return a value of a hit in the reader's language, where that is not what it is. */
export function saidOf(source: Record<string, unknown>, field: string): string | undefined {
  const said = field === SPOKEN ? spoken(source, field) : word(FAMILIES[field] ?? "", String(source[field]));
  return typeof said === "string" && said !== source[field] ? said : undefined;
}

function saidBy(field: string): Record<string, object> {
  return field === SPOKEN && language === "vi" ? { [SAID]: { top_hits: { size: 1, _source: [`${SPOKEN}_vi`] } } } : {};
}

/** Return what is said of buckets of which the key, or the part of it at a `place`, is a rule's name. */
function spokenIn(buckets: readonly Bucket[], place: number): Record<string, string> {
  const found = buckets.map(
    (bucket) =>
      [
        String(Array.isArray(bucket.key) ? bucket.key[place] : bucket.key),
        (bucket[SAID] as { hits: { hits: Hit[] } } | undefined)?.hits.hits[0]?._source[`${SPOKEN}_vi`],
      ] as const,
  );
  return Object.fromEntries(found.filter((each): each is [string, string] => typeof each[1] === "string"));
}

/** Values that have a word in the catalogues, by their field. */
const FAMILIES: Record<string, string> = {
  "rule.level": "level",
  "alert.status": "status",
  "event.outcome": "outcome",
  kind: "device",
  share: "board.by",
};

export function wordsOf(fields: readonly (readonly [string, readonly string[]])[]): Record<string, string> {
  return Object.fromEntries(
    fields.flatMap(([field, values]) => {
      if (field === "tags") return values.map((value) => [value, tagSays(value)]);
      const family = FAMILIES[field];
      return family ? values.map((value) => [value, word(family, value)]) : [];
    }),
  );
}

/** Bring lines that begin and end at different times to the same times. */
function aligned(
  lines: readonly (readonly [string, readonly number[], readonly number[]])[],
  field: string,
): [number[], Series[]] {
  const times = [...new Set(lines.flatMap(([, each]) => each))].sort((one, other) => one - other);
  const place = new Map(times.map((time, number) => [time, number]));
  const made = lines.map(([name, at, values]): Series => {
    const spread = new Array<number>(times.length).fill(0);
    at.forEach((time, number) => (spread[place.get(time) as number] = values[number] ?? 0));
    return { name, field, values: spread };
  });
  return [times, made];
}

/** Say whether there is nothing to draw. */
export function isEmpty(panel: Panel, data: Data): boolean {
  if (panel.kind === "number" || panel.kind === "gauge" || panel.kind === "text") return false;
  if (panel.kind === "points" || panel.kind === "timeline") return data.hits.length === 0;
  if (panel.kind === "table") return data.cells.length === 0 && data.hits.length === 0;
  return data.total === 0 || (data.cells.length === 0 && data.series.length === 0);
}
