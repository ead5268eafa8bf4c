// The unit whose events are looked at: all, or one of those that send.

import { adjust, chosen } from "../address";
import { useAnswer } from "../answers";
import { ask } from "../api";
import { may } from "../session";
import { t } from "../words";
import { Item, MenuButton } from "./popover";

interface Units {
  aggregations: { units: { buckets: { key: string; doc_count: number }[] } };
}
const MOST_UNITS = 200;

export function UnitPicker() {
  const answer = useAnswer(may("events.read") ? "units" : null, (signal) =>
    ask<Units>("/search/events", {
      method: "POST",
      signal,
      byItself: true,
      body: {
        size: 0,
        query: { range: { "@timestamp": { gte: "now-30d" } } },
        aggs: { units: { terms: { field: "organization.id", size: MOST_UNITS } } },
      },
    }),
  );
  const units = answer.value?.aggregations.units.buckets ?? [];
  const now = chosen.value.unit ?? "";
  if (units.length < 2 && !now) return null; // one unit alone is no choice
  return (
    <MenuButton kind="plain" icon="server" says={<span class="clip">{now || t("unit.all")}</span>} label={t("unit")}>
      {() => (
        <>
          <Item says={t("unit.all")} checked={!now} run={() => adjust({ unit: "" })} />
          {units.map(({ key }) => (
            <Item key={key} says={key} checked={key === now} run={() => adjust({ unit: key })} />
          ))}
        </>
      )}
    </MenuButton>
  );
}
