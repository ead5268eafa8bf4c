// One panel: its search is made, and what it found drawn after its kind; pressing a part leads to the events behind it.

import { lazy, Suspense } from "preact/compat";
import { go, place, type Chosen } from "../address";
import { useAnswer, useChange } from "../answers";
import { percent, plain } from "../format";
import { marks } from "../live";
import { Fault, Share, When } from "../parts/marks";
import { Value } from "../parts/value";
import { clause, narrowed } from "../query";
import { chooseSpan, range } from "../range";
import { search, summaryOf } from "../search";
import { may } from "../session";
import { techniquesKnown } from "../techniques";
import { rich, t } from "../words";
import { COUNTED } from "./counted";
import { bodyBefore, bodyOf, dataOf, isEmpty, saidOf, type Data } from "./data";
import { Drawing } from "./drawing";
import { isWhole, write } from "./measure";
import { filled, said, type Panel, type Variable } from "./model";
import type { Pressed } from "./options";
import { Points } from "./points";
import { Tiles } from "./tiles";

const Lines = lazy(() => import("./lines"));
/** Panels of alerts that were shown a moment ago are not asked for again. */
const QUIET_MS = 5000;

interface Props {
  panel: Panel;
  variables: readonly Variable[];
  turn: number;
}

export function PanelBody({ panel, variables, turn }: Props) {
  const query = filled(panel.query, variables);
  const { index } = panel;
  const counted = COUNTED[index];
  const isHidden = counted !== undefined && !may(counted.needs);
  const body = isHidden ? null : counted ? {} : bodyOf(panel, query);
  const asked = JSON.stringify([
    panel.kind,
    panel.fields,
    panel.options,
    query,
    panel.index,
    range.value,
    place.value.chosen.unit ?? "",
    turn,
  ]);
  const answer = useAnswer(body ? asked : null, async (signal) => {
    if (counted) return { data: await counted.data(panel, signal), at: Date.now() };
    const searched = index === "alerts" ? index : "events";
    const before = bodyBefore(panel, query);
    const [found, earlier] = await Promise.all([
      search(bodyOf(panel, query) ?? {}, signal, true, searched),
      before ? search(before, signal, true, searched) : null,
      panel.fields.includes("tags") ? techniquesKnown() : null,
    ]);
    return { data: dataOf(panel, found, earlier), at: Date.now() };
  });
  useChange(marks.queue, () => {
    if (panel.index === "alerts" && Date.now() - (answer.value?.at ?? 0) > QUIET_MS) answer.again(true);
  });
  if (panel.kind === "text") return <div class="wrap">{rich(said(panel.options.text ?? ""))}</div>;
  if (isHidden) return <p class="quiet nothing">{t("board.not_yours")}</p>;
  if (!body) return <p class="quiet">{t("board.choose_fields")}</p>;
  if (answer.fault) return <Fault of={answer.fault} />;
  if (!answer.value)
    return (
      <p class="quiet small" role="status">
        {t("loading")}
      </p>
    );
  const { data } = answer.value;
  if (isEmpty(panel, data)) return <p class="quiet nothing">{t("board.no_data")}</p>;
  const press = ({ values, from, to }: Pressed) =>
    counted ? counted.open(values) : drill(panel, query, values, from, to);
  const open = (id: string) => go("hunt", { q: query, index, event: id });
  return (
    <div class={`fill ${answer.waits ? "waits" : ""}`}>
      <Kind panel={panel} data={data} onPress={press} onOpen={open} />
    </div>
  );
}

/** Go to the events behind a part of a panel. */
function drill(panel: Panel, query: string, values: readonly string[], from?: number, to?: number): void {
  const q = values.reduce(
    (text, value, place) => (panel.fields[place] ? narrowed(text, clause(panel.fields[place] ?? "", value)) : text),
    query,
  );
  const time: Chosen =
    from === undefined || to === undefined
      ? {}
      : { from: new Date(from).toISOString(), to: new Date(to).toISOString() };
  go("hunt", { q, index: panel.index, ...time });
}

interface KindProps {
  panel: Panel;
  data: Data;
  onPress: (pressed: Pressed) => void;
  onOpen: (id: string) => void;
}

