// Lines over time by uPlot, which is loaded when the first ones are shown; dragging over them chooses that time everywhere.

import "uplot/dist/uPlot.min.css";
import type uPlot from "uplot";
import { useEffect, useRef } from "preact/hooks";
import { clockAt, plain, tick, zone } from "../format";
import { t } from "../words";
import { colours } from "./colours";
import type { Series } from "./data";
import { colourOf } from "./options";

interface Props {
  times: readonly number[];
  series: readonly Series[];
  /** What values are called, where that is not what they are. */
  words?: Record<string, string>;
  area: boolean;
  write: (value: number) => string;
  /** Values are whole numbers: so are the marks of the axis. */
  whole: boolean;
  onSpan: (from: number, to: number) => void;
  label: string;
}

/** 1, 2, 5, 10, 20, 50 … */
const WHOLE_STEPS = Array.from({ length: 16 }, (_, power) => [1, 2, 5].map((each) => each * 10 ** power)).flat();

export default function Lines({ times, series, words = {}, area, write, whole, onSpan, label }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const now = colours.value;
  useEffect(() => {
    let gone = false,
      made: uPlot | null = null;
    const sizeOf = () => ({
      width: box.current?.clientWidth || 300,
      height: Math.max(80, (box.current?.clientHeight || 160) - (series.length > 1 ? 28 : 0)),
    });
    const watch = new ResizeObserver(() => made?.setSize(sizeOf()));
    void import("uplot").then(({ default: Plot }) => {
      if (gone || !box.current) return;
      const span = (times.at(-1) ?? 0) - (times[0] ?? 0);
      const axis = {
        stroke: now.quiet,
        font: "12px 'Be Vietnam Pro'",
        grid: { stroke: now.line, width: 1 },
        ticks: { show: false },
      };
      made = new Plot(
        {
          ...sizeOf(),
          padding: [8, 8, 0, 0],
          legend: { show: series.length > 1, live: true },
          cursor: { drag: { x: true, y: false, setScale: false } },
          scales: {
            x: { time: true },
            y: { range: (_: unknown, __: number, most: number) => [0, Math.max(1, most * 1.05)] },
          },
          axes: [
            { ...axis, values: (_: unknown, at: number[]) => at.map((each) => tick(each * 1000, span)), space: 90 },
            {
              ...axis,
              size: 60,
              ...(whole ? { incrs: WHOLE_STEPS } : {}),
              values: (_: unknown, at: number[]) => at.map(write),
            },
          ],
          series: [
            {
              label: t("column.time"),
              value: (_: unknown, at: number | null) =>
                at ? `${clockAt(at * 1000)?.hour}:${clockAt(at * 1000)?.minute} ${zone}` : "",
            },
            ...series.map(({ name, field }, place) => {
              const stroke = colourOf(field, name, now) ?? now.series[place % now.series.length] ?? now.accent;
              return {
                label: plain(words[name] ?? name).slice(0, 40),
                stroke,
                width: 1.5,
                ...(area ? { fill: `${stroke}33` } : {}),
                points: { show: times.length < 3 },
                value: (_: unknown, value: number | null) => (value === null ? "" : write(value)),
              };
            }),
          ],
          hooks: {
            setSelect: [
              (plot: uPlot) => {
                if (plot.select.width < 4) return;
                onSpan(
                  plot.posToVal(plot.select.left, "x") * 1000,
                  plot.posToVal(plot.select.left + plot.select.width, "x") * 1000,
                );
              },
            ],
          },
        },
        [times.map((time) => time / 1000), ...series.map(({ values }) => values)] as uPlot.AlignedData,
        box.current,
      );
      watch.observe(box.current);
    });
    return () => {
      gone = true;
      watch.disconnect();
      made?.destroy();
    };
  }, [times, series, area, whole, now]);
  return <div class="lines" ref={box} role="img" aria-label={label} />;
}
