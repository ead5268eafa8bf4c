// Systems by their levels: the shares that the law asks for, how they went, and the register with what is missing first.

import { useSignal } from "@preact/signals";
import { lazy, Suspense } from "preact/compat";
import { adjust, chosen } from "../address";
import { useAnswer } from "../answers";
import { ask, part, Refused, withValues } from "../api";
import type { Series } from "../boards/data";
import { day, number, percent, plain } from "../format";
import { rowsOf, useListing } from "../listing";
import { question } from "../parts/dialog";
import { Facts, Narrowed } from "../parts/facts";
import { Grid, type Column } from "../parts/grid";
import { Icon } from "../parts/icon";
import { Empty, Share, Shown, Tag, When } from "../parts/marks";
import { Sheet } from "../parts/sheet";
import { tell } from "../parts/toast";
import { may } from "../session";
import { folded, rich, t } from "../words";

const Lines = lazy(() => import("../boards/lines"));

interface Shares {
  systems: number;
  approved: number;
  monitored: number;
  both: number;
  portals: number;
  portals_monitored: number;
  both_percent: number | null;
  portals_percent: number | null;
}
interface System {
  code: string;
  name: string;
  level: number;
  unit: string;
  owner: string;
  operator: string;
  plan_approved: string;
  portal: boolean;
  declared: boolean;
  hosts: string[];
  heard: number;
  monitored: boolean;
}
interface Standing {
  all: Shares;
  units: (Shares & { unit: string })[];
  systems: System[];
}
type Day = Shares & { day: string };

/** The lowest level of which the law's share is asked. */
const FROM_LEVEL = 3;
const LARGEST = 5_000_000;
const SPANS = [30, 180, 730] as const;

/** What the register is narrowed to; each number leads to the systems that it counts. */
const NARROWED = {
  counted: (of: System) => of.level >= FROM_LEVEL,
  approved: (of: System) => of.level >= FROM_LEVEL && Boolean(of.plan_approved),
  monitored: (of: System) => of.level >= FROM_LEVEL && of.monitored,
  both: (of: System) => of.level >= FROM_LEVEL && Boolean(of.plan_approved) && of.monitored,
  portals: (of: System) => of.portal,
  portals_monitored: (of: System) => of.portal && of.monitored,
} as const;
type Narrow = keyof typeof NARROWED;

const COLUMNS: readonly Column<System>[] = [
  { id: "code", says: t("system.code"), width: 130, cell: ({ code }) => <span class="raw">{plain(code)}</span> },
  { id: "name", says: t("system.name"), width: 200, grows: true, phone: "lead", cell: ({ name }) => plain(name) },
  { id: "level", says: t("system.level"), width: 76, right: true, cell: ({ level }) => level },
  { id: "unit", says: t("system.unit"), width: 150, grows: true, phone: "off", cell: ({ unit }) => plain(unit) },
  { id: "plan", says: t("system.plan"), width: 130, cell: (each) => <Plan of={each} /> },
  { id: "monitored", says: t("system.monitored"), width: 150, cell: (each) => <Monitored of={each} /> },
  {
    id: "portal",
    says: t("system.portal"),
    width: 120,
    phone: "off",
    cell: ({ portal }) => portal && <Tag>{t("system.is_portal")}</Tag>,
  },
];

function Plan({ of }: { of: System }) {
  if (of.plan_approved) return <>{day(of.plan_approved)}</>;
  return of.level >= FROM_LEVEL ? <Tag kind="attention">{t("system.no_plan")}</Tag> : <span class="quiet">–</span>;
}

function Monitored({ of }: { of: System }) {
  if (of.monitored) return <Tag kind="good">{t("system.is_monitored")}</Tag>;
  return <Tag kind={of.level >= FROM_LEVEL || of.portal ? "attention" : ""}>{t("system.not_monitored")}</Tag>;
}

