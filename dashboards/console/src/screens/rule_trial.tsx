// A rule on stored events: what it would have said over a time, and why it says what it says of one event.

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { addressOf, adjust, chosen } from "../address";
import { useAnswer } from "../answers";
import { ask, part, withValues } from "../api";
import { day, duration, moment, number, plain, zone } from "../format";
import { Icon } from "../parts/icon";
import { Empty, Fault, Shown, Tag, When } from "../parts/marks";
import { clause, quoted } from "../query";
import { bounds, nameOf } from "../range";
import type { WholeRule } from "../rulebook";
import { t, type Key } from "../words";

interface Count {
  value: string;
  alerts: number;
}
interface Sampled {
  "@timestamp": string;
  "event.id"?: string;
  /** Of a correlation: the events that it joins. */
  events?: string[];
  reasons: unknown[];
  [field: string]: unknown;
}
interface Result {
  kind: "rule" | "correlation";
  events: number;
  examined: number;
  bounded: "events" | "seconds" | null;
  until: string | null;
  matches: number;
  alerts: number;
  excepted: number;
  forgotten: Record<string, number>;
  days: { day: string; alerts: number }[];
  hosts: Count[];
  users: Count[];
  addresses: Count[];
  sample: Sampled[];
  seconds: number;
}

const NOISIEST = { hosts: "host.name", users: "user.name", addresses: "source.ip" } as const;
const ABOUT = ["host.name", "user.name", "source.ip"] as const;

interface Props {
  /** Where it is asked: of a rule that is in force, or, with a body, of a text. */
  path: string;
  text?: string;
  rule?: WholeRule;
}

/** Try a rule on the events of the time range, when somebody says so: it takes a processor for seconds. */
export function Backtest({ path, text, rule }: Props) {
  const asked = useSignal("");
  const span = bounds();
  const key = JSON.stringify([path, text, span]);
  const answer = useAnswer(asked.value === key ? key : null, (signal) =>
    text === undefined
      ? ask<Result>(withValues(path, { ...span, time_zone: zone }), { signal })
      : ask<Result>(path, {
          method: "POST",
          body: { text, ...(span.from && { from: span.from }), ...(span.to && { to: span.to }), time_zone: zone },
          signal,
        }),
  );
  return (
    <section class="stack">
      <div class="line apart">
        <h3>{t("rule.backtest")}</h3>
        <button
          type="button"
          disabled={answer.waits}
          onClick={() => (asked.value === key ? answer.again() : (asked.value = key))}
        >
          <Icon name="play" />
          {t("rule.backtest.run", { range: nameOf() })}
        </button>
      </div>
      {asked.value !== key && <p class="quiet small">{t("rule.backtest.help")}</p>}
      {asked.value === key && <Shown of={answer}>{(found) => <Found of={found} rule={rule} />}</Shown>}
    </section>
  );
}

function Found({ of, rule }: { of: Result; rule: WholeRule | undefined }) {
  const forgotten = Object.values(of.forgotten).reduce((sum, each) => sum + each, 0);
  return (
    <>
      {of.bounded && (
        <p class="notice attention">
          {t(`rule.bounded.${of.bounded}`, { examined: number(of.examined), until: of.until ? moment(of.until) : "" })}
        </p>
      )}
      <p>
        <b class="number">{number(of.alerts)}</b>{" "}
        {t("rule.backtest.alerts", {
          examined: number(of.examined),
          events: number(of.events),
          time: duration(of.seconds),
        })}
      </p>
      {of.excepted > 0 && <p>{t("rule.backtest.excepted", { count: number(of.excepted) })}</p>}
      {forgotten > 0 && <p class="attention">{t("rule.backtest.forgotten", { count: number(forgotten) })}</p>}
      {of.events === 0 ? (
        <Empty says={t("rule.backtest.no_events")} next={t("rule.backtest.no_events.next")} />
      ) : of.alerts === 0 ? (
        <p class="quiet">{t("rule.backtest.quiet")}</p>
      ) : (
        <>
          <Days of={of.days} />
          <div class="noisiest">
            {(Object.keys(NOISIEST) as (keyof typeof NOISIEST)[]).map(
              (name) => of[name].length > 0 && <Noisiest key={name} name={name} of={of[name]} all={of.alerts} />,
            )}
          </div>
          <Sample of={of} rule={rule} />
        </>
      )}
    </>
  );
}

