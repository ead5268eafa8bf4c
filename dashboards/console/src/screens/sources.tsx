// Sources and the ledger: what each sent, where every event of it went, whether it still sends, and whether its clocks
// are right.

import { useSignal } from "@preact/signals";
import { lazy, Suspense } from "preact/compat";
import { addressOf, adjust, chosen, go } from "../address";
import { useAnswer, useChange } from "../answers";
import { ask, part, Refused, withValues } from "../api";
import { duration, number } from "../format";
import { healthOf, reasonWord, stateOf, type Health, type Source, type SourceState } from "../health";
import { rowsOf, useListing } from "../listing";
import { marks } from "../live";
import { Grid, type Column } from "../parts/grid";
import { Icon } from "../parts/icon";
import { Empty, Fault, Shown, Tag, When } from "../parts/marks";
import { Sheet } from "../parts/sheet";
import { clause } from "../query";
import { may } from "../session";
import { folded, rich, t } from "../words";

const Lines = lazy(() => import("../boards/lines"));

interface Minute {
  minute: number;
  received: number;
  stored: number;
  already_stored: number;
  dropped: number;
  held: number;
}
interface Minutes {
  before: Minute;
  minutes: Minute[];
}
interface Clock {
  source: string;
  host: string;
  behind: number;
  steady: boolean;
  zone: boolean;
  off: boolean;
  seen: string;
}

const KINDS: Record<SourceState, "" | "good" | "fault" | "attention"> = {
  sending: "good",
  quiet: "fault",
  idle: "",
  once: "",
  never: "attention",
};
/** Which come first: what needs somebody. */
const ORDER: readonly SourceState[] = ["quiet", "never", "sending", "idle", "once"];
const SPANS = [60, 360, 1440, 2880] as const;
/** A clock that is off by less is not worth a word, in seconds. */
const NEAR_SECONDS = 5;
const MOST_POINTS = 120;
const MOST_LINKS = 5;

const queryOf = (source: string): string => clause("labels.source", source);
const ofAllTime = (source: string) => addressOf("hunt", { q: queryOf(source), from: "all", to: "" });

const COLUMNS: readonly Column<Source>[] = [
  { id: "source", says: t("column.source"), width: 160, grows: true, phone: "lead", cell: (each) => each.source },
  { id: "state", says: t("source.state"), width: 132, cell: (each) => <State of={stateOf(each)} /> },
  { id: "received", says: t("source.received"), width: 96, right: true, cell: (each) => number(each.received) },
  {
    id: "stored",
    says: t("source.stored"),
    width: 96,
    right: true,
    phone: "off",
    cell: (each) => <Stored of={each} />,
  },
  {
    id: "repeated",
    says: t("source.repeated"),
    width: 84,
    right: true,
    phone: "off",
    cell: (each) => number(each.already_stored),
  },
  { id: "held", says: t("source.held"), width: 84, right: true, phone: "off", cell: (each) => number(each.held) },
  {
    id: "dropped",
    says: t("source.dropped"),
    width: 80,
    right: true,
    phone: "off",
    cell: (each) => <span class={each.dropped ? "fault" : ""}>{number(each.dropped)}</span>,
  },
  {
    id: "alerts",
    says: t("source.alerts"),
    width: 84,
    right: true,
    phone: "off",
    cell: (each) => <Alerts of={each} />,
  },
  {
    id: "last",
    says: t("source.last"),
    width: 128,
    cell: (each) => each.last_minute > 0 && <When at={each.last_minute * 60_000} short />,
  },
  {
    id: "clock",
    says: t("source.clock"),
    width: 100,
    phone: "off",
    cell: (each) =>
      each.clock_behind !== null && (
        <span class={each.clocks_off ? "fault" : "quiet"}>{clockSays(each.clock_behind)}</span>
      ),
  },
  {
    id: "examined",
    says: t("source.examined"),
    width: 104,
    right: true,
    phone: "off",
    extra: true,
    cell: (each) => number(each.examined),
  },
];

function State({ of }: { of: SourceState }) {
  return <Tag kind={KINDS[of]}>{t(`source.state.${of}`)}</Tag>;
}

function Stored({ of }: { of: Source }) {
  if (!of.stored || !may("events.read")) return <>{number(of.stored)}</>;
  return (
    <a href={ofAllTime(of.source)} title={t("source.events")} onClick={(event) => event.stopPropagation()}>
      {number(of.stored)}
    </a>
  );
}

