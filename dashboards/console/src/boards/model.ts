// What a dashboard is: panels, each a query, a kind of chart and fields; variables; a time range. Stored and exchanged as
// this JSON (version 1).

import { language, type Key } from "../words";

export const KINDS = [
  "line",
  "area",
  "bar",
  "stacked",
  "pie",
  "heatmap",
  "table",
  "number",
  "gauge",
  "treemap",
  "sankey",
  "graph",
  "tilemap",
  "points",
  "timeline",
  "top",
  "text",
] as const;
export type Kind = (typeof KINDS)[number];

export const METRICS = ["count", "cardinality", "sum", "avg", "max", "min"] as const;
export type Metric = (typeof METRICS)[number];

export type Index = "events" | "alerts" | "c2" | "systems";

export interface Options {
  /** What is measured; of all but the count, of `metric_field`. */
  metric?: Metric;
  metric_field?: string;
  /** Values of a field that are shown; the others are left out, or summed up as such. */
  size?: number;
  /** The unit of what is measured, such as `bytes` or `seconds`. */
  unit?: "" | "bytes" | "seconds" | "percent";
  /** The end of a gauge's scale. */
  most?: number;
  text?: Words;
  /** A map that the site has uploaded, by its id. */
  map?: string;
}

/** A text, or of dashboards that come with us one for each language. */
export type Words = string | { vi: string; en: string };

export const said = (words: Words): string => (typeof words === "string" ? words : words[language]);

export interface Panel {
  id: string;
  title: Words;
  kind: Kind;
  x: number;
  y: number;
  w: number;
  h: number;
  query: string;
  /** What is searched; `c2` and `systems` are counts of the API, by the word in the first field (`counted.ts`). */
  index: Index;
  fields: string[];
  options: Options;
}

export interface Variable {
  name: string;
  says: Words;
  field: string;
  value: string;
}

export interface Board {
  version: 1;
  panels: Panel[];
  variables: Variable[];
  time: { from: string; to: string };
  /** Seconds between two refreshes; 0 for none. */
  refresh: number;
}

export const COLUMNS = 12;
export const USUAL_SIZE = 8;
export const MOST_PANELS = 60;

/** How many fields a kind takes, and what they are for. */
export const FIELDS: Record<Kind, readonly Key[]> = {
  line: ["board.field.split"],
  area: ["board.field.split"],
  stacked: ["board.field.split"],
  bar: ["board.field.values"],
  pie: ["board.field.values"],
  heatmap: ["board.field.rows", "board.field.columns"],
  table: [
    "board.field.column",
    "board.field.column",
    "board.field.column",
    "board.field.column",
    "board.field.column",
    "board.field.column",
  ],
  number: [],
  gauge: [],
  treemap: ["board.field.outer", "board.field.inner"],
  sankey: ["board.field.from", "board.field.to", "board.field.then"],
  graph: ["board.field.from", "board.field.to"],
  tilemap: ["board.field.unit"],
  points: ["board.field.latitude", "board.field.longitude", "board.field.label"],
  timeline: ["board.field.lanes"],
  top: ["board.field.values"],
  text: [],
};

export const EMPTY: Board = { version: 1, panels: [], variables: [], time: { from: "now-24h", to: "" }, refresh: 0 };

/** Return the name of a new panel. */
export const newId = (): string => crypto.getRandomValues(new Uint32Array(1))[0]?.toString(36) ?? "";

/** Put the values of a dashboard's variables into a text; of one that is empty, everything fits. */
export function filled(query: string, variables: readonly Variable[]): string {
  return variables.reduce((text, { name, field, value }) => {
    const clause = value ? `${field}:"${value.replace(/[\\"]/g, "\\$&")}"` : "*";
    return text.replaceAll(`$${name}`, clause);
  }, query);
}
