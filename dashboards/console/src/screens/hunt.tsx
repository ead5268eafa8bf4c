// The hunt: a query enters, events over time, their fields and the events themselves leave; any value leads on.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { addressOf, adjust, chosen } from "../address";
import { useAnswer, useChange } from "../answers";
import { withValues } from "../api";
import { equalsIn, fieldsIn, fieldsKnown, noAddressesIn, type Known } from "../fields";
import { number } from "../format";
import { useKeys } from "../keys";
import { useListing } from "../listing";
import { marks } from "../live";
import type { Document } from "../parts/fields";
import { Grid, type Column } from "../parts/grid";
import { Histogram } from "../parts/histogram";
import { Icon } from "../parts/icon";
import { Empty, Share, When } from "../parts/marks";
import { Item, MenuButton } from "../parts/popover";
import { Chips, QueryFault } from "../parts/query_bar";
import { Value } from "../parts/value";
import { askFor, narrowed } from "../query";
import { bounds, chooseSpan, range } from "../range";
import { countsOverTime, oneHost, queryOf, search, summaryOf, WINDOW, type Hit } from "../search";
import { may } from "../session";
import { keepInCase } from "../triage";
import { folded, t } from "../words";
import { EventSheet } from "./event_sheet";
import { SavedMenu } from "../parts/saved";

const USUAL_COLUMNS = ["host.name", "event.dataset", "message"];
const INDEXES = ["events", "alerts"] as const;
const SHARES = 5;
const GROUPS_SHOWN = 100;
export default function Hunt() {
  const { q = "", cols = "", group = "", event = "", index: given = "events", fields = "" } = chosen.value;
  const index = given === "alerts" ? "alerts" : "events";
  const columns = cols ? cols.split(",") : USUAL_COLUMNS;
  const key = JSON.stringify([q, index, range.value, chosen.value.unit ?? ""]);
  const isOld = useSignal(false);
  const sample = useSignal<readonly Document[]>([]);
  const list = useListing<Hit>(
    key,
    async (offset, limit, signal, byItself) => {
      const found = await search(
        { query: queryOf(q), from: offset, size: Math.min(limit, WINDOW - offset), sort: [{ "@timestamp": "desc" }] },
        signal,
        byItself,
        index,
      );
      if (!offset) sample.value = found.hits.hits.map(({ _source }) => _source);
      isOld.value = false;
      return { total: found.hits.total.value, rows: found.hits.hits };
    },
    ({ _id }) => _id,
    WINDOW,
  );
  const drawn = useAnswer(key, (signal) => countsOverTime(q, signal, true, index));
  useChange(marks.events, () => {
    if (!chosen.peek().to) isOld.value = true;
  });
  const again = () => {
    list.again();
    drawn.again();
  };
  const escalate = () => {
    const held = list.current;
    if (held && index === "events") void keepInCase([held._id], summaryOf(held._source));
  };
  useKeys([
    ...(may("cases.change") ? [{ keys: "e", says: "key.escalate", run: escalate } as const] : []),
    { keys: "r", says: "key.refresh", run: again },
    { keys: "s", says: "key.fields", run: () => adjust({ fields: fields ? "" : "off" }, true) },
  ]);
  useChange(list.cursor, () => {
    if (chosen.peek().event && list.current) adjust({ event: list.current._id }, true);
  });
  const toggle = (name: string) =>
    adjust(
      {
        cols: (columns.includes(name)
          ? columns.filter((each) => each !== name)
          : [...columns.filter((each) => each !== "message"), name, ...columns.filter((each) => each === "message")]
        ).join(","),
      },
      true,
    );
  const fault = list.fault.value;
  const faulty = fault && !fault.passes ? fault : null;
  return (
    <>
      <header>
        <h1>{t("screen.hunt")}</h1>
        {isOld.value && (
          <button type="button" class="small" onClick={again}>
            <Icon name="refresh" />
            {t("hunt.newer")}
            <kbd>r</kbd>
          </button>
        )}
        <div class="tabs" role="group" aria-label={t("hunt.index")}>
          {INDEXES.map((each) => (
            <a
              key={each}
              href={addressOf("hunt", { ...chosen.value, index: each, event: "" })}
              {...(index === each ? { "aria-current": "page" as const } : {})}
            >
              {t(`hunt.${each}`)}
            </a>
          ))}
        </div>
        <SavedMenu
          kind="search"
          body={{ q, cols, group, index, from: range.value.from, to: range.value.to }}
          onOpen={(body) => adjust({ q: "", cols: "", group: "", ...body, event: "" })}
        />
        {may("events.export") && (
          <MenuButton kind="small" icon="download" says={t("hunt.export")}>
            {() =>
              (["csv", "ndjson"] as const).map((format) => (
                <Item
                  key={format}
                  says={t(`hunt.export.${format}`)}
                  run={() =>
                    window.open(
                      withValues(`/api/v1/export/${index}`, {
                        q,
                        ...bounds(),
                        format,
                        columns: format === "csv" ? ["@timestamp", ...columns].join(",") : "",
                      }),
                      "_self",
                    )
                  }
                />
              ))
            }
          </MenuButton>
        )}
      </header>
      <Chips query={q} onChange={(text) => adjust({ q: text, event: "" })} />
      <QueryFault query={q} fault={faulty} />
      {!faulty && drawn.value && (
        <div class={`card ${drawn.waits ? "waits" : ""}`}>
          <Histogram
            bars={drawn.value.bars}
            widthMs={drawn.value.widthMs}
            onSpan={chooseSpan}
            label={t("hunt.found", { total: number(drawn.value.total), took: number(drawn.value.took) })}
          />
        </div>
      )}
      {!faulty && (
        <div class="hunt">
          {fields !== "off" && (
            <FieldList query={q} index={index} sample={sample.value} columns={columns} onToggle={toggle} />
          )}
          {group ? (
            <Grouped query={q} index={index} field={group} />
          ) : (
            <Grid
              name="hunt"
              label={t("screen.hunt")}
              list={list}
              fixed
              columns={columnsOf(columns)}
              onOpen={({ _id }) => adjust({ event: _id }, Boolean(event))}
              empty={<Nothing query={q} />}
              foot={
                <button type="button" class="plain small" onClick={() => adjust({ fields: fields ? "" : "off" }, true)}>
                  <Icon name="columns" />
                  {t("hunt.fields")}
                  <kbd>s</kbd>
                </button>
              }
            />
          )}
        </div>
      )}
      {event && (
        <EventSheet
          id={event}
          index={index}
          found={list.at(list.placeOf(event))?._source}
          onClose={() => adjust({ event: "" })}
        />
      )}
    </>
  );
}

