// Indicators: the lists that are looked for, those that were added one by one, and whether a value is one of them.

import { useSignal } from "@preact/signals";
import { addressOf, adjust, chosen } from "../address";
import { useAnswer } from "../answers";
import { ask, part, withValues } from "../api";
import { number, plain } from "../format";
import { useListing } from "../listing";
import { question } from "../parts/dialog";
import { Grid, type Column } from "../parts/grid";
import { Icon } from "../parts/icon";
import { Empty, Fault, Shown, Tag, When } from "../parts/marks";
import { attempt, tell } from "../parts/toast";
import { Value } from "../parts/value";
import { may } from "../session";
import { t, word } from "../words";

interface Indicator {
  kind: string;
  value: string;
  feed: string;
  threat: string;
  confidence: number;
  expires: number;
  family: string;
  reference: string;
  tlp: string;
  expired?: boolean;
}

interface Live extends Indicator {
  reason: string;
  who: string;
  added: number;
}

interface Feed {
  name: string;
  kind: string;
  count: number;
  refreshed?: number;
  error?: string;
  /** When its indicators end because nothing was heard of it; null: never. */
  ends: number | null;
  [name: string]: unknown;
}

interface Search {
  id: number;
  created: number;
  feed: string;
  count: number;
  state: string;
  examined: number;
  found: number;
  error: string;
}

const VIEWS = ["lists", "live", "searches"] as const;
const THREATS = ["c2", "malware", "phishing", "mining", "tor", "scanner", "suspicious"] as const;

const COLUMNS: readonly Column<Live>[] = [
  {
    id: "value",
    says: t("indicator.value"),
    width: 260,
    grows: true,
    phone: "lead",
    cell: (each) => <span class="raw">{plain(each.value)}</span>,
  },
  { id: "kind", says: t("indicator.kind"), width: 110, cell: (each) => word("indicator.kind", each.kind) },
  { id: "threat", says: t("indicator.threat"), width: 130, cell: (each) => word("indicator.threat", each.threat) },
  { id: "family", says: t("indicator.family"), width: 140, cell: (each) => each.family },
  {
    id: "confidence",
    says: t("indicator.confidence"),
    width: 90,
    right: true,
    cell: (each) => number(each.confidence),
  },
  { id: "who", says: t("indicator.who"), width: 120, phone: "off", cell: (each) => each.who },
  { id: "added", says: t("indicator.added"), width: 172, cell: (each) => <When at={each.added * 1000} /> },
  { id: "reason", says: t("reason"), width: 200, phone: "off", cell: (each) => each.reason },
];

export default function Indicators() {
  const { view = "lists" } = chosen.value;
  const changed = useSignal(0);
  return (
    <>
      <header>
        <h1>{t("screen.indicators")}</h1>
        {may("indicators.change") && (
          <button type="button" class="main" onClick={() => add(() => (changed.value += 1))}>
            <Icon name="plus" />
            {t("indicator.add")}
          </button>
        )}
      </header>
      <Check />
      <nav class="tabs">
        {VIEWS.filter((each) => each !== "searches" || may("events.read")).map((each) => (
          <a
            key={each}
            href={addressOf("indicators", { view: each })}
            {...(view === each ? { "aria-current": "page" as const } : {})}
          >
            {t(`indicator.view.${each}`)}
          </a>
        ))}
      </nav>
      {view === "lists" && <Lists />}
      {view === "live" && <Added key={changed.value} />}
      {view === "searches" && <Searches />}
    </>
  );
}

/** Whether a value is looked for. */
function Check() {
  const { value = "" } = chosen.value;
  const answer = useAnswer(value || null, (signal) =>
    ask<{ found: Indicator[]; allowed: boolean; refused: string | null }>(withValues("/indicators/check", { value }), {
      signal,
    }),
  );
  const found = answer.value;
  return (
    <section class="card stack">
      <form
        class="line"
        onSubmit={(event) => {
          event.preventDefault();
          adjust({ value: String(new FormData(event.currentTarget).get("value")).trim() });
        }}
      >
        <input
          class="raw grows"
          name="value"
          defaultValue={value}
          maxLength={2048}
          placeholder={t("indicator.check.hint")}
          aria-label={t("indicator.check")}
        />
        <button type="submit">{t("indicator.check")}</button>
      </form>
      <Fault of={answer.fault} />
      {value && found && (
        <>
          {found.refused && (
            <p class="attention">{t("indicator.refused", { reason: word("indicator.refusal", found.refused) })}</p>
          )}
          {found.allowed && <p class="attention">{t("indicator.allowed")}</p>}
          {found.found.length === 0 ? (
            <p class="quiet">{t("indicator.not_found", { value })}</p>
          ) : (
            <ul class="stack">
              {found.found.map((each, place) => (
                <li key={place} class="line">
                  <span class="raw">
                    <Value field="threat.indicator.name" value={each.value} />
                  </span>
                  <Tag kind="fault">{word("indicator.threat", each.threat)}</Tag>
                  <span>{each.family}</span>
                  <span class="small quiet">
                    {t("indicator.of_list", { list: each.feed, confidence: each.confidence })}
                  </span>
                  {each.expired && <Tag>{t("indicator.expired")}</Tag>}
                </li>
              ))}
            </ul>
          )}
        </>
      )}
    </section>
  );
}

