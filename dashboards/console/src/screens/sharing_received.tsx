// Warnings that came from the authority and from partners, and what was done about each.

import { addressOf, adjust, chosen } from "../address";
import { useChange } from "../answers";
import { ask, withValues } from "../api";
import { number, plain } from "../format";
import { useListing } from "../listing";
import { marks } from "../live";
import { Facts } from "../parts/facts";
import { Grid, type Column } from "../parts/grid";
import { Empty, Tag, When } from "../parts/marks";
import { Sheet } from "../parts/sheet";
import { clause } from "../query";
import { may } from "../session";
import type { Warning } from "../sharing";
import { t, word } from "../words";

const COLUMNS: readonly Column<Warning>[] = [
  { id: "received", says: t("received.at"), width: 168, cell: (each) => <When at={each.received} /> },
  {
    id: "title",
    says: t("received.title"),
    width: 190,
    grows: true,
    phone: "lead",
    cell: (each) => plain(each.title.slice(0, 300)),
  },
  { id: "profile", says: t("received.from"), width: 100, cell: (each) => word("received.sender", each.profile) },
  { id: "state", says: t("column.status"), width: 140, cell: (each) => <State of={each} /> },
  {
    id: "indicators",
    says: t("received.indicators"),
    width: 96,
    right: true,
    phone: "off",
    cell: (each) => number(each.indicators),
  },
  {
    id: "refused",
    says: t("received.refused"),
    width: 128,
    right: true,
    phone: "off",
    extra: true,
    cell: ({ refused }) => number(refused),
  },
  { id: "alerts", says: t("column.alerts"), width: 88, right: true, cell: (each) => <Alerts of={each} /> },
  { id: "case", says: t("received.case"), width: 120, cell: (each) => <CaseOf of={each} /> },
  {
    id: "answered",
    says: t("received.answered"),
    width: 130,
    phone: "off",
    cell: (each) => answeredSays(each),
  },
  {
    id: "way",
    says: t("received.way"),
    width: 110,
    phone: "off",
    extra: true,
    cell: (each) => word("received.way", each.way),
  },
];

function State({ of }: { of: Warning }) {
  if (of.fault) return <Tag kind="fault">{t("received.faulty")}</Tag>;
  return of.imported ? <Tag kind="good">{t("received.taken")}</Tag> : <Tag kind="attention">{t("received.waits")}</Tag>;
}

const answeredSays = (of: Warning): string =>
  of.answered ? word("received.answer", of.answered) : t("received.answer.none");

/** Alerts that its indicators have raised since. */
function Alerts({ of }: { of: Warning }) {
  if (!of.alerts || !may("events.read")) return <>{number(of.alerts)}</>;
  const q = clause("threat.indicator.provider", of.feed);
  return <a href={addressOf("hunt", { index: "alerts", q, from: "all", to: "" })}>{number(of.alerts)}</a>;
}

function CaseOf({ of }: { of: Warning }) {
  if (!of.case) return <span class="quiet">–</span>;
  const says = `#${of.case} ${of.verdict ? word("status", of.verdict) : of.status && word("case.view", of.status)}`;
  return may("cases.read") ? <a href={addressOf("cases", {}, String(of.case))}>{says}</a> : <>{says}</>;
}

export function Received() {
  const { open = "" } = chosen.value;
  const list = useListing<Warning>(
    "received",
    async (offset, limit, signal, byItself) => {
      const path = withValues("/sharing/received", { offset, limit });
      const { total, warnings } = await ask<{ total: number; warnings: Warning[] }>(path, { signal, byItself });
      return { total, rows: warnings };
    },
    (each) => each.id,
  );
  useChange(marks.sharing, () => list.again(true));
  list.version.value;
  const opened = open ? list.at(list.placeOf(open)) : undefined;
  return (
    <>
      <Grid
        name="received"
        label={t("sharing.view.received")}
        list={list}
        columns={COLUMNS}
        onOpen={({ id }) => adjust({ open: id }, Boolean(open))}
        empty={<Empty says={t("received.none")} next={t("received.none.next")} />}
      />
      {opened && (
        <Sheet
          title={plain(opened.title)}
          onClose={() => adjust({ open: "" })}
          meta={
            <>
              <State of={opened} />
              {opened.tlp && <Tag>{opened.tlp.toUpperCase()}</Tag>}
              <When at={opened.received} />
            </>
          }
        >
          {opened.fault && <p class="notice fault wrap">{plain(opened.fault)}</p>}
          <section>
            <h3>{t("received.done")}</h3>
            <Facts
              of={[
                [t("received.indicators"), number(opened.indicators)],
                [t("received.refused"), number(opened.refused)],
                [t("received.imported"), opened.imported && <When at={opened.imported} />],
                [t("column.alerts"), <Alerts of={opened} />],
                [t("received.case"), <CaseOf of={opened} />],
                [t("received.answered"), answeredSays(opened)],
              ]}
            />
          </section>
          <section>
            <h3>{t("received.origin")}</h3>
            <Facts
              of={[
                [t("received.from"), word("received.sender", opened.profile)],
                [t("received.way"), word("received.way", opened.way)],
                [t("received.message"), <span class="raw">{plain(opened.message)}</span>],
                [t("sharing.digest"), <span class="raw">{opened.id}</span>],
              ]}
            />
          </section>
        </Sheet>
      )}
    </>
  );
}