const WIDTHS: Record<string, number> = { "host.name": 150, "event.dataset": 150 };

function columnsOf(names: readonly string[]): Column<Hit>[] {
  return [
    {
      id: "time",
      says: t("column.time"),
      width: 168,
      cell: ({ _source }) => <When at={String(_source["@timestamp"])} />,
    },
    ...names.map((name): Column<Hit> =>
      name === "message"
        ? {
            id: name,
            says: t("column.message"),
            width: 320,
            grows: true,
            phone: "lead",
            cell: ({ _source }) => <span class="raw">{summaryOf(_source)}</span>,
          }
        : {
            id: name,
            says: name,
            width: WIDTHS[name] ?? 180,
            grows: !names.includes("message") && name === names.at(-1),
            cell: ({ _source }) => <Value field={name} value={_source[name]} />,
          },
    ),
  ];
}

interface FieldListProps {
  query: string;
  index: "events" | "alerts";
  sample: readonly Document[];
  columns: readonly string[];
  onToggle: (name: string) => void;
}

/** Nothing was found: why that may be, and what to do. The likeliest reason is a query that says what was not meant. */
function Nothing({ query }: { query: string }) {
  const known = useSignal<readonly Known[]>([]);
  useEffect(() => void fieldsKnown().then((found) => (known.value = found)), [query]);
  const equals = equalsIn(query);
  if (equals.length) {
    const meant = equals.reduce((text, each) => text.replace(each, each.replace("=", ":")), query);
    return (
      <Empty says={t("hunt.equals", { wrong: equals.join(", ") })}>
        <button type="button" onClick={() => adjust({ q: meant, event: "" })}>
          {t("hunt.equals.do", { query: meant })}
        </button>
      </Empty>
    );
  }
  const names = new Set(known.value.map(({ name }) => name));
  const unknown = names.size ? fieldsIn(query).filter((name) => !names.has(name)) : [];
  if (unknown.length)
    return <Empty says={t("hunt.unknown_field", { fields: unknown.join(", ") })} next={t("hunt.unknown_field.next")} />;
  const [wrong] = noAddressesIn(query, known.value);
  if (wrong)
    return <Empty says={t("hunt.no_address", { field: wrong[0], value: wrong[1] })} next={t("hunt.no_address.next")} />;
  return (
    <Empty
      says={t(query ? "hunt.none_found" : "hunt.none")}
      next={t(query ? "hunt.none_found.next" : "hunt.none.next")}
    />
  );
}

