// A value of an event: pressing it opens what one may do with it. It is only ever text.

import { computed } from "@preact/signals";
import { addressOf, place } from "../address";
import { plain } from "../format";
import { askFor, entityOf } from "../query";
import { t } from "../words";
import { closePopover, Item, openBeside } from "./popover";

/** Longer values are cut in lists; the sheet has them whole. */
const MOST_SHOWN = 300;
const onHunt = computed(() => place.value.screen === "hunt");

export function Value({
  field,
  value,
  whole = false,
  shown: said,
}: {
  field: string;
  value: unknown;
  whole?: boolean;
  shown?: string | undefined;
}) {
  if (value === null || value === undefined || value === "") return null;
  if (Array.isArray(value) && whole)
    return (
      <div>
        {value.map((each, number) => (
          <div key={number}>
            <Value field={field} value={each} whole />
          </div>
        ))}
      </div>
    );
  const one = Array.isArray(value) ? value[0] : value;
  const text = plain(value);
  const shown = said ?? (whole || text.length <= MOST_SHOWN ? text : `${text.slice(0, MOST_SHOWN)}…`);
  const open = (event: MouseEvent) => {
    event.stopPropagation();
    openBeside(event.currentTarget as Element, <Asks field={field} value={one} />);
  };
  return (
    <button type="button" class="value" aria-haspopup="menu" data-field={field} onClick={open}>
      {shown}
    </button>
  );
}

/** What one may do with a value. */
export function Asks({ field, value }: { field: string; value: unknown }) {
  const hunting = onHunt.value;
  const entity = entityOf(field, value);
  const text = plain(value);
  const run = (how: Parameters<typeof askFor>[0]) => () => askFor(how, field, value, hunting);
  return (
    <>
      <div class="says">
        <b class="small quiet">{field}</b>
        <span class="raw clip">{text.slice(0, 80)}</span>
      </div>
      <hr />
      {hunting && <Item icon="plus" says={t("value.include")} run={run("include")} />}
      {hunting && <Item icon="minus" says={t("value.exclude")} run={run("exclude")} />}
      <Item icon="target" says={t("value.only")} run={run("only")} />
      <Item icon="rows" says={t("value.group")} run={run("group")} />
      <Item icon="search" says={t("value.pivot")} run={run("pivot")} />
      {entity && <Item icon="user" says={t("value.entity")} href={addressOf("entity", {}, entity)} />}
      <hr />
      <Item
        icon="copy"
        says={t("value.copy")}
        run={() => {
          void navigator.clipboard?.writeText(String(value));
          closePopover();
        }}
      />
    </>
  );
}
