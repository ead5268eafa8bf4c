// Health: what works, what does not and what to do about it, told by the stages themselves and by canaries.

import { addressOf, adjust, chosen } from "../address";
import { useAnswer, useChange } from "../answers";
import { ask, withValues } from "../api";
import { duration, number, plain, size } from "../format";
import {
  adviceOf,
  healthOf,
  reasonWord,
  stageWord,
  toldOf,
  type Canary,
  type Channel,
  type Health,
  type StageState,
} from "../health";
import { marks } from "../live";
import { question } from "../parts/dialog";
import { Icon } from "../parts/icon";
import { Empty, Share, Shown, Tag, When } from "../parts/marks";
import { Problem } from "../parts/problem";
import { Sheet } from "../parts/sheet";
import { tell } from "../parts/toast";
import { may, person } from "../session";
import { rich, t, word } from "../words";

/** What the table of stages shows, so it is not told again. */
const SHOWN = new Set(["up", "pid", "seen_seconds_ago", "backlog_events", "ready", "waits", "held", "held_by_disk"]);
const MOST_ROWS = 300;
const LETTERS_SHOWN = 50;

export default function HealthScreen() {
  const answer = useAnswer("health", healthOf);
  useChange(marks.health, () => answer.again(true));
  const { open = "" } = chosen.value;
  const stage = answer.value?.stages[open];
  return (
    <>
      <header>
        <h1>{t("screen.health")}</h1>
      </header>
      <Shown of={answer}>
        {(health) => (
          <>
            <Standing of={health} />
            <div class="columns">
              <div class="stack">
                <Stages of={health.stages} />
                <Canaries of={health.canaries} />
                {lettersIn(health) > 0 && may("events.read") && !person.value?.limited && (
                  <DeadLetters count={lettersIn(health)} />
                )}
              </div>
              <div class="stack">
                <Disk of={health} />
                {health.channels && <Channels of={health.channels} />}
              </div>
            </div>
          </>
        )}
      </Shown>
      {stage && <StageSheet name={open} of={stage} />}
    </>
  );
}

/** All is well, or what is not and where it is mended. */
function Standing({ of }: { of: Health }) {
  const told = toldOf(of.problems);
  if (!Object.keys(of.stages).length && !told.length) return null; // the table says that nothing runs
  return (
    <>
      <p class={`status ${told.length ? "attention" : "good"}`} role="status">
        <Icon name={told.length ? "alert" : "check"} />{" "}
        <span>{told.length ? t("health.problems", { count: number(told.length) }) : t("health.well")}</span>
      </p>
      {[...told, ...adviceOf(of.advice)].map((each) => (
        <Problem key={each.says} of={each} />
      ))}
    </>
  );
}

