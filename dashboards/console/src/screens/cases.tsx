// Cases: the list of them with the law's terms; one of them is in `case.tsx`.

import { useSignal } from "@preact/signals";
import { addressOf, adjust, chosen, go, place } from "../address";
import { useChange } from "../answers";
import { ask, withValues } from "../api";
import type { Case } from "../cases";
import { useListing } from "../listing";
import { marks } from "../live";
import { Clocks } from "../parts/clocks";
import { Grid, type Column } from "../parts/grid";
import { Icon } from "../parts/icon";
import { Empty, Severity, Tag, When } from "../parts/marks";
import { may, person } from "../session";
import { t, word } from "../words";
import { One } from "./case";
import { open } from "./case_questions";

interface Listed {
  total: number;
  statuses: Record<string, number>;
  cases: Case[];
}

const VIEWS = ["open", "closed", "all"] as const;

const COLUMNS: readonly Column<Case>[] = [
  { id: "id", says: t("case.id"), width: 72, cell: ({ id }) => `#${id}` },
  { id: "level", says: t("column.level"), width: 124, cell: ({ level }) => <Severity level={level} /> },
  { id: "title", says: t("case.title"), width: 300, grows: true, phone: "lead", cell: ({ title }) => title },
  { id: "clocks", says: t("case.clocks"), width: 260, cell: (each) => <Clocks of={each.clocks} /> },
  { id: "owner", says: t("column.owner"), width: 120, cell: ({ owner }) => owner },
  { id: "tlp", says: t("case.tlp"), width: 110, phone: "off", cell: ({ tlp }) => <Tag>{tlp.toUpperCase()}</Tag> },
  { id: "changed", says: t("case.changed"), width: 172, cell: ({ changed }) => <When at={changed} /> },
  {
    id: "verdict",
    says: t("case.verdict"),
    width: 120,
    extra: true,
    phone: "off",
    cell: ({ verdict }) => verdict && word("status", verdict),
  },
  {
    id: "created",
    says: t("case.created"),
    width: 172,
    extra: true,
    phone: "off",
    cell: ({ created }) => <When at={created} />,
  },
];

export default function Cases() {
  return place.value.rest ? <One key={place.value.rest} id={Number(place.value.rest)} /> : <All />;
}

function All() {
  const { status = "open", owner = "" } = chosen.value;
  const numbers = useSignal<Record<string, number>>({});
  const list = useListing<Case>(
    JSON.stringify([status, owner]),
    async (offset, limit, signal, byItself) => {
      const found = await ask<Listed>(withValues("/cases", { status, owner, offset, limit }), { signal, byItself });
      numbers.value = found.statuses;
      return { total: found.total, rows: found.cases };
    },
    ({ id }) => String(id),
  );
  useChange(marks.cases, () => list.again(true));
  const count = (view: string) =>
    view === "all" ? Object.values(numbers.value).reduce((sum, each) => sum + each, 0) : (numbers.value[view] ?? 0);
  return (
    <>
      <header>
        <h1>{t("screen.cases")}</h1>
        <button
          type="button"
          class="small"
          aria-pressed={owner !== ""}
          onClick={() => adjust({ owner: owner ? "" : (person.value?.name ?? "") })}
        >
          {t("queue.mine")}
        </button>
        {may("cases.change") && (
          <button type="button" class="main" onClick={open}>
            <Icon name="plus" />
            {t("case.open")}
          </button>
        )}
      </header>
      <nav class="tabs">
        {VIEWS.map((view) => (
          <a
            key={view}
            href={addressOf("cases", { ...chosen.value, status: view })}
            {...(status === view ? { "aria-current": "page" as const } : {})}
          >
            {t(`case.view.${view}`)} <b>{count(view)}</b>
          </a>
        ))}
      </nav>
      <Grid
        name="cases"
        label={t("screen.cases")}
        list={list}
        columns={COLUMNS}
        onOpen={({ id }) => go("cases", {}, String(id))}
        empty={<Empty says={t(status === "closed" ? "case.none_closed" : "case.none")} next={t("case.none.next")} />}
      />
    </>
  );
}