export function Systems() {
  const answer = useAnswer("systems", (signal, byItself) => ask<Standing>("/systems", { signal, byItself }));
  const put = () => take(() => answer.again());
  return (
    <Shown of={answer}>
      {(found) =>
        found.systems.length ? (
          <Standings of={found} put={put} done={() => answer.again()} />
        ) : (
          <Empty says={t("system.none")} next={t("system.none.next")}>
            {may("systems.change") && (
              <button type="button" class="main" onClick={put}>
                <Icon name="upload" />
                {t("system.import")}
              </button>
            )}
          </Empty>
        )
      }
    </Shown>
  );
}

function Standings({ of, put, done }: { of: Standing; put: () => void; done: () => void }) {
  const { of: unit = "", only = "", open = "" } = chosen.value;
  const shares = unit ? of.units.find((each) => each.unit === unit) : of.all;
  const opened = of.systems.find(({ code }) => code === open);
  return (
    <>
      {unit && (
        <div class="line">
          <Narrowed says={`${t("system.unit")}: ${plain(unit)}`} off={{ of: "" }} />
        </div>
      )}
      {shares && (
        <div class="cards">
          <ShareCard
            says={t("system.both")}
            law={t("system.both.law")}
            of={shares.both_percent}
            part={[shares.both, "both"]}
            whole={[shares.systems, "counted"]}
            parts={[
              [t("system.approved"), shares.approved, "approved"],
              [t("system.monitored_count"), shares.monitored, "monitored"],
            ]}
          />
          <ShareCard
            says={t("system.portals")}
            law={t("system.portals.law")}
            of={shares.portals_percent}
            part={[shares.portals_monitored, "portals_monitored"]}
            whole={[shares.portals, "portals"]}
            parts={[]}
          />
        </div>
      )}
      <div class="cards">
        <Over unit={unit} />
        {!unit && of.units.length > 0 && <Units of={of.units} />}
      </div>
      <Register key={`${unit} ${only}`} of={of.systems} put={put} />
      {opened && <SystemSheet of={opened} done={done} />}
    </>
  );
}

type Counted = readonly [count: number, only: Narrow];

function ShareCard({
  says,
  law,
  of,
  part: [count, only],
  whole: [all, every],
  parts,
}: {
  says: string;
  law: string;
  of: number | null;
  part: Counted;
  whole: Counted;
  parts: readonly (readonly [says: string, count: number, only: Narrow])[];
}) {
  return (
    <section class="card stack tight">
      <h2>{says}</h2>
      <p class="number">{of === null ? "–" : percent(of / 100)}</p>
      <Share of={(of ?? 0) / 100} />
      {of === null ? (
        <p class="quiet">{t("system.nothing_to_share")}</p>
      ) : (
        <p class="line">
          <span>
            <Only count={count} only={only} /> / <Only count={all} only={every} /> {t("system.systems")}
          </span>
          {parts.map(([name, value, which]) => (
            <span key={which} class="quiet">
              {name}: <Only count={value} only={which} />
            </span>
          ))}
        </p>
      )}
      <p class="small quiet">{law}</p>
    </section>
  );
}

/** A number that narrows the register to what it counts. */
function Only({ count, only }: { count: number; only: Narrow }) {
  return (
    <button
      type="button"
      class="link"
      aria-label={`${number(count)}: ${t(`system.only.${only}`)}`}
      onClick={() => adjust({ only })}
    >
      {number(count)}
    </button>
  );
}

/** How the shares went. */
function Over({ unit }: { unit: string }) {
  const { days = "180" } = chosen.value;
  const answer = useAnswer(`${unit} ${days}`, (signal) =>
    ask<{ days: Day[] }>(withValues("/systems/days", { unit, days }), { signal }),
  );
  return (
    <section class="card stack">
      <div class="line apart">
        <h2>{t("system.over_time")}</h2>
        <span class="line">
          {SPANS.map((span) => (
            <button
              key={span}
              type="button"
              class="small"
              aria-pressed={String(span) === days}
              onClick={() => adjust({ days: String(span) }, true)}
            >
              {t("span.days", { count: number(span) })}
            </button>
          ))}
        </span>
      </div>
      <Shown of={answer}>
        {({ days: found }) =>
          found.length > 1 ? (
            <div class="drawing-box">
              <Suspense fallback={null}>
                <Lines
                  {...linesOf(found)}
                  area={false}
                  whole={false}
                  write={(value) => percent(value / 100)}
                  onSpan={() => {}}
                  label={t("system.over_time")}
                />
              </Suspense>
            </div>
          ) : (
            <p class="quiet">{t("system.no_days")}</p>
          )
        }
      </Shown>
    </section>
  );
}