function Alerts({ of }: { of: Source }) {
  if (!of.alerts || !may("alerts.read") || !may("events.read")) return <>{number(of.alerts)}</>;
  return (
    <a
      href={addressOf("hunt", { q: queryOf(of.source), index: "alerts", from: "all", to: "" })}
      onClick={(event) => event.stopPropagation()}
    >
      {number(of.alerts)}
    </a>
  );
}

function clockSays(behind: number): string {
  if (Math.abs(behind) < NEAR_SECONDS) return t("source.clock.right");
  return t(behind > 0 ? "source.clock.behind" : "source.clock.ahead", { time: duration(Math.abs(behind)) });
}

/** Return where each source listens, and what could not be opened, as the collectors say. */
function placesOf({ stages }: Health): { open: Record<string, string[]>; shut: Record<string, string> } {
  const open: Record<string, string[]> = {},
    shut: Record<string, string> = {};
  for (const [name, stage] of Object.entries(stages)) {
    if (!name.startsWith("collectors")) continue;
    for (const [source, places] of Object.entries((stage.listening ?? {}) as Record<string, string[]>))
      open[source] = [...(open[source] ?? []), ...places];
    Object.assign(shut, stage.failures ?? {});
  }
  return { open, shut };
}

/** Return all sources, also those that are set and never sent; first those that need somebody. */
async function all(signal: AbortSignal, byItself: boolean): Promise<Source[]> {
  const [sources, health] = await Promise.all([
    ask<Source[]>("/sources", { signal, byItself }),
    healthOf(signal, byItself),
  ]);
  const known = new Set(sources.map(({ source }) => source));
  const silent = Object.keys(placesOf(health).open).filter((name) => !known.has(name));
  const never = silent.map((source) => ({ ...NOTHING, source }));
  return [...sources, ...never].sort(
    (a, b) => ORDER.indexOf(stateOf(a)) - ORDER.indexOf(stateOf(b)) || b.received - a.received,
  );
}

const NOTHING: Omit<Source, "source"> = {
  received: 0,
  stored: 0,
  already_stored: 0,
  held: 0,
  dropped: 0,
  examined: 0,
  alerts: 0,
  reasons: {},
  last_minute: 0,
  quiet: false,
  clock_behind: null,
  clocks_off: 0,
};

export default function Sources() {
  const { text = "", open = "" } = chosen.value;
  const found = useSignal<Source[] | null>(null);
  const list = useListing<Source>(
    text,
    async (offset, limit, signal, byItself) => {
      found.value = await all(signal, byItself);
      const wanted = folded(text);
      return rowsOf(
        found.value.filter(({ source }) => folded(source).includes(wanted)),
        offset,
        limit,
      );
    },
    ({ source }) => source,
  );
  useChange(marks.health, () => list.again(true));
  return (
    <>
      <header>
        <h1>{t("screen.sources")}</h1>
        <input
          type="search"
          class="narrow"
          placeholder={t("source.find")}
          aria-label={t("source.find")}
          value={text}
          onInput={(event) => adjust({ text: event.currentTarget.value }, true)}
        />
      </header>
      {found.value && <Standing of={found.value} />}
      <Grid
        name="sources"
        label={t("screen.sources")}
        list={list}
        columns={COLUMNS}
        onOpen={({ source }) => adjust({ open: source }, Boolean(open))}
        empty={<Empty says={t(text ? "source.none_here" : "source.none")} next={t("source.none.next")} />}
        foot={found.value?.length ? <Sums of={found.value} /> : null}
      />
      {open && <SourceSheet name={open} onClose={() => adjust({ open: "", minutes: "" })} />}
    </>
  );
}

/** In a sentence or a few: does everything come in, and was anything lost. */
function Standing({ of }: { of: readonly Source[] }) {
  const names = (which: readonly Source[]) => which.map(({ source }) => source).join(", ");
  const quiet = of.filter((each) => stateOf(each) === "quiet"),
    off = of.filter(({ clocks_off: count }) => count > 0),
    lossy = of.filter(({ dropped: count }) => count > 0);
  const dropped = lossy.reduce((sum, each) => sum + each.dropped, 0);
  const sending = of.filter((each) => stateOf(each) === "sending").length;
  const wrong = [
    { says: t("source.some_quiet", { names: names(quiet) }), which: quiet },
    { says: t("source.some_dropped", { count: number(dropped) }), which: lossy },
    { says: t("source.some_off", { names: names(off) }), which: off },
  ].filter(({ which }) => which.length);
  if (wrong.length)
    return (
      <>
        {wrong.map(({ says, which }) => (
          <div key={says} class="notice attention">
            <span>{says}</span>
            {which.slice(0, MOST_LINKS).map(({ source }) => (
              <a key={source} class="button small" href={addressOf("sources", { open: source })}>
                {source}
              </a>
            ))}
          </div>
        ))}
      </>
    );
  if (!of.some(({ received }) => received)) return null;
  return (
    <p class="status good" role="status">
      <Icon name="check" /> <span>{t("source.all_well", { sending: number(sending) })}</span>
    </p>
  );
}

