// The alert queue: groups of what one rule says about one entity; worked by keyboard.

import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { addressOf, adjust, chosen } from "../address";
import { useChange } from "../answers";
import { ask, withValues } from "../api";
import { number } from "../format";
import { useKeys } from "../keys";
import { useListing } from "../listing";
import { marks } from "../live";
import { Bulk, Grid, type Column } from "../parts/grid";
import { EntityValue, StatusTag, type Group } from "../parts/group";
import { Icon } from "../parts/icon";
import { Empty, LEVELS, Severity, Tag, When } from "../parts/marks";
import { Item, MenuButton } from "../parts/popover";
import { Value } from "../parts/value";
import { bounds } from "../range";
import { may, person } from "../session";
import { tagSays } from "../techniques";
import { escalate, judge, type Meant } from "../triage";
import { spoken, t, type Key } from "../words";
import { AlertSheet } from "./alert_sheet";

interface Listed {
  total: number;
  statuses: Record<string, number>;
  levels: Record<string, number>;
  kept_out: number;
  groups: Group[];
}

const VIEWS = ["open", "new", "acknowledged", "escalated", "true_positive", "false_positive", "all"] as const;
const OPEN = ["new", "acknowledged"];
/** What changes so soon after one has changed something is one's own doing. */
const OWN_MS = 3000;
/** The API pages no further. */
const MOST = 100_000;

const COLUMNS: readonly Column<Group>[] = [
  { id: "level", says: t("column.level"), width: 140, cell: (group) => <Severity level={group.level} /> },
  { id: "rule", says: t("column.rule"), width: 200, grows: true, phone: "lead", cell: (group) => <Rule of={group} /> },
  { id: "entity", says: t("column.entity"), width: 128, cell: (group) => <EntityValue entity={group.entity} /> },
  { id: "count", says: t("column.alerts"), width: 84, right: true, cell: (group) => number(group.count) },
  {
    id: "risk",
    says: t("column.risk"),
    width: 68,
    right: true,
    sort: "risk",
    cell: (group) => (group.risk === null ? "" : number(group.risk)),
  },
  { id: "last", says: t("column.last"), width: 168, sort: "last", cell: (group) => <When at={group.last} /> },
  { id: "status", says: t("column.status"), width: 98, cell: (group) => <StatusTag of={group.status} /> },
  { id: "owner", says: t("column.owner"), width: 90, phone: "off", cell: (group) => group.owner },
  {
    id: "opened",
    says: t("column.opened"),
    width: 168,
    sort: "opened",
    extra: true,
    phone: "off",
    cell: (group) => <When at={group.opened} />,
  },
  {
    id: "first",
    says: t("column.first"),
    width: 168,
    extra: true,
    phone: "off",
    cell: (group) => <When at={group.first} />,
  },
  {
    id: "unit",
    says: t("unit"),
    width: 160,
    extra: true,
    phone: "off",
    cell: (group) => <Value field="organization.id" value={group["organization.id"]} />,
  },
  {
    id: "source",
    says: t("column.source"),
    width: 120,
    extra: true,
    phone: "off",
    cell: (group) => <Value field="labels.source" value={group["labels.source"]} />,
  },
  {
    id: "tactics",
    says: t("column.tags"),
    width: 240,
    extra: true,
    phone: "off",
    cell: (group) => group.tags?.map(tagSays).join(", "),
  },
];

function Rule({ of }: { of: Group }) {
  return (
    <>
      {String(spoken(of, "rule.name") ?? "")}
      {of.reopened > 0 && (
        <>
          {" "}
          <Tag kind="attention">{t("queue.reopened")}</Tag>
        </>
      )}
      {of.case && (
        <>
          {" "}
          <Tag kind="accent">{t("case.number", { number: of.case })}</Tag>
        </>
      )}
    </>
  );
}

