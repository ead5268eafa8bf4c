// The tile map: numbers of values enter, Vietnam's provincial units as tiles, the darker the more, leave.

import { number, short } from "../format";
import { t } from "../words";
import type { Cell } from "./data";
import { COLUMNS, ISLANDS, ROWS, UNITS, unitOf, type Unit } from "./units";

interface Props {
  cells: readonly Cell[];
  onOpen: (values: readonly string[]) => void;
}

const SIDE = 64,
  GAP = 4;

export function Tiles({ cells, onOpen }: Props) {
  const counted = new Map<string, { value: number; keys: string[] }>();
  let others = 0;
  for (const { keys, value } of cells) {
    const unit = unitOf(keys[0] ?? "");
    if (!unit) {
      others += value;
      continue;
    }
    const now = counted.get(unit.code) ?? { value: 0, keys: [] };
    counted.set(unit.code, { value: now.value + value, keys: [...now.keys, keys[0] ?? ""] });
  }
  const most = Math.max(1, ...[...counted.values()].map(({ value }) => value));
  const tile = (unit: Unit, island: boolean) => {
    const found = counted.get(unit.code);
    const share = found ? 0.15 + 0.85 * (Math.log1p(found.value) / Math.log1p(most)) : 0;
    const says = `${unit.name}${island ? ` (${UNITS.find(({ code }) => code === unit.code)?.name})` : ""}: ${number(found?.value ?? 0)}`;
    const press = () => found && onOpen(found.keys);
    return (
      <g
        key={unit.name}
        transform={`translate(${unit.column * SIDE}, ${unit.row * SIDE})`}
        class={`unit ${found ? "has" : ""} ${share > 0.55 ? "dark" : ""}`}
        {...(found
          ? {
              role: "button",
              tabIndex: 0,
              "aria-label": says,
              onClick: press,
              onKeyDown: (event: KeyboardEvent) => event.key === "Enter" && press(),
            }
          : {})}
      >
        <title>{says}</title>
        <rect width={SIDE - GAP} height={SIDE - GAP} rx={6} class={island ? "island" : ""} />
        {share > 0 && <rect width={SIDE - GAP} height={SIDE - GAP} rx={6} class="fill" opacity={share} />}
        {linesOf(unit.name).map((line, place, all) => (
          <text key={place} x={(SIDE - GAP) / 2} y={22 + place * 11 - (all.length > 1 ? 4 : 0)}>
            {line}
          </text>
        ))}
        {found && (
          <text class="count" x={(SIDE - GAP) / 2} y={50}>
            {short(found.value)}
          </text>
        )}
      </g>
    );
  };
  return (
    <figure class="tile-map">
      <svg viewBox={`0 0 ${COLUMNS * SIDE} ${ROWS * SIDE}`} role="img" aria-label={t("board.tilemap.says")}>
        {UNITS.map((unit) => tile(unit, false))}
        {ISLANDS.map((unit) => tile(unit, true))}
      </svg>
      {others > 0 && (
        <figcaption class="small quiet">{t("board.tilemap.others", { count: number(others) })}</figcaption>
      )}
    </figure>
  );
}

function linesOf(name: string): string[] {
  const words = name.split(" ");
  return words.length < 2
    ? [name]
    : words.length === 2
      ? [name]
      : [words.slice(0, 2).join(" "), words.slice(2).join(" ")];
}