function Stages({ of }: { of: Record<string, StageState> }) {
  const rows = Object.entries(of).sort(([a, one], [b, other]) => Number(one.up) - Number(other.up) || (a < b ? -1 : 1));
  return (
    <section class="card">
      <header>
        <h2>{t("health.stages")}</h2>
      </header>
      {rows.length ? (
        <table class="fields rows-table loose">
          <thead>
            <tr>
              <th>{t("health.stage")}</th>
              <th>{t("health.state")}</th>
              <th class="right">{t("health.backlog")}</th>
              <th>{t("health.waits_for")}</th>
              <th class="roomy">{t("health.heard")}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(([name, stage]) => (
              <tr key={name}>
                <td>
                  <a href={addressOf("health", { ...chosen.value, open: name })}>{stageWord(name)}</a>
                </td>
                <td>
                  <StateOf stage={stage} />
                </td>
                <td class="right">{number(stage.backlog_events)}</td>
                <td>{plain(stage.held || stage.waits) || <span class="quiet">{t("health.working")}</span>}</td>
                <td class="roomy">{heard(stage)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : (
        <Empty says={t("health.none")} next={t("health.none.next")} />
      )}
    </section>
  );
}

const heard = ({ seen_seconds_ago: seconds }: StageState): string =>
  t("health.ago", { time: duration(Math.max(1, Math.round(seconds))) });

function StateOf({ stage }: { stage: StageState }) {
  if (!stage.up) return <Tag kind="fault">{t("health.down")}</Tag>;
  if (stage.held) return <Tag kind="attention">{t("health.held")}</Tag>;
  if (stage.waits) return <Tag kind="attention">{t("health.waits")}</Tag>;
  return <Tag kind="good">{t("health.up")}</Tag>;
}

function StageSheet({ name, of }: { name: string; of: StageState }) {
  const told = flat(of).filter(([field]) => !SHOWN.has(field));
  return (
    <Sheet
      title={stageWord(name)}
      meta={
        <>
          <StateOf stage={of} />
          <span>PID {of.pid}</span>
          <span>{heard(of)}</span>
        </>
      }
      onClose={() => adjust({ open: "" })}
    >
      {!of.up && <p class="notice attention">{rich(t("health.down.next", { stage: name.split("@")[0] ?? name }))}</p>}
      {(of.held || of.waits) && (
        <section>
          <h3>{t("health.waits_for")}</h3>
          <p class="wrap">{plain(of.held || of.waits)}</p>
        </section>
      )}
      <section>
        <h3>{t("health.backlog")}</h3>
        <p>{of.backlog_events ? number(of.backlog_events) : t("health.backlog.none")}</p>
      </section>
      {told.length > 0 && (
        <section>
          <h3>{t("health.details")}</h3>
          <table class="fields">
            <tbody>
              {told.slice(0, MOST_ROWS).map(([field, value]) => (
                <tr key={field}>
                  <th scope="row" class="raw">
                    {field}
                  </th>
                  <td class="raw">{typeof value === "number" ? number(value) : plain(value)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
    </Sheet>
  );
}

interface LetterRow {
  source: string;
  stage: string;
  reason: string;
  count: number;
  last: number;
  /** Who wants them to be deleted; one more person must. */
  wish: { who: string; time: number; until: number } | null;
}

interface Letters {
  count: number;
  bytes: number;
  reasons: LetterRow[];
  letters: { id: string; time: number; source: string; stage: string; reason: string; detail: string; line: string }[];
}

const lettersIn = ({ problems }: Health): number =>
  Number(problems.find(({ what }) => what === "dead_letters")?.count ?? 0);

/** Lines that a stage could do nothing with: how many, why, and the oldest of them. */
function DeadLetters({ count }: { count: number }) {
  const answer = useAnswer(`letters ${count}`, (signal) =>
    ask<Letters>(withValues("/dead-letters", { limit: LETTERS_SHOWN }), { signal }),
  );
  return (
    <section class="card stack">
      <header>
        <h2>{t("health.letters")}</h2>
        {answer.value && (
          <span class="quiet small">
            {t("health.letters.size", { count: number(answer.value.count), size: size(answer.value.bytes) })}
          </span>
        )}
      </header>
      <p class="quiet small">{rich(t("health.letters.help"))}</p>
      <Shown of={answer}>
        {({ reasons, letters }) => (
          <>
            <table class="fields rows-table loose stacked">
              <thead>
                <tr>
                  <th>{t("column.source")}</th>
                  <th>{t("health.stage")}</th>
                  <th>{t("reason")}</th>
                  <th class="right">{t("health.letters.count")}</th>
                  <th>{t("column.last")}</th>
                  {may("settings.change") && <th />}
                </tr>
              </thead>
              <tbody>
                {reasons.map((each) => (
                  <tr key={`${each.source} ${each.stage} ${each.reason}`}>
                    <td data-head={t("column.source")}>
                      <a href={addressOf("sources", { open: each.source })}>{plain(each.source)}</a>
                    </td>
                    <td data-head={t("health.stage")}>{stageWord(each.stage)}</td>
                    <td data-head={t("reason")}>{reasonWord(each.reason)}</td>
                    <td class="right" data-head={t("health.letters.count")}>
                      {number(each.count)}
                    </td>
                    <td data-head={t("column.last")}>
                      <When at={each.last * 1000} />
                    </td>
                    {may("settings.change") && (
                      <td class="right">
                        <button type="button" class="small" onClick={() => retry(each, () => answer.again())}>
                          {t("health.letters.retry")}
                        </button>{" "}
                        <button type="button" class="small danger" onClick={() => drop(each, () => answer.again())}>
                          {t(isOthers(each) ? "health.letters.agree" : "health.letters.drop")}
                        </button>
                        {each.wish && (
                          <p class="quiet small">
                            {t("health.letters.wish", { who: plain(each.wish.who) })}{" "}
                            <When at={each.wish.time * 1000} />
                          </p>
                        )}
                      </td>
                    )}
                  </tr>
                ))}
              </tbody>
            </table>
            <details>
              <summary>{t("health.letters.look")}</summary>
              <ul class="stack">
                {letters.map((each) => (
                  <li key={each.id}>
                    <span class="small quiet">
                      <When at={each.time * 1000} /> · {plain(each.source)} · {reasonWord(each.reason)}
                      {each.detail && `: ${plain(each.detail)}`}
                    </span>
                    <div class="raw wrap">{plain(each.line)}</div>
                  </li>
                ))}
              </ul>
            </details>
          </>
        )}
      </Shown>
    </section>
  );
}

/** Bring the lines of a row back to where they could not be taken. */
function retry({ source, stage, reason, count }: LetterRow, done: () => void): void {
  question({
    title: t("health.letters.retry.title", { count: number(count), source: plain(source) }),
    does: t("health.letters.retry"),
    says: <p>{t("health.letters.retry.help", { reason: reasonWord(reason) })}</p>,
    work: async () => {
      const { retried, left } = await ask<{ retried: number; left: number }>("/dead-letters/retry", {
        method: "POST",
        body: { source, stage, reason },
      });
      tell(t("health.letters.retried", { count: number(retried), left: number(left) }));
      done();
    },
  });
}

const isOthers = ({ wish }: LetterRow): boolean => wish !== null && wish.who !== person.value?.name;

/** Ask for the lines of a row to be deleted for good, or agree: those that it shows, what came meanwhile stays. */
function drop(row: LetterRow, done: () => void): void {
  const { source, stage, reason, count, last } = row;
  question({
    title: t("health.letters.drop.title", { count: number(count), source: plain(source) }),
    does: t(isOthers(row) ? "health.letters.agree" : "health.letters.drop"),
    danger: true,
    says: (
      <>
        <p>{t("health.letters.drop.help", { count: number(count), reason: reasonWord(reason) })}</p>
        {!isOthers(row) && <p>{t("health.letters.drop.two")}</p>}
      </>
    ),
    work: async () => {
      const body = { source, stage, reason, until: last };
      const { dropped, waits } = await ask<{ dropped: number; waits: boolean }>("/dead-letters/drop", {
        method: "POST",
        body,
      });
      tell(waits ? t("health.letters.asked") : t("health.letters.dropped", { count: number(dropped) }));
      done();
    },
  });
}

/** Return what is in an object, and in those in it, under names with dots; nothing that is empty. */
function flat(of: Record<string, unknown>, before = ""): [string, unknown][] {
  return Object.entries(of).flatMap(([name, value]): [string, unknown][] => {
    if (value === null || value === "") return [];
    if (Array.isArray(value))
      return value.length
        ? [[before + name, value.map((each) => (typeof each === "object" ? plain(each) : String(each))).join(", ")]]
        : [];
    if (typeof value === "object") return flat(value as Record<string, unknown>, `${before}${name}.`);
    return [[before + name, value]];
  });
}

function Disk({ of }: { of: Health }) {
  const used = of.disk_total_bytes ? 1 - of.disk_free_bytes / of.disk_total_bytes : 0;
  return (
    <section class="card stack">
      <h2>{t("health.disk")}</h2>
      <p>{t("health.disk.free", { free: size(of.disk_free_bytes), total: size(of.disk_total_bytes) })}</p>
      <Share of={used} />
      <p class="quiet small">{t("health.disk.reserve", { reserve: size(of.disk_reserve_bytes) })}</p>
    </section>
  );
}

function Canaries({ of }: { of: readonly Canary[] }) {
  const machines = new Set(of.map(({ machine }) => machine));
  return (
    <section class="card stack">
      <h2>{t("health.canaries")}</h2>
      <p class="quiet small">{t("health.canaries.help")}</p>
      {of.length ? (
        <table class="fields rows-table loose stacked">
          <thead>
            <tr>
              <th>{t("health.canary.input")}</th>
              <th>{t("health.state")}</th>
              <th class="right">{t("health.canary.took")}</th>
              <th>{t("health.canary.last")}</th>
            </tr>
          </thead>
          <tbody>
            {of.map((each) => (
              <tr key={`${each.machine} ${each.source} ${each.kind}`}>
                <td data-head={t("health.canary.input")}>
                  <a href={addressOf("sources", { open: each.source })}>{each.source}</a> {each.kind}{" "}
                  {machines.size > 1 && <span class="quiet small">{each.machine}</span>}
                </td>
                <td data-head={t("health.state")}>
                  <Tag kind={each.state === "good" ? "good" : each.state === "late" ? "fault" : ""}>
                    {t(`health.canary.${each.state}`)}
                  </Tag>{" "}
                  {each.state === "late" && (
                    <span class="small">
                      {t("health.canary.stopped", {
                        reached: ["sent", ...each.reached].map((step) => word("canary.step", step)).join(", "),
                      })}{" "}
                      {each.fault}
                    </span>
                  )}
                </td>
                <td class="right" data-head={t("health.canary.took")}>
                  {each.seconds !== null && duration(each.seconds)}
                </td>
                <td data-head={t("health.canary.last")}>{each.last_good && <When at={each.last_good} />}</td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : (
        <p class="quiet">{rich(t("health.canaries.none"))}</p>
      )}
    </section>
  );
}

function Channels({ of }: { of: readonly Channel[] }) {
  return (
    <section class="card">
      <header>
        <h2>{t("health.channels")}</h2>
        {of.length > 0 && <a href={addressOf("delivery")}>{t("overview.all")}</a>}
      </header>
      {of.length ? (
        <ul class="rows">
          {of.map((each) => (
            <li key={each.channel} class="line apart">
              <a href={addressOf("delivery", { channel: each.channel })}>{each.channel}</a>
              <span class="line">
                {each.waiting > 0 && (
                  <a class="small" href={addressOf("delivery", { channel: each.channel, status: "waiting" })}>
                    {t("channel.waiting", { count: number(each.waiting) })}
                  </a>
                )}
                {each.dead > 0 && (
                  <a class="small fault" href={addressOf("delivery", { channel: each.channel, status: "dead" })}>
                    {t("channel.dead", { count: number(each.dead) })}
                  </a>
                )}
                <ChannelState of={each} />
              </span>
            </li>
          ))}
        </ul>
      ) : (
        <p class="quiet">{rich(t("health.channels.none"))}</p>
      )}
    </section>
  );
}

export function ChannelState({ of }: { of: Channel }) {
  if (!of.set) return <Tag>{t("channel.gone")}</Tag>;
  return <Tag kind={of.failures ? "fault" : "good"}>{t(of.failures ? "channel.failing" : "channel.well")}</Tag>;
}