/** Alerts of each day as bars; a day without any has none. */
function Days({ of }: { of: Result["days"] }) {
  const most = Math.max(1, ...of.map(({ alerts }) => alerts));
  return (
    <table class="days dated">
      <caption class="small quiet">{t("rule.backtest.days", { zone })}</caption>
      <tbody>
        {of.map((each) => (
          <tr key={each.day}>
            <th scope="row">{day(`${each.day}T12:00:00`)}</th>
            <td class="bar">
              <i style={{ width: `${(each.alerts / most) * 100}%` }} />
            </td>
            <td class="right">{number(each.alerts)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Noisiest({ name, of, all }: { name: keyof typeof NOISIEST; of: Count[]; all: number }) {
  return (
    <table class="days">
      <caption class="small quiet">{t(`rule.backtest.${name}`)}</caption>
      <tbody>
        {of.slice(0, 5).map((each) => (
          <tr key={each.value}>
            <th scope="row" class="raw">
              <a href={addressOf("hunt", { q: clause(NOISIEST[name], each.value) })}>
                {plain(each.value).slice(0, 80)}
              </a>
            </th>
            <td class="bar">
              <i style={{ width: `${(each.alerts / all) * 100}%` }} />
            </td>
            <td class="right">{number(each.alerts)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Sample({ of, rule }: { of: Result; rule: WholeRule | undefined }) {
  return (
    <div class="stack">
      <h4>{t("rule.backtest.sample", { shown: number(of.sample.length), count: number(of.alerts) })}</h4>
      <ul class="stack">
        {of.sample.map((each, place) => (
          <li key={place} class="sampled">
            <div class="line small">
              <When at={each["@timestamp"]} />
              {ABOUT.map((name) => each[name] !== undefined && <span key={name}>{plain(each[name])}</span>)}
              <a href={huntFor(each)}>
                <Icon name="search" /> {t("alert.in_hunt")}
              </a>
              {rule && each["event.id"] && (
                <button
                  type="button"
                  class="small plain"
                  onClick={() => adjust({ explain: each["event.id"] ?? "" }, true)}
                >
                  {t("rule.explain.why")}
                </button>
              )}
            </div>
            {each.message !== undefined && <div class="raw clip">{plain(each.message)}</div>}
          </li>
        ))}
      </ul>
    </div>
  );
}

function huntFor(each: Sampled): string {
  const ids = each["event.id"] ? [each["event.id"]] : (each.events ?? []);
  const q = ids
    .slice(0, 20)
    .map((id) => `event.id:${quoted(id)}`)
    .join(" OR ");
  return addressOf("hunt", { q, from: "all", to: "", event: ids.length === 1 ? (ids[0] ?? "") : "" });
}

interface Test {
  field: string;
  modifiers: string;
  holds: boolean;
  expected: unknown[];
  found: { key: string; value: unknown }[];
}
interface Explained {
  matches: boolean;
  applies: boolean;
  logsource?: Record<string, string>;
  origin: Record<string, string>;
  condition: string[];
  excepted: string[];
  "rule.name": string;
  selections?: { selection: string; holds: boolean; groups: Test[][] }[];
  parts?: Explained[];
}

/** Why a rule did, or did not, match one event. */
export function Explain({ rule }: { rule: WholeRule }) {
  const { explain: id = "" } = chosen.value;
  const answer = useAnswer(id ? `${rule.id} ${id}` : null, (signal) =>
    ask<Explained>(`/rules/${part(rule.id)}/explain/${part(id)}`, { signal }),
  );
  const section = useRef<HTMLElement>(null);
  useEffect(() => {
    if (answer.value) section.current?.scrollIntoView({ block: "nearest" });
  }, [answer.value]);
  return (
    <section class="stack" ref={section}>
      <h3>{t("rule.explain")}</h3>
      <form
        class="line"
        onSubmit={(event) => {
          event.preventDefault();
          adjust({ explain: String(new FormData(event.currentTarget).get("event")).trim() }, true);
        }}
      >
        <input
          key={id}
          class="raw grows"
          name="event"
          defaultValue={id}
          maxLength={200}
          placeholder={t("rule.explain.event")}
          aria-label={t("rule.explain.event")}
        />
        <button type="submit">{t("rule.explain.run")}</button>
      </form>
      <Fault of={answer.fault} />
      {answer.value && !answer.fault && <Reasons of={answer.value} />}
      {!id && <p class="quiet small">{t("rule.explain.help")}</p>}
    </section>
  );
}

function Reasons({ of }: { of: Explained }) {
  const says: Key = !of.applies
    ? "rule.explain.elsewhere"
    : of.excepted.length
      ? "rule.explain.excepted"
      : of.matches
        ? "rule.explain.matches"
        : "rule.explain.not";
  return (
    <div class="stack explained">
      <p class={`notice ${of.matches ? "good" : "attention"}`}>
        {t(says, {
          source: Object.values(of.origin).join(" · "),
          wanted: Object.values(of.logsource ?? {}).join(" · "),
        })}
      </p>
      {of.condition.length > 0 && (
        <p class="small">
          {t("rule.explain.condition")} <code>{of.condition.join(" | ")}</code>
        </p>
      )}
      {of.selections?.map((selection) => (
        <div key={selection.selection} class="stack">
          <div class="line">
            <Tag kind={selection.holds ? "good" : "attention"}>
              {t(selection.holds ? "rule.explain.holds" : "rule.explain.holds_not")}
            </Tag>
            <code>{selection.selection}</code>
          </div>
          {selection.groups.map((group, place) => (
            <table key={place} class="fields">
              <tbody>
                {group.map((test, at) => (
                  <tr key={at}>
                    <th scope="row">
                      <span class={test.holds ? "good" : "attention"} aria-hidden="true">
                        {test.holds ? "✓" : "✗"}
                      </span>{" "}
                      <span class="raw">{[test.field, test.modifiers].filter(Boolean).join("|")}</span>
                    </th>
                    <td>
                      <div class="small">
                        {t("rule.explain.expected")}{" "}
                        <span class="raw">{test.expected.slice(0, 20).map(plain).join(" · ")}</span>
                      </div>
                      <div class="small">
                        {t("rule.explain.found")}{" "}
                        {test.found.length ? (
                          <span class="raw">
                            {test.found.map((each) => plain(each.value).slice(0, 300)).join(" · ")}
                          </span>
                        ) : (
                          <span class="quiet">{t("rule.explain.nothing")}</span>
                        )}
                      </div>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          ))}
        </div>
      ))}
      {of.parts?.map((each, place) => (
        <div key={place} class="card stack">
          <b>{plain(each["rule.name"])}</b>
          <Reasons of={each} />
        </div>
      ))}
    </div>
  );
}
