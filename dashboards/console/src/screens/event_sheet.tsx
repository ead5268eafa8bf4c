// One event in full, and what was before and after it at the same place; the list behind it stays where it is.

import { useSignal } from "@preact/signals";
import { adjust } from "../address";
import { useAnswer } from "../answers";
import { ask, part } from "../api";
import { plain } from "../format";
import { Fields, Raw, type Document } from "../parts/fields";
import { Icon } from "../parts/icon";
import { Fault, When } from "../parts/marks";
import { Sheet } from "../parts/sheet";
import { clause } from "../query";
import { search, summaryOf, type Hit } from "../search";
import { may } from "../session";
import { keepInCase } from "../triage";
import { t } from "../words";
import { ProcessTree } from "./process_tree";

interface Props {
  id: string;
  index: "events" | "alerts";
  found: Document | undefined;
  onClose: () => void;
}

export function EventSheet({ id, index, found, onClose }: Props) {
  const around = useSignal(false);
  const answer = useAnswer(found ? null : id, (signal) =>
    ask<Document>(index === "alerts" ? `/alerts/${part(id)}` : `/events/${part(id)}`, { signal }),
  );
  const event = found ?? answer.value;
  const hasProcess = Boolean(event && (event["process.pid"] || event["process.entity_id"]));
  return (
    <Sheet
      onClose={onClose}
      title={event ? <span class="raw">{summaryOf(event).slice(0, 200)}</span> : t("loading")}
      meta={
        event && (
          <>
            <When at={String(event["@timestamp"])} />
            <span>{plain(event["host.name"] ?? "")}</span>
            <span>{plain(event["event.dataset"] ?? "")}</span>
          </>
        )
      }
      actions={
        event &&
        index === "events" && (
          <>
            <button type="button" aria-pressed={around.value} onClick={() => (around.value = !around.value)}>
              <Icon name="rows" />
              {t("event.around")}
            </button>
            {may("cases.change") && (
              <button type="button" onClick={() => void keepInCase([id], summaryOf(event))}>
                <Icon name="case" />
                {t("case.add_event")}
                <kbd>e</kbd>
              </button>
            )}
          </>
        )
      }
    >
      <Fault of={answer.fault} />
      {event && (
        <>
          {around.value && <Around of={event} id={id} />}
          {typeof event["event.original"] === "string" && (
            <section>
              <h3>{t("event.original")}</h3>
              <pre class="raw">{plain(event["event.original"])}</pre>
            </section>
          )}
          {hasProcess && index === "events" && <ProcessTree event={id} />}
          <section>
            <h3>{t("alert.fields")}</h3>
            <Fields of={event} />
          </section>
          <Raw of={event} />
        </>
      )}
    </Sheet>
  );
}

const AROUND = 10;

/** The events just before and after one, of the same host or, where it has none, of the same source. */
function Around({ of, id }: { of: Document; id: string }) {
  const place = ["host.name", "source.ip", "labels.source"].find((field) => typeof of[field] === "string");
  const at = String(of["@timestamp"]);
  const side = (order: "asc" | "desc", bound: object, signal: AbortSignal) =>
    search(
      {
        size: AROUND + 1,
        sort: [{ "@timestamp": order }],
        query: {
          bool: {
            must: [{ query_string: { query: place ? clause(place, of[place]) : "*" } }],
            filter: [{ range: { "@timestamp": bound } }],
          },
        },
      },
      signal,
    );
  const answer = useAnswer(id, async (signal) => {
    const [before, after] = await Promise.all([side("desc", { lte: at }, signal), side("asc", { gte: at }, signal)]);
    const known = new Map<string, Hit>(
      [...before.hits.hits.toReversed(), ...after.hits.hits].map((hit) => [hit._id, hit]),
    );
    return [...known.values()];
  });
  return (
    <section>
      <h3>{place ? t("event.around.of", { field: place, value: plain(of[place]) }) : t("event.around")}</h3>
      <Fault of={answer.fault} />
      <ol class="around">
        {answer.value?.map(({ _id, _source }) => (
          <li key={_id} class={_id === id ? "here" : ""}>
            <When at={String(_source["@timestamp"])} />{" "}
            <button type="button" class="value raw" onClick={() => adjust({ event: _id }, true)}>
              {summaryOf(_source).slice(0, 160)}
            </button>
          </li>
        ))}
      </ol>
    </section>
  );
}