export default function Queue() {
  const { status = "open", level = "", rule = "", entity = "", owner = "", sort = "risk", open = "" } = chosen.value;
  const { from, to } = bounds();
  const numbers = useSignal<Omit<Listed, "groups"> | null>(null);
  const isOld = useSignal(false);
  const own = useRef(0); // when one changed something oneself
  const asked = { status, level, rule, entity, owner, sort, from, to };
  const list = useListing<Group>(
    JSON.stringify(asked),
    async (offset, limit, signal, byItself) => {
      const found = await ask<Listed>(withValues("/alerts/groups", { ...asked, offset, limit }), { signal, byItself });
      numbers.value = found;
      isOld.value = false;
      return { total: found.total, rows: found.groups };
    },
    ({ id }) => id,
    MOST,
  );

  // Others' work is shown by itself only where nothing is under way that it could move.
  useChange(marks.queue, () => {
    const isOwn = Date.now() - own.current < OWN_MS;
    if (isOwn || (list.cursor.value === 0 && !list.selected.value.size && !chosen.peek().open)) list.again(true);
    else isOld.value = true;
  });

  const meant = (): Meant => {
    const rows = list.meant();
    const groups = list.all.value ? [] : rows;
    return {
      ids: groups.map(({ id }) => id),
      before: Object.fromEntries(groups.map(({ id, status: before }) => [id, before])),
      ...(list.all.value ? { fits: fitting(asked), count: list.total.value ?? 0 } : { count: groups.length }),
      done: () => {
        own.current = Date.now();
        list.choose([]);
        list.again(true);
      },
    };
  };
  const changes = may("alerts.change");
  const doNext = {
    acknowledge: () => judge(meant(), "acknowledged"),
    right: () => judge(meant(), "true_positive"),
    wrong: () => judge(meant(), "false_positive"),
    back: () => judge(meant(), "new"),
    escalate: () => {
      const [row] = list.meant();
      if (row && !list.all.value) void escalate(meant(), String(spoken(row, "rule.name")));
    },
  };
  useKeys([
    ...(changes
      ? [
          { keys: "a", says: "key.acknowledge", run: doNext.acknowledge } as const,
          { keys: "t", says: "key.true_positive", run: doNext.right } as const,
          { keys: "f", says: "key.false_positive", run: doNext.wrong } as const,
          { keys: "n", says: "key.give_back", run: doNext.back } as const,
        ]
      : []),
    ...(may("cases.change") ? [{ keys: "e", says: "key.escalate", run: doNext.escalate } as const] : []),
    { keys: "r", says: "key.refresh", run: () => list.again() },
    { keys: "Escape", says: "key.close", run: () => (open ? adjust({ open: "" }) : list.choose([])) },
  ]);
  // With the sheet open the keys that move the cursor show the next group in it.
  useChange(list.cursor, () => {
    if (chosen.peek().open && list.current) adjust({ open: list.current.id }, true);
  });

  const found = numbers.value;
  const countOf = (view: string) =>
    found &&
    (view === "open"
      ? OPEN.reduce((sum, each) => sum + (found.statuses[each] ?? 0), 0)
      : view === "all"
        ? Object.values(found.statuses).reduce((sum, each) => sum + each, 0)
        : (found.statuses[view] ?? 0));
  return (
    <>
      <header>
        <h1>{t("screen.queue")}</h1>
        {isOld.value && (
          <button type="button" class="main small" onClick={() => list.again()}>
            <Icon name="refresh" />
            {t("queue.changed")}
            <kbd>r</kbd>
          </button>
        )}
        {person.value && (
          <button
            type="button"
            class="small"
            aria-pressed={owner === person.value.name}
            onClick={() => adjust({ owner: owner ? "" : (person.value?.name ?? "") })}
          >
            {t("queue.mine")}
          </button>
        )}
        <MenuButton kind="small" says={t(`sort.${sort}` as Key)} label={t("queue.sort")}>
          {() =>
            (["risk", "last", "opened"] as const).map((each) => (
              <Item key={each} says={t(`sort.${each}`)} checked={sort === each} run={() => adjust({ sort: each })} />
            ))
          }
        </MenuButton>
      </header>
      <nav class="tabs" aria-label={t("column.status")}>
        {VIEWS.map((view) => (
          <a
            key={view}
            href={addressOf("queue", { ...chosen.value, status: view, open: "" })}
            {...(status === view ? { "aria-current": "page" as const } : {})}
          >
            {t(`queue.${view}`)} <b>{found ? number(countOf(view) ?? 0) : ""}</b>
          </a>
        ))}
      </nav>
      <div class="line">
        {LEVELS.map((each) => (
          <button
            key={each}
            type="button"
            class="small"
            aria-pressed={level === each}
            onClick={() => adjust({ level: level === each ? "" : each })}
          >
            <Severity level={each} /> {number(found?.levels[each] ?? 0)}
          </button>
        ))}
        {(
          [
            ["rule", rule],
            ["entity", entity],
            ["owner", owner],
          ] as const
        )
          .filter(([, value]) => value)
          .map(([name, value]) => (
            <span key={name} class="chip">
              <button type="button">
                {t(`column.${name}`)}: {value}
              </button>
              <button
                type="button"
                aria-label={t("query.drop", { clause: value })}
                onClick={() => adjust({ [name]: "" })}
              >
                ×
              </button>
            </span>
          ))}
      </div>
      <Bulk list={list} allows>
        {changes && (
          <>
            <button type="button" class="small" onClick={doNext.acknowledge}>
              <Icon name="check" />
              {t("triage.acknowledged")}
              <kbd>a</kbd>
            </button>
            <button type="button" class="small" onClick={doNext.right}>
              {t("triage.true_positive")}
              <kbd>t</kbd>
            </button>
            <button type="button" class="small" onClick={doNext.wrong}>
              {t("triage.false_positive")}
              <kbd>f</kbd>
            </button>
            <button type="button" class="small" onClick={doNext.back}>
              {t("triage.new")}
            </button>
          </>
        )}
        {may("cases.change") && !list.all.value && (
          <button type="button" class="small" onClick={doNext.escalate}>
            <Icon name="case" />
            {t("triage.escalate")}
            <kbd>e</kbd>
          </button>
        )}
      </Bulk>
      <Grid
        name="queue"
        label={t("screen.queue")}
        list={list}
        columns={COLUMNS}
        chooses={changes}
        onOpen={(group) => adjust({ open: group.id }, Boolean(open))}
        sorted={{ by: sort, on: (by) => adjust({ sort: by }) }}
        empty={
          <Empty
            says={t(level || rule || entity || owner || from ? "queue.none_here" : "queue.none")}
            next={t("queue.none.next")}
          />
        }
        foot={
          found && may("suppressions.read") ? (
            <a href={addressOf("suppressions")}>{t("queue.kept_out", { count: number(found.kept_out) })}</a>
          ) : null
        }
      />
      {open && <AlertSheet id={open} onClose={() => adjust({ open: "" })} onChange={() => list.again(true)} />}
    </>
  );
}

/** Return what all that fit means to the API: the groups that the list shows. */
function fitting({ sort: _, ...asked }: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(asked).filter(([, value]) => value));
}
