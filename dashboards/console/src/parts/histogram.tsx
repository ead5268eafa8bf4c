// Events over time above a list: counts enter, bars leave; dragging over them chooses that time.

import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { moment, number, tick, zone } from "../format";
import { t } from "../words";

export interface Bar {
  at: number;
  count: number;
}

interface Props {
  bars: readonly Bar[];
  widthMs: number;
  onSpan: (from: number, to: number) => void;
  label: string;
}

const HEIGHT = 88;

/** Return where the last bar ends: the one that is not over ends now. */
function endOf(at: number, widthMs: number): number {
  const now = Date.now();
  return at <= now ? Math.min(at + widthMs, now) : at + widthMs;
}

export function Histogram({ bars, widthMs, onSpan, label }: Props) {
  const drawing = useRef<SVGSVGElement>(null);
  const brush = useSignal<[number, number] | null>(null);
  const pointed = useSignal(-1);
  const most = Math.max(1, ...bars.map(({ count }) => count));
  if (!bars.length) return null;
  const placeAt = (event: PointerEvent) => {
    const box = drawing.current?.getBoundingClientRect();
    return box
      ? Math.max(0, Math.min(bars.length - 1, Math.floor(((event.clientX - box.left) / box.width) * bars.length)))
      : 0;
  };
  const begin = (event: PointerEvent) => {
    drawing.current?.setPointerCapture(event.pointerId);
    brush.value = [placeAt(event), placeAt(event)];
  };
  const move = (event: PointerEvent) => {
    pointed.value = placeAt(event);
    if (brush.value) brush.value = [brush.value[0], placeAt(event)];
  };
  const end = () => {
    if (!brush.value) return;
    const [from, to] = [Math.min(...brush.value), Math.max(...brush.value)];
    brush.value = null;
    onSpan(bars[from]?.at ?? 0, (bars[to]?.at ?? 0) + widthMs);
  };
  const span = bars.length * widthMs;
  const at = bars[pointed.value];
  const total = bars.reduce((sum, { count }) => sum + count, 0);
  return (
    <figure class="histogram">
      <figcaption>
        <span>{at ? `${moment(at.at)} – ${moment(at.at + widthMs).slice(11)} · ${number(at.count)}` : label}</span>
        <span>{t("histogram.most", { count: number(Math.max(...bars.map(({ count }) => count))) })}</span>
      </figcaption>
      <svg
        ref={drawing}
        viewBox={`0 0 ${bars.length} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={t("histogram.says", {
          total: number(total),
          from: moment(bars[0]?.at ?? 0),
          to: moment((bars.at(-1)?.at ?? 0) + widthMs),
        })}
        onPointerDown={begin}
        onPointerMove={move}
        onPointerUp={end}
        onPointerLeave={() => (pointed.value = -1)}
      >
        {bars.map(({ count }, place) => {
          const tall = count ? Math.max(1.5, (count / most) * (HEIGHT - 4)) : 0;
          return (
            <rect
              key={place}
              class="bar"
              x={place + 0.08}
              width={0.84}
              y={HEIGHT - tall}
              height={tall}
              opacity={pointed.value === place ? 0.7 : 1}
            />
          );
        })}
        {brush.value && (
          <rect
            class="brush"
            x={Math.min(...brush.value)}
            width={Math.abs(brush.value[1] - brush.value[0]) + 1}
            y={0}
            height={HEIGHT}
          />
        )}
      </svg>
      <div class="axis">
        <span>{tick(bars[0]?.at ?? 0, span)}</span>
        <span>{zone}</span>
        <span>{tick(endOf(bars.at(-1)?.at ?? 0, widthMs), span)}</span>
      </div>
    </figure>
  );
}