const drawn = new WeakMap<readonly Day[], { times: number[]; series: Series[] }>();

/** The same answer is drawn once. */
function linesOf(days: readonly Day[]): { times: number[]; series: Series[] } {
  const made = drawn.get(days) ?? {
    times: days.map((each) => new Date(`${each.day}T00:00:00Z`).getTime()),
    series: [
      { name: t("system.line.both"), field: "", values: days.map((each) => each.both_percent ?? 0) },
      { name: t("system.line.portals"), field: "", values: days.map((each) => each.portals_percent ?? 0) },
    ],
  };
  drawn.set(days, made);
  return made;
}

function Units({ of }: { of: Standing["units"] }) {
  return (
    <section class="card">
      <header>
        <h2>{t("system.by_unit")}</h2>
      </header>
      <div class="facts units" tabIndex={0} role="region" aria-label={t("system.by_unit")}>
        <table>
          <thead>
            <tr>
              <th>{t("system.unit")}</th>
              <th class="right">{t("system.head.systems")}</th>
              <th class="right">{t("system.approved")}</th>
              <th class="right">{t("system.monitored_count")}</th>
              <th class="right">{t("system.head.both")}</th>
              <th class="right">{t("system.head.portals")}</th>
            </tr>
          </thead>
          <tbody>
            {of.map((each) => (
              <tr key={each.unit}>
                <td>
                  <button type="button" class="link" onClick={() => adjust({ of: each.unit, only: "" })}>
                    {plain(each.unit)}
                  </button>
                </td>
                <td class="right">{number(each.systems)}</td>
                <td class="right">{number(each.approved)}</td>
                <td class="right">{number(each.monitored)}</td>
                <td class="right">{each.both_percent === null ? "–" : percent(each.both_percent / 100)}</td>
                <td class="right">{each.portals_percent === null ? "–" : percent(each.portals_percent / 100)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Register({ of, put }: { of: readonly System[]; put: () => void }) {
  const { of: unit = "", only = "", open = "" } = chosen.value;
  const text = useSignal("");
  const wanted = folded(text.value);
  const fits = NARROWED[only as Narrow] ?? (() => true);
  const rows = of.filter(
    (each) =>
      (!unit || each.unit === unit) &&
      fits(each) &&
      (!wanted || folded(`${each.code} ${each.name} ${each.unit} ${each.hosts.join(" ")}`).includes(wanted)),
  );
  const list = useListing<System>(
    `${wanted} ${of.length} ${rows.map(({ code }) => code).join(" ")}`,
    async (offset, limit) => rowsOf(rows, offset, limit),
    ({ code }) => code,
  );
  return (
    <section class="stack">
      <div class="line apart">
        <span class="line">
          <h2>{t("system.register")}</h2>
          {only && only in NARROWED && <Narrowed says={t(`system.only.${only as Narrow}`)} off={{ only: "" }} />}
        </span>
        <span class="line">
          <input
            type="search"
            class="narrow"
            placeholder={t("system.find")}
            aria-label={t("system.find")}
            value={text.value}
            onInput={(event) => (text.value = event.currentTarget.value)}
          />
          {may("systems.change") && (
            <button type="button" onClick={put}>
              <Icon name="upload" />
              {t("system.import")}
            </button>
          )}
        </span>
      </div>
      <div class="register">
        <Grid
          name="systems"
          label={t("system.register")}
          list={list}
          columns={COLUMNS}
          onOpen={({ code }) => adjust({ open: code }, Boolean(open))}
          empty={<Empty says={t("system.none_here")} />}
        />
      </div>
    </section>
  );
}

function SystemSheet({ of, done }: { of: System; done: () => void }) {
  const remove = () =>
    question({
      title: t("system.remove.title", { name: plain(of.name) }),
      does: t("system.remove"),
      danger: true,
      says: <p>{t("system.remove.help")}</p>,
      work: async () => {
        await ask(`/systems/${part(of.code)}`, { method: "DELETE" });
        tell(t("system.removed", { name: plain(of.name) }));
        adjust({ open: "" });
        done();
      },
    });
  return (
    <Sheet
      title={plain(of.name)}
      onClose={() => adjust({ open: "" })}
      meta={
        <>
          <span class="raw">{plain(of.code)}</span>
          <span>{t("system.of_level", { level: of.level })}</span>
          <Monitored of={of} />
        </>
      }
      actions={
        may("systems.change") && (
          <button type="button" class="danger" onClick={remove}>
            <Icon name="remove" />
            {t("system.remove")}
          </button>
        )
      }
    >
      <Facts
        of={[
          [t("system.unit"), plain(of.unit)],
          [t("system.owner"), plain(of.owner)],
          [t("system.operator"), plain(of.operator)],
          [t("system.plan"), <Plan of={of} />],
          [t("system.portal"), t(of.portal ? "sharing.yes" : "sharing.no")],
          [t("system.heard"), of.heard > 0 ? <When at={of.heard * 1000} /> : t("system.never")],
          [
            t("system.hosts"),
            of.hosts.length > 0 ? (
              <div class="raw">{of.hosts.map(plain).join("\n")}</div>
            ) : (
              t(of.declared ? "system.declared" : "system.no_hosts")
            ),
          ],
        ]}
      />
      <p class="small quiet">{t("system.how")}</p>
    </Sheet>
  );
}

interface Taken {
  systems: number;
  removed: number;
  faults: string[];
}

/** Take a file: first what is wrong with it, then the question whether it goes into the register. */
function take(done: () => void): void {
  question({
    title: t("system.import.title"),
    does: t("system.import.look"),
    says: <p>{rich(t("system.import.help"))}</p>,
    fields: [
      { name: "file", says: t("system.import.file"), kind: "file", accept: ".csv,.txt,text/csv", required: true },
      { name: "only", says: t("system.import.only"), kind: "checkbox" },
    ],
    work: async ({ only }, { file }) => {
      if (!file) return;
      if (file.size > LARGEST) throw new Refused(413, { detail: t("system.import.large") });
      const text = await file.text();
      const looked = await ask<Taken>("/systems", { method: "PUT", body: { text, dry_run: true } });
      put(file.name, text, only === "yes", looked, done);
    },
  });
}

const MOST_FAULTS = 50;

function put(name: string, text: string, only: boolean, looked: Taken, done: () => void): void {
  const { systems, faults } = looked;
  const isRefused = systems === 0 || (only && faults.length > 0);
  const values = { file: plain(name), count: number(systems) };
  question({
    title: t(isRefused ? "system.import.refused" : "system.import.put", values),
    does: isRefused ? t("close") : t("system.import.does"),
    wide: true,
    only_says: isRefused,
    danger: only && !isRefused,
    says: (
      <>
        <p>{t(isRefused ? "system.import.nothing" : only ? "system.import.replaces" : "system.import.adds", values)}</p>
        {faults.length > 0 ? (
          <>
            <p class="notice attention">{t("system.import.faults", { count: number(faults.length) })}</p>
            <ul class="stack small tight">
              {faults.slice(0, MOST_FAULTS).map((each) => (
                <li key={each} class="wrap">
                  {plain(each)}
                </li>
              ))}
            </ul>
            {faults.length > MOST_FAULTS && (
              <p class="quiet small">{t("system.import.more", { count: number(faults.length - MOST_FAULTS) })}</p>
            )}
          </>
        ) : (
          <p class="good">{t("system.import.good")}</p>
        )}
      </>
    ),
    work: async () => {
      if (isRefused) return;
      const taken = await ask<Taken>("/systems", { method: "PUT", body: { text, only } });
      tell(t("system.import.taken", { count: number(taken.systems), removed: number(taken.removed) }));
      done();
    },
  });
}