/** The fields of what was found; each opens its most frequent values and their share. */
function FieldList({ query, index, sample, columns, onToggle }: FieldListProps) {
  const wanted = useSignal("");
  const counted = new Map<string, number>();
  for (const event of sample) for (const name of Object.keys(event)) counted.set(name, (counted.get(name) ?? 0) + 1);
  const text = folded(wanted.value);
  const names = [...counted.keys()].filter((name) => name !== "@timestamp" && folded(name).includes(text)).sort();
  return (
    <aside class="field-list card" aria-label={t("hunt.fields")}>
      <input
        type="search"
        placeholder={t("fields.find")}
        aria-label={t("fields.find")}
        value={wanted.value}
        onInput={(input) => (wanted.value = input.currentTarget.value)}
      />
      <ul>
        {names.slice(0, 400).map((name) => (
          <li key={name}>
            <details name="field">
              <summary>
                <span class="clip">{name}</span>
                <span class="small quiet">{Math.round(((counted.get(name) ?? 0) / sample.length) * 100)} %</span>
              </summary>
              <Top
                query={query}
                index={index}
                field={name}
                shown={columns.includes(name)}
                onToggle={() => onToggle(name)}
              />
            </details>
          </li>
        ))}
      </ul>
      {names.length === 0 && <p class="small quiet">{t("hunt.no_fields")}</p>}
    </aside>
  );
}

function Top({
  query,
  index,
  field,
  shown,
  onToggle,
}: {
  query: string;
  index: "events" | "alerts";
  field: string;
  shown: boolean;
  onToggle: () => void;
}) {
  const opened = useSignal(false);
  const answer = useAnswer(opened.value ? JSON.stringify([query, index, field, range.value]) : null, (signal) =>
    search(
      {
        size: 0,
        query: queryOf(narrowed(query, `_exists_:${field}`)),
        aggs: { top: { terms: { field, size: SHARES } } },
      },
      signal,
      false,
      index,
    ),
  );
  const total = answer.value?.hits.total.value ?? 0;
  const mark = (element: HTMLElement | null) =>
    element?.closest("details")?.addEventListener("toggle", () => (opened.value = true), { once: true });
  return (
    <div class="stack top-values" ref={mark}>
      {answer.waits && !answer.value && <span class="small quiet">{t("loading")}</span>}
      {oneHost(field, answer.value?.aggregations.top?.buckets ?? []).map(({ key, doc_count: count }) => (
        <div key={key} class="small">
          <div class="line apart">
            <span class="raw clip">
              <Value field={field} value={String(key)} />
            </span>
            <span>
              <button
                type="button"
                class="plain small"
                aria-label={t("value.include")}
                title={t("value.include")}
                onClick={() => askFor("include", field, key, true)}
              >
                +
              </button>
              <button
                type="button"
                class="plain small"
                aria-label={t("value.exclude")}
                title={t("value.exclude")}
                onClick={() => askFor("exclude", field, key, true)}
              >
                −
              </button>{" "}
              {Math.round((count / Math.max(1, total)) * 100)} %
            </span>
          </div>
          <Share of={count / Math.max(1, total)} />
        </div>
      ))}
      <div class="line">
        <button type="button" class="small" aria-pressed={shown} onClick={onToggle}>
          {t(shown ? "hunt.hide_column" : "hunt.show_column")}
        </button>
        <button type="button" class="small" onClick={() => adjust({ group: field })}>
          {t("value.group")}
        </button>
      </div>
    </div>
  );
}

/** How often each value of a field is there. */
function Grouped({ query, index, field }: { query: string; index: "events" | "alerts"; field: string }) {
  const answer = useAnswer(JSON.stringify([query, index, field, range.value]), (signal) =>
    search(
      {
        size: 0,
        query: queryOf(query),
        aggs: { top: { terms: { field, size: GROUPS_SHOWN } }, missing: { missing: { field } } },
      },
      signal,
      false,
      index,
    ),
  );
  const buckets = oneHost(field, answer.value?.aggregations.top?.buckets ?? []);
  const total = Math.max(1, answer.value?.hits.total.value ?? 1);
  return (
    <div class={`card grouped ${answer.waits ? "waits" : ""}`}>
      <header>
        <h2>{t("hunt.by", { field })}</h2>
        <button type="button" class="small" onClick={() => adjust({ group: "" })}>
          {t("hunt.ungroup")}
        </button>
      </header>
      {buckets.length === 0 && !answer.waits ? (
        <p class="quiet">{t("hunt.no_values", { field })}</p>
      ) : (
        <table class="fields">
          <thead>
            <tr>
              <th>{field}</th>
              <th class="right">{t("column.events")}</th>
              <th />
            </tr>
          </thead>
          <tbody>
            {buckets.map(({ key, doc_count: count }) => (
              <tr key={key}>
                <td class="raw">
                  <Value field={field} value={String(key)} />
                </td>
                <td class="right">{number(count)}</td>
                <td>
                  <Share of={count / total} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </div>
  );
}