function Sums({ of }: { of: readonly Source[] }) {
  const sum = (name: "received" | "stored" | "already_stored" | "held" | "dropped") =>
    number(of.reduce((before, each) => before + each[name], 0));
  return (
    <span class="clip">
      {t("source.total")}: {sum("received")} = {sum("stored")} + {sum("already_stored")} + {sum("held")} +{" "}
      {sum("dropped")}
    </span>
  );
}

interface SheetProps {
  name: string;
  onClose: () => void;
}

function SourceSheet({ name, onClose }: SheetProps) {
  const source = useAnswer(name, async (signal, byItself) => {
    const [sources, health] = await Promise.all([
      ask<Source[]>("/sources", { signal, byItself }),
      healthOf(signal, byItself),
    ]);
    const places = placesOf(health).open[name] ?? [];
    const row = sources.find((each) => each.source === name);
    if (!row && !places.length) throw new Refused(404, { detail: t("source.none_here") });
    return { row: row ?? { ...NOTHING, source: name }, places };
  });
  useChange(marks.health, () => source.again(true));
  const { row, places = [] } = source.value ?? {};
  return (
    <Sheet
      onClose={onClose}
      title={name}
      meta={
        row && (
          <>
            <State of={stateOf(row)} />
            {row.last_minute > 0 && (
              <span>
                {t("source.last")}: <When at={row.last_minute * 60_000} short />
              </span>
            )}
          </>
        )
      }
      actions={
        may("events.read") && (
          <a class="button" href={ofAllTime(name)}>
            <Icon name="search" />
            {t("source.events")}
          </a>
        )
      }
    >
      <Fault of={source.fault} />
      {row && <Balance of={row} />}
      {row && row.received + row.stored > 0 && <OverTime name={name} />}
      {places.length > 0 && (
        <section>
          <h3>{t("source.listens")}</h3>
          <p class="raw wrap">{places.join(", ")}</p>
        </section>
      )}
      <Clocks name={name} />
    </Sheet>
  );
}

/** What came in and where all of it went: the lines below add up to the first. */
function Balance({ of }: { of: Source }) {
  const reasons = Object.entries(of.reasons).sort(([, a], [, b]) => b - a);
  return (
    <section>
      <h3>{t("source.where")}</h3>
      <table class="sums">
        <tbody>
          <tr class="whole">
            <th scope="row">{t("source.received")}</th>
            <td>{of.received || !of.stored ? number(of.received) : "–"}</td>
            <td />
          </tr>
          <tr>
            <th scope="row">{t("source.stored")}</th>
            <td>
              <Stored of={of} />
            </td>
            <td />
          </tr>
          <tr>
            <th scope="row">{t("source.repeated")}</th>
            <td>{number(of.already_stored)}</td>
            <td class="quiet small">{t("source.repeated.help")}</td>
          </tr>
          <tr>
            <th scope="row">{t("source.held")}</th>
            <td>{number(of.held)}</td>
            <td class="quiet small">{t("source.held.help")}</td>
          </tr>
          <tr class={of.dropped ? "fault" : ""}>
            <th scope="row">{t("source.dropped")}</th>
            <td>{number(of.dropped)}</td>
            <td />
          </tr>
          {reasons.map(([reason, count]) => (
            <tr key={reason} class="detail">
              <th scope="row">{reasonWord(reason)}</th>
              <td>{number(count)}</td>
              <td />
            </tr>
          ))}
        </tbody>
      </table>
      {of.received > 0 ? (
        <p class="good">
          <Icon name="check" />{" "}
          {t("source.adds_up", {
            received: number(of.received),
            stored: number(of.stored),
            repeated: number(of.already_stored),
            held: number(of.held),
            dropped: number(of.dropped),
          })}
        </p>
      ) : (
        of.stored > 0 && <p class="quiet">{t("source.outside")}</p>
      )}
      {of.dropped > 0 && <p class="quiet">{rich(t("source.dropped.next", { source: of.source }))}</p>}
      <p class="quiet">
        {t("source.examined")}: {number(of.examined)} · {t("source.alerts")}: <Alerts of={of} />
      </p>
    </section>
  );
}

