// The first screen: in one look, is all well, what is to be done first, and is everything coming in.

import { useSignal } from "@preact/signals";
import { addressOf, go } from "../address";
import { useAnswer, useChange } from "../answers";
import { ask } from "../api";
import { duration, number, short } from "../format";
import { adviceOf, healthOf, SENDING_MINUTES, sourcesOf, stateOf, toldOf, type Told } from "../health";
import { marks } from "../live";
import { Clocks, type Clock } from "../parts/clocks";
import { Histogram } from "../parts/histogram";
import { Icon } from "../parts/icon";
import { Problem } from "../parts/problem";
import { Empty, Fault, LEVELS, Severity, Shown, When } from "../parts/marks";
import { chooseSpan, nameOf, range } from "../range";
import { countsOverTime } from "../search";
import { may } from "../session";
import { rich, spoken, t } from "../words";
import { EntityValue, iconOf, type Group } from "../parts/group";

interface Listed {
  total: number;
  levels: Record<string, number>;
  groups: Group[];
}
interface Risky {
  entity: string;
  risk: number;
  tactics: string[];
  parts: { "rule.name": string; "rule.name_vi"?: string; alerts: number }[];
}
interface CaseRow {
  id: number;
  title: string;
  level: string;
  clocks: Clock[];
}

const PROBLEMS_SHOWN = 3;
const ROWS_SHOWN = 8;

export default function Overview() {
  const queue = useAnswer(may("alerts.read") ? "queue" : null, (signal, byItself) =>
    ask<Listed>(`/alerts/groups?limit=${ROWS_SHOWN}`, { signal, byItself }),
  );
  const health = useAnswer(may("site.read") ? "health" : null, healthOf);
  const sources = useAnswer(may("site.read") ? "sources" : null, sourcesOf);
  useChange(marks.queue, () => queue.again(true));
  useChange(marks.health, () => {
    health.again(true);
    sources.again(true);
  });
  return (
    <>
      <header>
        <h1>{t("screen.overview")}</h1>
      </header>
      <Status
        queue={queue.value}
        sources={sources.value}
        problems={health.value ? toldOf(health.value.problems) : null}
        advice={health.value ? adviceOf(health.value.advice) : []}
      />
      <Fault of={queue.fault ?? health.fault} />
      {may("alerts.read") && (
        <div class="tiles">
          {LEVELS.map((level) => (
            <a
              key={level}
              class={`card tile ${queue.value?.levels[level] ? "" : "none"}`}
              href={addressOf("queue", { level, from: "", to: "" })}
            >
              <b class="number">{queue.value ? short(queue.value.levels[level] ?? 0) : "–"}</b>
              <Severity level={level} />
            </a>
          ))}
        </div>
      )}
      <div class="columns">
        <div class="stack">
          {may("alerts.read") && (
            <section class="card">
              <header>
                <h2>{t("overview.first")}</h2>
                <a href={addressOf("queue", { from: "", to: "" })}>{t("overview.all")}</a>
              </header>
              <Shown of={queue}>
                {(found) =>
                  found.groups.length ? (
                    <ul class="rows">
                      {found.groups.map((group) => (
                        <li key={group.id}>
                          <a class="row-link" href={addressOf("queue", { open: group.id, from: "", to: "" })}>
                            <Severity level={group.level} />
                            <span class="clip">{String(spoken(group, "rule.name"))}</span>
                            <span class="quiet clip">{group.entity.slice(group.entity.indexOf(":") + 1)}</span>
                            <span class="quiet right">{number(group.count)}</span>
                            <span class="quiet small right">
                              <When at={group.last} short />
                            </span>
                          </a>
                        </li>
                      ))}
                    </ul>
                  ) : (
                    <Empty says={t("queue.none")} next={t("queue.none.next")} />
                  )
                }
              </Shown>
            </section>
          )}
          {may("events.read") && <Traffic />}
        </div>
        <div class="stack">
          {may("alerts.read") && <Entities />}
          {may("cases.read") && <Cases />}
          {may("site.read") && (
            <section class="card">
              <header>
                <h2>{t("overview.sources")}</h2>
                <a href={addressOf("sources")}>{t("overview.all")}</a>
              </header>
              <Shown of={sources}>
                {(found) =>
                  found.length ? (
                    <ul class="rows">
                      {found
                        .toSorted((one, other) => one.last_minute - other.last_minute)
                        .slice(0, ROWS_SHOWN)
                        .map((source) => (
                          <li key={source.source} class="line apart">
                            <span class="clip">{source.source}</span>
                            <span
                              class={`small ${["idle", "quiet"].includes(stateOf(source)) ? "attention" : "quiet"}`}
                            >
                              <When at={source.last_minute * 60_000} short /> · {short(source.received)}
                            </span>
                          </li>
                        ))}
                    </ul>
                  ) : (
                    <Empty says={t("sources.none")} next={t("sources.none.next")} />
                  )
                }
              </Shown>
            </section>
          )}
        </div>
      </div>
    </>
  );
}

interface StatusProps {
  queue: Listed | null;
  sources: Awaited<ReturnType<typeof sourcesOf>> | null;
  problems: Told[] | null;
  advice: Told[];
}