function Kind({ panel, data, onPress, onOpen }: KindProps) {
  const says = (value: number) => write(value, panel.options);
  switch (panel.kind) {
    case "line":
    case "area":
      return (
        <Suspense fallback={null}>
          <Lines
            times={data.times}
            series={data.series}
            words={data.words}
            area={panel.kind === "area"}
            write={says}
            whole={isWhole(panel.options)}
            onSpan={chooseSpan}
            label={said(panel.title)}
          />
        </Suspense>
      );
    case "number":
      return <Single panel={panel} data={data} onPress={onPress} />;
    case "top":
      return <Top panel={panel} data={data} />;
    case "table":
      return <Rows panel={panel} data={data} onOpen={onOpen} />;
    case "tilemap":
      return (
        <Tiles
          cells={data.cells}
          onOpen={(values) =>
            go("hunt", {
              q: narrowed(
                panel.query,
                `${panel.fields[0] ?? "organization.id"}:(${values.map((value) => `"${value}"`).join(" OR ")})`,
              ),
              index: panel.index,
            })
          }
        />
      );
    case "points":
      return <Points hits={data.hits} fields={panel.fields} map={panel.options.map ?? ""} onOpen={onOpen} />;
    default:
      return <Drawing panel={panel} data={data} onPress={onPress} onOpen={onOpen} />;
  }
}

/** One number, how it was in the time before, and how it went. */
function Single({ panel, data, onPress }: Omit<KindProps, "onOpen">) {
  const { value, before } = data;
  const change = value !== null && before ? (value - before) / before : null;
  const values = data.series[0]?.values ?? [],
    most = Math.max(1, ...values);
  return (
    <button type="button" class="single" onClick={() => onPress({ values: [] })}>
      <b>{value === null ? "–" : write(value, panel.options, true)}</b>
      <span class="quiet small">
        {change === null
          ? t("board.before_none")
          : t("board.before", { change: `${change > 0 ? "+" : ""}${percent(change)}` })}
      </span>
      <svg viewBox={`0 0 ${Math.max(1, values.length)} 24`} preserveAspectRatio="none" aria-hidden="true">
        {values.map((each, number) => (
          <rect key={number} x={number + 0.1} width={0.8} y={24 - (each / most) * 24} height={(each / most) * 24} />
        ))}
      </svg>
    </button>
  );
}

/** A value with what can be done with it; of what the API counts, a way to its screen. */
function Told({ panel, field, value, shown }: { panel: Panel; field: string; value: string; shown?: string }) {
  const counted = COUNTED[panel.index];
  if (!counted) return <Value field={field} value={value} shown={shown} />;
  return (
    <button type="button" class="link" onClick={() => counted.open([value])}>
      {shown ?? plain(value)}
    </button>
  );
}

function Top({ panel, data }: { panel: Panel; data: Data }) {
  const most = Math.max(1, ...data.cells.map(({ value }) => value));
  const field = panel.fields[0] ?? "";
  return (
    <ul class="stack top-list">
      {data.cells.map(({ keys: [key = ""], value }) => (
        <li key={key}>
          <div class="line apart small">
            <span class="raw clip">
              <Told panel={panel} field={field} value={key} shown={data.words[key]} />
            </span>
            <b>{write(value, panel.options)}</b>
          </div>
          <Share of={value / most} />
        </li>
      ))}
    </ul>
  );
}

function Rows({ panel, data, onOpen }: { panel: Panel; data: Data; onOpen: (id: string) => void }) {
  const fields = panel.fields.filter(Boolean);
  const counted = COUNTED[panel.index]?.heads(fields[0] ?? "");
  if (data.cells.length)
    return (
      <table class="fields rows-table">
        <thead>
          <tr>
            {(counted ? [counted[0]] : fields).map((name) => (
              <th key={name}>{name}</th>
            ))}
            <th class="right">{counted ? counted[1] : t(`board.metric.${panel.options.metric ?? "count"}`)}</th>
          </tr>
        </thead>
        <tbody>
          {data.cells.map(({ keys, value }) => (
            <tr key={keys.join("\u0000")}>
              {keys.map((key, place) => (
                <td key={place} class="raw">
                  <Told panel={panel} field={fields[place] ?? ""} value={key} shown={data.words[key]} />
                </td>
              ))}
              <td class="right">{write(value, panel.options)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    );
  return (
    <table class="fields rows-table">
      <thead>
        <tr>
          <th>{t("column.time")}</th>
          {fields.length ? fields.map((field) => <th key={field}>{field}</th>) : <th>{t("column.message")}</th>}
        </tr>
      </thead>
      <tbody>
        {data.hits.map(({ _id, _source }) => (
          <tr key={_id}>
            <td>
              <button type="button" class="value small" onClick={() => onOpen(_id)}>
                <When at={String(_source["@timestamp"])} />
              </button>
            </td>
            {fields.length ? (
              fields.map((field) => (
                <td key={field} class="raw">
                  <Value field={field} value={_source[field]} shown={saidOf(_source, field)} />
                </td>
              ))
            ) : (
              <td class="raw">{plain(summaryOf(_source)).slice(0, 200)}</td>
            )}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
