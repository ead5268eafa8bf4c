// What a change of the rulebook would do, shown before it is made: a preview enters, an answer leaves.

import type { ComponentChildren } from "preact";
import { number, plain } from "../format";
import { question } from "../parts/dialog";
import { tell } from "../parts/toast";
import { packName } from "../rulebook";
import { may } from "../session";
import { t, word } from "../words";

export interface Preview {
  pack?: string;
  version?: string;
  counts: Record<(typeof LISTS)[number], number>;
  packs: { pack: string; before: string; after: string }[];
  added: Named[];
  changed: Named[];
  removed: Named[];
  modes: (Named & { before: string; after: string })[];
  excepted: Excepted[];
  unexcepted: Excepted[];
  trusted: { key: string }[];
  distrusted: { key: string }[];
  refused: Left[];
  left_out: Left[];
  tests: number;
  stops: string[];
  nothing_new: boolean;
  /** Of what was made. */
  revision?: number | null;
}
interface Named {
  id: string;
  title: string;
  level: string;
}
interface Excepted {
  id: string;
  rules: string;
  reason: string;
}
interface Left {
  path: string;
  rule?: string;
  reason: string;
}

/** What a change of the rulebook may bring, take away or change. */
export const DIFFERENCES = [
  "packs",
  "added",
  "changed",
  "removed",
  "modes",
  "excepted",
  "unexcepted",
  "trusted",
  "distrusted",
  "refused",
] as const;
const LISTS = [...DIFFERENCES, "left_out"] as const;
const MOST_NAMED = 200;
/** Lists of fewer entries stand open where they say what a site loses or sees otherwise. */
const FEW = 20;
const OPEN = new Set<string>(["packs", "removed", "modes", "excepted", "unexcepted", "trusted", "distrusted"]);

interface Wanted {
  title?: string;
  does?: string;
  danger?: boolean;
  /** What stands above what would change. */
  says?: ComponentChildren;
  told?: (made: Preview) => string;
}

/** Show what would change; who may does it from here, and against what speaks against it only on purpose. */
export function confirm(
  found: Preview,
  make: (force: boolean) => Promise<Preview>,
  done: () => void,
  { title = titleOf(found), does = t("pack.take"), danger = false, says, told = () => t("pack.taken") }: Wanted = {},
): void {
  const makes = may("rules.manage") && !found.nothing_new;
  question({
    title,
    does: makes ? does : t("close"),
    wide: true,
    danger: makes && (danger || found.stops.length > 0),
    says: (
      <>
        {says}
        <PreviewOf of={found} />
      </>
    ),
    fields: makes && found.stops.length ? [{ name: "force", says: t("pack.force"), kind: "checkbox" }] : [],
    work: async ({ force }) => {
      if (!makes) return;
      tell(told(await make(force === "yes")));
      done();
    },
  });
}

const titleOf = ({ pack, version = "" }: Preview): string =>
  pack ? t("pack.preview.of", { pack, version }) : t("pack.preview.title");

function PreviewOf({ of }: { of: Preview }) {
  return (
    <>
      {of.nothing_new ? <p class="notice">{t("pack.nothing_new")}</p> : <p>{t("pack.preview.help")}</p>}
      {of.stops.length > 0 && (
        <div class="notice fault">
          <b>{t("pack.stops")}</b>
          <ul class="listed wrap small">
            {of.stops.slice(0, 50).map((each, place) => (
              <li key={place}>{plain(each)}</li>
            ))}
          </ul>
        </div>
      )}
      {LISTS.map(
        (name) =>
          of.counts[name] > 0 && (
            <details key={name} open={OPEN.has(name) && of.counts[name] < FEW}>
              <summary>{t(`rule.preview.${name}`, { count: number(of.counts[name]) })}</summary>
              <ul class="listed wrap small">
                {linesOf(of, name)
                  .slice(0, MOST_NAMED)
                  .map((each, place) => (
                    <li key={place}>{each}</li>
                  ))}
                {of.counts[name] > MOST_NAMED && (
                  <li class="quiet">{t("rule.and_more", { count: number(of.counts[name] - MOST_NAMED) })}</li>
                )}
              </ul>
            </details>
          ),
      )}
      <p class="small quiet">{t("pack.tests", { count: number(of.tests) })}</p>
    </>
  );
}

/** Return the entries of a list as people read them. */
function linesOf(of: Preview, name: (typeof LISTS)[number]): string[] {
  switch (name) {
    case "packs":
      return of.packs.map(
        ({ pack, before, after }) => `${packName(pack)}: ${plain(before) || "—"} → ${plain(after) || "—"}`,
      );
    case "modes":
      return of.modes.map(
        ({ title, before, after }) => `${plain(title)}: ${word("rule.mode", before)} → ${word("rule.mode", after)}`,
      );
    case "excepted":
    case "unexcepted":
      return of[name].map(({ rules, reason }) => `${plain(rules)} — ${plain(reason)}`);
    case "trusted":
    case "distrusted":
      return of[name].map(({ key }) => plain(key));
    case "refused":
    case "left_out":
      return of[name].map(({ path, rule, reason }) => `${plain(rule || path)} — ${plain(reason)}`);
    default:
      return of[name].map(({ title }) => plain(title));
  }
}