/** The one sentence that says how things stand, and what is wrong. */
function Status({ queue, sources, problems, advice }: StatusProps) {
  const all = useSignal(false);
  if (!queue && !sources)
    return (
      <p class="status" role="status">
        {t(may("alerts.read") || may("site.read") ? "loading" : "overview.nothing_for_you")}
      </p>
    );
  const urgent = (queue?.levels.critical ?? 0) + (queue?.levels.high ?? 0);
  const senders = sources?.filter(({ received }) => received) ?? [];
  const states = senders.map(stateOf);
  const sending = states.filter((each) => each === "sending").length,
    lasting = states.filter((each) => each !== "once").length;
  const sentences: string[] = [];
  if (queue)
    sentences.push(
      queue.total
        ? t(urgent ? "overview.urgent" : "overview.some", { count: number(queue.total), urgent: number(urgent) })
        : t("overview.none"),
    );
  if (sending) sentences.push(t("overview.sending", { count: number(sending) }));
  else if (lasting) sentences.push(t("overview.none_sending", { minutes: SENDING_MINUTES }));
  else if (sources && !senders.length) sentences.push(t("overview.never_sent"));
  const isWell = !urgent && !problems?.length && !(lasting && !sending);
  const told = [...(problems ?? []), ...advice];
  const shown = all.value ? told : told.slice(0, PROBLEMS_SHOWN);
  return (
    <>
      <p class={`status ${isWell ? "good" : "attention"}`} role="status">
        <Icon name={isWell ? "check" : "alert"} /> <span>{rich(sentences.join(" "))}</span>
      </p>
      {shown.map((each) => (
        <Problem key={each.says} of={each} />
      ))}
      {told.length > shown.length && (
        <button type="button" class="small" onClick={() => (all.value = true)}>
          {t("overview.more_problems", { count: told.length - shown.length })}
        </button>
      )}
    </>
  );
}

function Traffic() {
  const answer = useAnswer(JSON.stringify(range.value), (signal, byItself) => countsOverTime("", signal, byItself));
  const open = (from: number, to: number) => {
    chooseSpan(from, to);
    go("hunt", { from: new Date(from).toISOString(), to: new Date(to).toISOString() });
  };
  return (
    <section class="card">
      <header>
        <h2>{t("overview.events")}</h2>
        <span class="quiet small">{nameOf(range.value)}</span>
      </header>
      <Shown of={answer}>
        {({ bars, widthMs, total }) =>
          total ? (
            <Histogram
              bars={bars}
              widthMs={widthMs}
              onSpan={open}
              label={t("overview.per", { count: number(total), width: duration(widthMs / 1000) })}
            />
          ) : (
            <Empty says={t("hunt.none")} next={t("hunt.none.next")} />
          )
        }
      </Shown>
    </section>
  );
}

function Entities() {
  const answer = useAnswer("entities", (signal, byItself) =>
    ask<{ entities: Risky[] }>(`/alerts/entities?limit=${ROWS_SHOWN}`, { signal, byItself }),
  );
  useChange(marks.queue, () => answer.again(true));
  if (answer.fault?.status === 403) return null;
  return (
    <section class="card">
      <header>
        <h2>{t("overview.risk")}</h2>
        <span class="quiet small">{t("range.24h")}</span>
      </header>
      <Shown of={answer}>
        {({ entities }) =>
          entities.length ? (
            <ul class="rows">
              {entities.map(({ entity, risk, parts }) => (
                <li key={entity} class="line apart">
                  <span class="line">
                    <a href={addressOf("entity", {}, entity)} title={t("value.entity")}>
                      <Icon name={iconOf(entity)} />
                    </a>
                    <EntityValue entity={entity} />
                  </span>
                  <a
                    href={addressOf("queue", { entity, status: "all", from: "", to: "" })}
                    title={parts.map((part) => String(spoken({ ...part }, "rule.name"))).join("\n")}
                  >
                    {number(Math.round(risk))}
                  </a>
                </li>
              ))}
            </ul>
          ) : (
            <p class="quiet">{t("overview.no_risk")}</p>
          )
        }
      </Shown>
    </section>
  );
}

function Cases() {
  const answer = useAnswer("cases", (signal, byItself) =>
    ask<{ total: number; cases: CaseRow[] }>("/cases?status=open&limit=5", { signal, byItself }),
  );
  useChange(marks.cases, () => answer.again(true));
  if (answer.fault?.status === 403) return null;
  return (
    <section class="card">
      <header>
        <h2>{t("overview.cases")}</h2>
        <a href={addressOf("cases")}>{t("overview.all")}</a>
      </header>
      <Shown of={answer}>
        {({ cases }) =>
          cases.length ? (
            <ul class="rows">
              {cases.map(({ id, title, level, clocks }) => (
                <li key={id}>
                  <a class="row-link" href={addressOf("cases", {}, String(id))}>
                    <Severity level={level} />
                    <span class="clip">
                      #{id} {title}
                    </span>
                  </a>
                  <div class="line small">
                    <Clocks of={clocks} />
                  </div>
                </li>
              ))}
            </ul>
          ) : (
            <p class="quiet">{t("overview.no_cases")}</p>
          )
        }
      </Shown>
    </section>
  );
}
