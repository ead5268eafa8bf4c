// Rules: which there are, what they may do, and how often they matched; tabs for exceptions, packs and history.

import { addressOf, adjust, chosen, go, place } from "../address";
import { useAnswer } from "../answers";
import { ask, withValues } from "../api";
import { number, plain } from "../format";
import { useKeys } from "../keys";
import { useListing } from "../listing";
import { Bulk, Grid, type Column } from "../parts/grid";
import { Icon } from "../parts/icon";
import { Empty, LEVELS, Severity, Tag } from "../parts/marks";
import { Item, MenuButton } from "../parts/popover";
import { attempt } from "../parts/toast";
import { quoted } from "../query";
import { fileOf, MODES, ModeTag, packName, setMode, sourceOf, titleOf, type Mode, type Rule } from "../rulebook";
import { may, person } from "../session";
import { tagSays } from "../techniques";
import { t, word, type Key } from "../words";
import { Coverage } from "./rule_coverage";
import { Editor } from "./rule_editor";
import { Exceptions } from "./rule_exceptions";
import { History } from "./rule_history";
import { Packs } from "./rule_packs";
import { RuleSheet } from "./rule_sheet";
import "./rules.css";

interface Listed {
  total: number;
  rules: Rule[];
  counts: Record<Mode, number>;
  refused: { path: string; rule: string; reason: string }[];
  revision: number;
}
export interface Folders {
  packs: { name: string; rules: number }[];
  folders: { folder: string; rules: number }[];
}
interface Standing {
  taken_back: { revision: number; reason: string } | null;
}

const VIEWS = ["rules", "exceptions", "coverage", "packs", "history"] as const;
const DAYS = 7;
const MOST_AT_ONCE = 10_000;

const COLUMNS: readonly Column<Rule>[] = [
  { id: "level", says: t("column.level"), width: 140, cell: (each) => <Severity level={each.level} /> },
  {
    id: "title",
    says: t("column.rule"),
    width: 300,
    grows: true,
    phone: "lead",
    cell: (each) => plain(titleOf(each)),
  },
  { id: "mode", says: t("rule.mode"), width: 104, cell: (each) => <ModeTag of={each.mode} /> },
  {
    id: "matches",
    says: t("rule.matches", { days: DAYS }),
    width: 120,
    right: true,
    cell: (each) => <Matches of={each} />,
  },
  {
    id: "logsource",
    says: t("rule.logsource"),
    width: 176,
    phone: "off",
    cell: (each) => <span class="raw">{sourceOf(each)}</span>,
  },
  { id: "pack", says: t("rule.pack"), width: 136, phone: "off", cell: (each) => packName(each.pack_name) },
  {
    id: "kind",
    says: t("rule.kind"),
    width: 120,
    phone: "off",
    extra: true,
    cell: (each) => t(`rule.kind.${each.kind}`),
  },
  {
    id: "tags",
    says: t("column.tags"),
    width: 240,
    phone: "off",
    extra: true,
    cell: (each) => each.tags.map(tagSays).join(", "),
  },
];

function Matches({ of }: { of: Rule }) {
  // They are not counted by source or unit, so the server has no number for whoever sees only a part.
  if (person.value?.limited) return <span title={t("rule.matches.limited")}>–</span>;
  return (
    <span title={t("rule.matches.says", { alerts: number(of.alerts), observed: number(of.observed) })}>
      {of.observed > 0 && <span class="quiet">{t("rule.matches.observed", { count: number(of.observed) })} </span>}
      {of.alerts && may("events.read") ? (
        <a
          href={addressOf("hunt", { index: "alerts", q: `rule.id:${quoted(of.id)}`, from: `now-${DAYS}d`, to: "" })}
          onClick={(event) => event.stopPropagation()}
        >
          {number(of.alerts)}
        </a>
      ) : (
        number(of.alerts)
      )}
    </span>
  );
}

export default function Rules() {
  const { view = "rules", rule = "" } = chosen.value;
  const looks = may("events.read") && !person.value?.limited;
  if (view === "edit" && may("rules.manage")) return <Editor key={rule} of={rule} />;
  return (
    <>
      <header>
        <h1>{t("screen.rules")}</h1>
        {may("rules.manage") && (
          <a class="button" href={addressOf("rules", { view: "edit" })}>
            <Icon name="plus" />
            {t("rule.write")}
          </a>
        )}
      </header>
      <nav class="tabs">
        {VIEWS.filter((each) => each !== "coverage" || looks).map((each) => (
          <a
            key={each}
            href={addressOf("rules", { view: each === "rules" ? "" : each })}
            {...(view === each ? { "aria-current": "page" as const } : {})}
          >
            {t(`rule.view.${each}`)}
          </a>
        ))}
      </nav>
      <TakenBack />
      {view === "exceptions" ? (
        <Exceptions />
      ) : view === "coverage" && looks ? (
        <Coverage />
      ) : view === "packs" ? (
        <Packs />
      ) : view === "history" ? (
        <History />
      ) : (
        <List />
      )}
    </>
  );
}

/** The newest revision could not be used: then the detectors work by the one before, and somebody has to know. */
function TakenBack() {
  const standing = useAnswer("standing", (signal) => ask<Standing>("/rules/status", { signal }));
  const back = standing.value?.taken_back;
  return back ? (
    <div class="notice fault" role="alert">
      <span>{t("rule.taken_back", { revision: back.revision, reason: back.reason })}</span>
      <a href={addressOf("rules", { view: "history" })}>{t("rule.view.history")}</a>
    </div>
  ) : null;
}

