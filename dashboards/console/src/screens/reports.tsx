// Reports that were made, and the register of systems by their levels with the shares that the law asks for.

import { addressOf, adjust, chosen } from "../address";
import { useAnswer } from "../answers";
import { ask, part, withValues } from "../api";
import { day, number, percent } from "../format";
import { rowsOf, useListing } from "../listing";
import { question } from "../parts/dialog";
import { Facts } from "../parts/facts";
import { Grid, type Column } from "../parts/grid";
import { Icon } from "../parts/icon";
import { Empty, LEVELS, Severity, Shown, When } from "../parts/marks";
import { Sheet } from "../parts/sheet";
import { tell } from "../parts/toast";
import { clause } from "../query";
import { may } from "../session";
import { t, word } from "../words";
import { Systems } from "./systems";

interface Report {
  id: string;
  kind: string;
  since: string;
  /** Its end does not belong to it. */
  until: string;
  made: string;
  who: string;
}

const KINDS = ["daily", "weekly", "half-yearly"] as const;
const FORMS = ["pdf", "docx"] as const;
const MOST = 1000;
const VIEWS = ["reports", "systems"] as const;

export default function Reports() {
  const { view = "reports" } = chosen.value;
  return (
    <>
      <header>
        <h1>{t("screen.reports")}</h1>
      </header>
      <nav class="tabs">
        {VIEWS.map((each) => (
          <a
            key={each}
            href={addressOf("reports", { view: each })}
            {...((view === "systems" ? "systems" : "reports") === each ? { "aria-current": "page" as const } : {})}
          >
            {t(`report.view.${each}`)}
          </a>
        ))}
      </nav>
      {view === "systems" ? <Systems /> : <Made />}
    </>
  );
}

const COLUMNS: readonly Column<Report>[] = [
  { id: "kind", says: t("report.kind"), width: 130, phone: "lead", cell: ({ kind }) => word("report.kind", kind) },
  { id: "period", says: t("report.period"), width: 220, grows: true, cell: periodSays },
  { id: "made", says: t("report.made"), width: 168, phone: "off", cell: ({ made }) => <When at={made} /> },
  { id: "who", says: t("report.who"), width: 140, phone: "off", cell: whoSays },
  { id: "files", says: t("report.files"), width: 180, cell: (each) => <Files of={each} /> },
];

function periodSays({ since, until }: Report): string {
  const first = day(since),
    last = day(new Date(until).getTime() - 1);
  return first === last ? first : `${first} – ${last}`;
}

function whoSays({ who }: Report): string {
  return who === "haidang" || !who ? t("report.by_itself") : who;
}

function Files({ of }: { of: Report }) {
  return (
    <span class="line" onClick={(event) => event.stopPropagation()}>
      {FORMS.map((form) => (
        <a
          key={form}
          data-load
          download
          href={`/api/v1/reports/${part(of.id)}/${form}`}
          aria-label={t("report.download", { form: form.toUpperCase(), period: periodSays(of) })}
        >
          {form.toUpperCase()}
        </a>
      ))}
    </span>
  );
}

function Made() {
  const { kind = "", open = "" } = chosen.value;
  const list = useListing<Report>(
    kind,
    async (offset, limit, signal, byItself) => {
      const path = withValues("/reports", { kind, limit: MOST });
      const { reports } = await ask<{ reports: Report[] }>(path, { signal, byItself });
      return rowsOf(reports, offset, limit);
    },
    ({ id }) => id,
  );
  list.version.value;
  const opened = open ? list.at(list.placeOf(open)) : undefined;
  return (
    <>
      <div class="line apart">
        <div class="line" role="group" aria-label={t("report.kind")}>
          {["", ...KINDS].map((each) => (
            <button
              key={each}
              type="button"
              class="small"
              aria-pressed={kind === each}
              onClick={() => adjust({ kind: each, open: "" })}
            >
              {each ? word("report.kind", each) : t("report.all")}
            </button>
          ))}
        </div>
        <button type="button" class="main" onClick={() => make(() => list.again())}>
          <Icon name="plus" />
          {t("report.make")}
        </button>
      </div>
      <Grid
        name="reports"
        label={t("report.view.reports")}
        list={list}
        columns={COLUMNS}
        fixed
        onOpen={({ id }) => adjust({ open: id }, Boolean(open))}
        empty={<Empty says={t(kind ? "report.none_here" : "report.none")} next={t("report.none.next")} />}
      />
      {opened && <ReportSheet key={open} of={opened} />}
    </>
  );
}