function OverTime({ name }: { name: string }) {
  const minutes = Number(chosen.value.minutes) || SPANS[0];
  const answer = useAnswer(`${name} ${minutes}`, (signal, byItself) =>
    ask<Minutes>(withValues(`/sources/${part(name)}/minutes`, { minutes }), { signal, byItself }),
  );
  useChange(marks.health, () => answer.again(true));
  const open = (from: number, to: number) =>
    go("hunt", { q: queryOf(name), from: new Date(from).toISOString(), to: new Date(to).toISOString() });
  return (
    <section>
      <div class="line apart">
        <h3>{perSays(minutes)}</h3>
        <span class="line">
          {SPANS.map((span) => (
            <button
              key={span}
              type="button"
              class="small"
              aria-pressed={span === minutes}
              onClick={() => adjust({ minutes: String(span) }, true)}
            >
              {duration(span * 60)}
            </button>
          ))}
        </span>
      </div>
      <Shown of={answer}>
        {(found) =>
          found.minutes.some((each) => each.received || each.stored || each.dropped) ? (
            <div class="drawing-box">
              <Suspense fallback={null}>
                <Lines
                  {...linesOf(found)}
                  area={false}
                  whole
                  write={number}
                  onSpan={(from, to) => may("events.read") && open(from, to)}
                  label={perSays(minutes)}
                />
              </Suspense>
            </div>
          ) : (
            <p class="quiet">{t("source.quiet_here")}</p>
          )
        }
      </Shown>
    </section>
  );
}

const perSays = (minutes: number): string =>
  widthOf(minutes) === 1 ? t("source.per_minute") : t("source.per", { width: duration(widthOf(minutes) * 60) });

/** How many minutes one point of a line stands for. */
const widthOf = (minutes: number): number => Math.ceil(minutes / MOST_POINTS);

const drawn = new WeakMap<Minutes, ReturnType<typeof lines>>();

/** Return the lines of minutes; the same ones for the same minutes, so that nothing is drawn anew. */
function linesOf(found: Minutes): ReturnType<typeof lines> {
  const known = drawn.get(found) ?? lines(found);
  drawn.set(found, known);
  return known;
}

function lines({ minutes }: Minutes) {
  const width = widthOf(minutes.length);
  const points = minutes.filter((_, place) => place % width === 0);
  const of = (field: "received" | "stored" | "dropped") => ({
    name: t(`source.${field}`),
    field,
    values: points.map((_, place) =>
      minutes.slice(place * width, (place + 1) * width).reduce((sum, each) => sum + each[field], 0),
    ),
  });
  return {
    times: points.map(({ minute }) => minute * 60_000),
    series: [of("received"), of("stored"), ...(minutes.some(({ dropped }) => dropped) ? [of("dropped")] : [])],
  };
}

function Clocks({ name }: { name: string }) {
  const answer = useAnswer("clocks", (signal, byItself) => ask<Clock[]>("/sources/clocks", { signal, byItself }));
  return (
    <section>
      <h3>{t("source.clocks")}</h3>
      <Shown of={answer}>
        {(clocks) => {
          const ours = clocks
            .filter(({ source }) => source === name)
            .sort((a, b) => Number(b.off) - Number(a.off) || Math.abs(b.behind) - Math.abs(a.behind));
          if (!ours.length) return <p class="quiet">{t("source.clocks.none")}</p>;
          return (
            <>
              <table class="fields rows-table">
                <thead>
                  <tr>
                    <th>{t("source.host")}</th>
                    <th>{t("source.clock")}</th>
                    <th>{t("source.last")}</th>
                  </tr>
                </thead>
                <tbody>
                  {ours.map((each) => (
                    <tr key={each.host}>
                      <td class="raw">{each.host === "*" ? t("source.others") : each.host}</td>
                      <td>
                        {clockSays(each.behind)}{" "}
                        {each.off ? (
                          <Tag kind="fault">{t(each.zone ? "source.clock.zone" : "source.clock.off")}</Tag>
                        ) : (
                          !each.steady && <Tag>{t("source.clock.unsure")}</Tag>
                        )}
                      </td>
                      <td>
                        <When at={each.seen} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
              {ours.some(({ off }) => off) && <p class="quiet">{rich(t("source.clocks.next"))}</p>}
            </>
          );
        }}
      </Shown>
    </section>
  );
}