function List() {
  const { text = "", pack = "", mode = "", level = "" } = chosen.value;
  const fits = { text, pack, mode, level };
  const packs = useAnswer("packs", (signal) => ask<Folders>("/rules/packs", { signal }));
  const known = useAnswer("counts", (signal) => ask<Listed>("/rules?limit=0", { signal }));
  const list = useListing<Rule>(
    JSON.stringify(fits),
    async (offset, limit, signal) => {
      const found = await ask<Listed>(withValues("/rules", { ...fits, days: DAYS, offset, limit }), { signal });
      return { total: found.total, rows: found.rules };
    },
    ({ id }) => id,
  );
  const changed = () => {
    list.again();
    known.again(true);
  };
  useKeys([{ keys: "r", says: "key.refresh", run: changed }]);
  const counts = known.value?.counts;
  const every = counts ? MODES.reduce((sum, each) => sum + counts[each], 0) : 0;
  const refused = known.value?.refused ?? [];
  const open = place.value.rest;
  const isNarrowed = Boolean(text || pack || mode || level);
  return (
    <>
      <div class="line rule-filters">
        <input
          type="search"
          placeholder={t("rule.find")}
          aria-label={t("rule.find")}
          value={text}
          maxLength={500}
          onInput={(event) => adjust({ text: event.currentTarget.value }, true)}
        />
        <div class="line" role="group" aria-label={t("rule.mode")}>
          {["", ...MODES].map((each) => (
            <button
              key={each}
              type="button"
              class="small"
              aria-pressed={mode === each}
              onClick={() => adjust({ mode: each })}
            >
              {each ? t(`rule.mode.${each}` as Key) : t("rule.all")}
              {counts && <span class="quiet">{number(each ? counts[each as Mode] : every)}</span>}
            </button>
          ))}
        </div>
        <select
          aria-label={t("column.level")}
          value={level}
          onChange={(event) => adjust({ level: event.currentTarget.value })}
        >
          <option value="">{t("rule.any_level")}</option>
          {LEVELS.map((each) => (
            <option key={each} value={each} selected={each === level}>
              {word("level", each)}
            </option>
          ))}
        </select>
        <select
          aria-label={t("rule.pack")}
          value={pack}
          onChange={(event) => adjust({ pack: event.currentTarget.value })}
        >
          <option value="">{t("rule.any_pack")}</option>
          {packsOf(packs.value).map(([each, count]) => (
            <option key={each} value={each} selected={each === pack}>
              {packName(each)} ({number(count)})
            </option>
          ))}
        </select>
      </div>
      {refused.length > 0 && <Refusals of={refused} />}
      <Bulk list={list} allows>
        {MODES.map((each) => (
          <button key={each} type="button" class="small" onClick={() => void setChosen(each)}>
            {t(`rule.set.${each}`)}
          </button>
        ))}
        <MenuButton kind="small" icon="more" label={t("more")}>
          {() => <Item says={t("rule.set.default")} run={() => void setChosen(null)} />}
        </MenuButton>
      </Bulk>
      <Grid
        timeless
        name="rules"
        label={t("screen.rules")}
        list={list}
        columns={COLUMNS}
        chooses={may("rules.change")}
        onOpen={({ id }) => go("rules", chosen.value, id)}
        empty={
          isNarrowed ? (
            <Empty says={t("rule.none_here")}>
              <button type="button" onClick={() => adjust({ text: "", pack: "", mode: "", level: "" })}>
                {t("rule.show_all")}
              </button>
            </Empty>
          ) : (
            <Empty says={t("rule.none")} next={t("rule.none.next")} />
          )
        }
      />
      {open && <RuleSheet key={open} id={open} onClose={() => go("rules", chosen.value)} onChange={changed} />}
    </>
  );

  /** Give the rules that are chosen a mode; all that fit, where that was said. */
  async function setChosen(wanted: Mode | null): Promise<void> {
    let ids = [...list.selected.value];
    if (list.all.value) {
      const load = async () => {
        const found = await ask<Listed>(withValues("/rules", { ...fits, limit: MOST_AT_ONCE }));
        ids = found.rules.map(({ id }) => id);
      };
      if (!(await attempt(load))) return;
    }
    setMode(ids, wanted, () => {
      list.choose([]);
      changed();
    });
  }
}

/** Return packs and folders by the name that a filter takes, with how many rules each has. */
function packsOf(found: Folders | null): [string, number][] {
  if (!found) return [];
  const folders = found.folders.map((each): [string, number] => [
    each.folder.split("/").filter(Boolean).at(-1) ?? "",
    each.rules,
  ]);
  return [...folders, ...found.packs.map((each): [string, number] => [each.name, each.rules])];
}

function Refusals({ of }: { of: Listed["refused"] }) {
  return (
    <details class="notice attention refusals">
      <summary>{t("rule.refused", { count: number(of.length) })}</summary>
      <p class="quiet small">{t("rule.refused.help")}</p>
      <ul class="stack">
        {of.slice(0, 200).map((each, place) => (
          <li key={place} class="small">
            {each.rule && <b>{plain(each.rule)}</b>} <Tag>{fileOf(each.path)}</Tag>
            <div class="wrap">{plain(each.reason)}</div>
          </li>
        ))}
      </ul>
    </details>
  );
}
