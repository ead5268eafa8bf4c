// Points on the earth: places of events, and the outlines of a map that the site has uploaded, enter; a drawing leaves.
// No map comes with us but the tiles: outlines are the operator's own.

import { useAnswer } from "../answers";
import { ask, part } from "../api";
import { plain } from "../format";
import type { Hit } from "../search";
import type { Saved } from "../parts/saved";
import { t } from "../words";

type Position = [number, number, ...number[]];
interface Feature {
  geometry: { type: string; coordinates: unknown } | null;
}
interface Outlines {
  features: Feature[];
}

interface Props {
  hits: readonly Hit[];
  fields: readonly string[];
  map: string;
  onOpen: (id: string) => void;
}

const WIDTH = 800,
  HEIGHT = 520,
  EDGE = 0.08;

export function Points({ hits, fields, map, onOpen }: Props) {
  const answer = useAnswer(map || null, (signal) => ask<Saved<Outlines>>(`/saved/${part(map)}`, { signal }));
  const [latitude = "", longitude = "", label = ""] = fields;
  const places = hits
    .map(({ _id, _source }) => ({
      id: _id,
      at: [Number(_source[longitude]), Number(_source[latitude])] as Position,
      says: plain(_source[label] ?? ""),
    }))
    .filter(({ at }) => Number.isFinite(at[0]) && Number.isFinite(at[1]));
  const rings = (answer.value?.body.features ?? []).flatMap(({ geometry }) =>
    geometry ? ringsOf(geometry.coordinates) : [],
  );
  const all = [...places.map(({ at }) => at), ...rings.flat()];
  if (!all.length) return <p class="quiet">{t("board.no_data")}</p>;
  const [west, east, south, north] = [
    Math.min(...all.map(([x]) => x)),
    Math.max(...all.map(([x]) => x)),
    Math.min(...all.map(([, y]) => y)),
    Math.max(...all.map(([, y]) => y)),
  ];
  const narrowing = Math.cos((((south + north) / 2) * Math.PI) / 180);
  const spanX = Math.max(0.02, (east - west) * narrowing),
    spanY = Math.max(0.02, north - south);
  const scale = Math.min(WIDTH / spanX, HEIGHT / spanY) * (1 - 2 * EDGE);
  const x = ([at]: Position) => WIDTH / 2 + (at - (west + east) / 2) * narrowing * scale;
  const y = ([, at]: Position) => HEIGHT / 2 - (at - (south + north) / 2) * scale;
  return (
    <svg
      class="points"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      role="img"
      aria-label={t("board.points.says", { count: places.length })}
    >
      {rings.map((ring, place) => (
        <path key={place} d={`M${ring.map((at) => `${x(at).toFixed(1)},${y(at).toFixed(1)}`).join("L")}`} />
      ))}
      {places.map(({ id, at, says }) => (
        <circle
          key={id}
          cx={x(at)}
          cy={y(at)}
          r={5}
          role="button"
          tabIndex={0}
          aria-label={says}
          onClick={() => onOpen(id)}
          onKeyDown={(event) => event.key === "Enter" && onOpen(id)}
        >
          <title>{`${says} ${at[1].toFixed(4)}, ${at[0].toFixed(4)}`}</title>
        </circle>
      ))}
    </svg>
  );
}

/** Return the lines of a geometry, however deep they lie (RFC 7946 section 3.1). */
function ringsOf(coordinates: unknown): Position[][] {
  if (!Array.isArray(coordinates)) return [];
  if (Array.isArray(coordinates[0]) && typeof coordinates[0][0] === "number") return [coordinates as Position[]];
  return coordinates.flatMap(ringsOf);
}
