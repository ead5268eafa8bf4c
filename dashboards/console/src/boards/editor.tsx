// The editor of one panel: every change shows at once in the panel beside it.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { useAnswer } from "../answers";
import { ask } from "../api";
import { fieldsKnown, type Known } from "../fields";
import { Sheet } from "../parts/sheet";
import type { Saved } from "../parts/saved";
import { t, word, type Key } from "../words";
import { COUNTED } from "./counted";
import { FIELDS, KINDS, METRICS, USUAL_SIZE, said, type Index, type Kind, type Options, type Panel } from "./model";

const BY: Key = "board.by";
/** How a share is written, and where its scale ends. */
const AS_SHARE: Options = { unit: "percent", most: 100 };

interface Props {
  panel: Panel;
  onChange: (panel: Panel) => void;
  onClose: () => void;
}

/** Kinds that measure something. */
const MEASURES = new Set<Kind>([
  "line",
  "area",
  "bar",
  "stacked",
  "pie",
  "heatmap",
  "table",
  "number",
  "gauge",
  "treemap",
  "sankey",
  "graph",
  "tilemap",
  "top",
]);
const SIZED = new Set<Kind>([
  "line",
  "area",
  "bar",
  "stacked",
  "pie",
  "heatmap",
  "table",
  "treemap",
  "sankey",
  "graph",
  "top",
]);

