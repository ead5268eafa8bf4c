// A drawing by ECharts, which is loaded when the first one is shown.

import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { language } from "../words";
import { colours } from "./colours";
import type { Data } from "./data";
import { write } from "./measure";
import { optionsOf, pressedOf, type Pressed } from "./options";
import { said, type Panel } from "./model";

interface Chart {
  setOption: (option: object, whole: boolean) => void;
  resize: () => void;
  dispose: () => void;
  on: (event: "click", then: (event: { name?: string }) => void) => void;
}

interface Props {
  panel: Panel;
  data: Data;
  onPress: (pressed: Pressed) => void;
  onOpen: (id: string) => void;
}

export function Drawing({ panel, data, onPress, onOpen }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const shown = useRef<{ panel: Panel; data: Data; onPress: Props["onPress"]; onOpen: Props["onOpen"] }>({
    panel,
    data,
    onPress,
    onOpen,
  });
  shown.current = { panel, data, onPress, onOpen };
  const chart = useRef<Chart | null>(null);
  const now = colours.value;
  useEffect(() => {
    let gone = false;
    const watch = new ResizeObserver(() => chart.current?.resize());
    void import("./echarts").then(({ init }) => {
      if (gone || !box.current) return;
      const made = init(box.current, null, { locale: language.toUpperCase() }) as unknown as Chart;
      made.on("click", (event) => {
        const { panel: of, data: held } = shown.current;
        if (of.kind === "timeline") shown.current.onOpen(String(event.name));
        else {
          const pressed = pressedOf(of, held, event as Parameters<typeof pressedOf>[2]);
          if (pressed) shown.current.onPress(pressed);
        }
      });
      chart.current = made;
      made.setOption(optionsOf(shown.current.panel, shown.current.data, colours.peek()), true);
      watch.observe(box.current);
    });
    return () => {
      gone = true;
      watch.disconnect();
      chart.current?.dispose();
      chart.current = null;
    };
  }, []);
  useEffect(() => chart.current?.setOption(optionsOf(panel, data, now), true), [panel, data, now]);
  const label = `${said(panel.title)}: ${inWords(panel, data)}`;
  if (panel.kind !== "gauge") return <div class="drawing" ref={box} role="img" aria-label={label} />;
  return (
    <button type="button" class="drawing whole" aria-label={label} onClick={() => onPress({ values: [] })}>
      <span class="fill" ref={box as unknown as RefObject<HTMLSpanElement>} />
    </button>
  );
}

/** The numbers of a drawing for those who do not see it. */
function inWords({ kind, options }: Panel, data: Data): string {
  if (kind === "gauge") return data.value === null ? "–" : write(data.value, options, true);
  return data.cells
    .slice(0, 10)
    .map(({ keys, value }) => `${keys.join(" ")} ${write(value, options, true)}`)
    .join("; ")
    .slice(0, 500);
}
