// A host, user or address: its risk, its alerts, what it did when, and with whom.

import { addressOf, adjust, chosen, go, place } from "../address";
import { useAnswer } from "../answers";
import { ask, withValues } from "../api";
import { number } from "../format";
import { Histogram } from "../parts/histogram";
import { Icon } from "../parts/icon";
import { Empty, Severity, Share, Shown, When } from "../parts/marks";
import { Value } from "../parts/value";
import { quoted } from "../query";
import { chooseSpan, range } from "../range";
import { countsOverTime, queryOf, search, summaryOf } from "../search";
import { may } from "../session";
import { spoken, t, type Key } from "../words";
import { EventSheet } from "./event_sheet";
import { StatusTag, type Group } from "../parts/group";

/** The fields in which an entity of each kind stands. */
const FIELDS: Record<string, readonly string[]> = {
  host: ["host.name", "host.hostname"],
  user: ["user.name", "source.user.name", "user.target.name"],
  address: ["source.ip", "destination.ip", "host.ip", "client.ip", "server.ip"],
};
/** What is counted of an entity, by its kind. */
const COUNTED: Record<string, readonly string[]> = {
  host: ["user.name", "process.name", "event.action", "source.ip", "destination.ip", "event.dataset"],
  user: ["host.name", "source.ip", "event.action", "process.name", "event.outcome", "event.dataset"],
  address: ["destination.ip", "destination.port", "user.name", "host.name", "dns.question.name", "event.dataset"],
};
const TOP = 6;
const EVENTS_SHOWN = 100;

export default function Entity() {
  const rest = place.value.rest;
  const kind = rest.split(":", 1)[0] ?? "",
    value = rest.slice(rest.indexOf(":") + 1);
  const fields = FIELDS[kind];
  const { event = "" } = chosen.value;
  const query = fields?.map((field) => `${field}:${quoted(value)}`).join(" OR ") ?? "";
  const key = fields ? JSON.stringify([rest, range.value, chosen.value.unit ?? ""]) : null;
  const drawn = useAnswer(key, (signal) => countsOverTime(query, signal, true));
  const counted = COUNTED[kind] ?? [];
  const counts = useAnswer(key, (signal) =>
    search(
      {
        size: EVENTS_SHOWN,
        sort: [{ "@timestamp": "desc" }],
        query: queryOf(query),
        aggs: Object.fromEntries(counted.map((field) => [field, { terms: { field, size: TOP } }])),
      },
      signal,
    ),
  );
  const groups = useAnswer(fields && may("alerts.read") ? rest : null, (signal) =>
    ask<{ groups: Group[]; total: number }>(
      withValues("/alerts/groups", { entity: rest, status: "all", sort: "last", limit: 20 }),
      { signal },
    ),
  );
  if (!fields) return <Empty says={t("entity.unknown", { entity: rest })} />;
  return (
    <>
      <header>
        <h1>
          <span class="quiet">{t(`entity.${kind}` as Key)}</span> {value}
        </h1>
        <a class="button small" href={addressOf("hunt", { q: query })}>
          <Icon name="search" />
          {t("entity.hunt")}
        </a>
      </header>
      <Shown of={drawn}>
        {({ bars, widthMs, total }) => (
          <div class="card">
            {total ? (
              <Histogram
                bars={bars}
                widthMs={widthMs}
                onSpan={chooseSpan}
                label={t("overview.events_of", { count: number(total) })}
              />
            ) : (
              <Empty says={t("hunt.none")} />
            )}
          </div>
        )}
      </Shown>
      <div class="columns">
        <div class="stack">
          <section class="card">
            <header>
              <h2>{t("entity.timeline")}</h2>
            </header>
            <Shown of={counts}>
              {({ hits }) => (
                <ol class="around">
                  {hits.hits.map(({ _id, _source }) => (
                    <li key={_id} class={_id === event ? "here" : ""}>
                      <When at={String(_source["@timestamp"])} />{" "}
                      <span class="tag">{String(_source["event.dataset"] ?? "")}</span>{" "}
                      <button type="button" class="value raw" onClick={() => adjust({ event: _id }, true)}>
                        {summaryOf(_source).slice(0, 200)}
                      </button>
                    </li>
                  ))}
                </ol>
              )}
            </Shown>
          </section>
        </div>
        <div class="stack">
          {may("alerts.read") && (
            <section class="card">
              <header>
                <h2>{t("entity.alerts")}</h2>
                <a href={addressOf("queue", { entity: rest, status: "all", from: "", to: "" })}>{t("overview.all")}</a>
              </header>
              <Shown of={groups}>
                {(found) =>
                  found.groups.length ? (
                    <ul class="rows">
                      {found.groups.map((group) => (
                        <li key={group.id}>
                          <a
                            class="row-link"
                            href={addressOf("queue", { open: group.id, status: "all", from: "", to: "" })}
                          >
                            <Severity level={group.level} />
                            <span class="clip">{String(spoken(group, "rule.name"))}</span>
                            <StatusTag of={group.status} />
                            <span class="small quiet right">
                              <When at={group.last} short />
                            </span>
                          </a>
                        </li>
                      ))}
                    </ul>
                  ) : (
                    <p class="quiet">{t("entity.no_alerts")}</p>
                  )
                }
              </Shown>
            </section>
          )}
          {counted.map((field) => {
            const buckets = counts.value?.aggregations[field]?.buckets ?? [];
            const total = Math.max(1, counts.value?.hits.total.value ?? 1);
            return (
              buckets.length > 0 && (
                <section key={field} class="card">
                  <header>
                    <h3 class="raw">{field}</h3>
                    <button type="button" class="plain small" onClick={() => go("hunt", { q: query, group: field })}>
                      {t("value.group")}
                    </button>
                  </header>
                  <ul class="stack">
                    {buckets.map(({ key: each, doc_count: count }) => (
                      <li key={each}>
                        <div class="line apart small">
                          <span class="raw clip">
                            <Value field={field} value={String(each)} />
                          </span>
                          <span>{number(count)}</span>
                        </div>
                        <Share of={count / total} />
                      </li>
                    ))}
                  </ul>
                </section>
              )
            );
          })}
        </div>
      </div>
      {event && (
        <EventSheet
          id={event}
          index="events"
          found={counts.value?.hits.hits.find(({ _id }) => _id === event)?._source}
          onClose={() => adjust({ event: "" }, true)}
        />
      )}
    </>
  );
}