export function Editor({ panel, onChange, onClose }: Props) {
  const known = useSignal<Known[]>([]);
  useEffect(() => void fieldsKnown().then((found) => (known.value = found)), []);
  const maps = useAnswer(panel.kind === "points" ? "maps" : null, (signal) =>
    ask<{ saved: Saved[] }>("/saved?kind=map", { signal }),
  );
  const change = (changes: Partial<Panel>) => onChange({ ...panel, ...changes });
  const option = (changes: Options) => change({ options: { ...panel.options, ...changes } });
  const chooseIndex = (index: Index) =>
    change(index === "systems" ? { index, options: { ...panel.options, ...AS_SHARE } } : { index });
  const counted = COUNTED[panel.index];
  const fields = counted?.always && panel.kind !== "text" ? [BY] : FIELDS[panel.kind].slice(0, counted ? 1 : undefined);
  const setField = (place: number, name: string) =>
    change({
      fields: fields
        .map((_, each) => (each === place ? name : (panel.fields[each] ?? "")))
        .filter((each, at, all) => each || all.slice(at + 1).some(Boolean)),
    });
  return (
    <Sheet title={t("board.panel")} onClose={onClose}>
      <div class="stack">
        <label class="field">
          <span>{t("board.title")}</span>
          <input
            value={said(panel.title)}
            maxLength={200}
            onInput={(event) => change({ title: event.currentTarget.value })}
          />
        </label>
        <fieldset class="kinds">
          <legend class="small quiet">{t("board.kind")}</legend>
          {KINDS.map((kind) => (
            <button
              key={kind}
              type="button"
              class="small"
              aria-pressed={panel.kind === kind}
              onClick={() => change({ kind })}
            >
              {t(`board.kind.${kind}`)}
            </button>
          ))}
        </fieldset>
        <p class="small quiet">{t(`board.kind.${panel.kind}.help` as Key)}</p>
        {panel.kind === "text" ? (
          <label class="field">
            <span>{t("board.text")}</span>
            <textarea
              rows={8}
              value={said(panel.options.text ?? "")}
              maxLength={20_000}
              onInput={(event) => option({ text: event.currentTarget.value })}
            />
          </label>
        ) : (
          <>
            <label class="field">
              <span>{t("hunt.index")}</span>
              <select value={panel.index} onChange={(event) => chooseIndex(event.currentTarget.value as Index)}>
                <option value="events">{t("hunt.events")}</option>
                <option value="alerts">{t("hunt.alerts")}</option>
                {Object.entries(COUNTED).map(([index, { says }]) => (
                  <option key={index} value={index}>
                    {t(says)}
                  </option>
                ))}
              </select>
            </label>
            {!counted && (
              <label class="field">
                <span>{t("query")}</span>
                <input
                  class="raw"
                  value={panel.query}
                  maxLength={5000}
                  placeholder="*"
                  spellcheck={false}
                  onChange={(event) => change({ query: event.currentTarget.value })}
                />
              </label>
            )}
            {counted && fields.length > 0 && (
              <label class="field">
                <span>{t(BY)}</span>
                <select value={panel.fields[0] ?? ""} onChange={(event) => setField(0, event.currentTarget.value)}>
                  <option value="">{t("board.by.none")}</option>
                  {counted.by.map((name) => (
                    <option key={name} value={name}>
                      {word("board.by", name)}
                    </option>
                  ))}
                </select>
              </label>
            )}
            {(counted ? [] : fields).map((says, place) => (
              <label class="field" key={place}>
                <span>
                  {t(says)}
                  {fields.length > 3 ? ` ${place + 1}` : ""}
                </span>
                <input
                  class="raw"
                  list="fields-known"
                  value={panel.fields[place] ?? ""}
                  spellcheck={false}
                  onChange={(event) => setField(place, event.currentTarget.value.trim())}
                />
              </label>
            ))}
            <datalist id="fields-known">
              {known.value.map(({ name }) => (
                <option key={name} value={name} />
              ))}
            </datalist>
            {!counted && MEASURES.has(panel.kind) && (
              <>
                <label class="field">
                  <span>{t("board.metric")}</span>
                  <select
                    value={panel.options.metric ?? "count"}
                    onChange={(event) =>
                      option({ metric: event.currentTarget.value as NonNullable<Options["metric"]> })
                    }
                  >
                    {METRICS.map((metric) => (
                      <option key={metric} value={metric}>
                        {t(`board.metric.${metric}`)}
                      </option>
                    ))}
                  </select>
                </label>
                {(panel.options.metric ?? "count") !== "count" && (
                  <label class="field">
                    <span>{t("board.metric_field")}</span>
                    <input
                      class="raw"
                      list="fields-known"
                      value={panel.options.metric_field ?? ""}
                      onChange={(event) => option({ metric_field: event.currentTarget.value.trim() })}
                    />
                  </label>
                )}
                <label class="field">
                  <span>{t("board.unit")}</span>
                  <select
                    value={panel.options.unit ?? ""}
                    onChange={(event) => option({ unit: event.currentTarget.value as NonNullable<Options["unit"]> })}
                  >
                    {(["", "bytes", "seconds", "percent"] as const).map((unit) => (
                      <option key={unit} value={unit}>
                        {t(`board.unit.${unit || "none"}`)}
                      </option>
                    ))}
                  </select>
                </label>
              </>
            )}
            {!counted && SIZED.has(panel.kind) && (
              <label class="field">
                <span>{t("board.size")}</span>
                <input
                  type="number"
                  min={1}
                  max={100}
                  value={panel.options.size ?? USUAL_SIZE}
                  onChange={(event) =>
                    option({ size: Math.max(1, Math.min(100, Number(event.currentTarget.value) || USUAL_SIZE)) })
                  }
                />
              </label>
            )}
            {panel.kind === "gauge" && (
              <label class="field">
                <span>{t("board.most")}</span>
                <input
                  type="number"
                  min={0}
                  value={panel.options.most ?? ""}
                  onChange={(event) => option({ most: Number(event.currentTarget.value) || 0 })}
                />
              </label>
            )}
            {panel.kind === "points" && (
              <label class="field">
                <span>{t("board.map")}</span>
                <select
                  value={panel.options.map ?? ""}
                  onChange={(event) => option({ map: event.currentTarget.value })}
                >
                  <option value="">{t("board.map.none")}</option>
                  {maps.value?.saved.map(({ id, name }) => (
                    <option key={id} value={id}>
                      {String(name)}
                    </option>
                  ))}
                </select>
              </label>
            )}
          </>
        )}
        <div class="line">
          <button type="button" class="main" onClick={onClose}>
            {t("board.done")}
          </button>
        </div>
      </div>
    </Sheet>
  );
}
