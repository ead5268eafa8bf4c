// How a panel's numbers are drawn: data and the page's colours enter, ECharts' options leave. Tooltips are drawn, not HTML:
// a value of an event is never parsed.

import { clockAt, percent, plain, short, tick } from "../format";
import { t } from "../words";
import type { Cell, Data } from "./data";
import { isWhole, write } from "./measure";
import type { Panel } from "./model";

export interface Colours {
  text: string;
  quiet: string;
  line: string;
  surface: string;
  series: string[];
  accent: string;
  /** Of values that have a colour of their own everywhere: levels. */
  levels: Record<string, string>;
}

/** Fields whose values have such colours. */
const COLOURED = new Set(["rule.level"]);

/** Return the colour that a value has everywhere; none for most. */
export function colourOf(field: string | undefined, value: string, colours: Colours): string | undefined {
  return field && COLOURED.has(field) ? colours.levels[value] : undefined;
}

/** What pressing a part of the drawing asks for: values of the panel's fields, in their order. */
export interface Pressed {
  values: string[];
  from?: number;
  to?: number;
}

const FONT = "'Be Vietnam Pro', sans-serif";
const NAME_LENGTH = 28;

/** Return ECharts' options for a kind that it draws. */
export function optionsOf(panel: Panel, data: Data, colours: Colours): object {
  const says = (value: number) => write(value, panel.options);
  const named = (key: string) => plain(data.words[key] ?? key);
  const cut = (key: string) =>
    named(key).length > NAME_LENGTH ? `${named(key).slice(0, NAME_LENGTH - 1)}…` : named(key);
  const coloured = (value: string) => {
    const color = colourOf(panel.fields[0], value, colours);
    return color ? { color } : {};
  };
  const tooltip = {
    renderMode: "richText",
    confine: true,
    backgroundColor: colours.surface,
    borderColor: colours.line,
    textStyle: { color: colours.text, fontSize: 12 },
    formatter: (each: {
      name: string;
      value: unknown;
      data?: { source?: string; target?: string; value?: number };
    }) => {
      const { source, target } = each.data ?? {};
      const value = Array.isArray(each.value) ? each.value.at(-1) : (each.data?.value ?? each.value);
      return `${source ? `${named(source)} → ${named(target ?? "")}` : named(each.name)}\n${says(Number(value))}`;
    },
  };
  const shared = {
    animation: false,
    color: colours.series,
    textStyle: { color: colours.text, fontFamily: FONT, fontSize: 12 },
    tooltip,
    grid: { left: 8, right: 16, top: 16, bottom: 8, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
  };
  const values = {
    type: "value",
    min: 0,
    ...(isWhole(panel.options) ? { minInterval: 1 } : {}),
    axisLabel: { color: colours.quiet, formatter: (value: number) => says(value) },
    splitLine: { lineStyle: { color: colours.line } },
  };
  const names = (all: readonly string[], more: object = {}) => ({
    type: "category",
    data: all,
    axisLabel: { color: colours.quiet, formatter: (name: string) => cut(name), hideOverlap: true },
    axisLine: { lineStyle: { color: colours.line } },
    axisTick: { show: false },
    ...more,
  });
  const span = data.widthMs * data.times.length;
  switch (panel.kind) {
    case "bar":
      if (data.times.length)
        return {
          ...shared,
          xAxis: names(data.times.map((time) => tick(time, span))),
          yAxis: values,
          series: [{ type: "bar", data: data.series[0]?.values ?? [], barCategoryGap: "12%" }],
        };
      return {
        ...shared,
        xAxis: values,
        yAxis: names(data.cells.map(keyOf), { inverse: true }),
        series: [
          {
            type: "bar",
            data: data.cells.map((cell) => ({ value: cell.value, itemStyle: coloured(keyOf(cell)) })),
            label: {
              show: true,
              position: "right",
              color: colours.quiet,
              formatter: ({ value }: { value: number }) => says(value),
            },
          },
        ],
      };
    case "stacked":
      return {
        ...shared,
        grid: { ...shared.grid, top: 36 },
        legend: { type: "scroll", top: 0, textStyle: { color: colours.text }, formatter: (name: string) => cut(name) },
        xAxis: names(data.times.map((time) => tick(time, span))),
        yAxis: values,
        series: data.series.map(({ name, values: each }) => ({
          type: "bar",
          stack: "all",
          name,
          data: each,
          barCategoryGap: "12%",
          itemStyle: coloured(name),
        })),
      };
    case "pie":
      return {
        ...shared,
        legend: {
          type: "scroll",
          orient: "vertical",
          left: "54%",
          top: "middle",
          icon: "circle",
          textStyle: { color: colours.text },
          formatter: (name: string) =>
            `${cut(name)}  ${percent(
              (data.cells.find((cell) => keyOf(cell) === name)?.value ?? 0) /
                Math.max(
                  1,
                  data.cells.reduce((sum, { value }) => sum + value, 0),
                ),
            )}`,
        },
        series: [
          {
            type: "pie",
            radius: ["34%", "54%"],
            center: ["27%", "50%"],
            data: data.cells.map((cell) => ({
              name: keyOf(cell),
              value: cell.value,
              itemStyle: { borderColor: colours.surface, borderWidth: 2, ...coloured(keyOf(cell)) },
            })),
            label: { show: false },
          },
        ],
      };
    case "heatmap": {
      const rows = [...new Set(data.cells.map(({ keys }) => keys[0] ?? ""))],
        columns = [...new Set(data.cells.map(({ keys }) => keys[1] ?? ""))];
      if (data.times.length) columns.sort((one, other) => Number(one) - Number(other));
      const most = Math.max(1, ...data.cells.map(({ value }) => value));
      return {
        ...shared,
        grid: { ...shared.grid, bottom: 40 },
        xAxis: names(
          columns,
          data.times.length
            ? {
                axisLabel: {
                  color: colours.quiet,
                  hideOverlap: true,
                  formatter: (time: string) => tick(Number(time), span),
                },
              }
            : {},
        ),
        yAxis: names(rows, { inverse: true }),
        visualMap: {
          min: 0,
          max: most,
          orient: "horizontal",
          left: "center",
          bottom: 0,
          itemHeight: 96,
          itemWidth: 10,
          textStyle: { color: colours.quiet },
          formatter: (value: number) => short(Math.round(value)),
          inRange: { color: [`${colours.accent}26`, colours.accent] },
        },
        series: [
          {
            type: "heatmap",
            data: data.cells
              .filter(({ value }) => value)
              .map(({ keys, value }) => [columns.indexOf(keys[1] ?? ""), rows.indexOf(keys[0] ?? ""), value]),
          },
        ],
      };
    }
    case "gauge": {
      const most = panel.options.most || Math.max(1, (data.value ?? 0) * 1.25);
      return {
        ...shared,
        series: [
          {
            type: "gauge",
            max: most,
            radius: "92%",
            center: ["50%", "58%"],
            progress: { show: true, width: 14, itemStyle: { color: colours.accent } },
            axisLine: { lineStyle: { width: 14, color: [[1, colours.line]] } },
            axisTick: { show: false },
            splitLine: { show: false },
            axisLabel: {
              color: colours.quiet,
              distance: 20,
              formatter: (value: number) => (value === 0 || value === most ? says(value) : ""),
            },
            pointer: { show: false },
            detail: {
              offsetCenter: [0, 0],
              color: colours.text,
              fontSize: 28,
              formatter: (value: number) => (data.value === null ? "–" : says(value)),
            },
            data: [{ value: data.value ?? 0 }],
          },
        ],
      };
    }
    case "treemap":
      return {
        ...shared,
        series: [
          {
            type: "treemap",
            roam: false,
            nodeClick: false,
            breadcrumb: { show: false },
            width: "100%",
            height: "100%",
            itemStyle: { borderColor: colours.surface },
            upperLabel: {
              show: Boolean(panel.fields[1]),
              height: 20,
              color: colours.text,
              backgroundColor: colours.surface,
              formatter: ({ name }: { name: string }) => cut(name),
            },
            label: {
              color: colours.surface,
              lineHeight: 16,
              overflow: "truncate",
              formatter: ({ name, value }: { name: string; value: number }) => `${cut(name)}\n${says(value)}`,
            },
            levels: [
              { itemStyle: { borderWidth: 0, gapWidth: 2 } },
              { itemStyle: { gapWidth: 1, borderWidth: 2 }, colorSaturation: [0.35, 0.6] },
            ],
            data: nested(data.cells),
          },
        ],
      };
    case "sankey": {
      const links = data.cells.flatMap(({ keys, value }) =>
        keys
          .slice(1)
          .map((key, place) => ({ source: `${place}\u0000${keys[place]}`, target: `${place + 1}\u0000${key}`, value })),
      );
      const joined = [...Map.groupBy(links, ({ source, target }) => `${source}\u0001${target}`).values()].map(
        (same) => ({ ...(same[0] as (typeof links)[number]), value: same.reduce((sum, { value }) => sum + value, 0) }),
      );
      const nodes = [...new Set(joined.flatMap(({ source, target }) => [source, target]))].map((name) => ({ name }));
      const bare = (name: string) => name.slice(name.indexOf("\u0000") + 1);
      return {
        ...shared,
        tooltip: {
          ...tooltip,
          formatter: ({ data: each }: { data: { source?: string; target?: string; name?: string; value?: number } }) =>
            each.source
              ? `${plain(bare(each.source))} → ${plain(bare(each.target ?? ""))}\n${says(each.value ?? 0)}`
              : plain(bare(each.name ?? "")),
        },
        series: [
          {
            type: "sankey",
            left: 8,
            right: 140,
            top: 8,
            bottom: 8,
            nodeGap: 6,
            emphasis: { focus: "adjacency" },
            draggable: false,
            data: nodes,
            links: joined,
            lineStyle: { color: "source", opacity: 0.35 },
            labelLayout: { hideOverlap: true },
            label: { color: colours.text, formatter: ({ name }: { name: string }) => cut(bare(name)) },
          },
        ],
      };
    }
    case "graph": {
      const weight = new Map<string, number>();
      for (const { keys, value } of data.cells) for (const key of keys) weight.set(key, (weight.get(key) ?? 0) + value);
      const most = Math.max(1, ...weight.values());
      const from = new Set(data.cells.map(({ keys }) => keys[0]));
      return {
        ...shared,
        series: [
          {
            type: "graph",
            layout: "force",
            roam: true,
            draggable: true,
            force: { repulsion: 140, edgeLength: [40, 120], layoutAnimation: false },
            label: {
              show: true,
              position: "right",
              color: colours.text,
              formatter: ({ name }: { name: string }) => cut(name),
            },
            labelLayout: { hideOverlap: true },
            edgeSymbol: ["none", "arrow"],
            edgeSymbolSize: 6,
            lineStyle: { color: colours.quiet, opacity: 0.5 },
            data: [...weight].map(([name, value]) => ({
              name,
              value,
              symbolSize: 8 + 24 * Math.sqrt(value / most),
              itemStyle: { color: from.has(name) ? colours.series[0] : colours.series[1] },
            })),
            links: data.cells.map(({ keys, value }) => ({
              source: keys[0],
              target: keys[1],
              value,
              lineStyle: { width: 1 + 3 * (value / most) },
            })),
          },
        ],
      };
    }
    case "timeline": {
      const field = panel.fields[0];
      const lanes = field
        ? [...new Set(data.hits.map(({ _source }) => plain(_source[field] ?? "–")))].slice(0, 30)
        : [t("column.events")];
      const dots = data.hits.map(({ _id, _source }) => ({
        value: [Date.parse(String(_source["@timestamp"])), field ? plain(_source[field] ?? "–") : lanes[0]],
        name: _id,
      }));
      const at = dots.map(({ value }) => Number(value[0]));
      const wide = Math.max(1000, Math.max(...at) - Math.min(...at));
      return {
        ...shared,
        xAxis: {
          type: "time",
          axisLabel: { color: colours.quiet, hideOverlap: true, formatter: (time: number) => tick(time, wide) },
          splitLine: { lineStyle: { color: colours.line } },
        },
        yAxis: names(lanes, { inverse: true, splitLine: { show: true, lineStyle: { color: colours.line } } }),
        tooltip: {
          ...tooltip,
          formatter: ({ value }: { value: [number, string] }) =>
            `${clockAt(value[0])?.hour}:${clockAt(value[0])?.minute}:${clockAt(value[0])?.second}\n${plain(value[1])}`,
        },
        series: [{ type: "scatter", symbolSize: 9, itemStyle: { opacity: 0.7 }, data: dots }],
      };
    }
    default:
      return shared;
  }
}

/** Return what pressing a part of the drawing means. */
export function pressedOf(
  panel: Panel,
  data: Data,
  event: { name?: string; dataIndex?: number; value?: unknown; data?: unknown; seriesName?: string },
): Pressed | null {
  const place = event.dataIndex ?? -1;
  const within = (time: number | undefined) => (time === undefined ? {} : { from: time, to: time + data.widthMs });
  switch (panel.kind) {
    case "bar":
      return data.times.length
        ? { values: [], ...within(data.times[place]) }
        : { values: data.cells[place]?.keys ?? [] };
    case "stacked":
      return { values: event.seriesName ? [event.seriesName] : [], ...within(data.times[place]) };
    case "pie":
      return { values: data.cells[place]?.keys ?? [] };
    case "heatmap": {
      const cell = data.cells.filter(({ value }) => value)[place];
      return cell
        ? data.times.length
          ? { values: [cell.keys[0] ?? ""], ...within(Number(cell.keys[1])) }
          : { values: cell.keys }
        : null;
    }
    case "treemap":
      return { values: (event.data as { path?: string[] } | undefined)?.path ?? [] };
    case "sankey":
    case "graph": {
      const { source, target } = (event.data ?? {}) as { source?: string; target?: string };
      const bare = (name: string) => name.slice(name.indexOf("\u0000") + 1);
      return source && target ? { values: [bare(source), bare(target)] } : null;
    }
    default:
      return null;
  }
}

const keyOf = ({ keys }: Cell): string => keys[0] ?? "";

function nested(cells: readonly Cell[]): object[] {
  return [...Map.groupBy(cells, keyOf)].map(([name, inner]) => ({
    name,
    path: [name],
    value: inner.reduce((sum, { value }) => sum + value, 0),
    ...(inner[0]?.keys[1] === undefined
      ? {}
      : { children: inner.map(({ keys, value }) => ({ name: keys[1], path: keys, value })) }),
  }));
}
