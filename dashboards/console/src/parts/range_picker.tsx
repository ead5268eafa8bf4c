// The time range of all screens: a relative one, one between two moments, and those that somebody saved.

import { useSignal } from "@preact/signals";
import { chooseRange, endsOf, nameOf, range, RANGES } from "../range";
import { t, type Key } from "../words";
import { clockAt, zone } from "../format";
import { may } from "../session";
import { SavedItems } from "./saved";
import { closePopover, Item, MenuButton } from "./popover";

export function RangePicker() {
  return (
    <MenuButton kind="plain" icon="clock" says={<span class="clip">{nameOf(range.value)}</span>} label={t("range")}>
      {() => (
        <>
          {RANGES.map((name) => (
            <Item
              key={name}
              says={t(`range.${name}` as Key)}
              checked={range.value.from === `now-${name}` && !range.value.to}
              run={() => chooseRange(`now-${name}`)}
            />
          ))}
          <Item says={t("range.all")} checked={range.value.from === "all"} run={() => chooseRange("all")} />
          <hr />
          {may("events.read") && (
            <>
              <SavedItems
                kind="range"
                body={{ from: range.value.from, to: range.value.to }}
                onOpen={({ from = "", to = "" }) => chooseRange(from, to)}
              />
              <hr />
            </>
          )}
          <Between />
        </>
      )}
    </MenuButton>
  );
}

function Between() {
  const [begin, end] = endsOf(range.value) ?? [Date.now() - 86_400_000, Date.now()];
  const from = useSignal(local(begin)),
    to = useSignal(local(end));
  const choose = (event: SubmitEvent) => {
    event.preventDefault();
    const [first, last] = [instant(from.value), instant(to.value)];
    if (first === null || last === null || last <= first) return;
    closePopover();
    chooseRange(new Date(first).toISOString(), new Date(last).toISOString());
  };
  return (
    <form class="says stack" onSubmit={choose}>
      <label class="field">
        <span>
          {t("range.from")} ({zone})
        </span>
        <input
          type="datetime-local"
          step={1}
          required
          value={from.value}
          onInput={(event) => (from.value = event.currentTarget.value)}
        />
      </label>
      <label class="field">
        <span>{t("range.to")}</span>
        <input
          type="datetime-local"
          step={1}
          required
          value={to.value}
          onInput={(event) => (to.value = event.currentTarget.value)}
        />
      </label>
      <button type="submit" class="main">
        {t("range.choose")}
      </button>
    </form>
  );
}

/** Write a moment as a field for dates takes it, in the site's zone. */
export function local(at: number): string {
  const clock = clockAt(at);
  return clock ? `${clock.year}-${clock.month}-${clock.day}T${clock.hour}:${clock.minute}:${clock.second}` : "";
}

/** Return the moment of such a text in the site's zone; null where it is none. */
export function instant(text: string): number | null {
  const guess = Date.parse(`${text}${text.length === 16 ? ":00" : ""}Z`);
  if (Number.isNaN(guess)) return null;
  const offset = (at: number) => Date.parse(`${local(at)}Z`) - at;
  return guess - offset(guess - offset(guess));
}
