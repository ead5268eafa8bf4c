// Figures that the API counts itself: a panel enters, what it shows leaves. Devices that spoke with C2 servers, and the
// shares of systems that the law asks for.

import { go } from "../address";
import { ask, withValues } from "../api";
import { bounds, endsOf, range } from "../range";
import { language, t, word, type Key } from "../words";
import { NOTHING, wordsOf, type Data } from "./data";
import type { Index, Panel } from "./model";

interface Counted {
  says: Key;
  /** Who may see it. */
  needs: string;
  /** What may stand in the first field; what a kind does not need is left out of `FIELDS`, unless `always`. */
  by: readonly string[];
  always: boolean;
  /** What stands above the two columns of a table. */
  heads: (by: string) => readonly [of: string, value: string];
  data: (panel: Panel, signal: AbortSignal) => Promise<Data>;
  /** Go where what is counted can be looked at. */
  open: (pressed: readonly string[]) => void;
}

/** The API's counts of contacts with C2 servers. */
export interface Contacts {
  all: { devices: number; contacts: number };
  groups: { group: string; devices: number; contacts: number }[];
  /** Families that are names of rules, for want of one, with the rules' Vietnamese names. */
  titles_vi: Record<string, string>;
}

/** Return what a family is called. */
export const familySays = ({ titles_vi }: Contacts, family: string): string =>
  (language === "vi" && titles_vi[family]) || family;

/** Systems of level 3 and above with an approved plan, monitored, or `both`; public portals that are monitored. */
const SHARES = ["both", "approved", "monitored", "portals"] as const;
type Share = (typeof SHARES)[number];

interface Standing {
  systems: number;
  approved: number;
  monitored: number;
  both: number;
  portals: number;
  portals_monitored: number;
}

const DAY_MS = 86_400_000;
const LONGEST_DAYS = 3660;

export const COUNTED: Partial<Record<Index, Counted>> = {
  c2: {
    says: "board.index.c2",
    needs: "devices.read",
    by: ["kind", "family", "unit", "day", "week", "month", "device"],
    always: false,
    heads: (by) => [word("board.by", by), t("board.index.c2")],
    data: contacts,
    open: () => go("network"),
  },
  systems: {
    says: "board.index.systems",
    needs: "sharing.read",
    by: SHARES,
    always: true,
    heads: (share) => [t("system.unit"), word("board.by", share || SHARES[0])],
    data: shares,
    open: ([unit = ""]) => go("reports", { view: "systems", ...(unit ? { of: unit } : {}) }),
  },
};

/** Devices, each once. */
async function contacts({ fields: [by = "kind"] }: Panel, signal: AbortSignal): Promise<Data> {
  const found = await ask<Contacts>(withValues("/c2", { ...bounds(), by, limit: 0 }), { signal, byItself: true });
  const { all, groups } = found;
  const cells = groups.map(({ group, devices }) => ({ keys: [group], value: devices }));
  return {
    ...NOTHING,
    value: all.devices,
    total: all.devices,
    cells,
    words:
      by === "family"
        ? Object.fromEntries(groups.map(({ group }) => [group, familySays(found, group)]))
        : wordsOf([[by, cells.map(({ keys }) => keys[0] ?? "")]]),
  };
}

/** How a share stands now, of all and by unit, and day by day; of lines that name none, the two of the law. */
async function shares({ kind, fields: [named = ""] }: Panel, signal: AbortSignal): Promise<Data> {
  const [begin, end] = endsOf(range.value) ?? [Date.now() - LONGEST_DAYS * DAY_MS, Date.now()];
  const days = Math.min(LONGEST_DAYS, Math.max(1, Math.ceil((Date.now() - begin) / DAY_MS)));
  const asked = { signal, byItself: true };
  const [standing, over] = await Promise.all([
    ask<{ all: Standing; units: (Standing & { unit: string })[] }>("/systems", asked),
    ask<{ days: (Standing & { day: string })[] }>(withValues("/systems/days", { days }), asked),
  ]);
  const share = SHARES.find((each) => each === named);
  const timeOf = ({ day }: { day: string }) => new Date(`${day}T00:00:00Z`).getTime();
  const within = over.days.filter((each) => timeOf(each) <= end);
  const isOverTime = kind === "line" || kind === "area" || kind === "number" || kind === "stacked";
  const drawn = share ? [share] : isOverTime && kind !== "number" ? (["both", "portals"] as const) : [SHARES[0]];
  const first = drawn[0] ?? SHARES[0];
  return {
    ...NOTHING,
    value: percentOf(standing.all, first),
    before: within[0] ? percentOf(within[0], first) : null,
    total: standing.all.systems + standing.all.portals,
    times: isOverTime ? within.map(timeOf) : [],
    widthMs: DAY_MS,
    series:
      isOverTime && within.length > 1
        ? drawn.map((name) => ({ name, field: "share", values: within.map((each) => percentOf(each, name) ?? 0) }))
        : [],
    cells: isOverTime
      ? []
      : standing.units
          .map((each) => ({ keys: [each.unit], value: percentOf(each, first) }))
          .filter((each): each is { keys: string[]; value: number } => each.value !== null),
    words: wordsOf([["share", drawn]]),
  };
}

/** Return a share in per cent; null where there is nothing to have a share of. */
function percentOf(of: Standing, share: Share): number | null {
  const [part, all] = share === "portals" ? [of.portals_monitored, of.portals] : [of[share], of.systems];
  return all ? (100 * part) / all : null;
}