function make(done: () => void): void {
  question({
    title: t("report.make"),
    does: t("report.make.does"),
    says: <p class="quiet">{t("report.make.help")}</p>,
    fields: [
      {
        name: "kind",
        says: t("report.kind"),
        kind: "select",
        options: KINDS.map((each) => [each, word("report.kind", each)] as const),
      },
      { name: "first", says: t("report.first"), kind: "date" },
      { name: "last", says: t("report.last"), kind: "date", help: t("report.days.help") },
    ],
    work: async ({ kind, first, last }) => {
      const body = { kind, first: first || null, last: last || null };
      const { id } = await ask<{ id: string }>("/reports", { method: "POST", body });
      tell(t("report.is_made"));
      done();
      adjust({ kind: "", open: id });
    },
  });
}

interface Figures {
  since: string;
  until: string;
  events: number;
  alerts: { total: number; levels: Record<string, number>; statuses: Record<string, number> };
  before: { total: number };
  c2: { devices: number; contacts: number };
  cases: Record<"opened" | "closed" | "notified" | "open", number>;
  systems: { all: { both_percent: number | null; portals_percent: number | null } };
}

/** What the reports count: alerts about the pipeline itself are none of an attack. */
const COUNTED = "NOT labels.source:haidang";

/** The numbers of a report, each leading to what it counts. */
function ReportSheet({ of }: { of: Report }) {
  const answer = useAnswer(of.id, (signal) => ask<Figures>(`/reports/${part(of.id)}`, { signal }));
  const hunt = (index: string, q: string) =>
    addressOf("hunt", { index, q, from: of.since, to: new Date(new Date(of.until).getTime() - 1).toISOString() });
  const linked = (value: number, index: string, q: string) =>
    may("events.read") ? <a href={hunt(index, q)}>{number(value)}</a> : number(value);
  const shared = (value: number | null) => (
    <a href={addressOf("reports", { view: "systems" })}>{value === null ? "–" : percent(value / 100)}</a>
  );
  return (
    <Sheet
      title={t("report.title", { kind: word("report.kind", of.kind).toLowerCase(), period: periodSays(of) })}
      onClose={() => adjust({ open: "" })}
      meta={
        <>
          <span>{whoSays(of)}</span>
          <When at={of.made} />
        </>
      }
      actions={FORMS.map((form) => (
        <a key={form} class="button" data-load download href={`/api/v1/reports/${part(of.id)}/${form}`}>
          <Icon name="download" />
          {form.toUpperCase()}
        </a>
      ))}
    >
      <Shown of={answer}>
        {({ events, alerts, before, c2, cases, systems }) => (
          <>
            <Facts
              of={[
                [t("column.events"), linked(events, "events", "")],
                [
                  t("column.alerts"),
                  <>
                    {linked(alerts.total, "alerts", COUNTED)}{" "}
                    <span class="small quiet">{t("report.before", { count: number(before.total) })}</span>
                  </>,
                ],
                [
                  t("column.level"),
                  alerts.total > 0 && (
                    <div class="stack tight">
                      {LEVELS.filter((level) => alerts.levels[level]).map((level) => (
                        <span key={level} class="line apart">
                          <Severity level={level} />
                          {linked(alerts.levels[level] ?? 0, "alerts", `${COUNTED} AND ${clause("rule.level", level)}`)}
                        </span>
                      ))}
                    </div>
                  ),
                ],
                [
                  t("report.c2"),
                  <a href={addressOf("network", { from: of.since, to: of.until })}>
                    {t("report.c2.count", { devices: number(c2.devices), contacts: number(c2.contacts) })}
                  </a>,
                ],
                [t("report.cases"), t("report.cases.count", casesSaid(cases))],
                [t("system.both"), shared(systems.all.both_percent)],
                [t("system.portals"), shared(systems.all.portals_percent)],
              ]}
            />
            <p class="small quiet">{t("report.how")}</p>
          </>
        )}
      </Shown>
    </Sheet>
  );
}

const casesSaid = (of: Figures["cases"]): Record<string, string> =>
  Object.fromEntries(Object.entries(of).map(([name, value]) => [name, number(value)]));