function Lists() {
  const answer = useAnswer("feeds", (signal) => ask<{ feeds: Feed[] }>("/indicators/feeds", { signal }));
  const refresh = (feed: Feed) =>
    attempt(async () => {
      await ask(`/indicators/feeds/${part(feed.name)}/refresh`, { method: "POST", body: {} });
      tell(t("indicator.refreshing", { list: feed.name }));
      setTimeout(() => answer.again(true), 3000);
    });
  return (
    <Shown of={answer}>
      {({ feeds }) =>
        feeds.length ? (
          <div class="cards">
            {feeds.map((feed) => (
              <section key={feed.name} class="card stack">
                <header>
                  <h2 class="clip">{feed.name}</h2>
                  {feed.error ? (
                    <Tag kind="fault">{t("indicator.failing")}</Tag>
                  ) : feed.ends && feed.ends < Date.now() / 1000 ? (
                    <Tag kind="attention">{t("indicator.stale")}</Tag>
                  ) : (
                    <Tag kind="good">{t("indicator.well")}</Tag>
                  )}
                </header>
                <p>
                  <b class="number">{number(feed.count)}</b> {t("indicator.in_list")}
                </p>
                {feed.refreshed ? (
                  <p class="small quiet">
                    {t("indicator.refreshed")} <When at={feed.refreshed * 1000} short />
                  </p>
                ) : null}
                {feed.error && <p class="notice fault small wrap">{feed.error}</p>}
                {may("indicators.change") && (
                  <div class="line">
                    <button type="button" class="small" onClick={() => void refresh(feed)}>
                      <Icon name="refresh" />
                      {t("indicator.refresh")}
                    </button>
                  </div>
                )}
              </section>
            ))}
          </div>
        ) : (
          <Empty says={t("indicator.no_lists")} next={t("indicator.no_lists.next")} />
        )
      }
    </Shown>
  );
}

function Added() {
  const { text = "" } = chosen.value;
  const list = useListing<Live>(
    text,
    async (offset, limit, signal) => {
      const found = await ask<{ total: number; indicators: Live[] }>(
        withValues("/indicators", { text, offset, limit }),
        { signal },
      );
      return { total: found.total, rows: found.indicators };
    },
    ({ kind, value }) => `${kind} ${value}`,
  );
  const remove = (each: Live) =>
    question({
      title: t("indicator.remove"),
      does: t("remove"),
      danger: true,
      says: (
        <p>
          {t("indicator.remove.help")} <code>{each.value}</code>
        </p>
      ),
      fields: [{ name: "reason", says: t("reason"), required: true, most: 500 }],
      work: async ({ reason = "" }) => {
        await ask(withValues("/indicators", { value: each.value, reason }), { method: "DELETE" });
        list.again();
      },
    });
  return (
    <>
      <input
        type="search"
        class="narrow"
        placeholder={t("indicator.find")}
        aria-label={t("indicator.find")}
        value={text}
        onInput={(event) => adjust({ text: event.currentTarget.value }, true)}
      />
      <Grid
        name="indicators"
        label={t("indicator.view.live")}
        list={list}
        columns={COLUMNS}
        onOpen={(each) => may("indicators.change") && remove(each)}
        empty={<Empty says={t("indicator.no_live")} next={t("indicator.no_live.next")} />}
      />
    </>
  );
}

function Searches() {
  const answer = useAnswer("searches", (signal) => ask<{ searches: Search[] }>("/indicators/searches", { signal }));
  return (
    <Shown of={answer}>
      {({ searches }) =>
        searches.length ? (
          <section class="card">
            <table class="fields rows-table">
              <thead>
                <tr>
                  <th>{t("column.time")}</th>
                  <th>{t("indicator.list")}</th>
                  <th class="right">{t("indicator.values")}</th>
                  <th>{t("column.status")}</th>
                  <th class="right">{t("indicator.examined")}</th>
                  <th class="right">{t("indicator.hits")}</th>
                </tr>
              </thead>
              <tbody>
                {searches.map((each) => (
                  <tr key={each.id}>
                    <td>
                      <When at={each.created * 1000} />
                    </td>
                    <td>{each.feed}</td>
                    <td class="right">{number(each.count)}</td>
                    <td>
                      {word("indicator.state", each.state)}{" "}
                      {each.error && <span class="fault small">{each.error}</span>}
                    </td>
                    <td class="right">{number(each.examined)}</td>
                    <td class="right">
                      <a href={addressOf("hunt", { index: "alerts", q: "rule.id:indicator.*", from: "all", to: "" })}>
                        {number(each.found)}
                      </a>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </section>
        ) : (
          <Empty says={t("indicator.no_searches")} next={t("indicator.no_searches.next")} />
        )
      }
    </Shown>
  );
}

function add(done: () => void): void {
  question({
    title: t("indicator.add"),
    does: t("indicator.add"),
    says: <p class="quiet">{t("indicator.add.help")}</p>,
    fields: [
      { name: "values", says: t("indicator.add.values"), kind: "textarea", required: true, most: 100_000 },
      {
        name: "threat",
        says: t("indicator.threat"),
        kind: "select",
        value: "suspicious",
        options: THREATS.map((each) => [each, word("indicator.threat", each)] as const),
      },
      { name: "family", says: t("indicator.family"), most: 200 },
      { name: "days", says: t("indicator.days"), kind: "number", value: "90" },
      { name: "reason", says: t("reason"), required: true, most: 500 },
    ],
    work: async ({ values = "", threat, family = "", days = "", reason }) => {
      const expires = Number(days) > 0 ? Date.now() / 1000 + Number(days) * 86_400 : 0;
      const indicators = values
        .split(/\s+/)
        .filter(Boolean)
        .map((value) => ({ value, threat, family, expires }));
      const made = await ask<{ added: unknown[] }>("/indicators", { method: "POST", body: { indicators, reason } });
      tell(t("indicator.done", { count: number(made.added.length) }));
      adjust({ view: "live" });
      done();
    },
  });
}
