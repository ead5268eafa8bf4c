// The query bar: a text with completion of fields and values, the last queries, and a fault under its very character.

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { Refused } from "../api";
import { fieldsKnown, typedAt, valuesOf, type Typed } from "../fields";
import { number } from "../format";
import { useKeys } from "../keys";
import { clausesOf, quoted, turned, without } from "../query";
import { prefer, preferences } from "../session";
import { folded, t } from "../words";
import { Icon } from "./icon";

interface Suggestion {
  text: string;
  says: string;
  detail: string;
}

const MOST_SUGGESTIONS = 12;
const KEPT_QUERIES = 30;
const TYPING_MS = 120;

export function QueryBar({ value, onSearch }: { value: string; onSearch: (query: string) => void }) {
  const text = useSignal(value);
  const suggestions = useSignal<Suggestion[]>([]);
  const pointed = useSignal(-1);
  const input = useRef<HTMLInputElement>(null);
  const typed = useRef<Typed | null>(null);
  const asking = useRef<{ stop: AbortController; timer: number }>({ stop: new AbortController(), timer: 0 });
  useEffect(() => void (text.value = value), [value]);
  useKeys([
    {
      keys: "/",
      says: "key.query",
      run: () => {
        input.current?.focus();
        input.current?.select();
      },
    },
  ]);

  const close = () => {
    asking.current.stop.abort();
    clearTimeout(asking.current.timer);
    suggestions.value = [];
    pointed.value = -1;
  };
  const suggest = () => {
    close();
    const caret = input.current?.selectionStart ?? 0,
      query = text.value;
    const stop = (asking.current.stop = new AbortController());
    asking.current.timer = window.setTimeout(
      () =>
        void suggestionsFor(query, caret, stop.signal).then(
          ([where, found]) => {
            if (stop.signal.aborted || document.activeElement !== input.current) return;
            typed.current = where;
            suggestions.value = found;
          },
          () => {},
        ),
      TYPING_MS,
    );
  };
  const search = (query: string) => {
    close();
    const wanted = query.trim();
    if (wanted)
      prefer({
        queries: [wanted, ...preferences.value.queries.filter((each) => each !== wanted)].slice(0, KEPT_QUERIES),
      });
    onSearch(wanted);
  };
  const take = ({ text: chosen }: Suggestion) => {
    const where = typed.current,
      box = input.current;
    if (!where || !box) return search(chosen);
    const caret = box.selectionStart ?? text.value.length;
    box.value = text.value.slice(0, where.from) + chosen + text.value.slice(caret);
    box.setSelectionRange(where.from + chosen.length, where.from + chosen.length); // at once: who types fast goes on
    text.value = box.value;
    box.focus();
    suggest();
  };
  const onKey = (event: KeyboardEvent) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step && suggestions.value.length) {
      event.preventDefault();
      pointed.value = (pointed.value + step + suggestions.value.length + 1) % (suggestions.value.length + 1);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      if (suggestions.value.length) close();
      else input.current?.blur();
    } else if (event.key === "Tab" && suggestions.value.length) {
      event.preventDefault();
      take(suggestions.value[Math.max(0, pointed.value)] as Suggestion);
    }
  };
  const chosen = suggestions.value[pointed.value];
  return (
    <form
      class="query"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        if (chosen) take(chosen);
        else search(text.value);
      }}
    >
      <div class="box">
        <Icon name="search" />
        <input
          id="query"
          ref={input}
          type="text"
          value={text.value}
          placeholder={t("query.hint")}
          aria-label={t("query")}
          spellcheck={false}
          autocomplete="off"
          autocapitalize="off"
          maxLength={10_000}
          role="combobox"
          aria-expanded={suggestions.value.length > 0}
          aria-controls="suggestions"
          aria-autocomplete="list"
          {...(chosen ? { "aria-activedescendant": `suggestion-${pointed.value}` } : {})}
          onInput={(event) => {
            text.value = event.currentTarget.value;
            suggest();
          }}
          onFocus={() => !text.value && suggest()}
          onBlur={() => setTimeout(close, 150)}
          onKeyDown={onKey}
        />
        {suggestions.value.length > 0 && (
          <ul class="suggestions" id="suggestions" role="listbox" aria-label={t("query.suggestions")}>
            {suggestions.value.map((each, place) => (
              <li
                key={each.text}
                id={`suggestion-${place}`}
                role="option"
                aria-selected={place === pointed.value}
                onPointerDown={(event) => {
                  event.preventDefault();
                  take(each);
                }}
              >
                <span class="raw clip">{each.says}</span>
                <span class="quiet small">{each.detail}</span>
              </li>
            ))}
          </ul>
        )}
      </div>
    </form>
  );
}

async function suggestionsFor(query: string, caret: number, until: AbortSignal): Promise<[Typed | null, Suggestion[]]> {
  const where = typedAt(query, caret);
  if (!query.trim())
    return [
      null,
      preferences.value.queries
        .slice(0, MOST_SUGGESTIONS)
        .map((text) => ({ text, says: text, detail: t("query.earlier") })),
    ];
  if (!where) return [null, []];
  if (where.isValue) {
    const values = await valuesOf(query, where.field, where.text, until);
    return [where, values.map(([value, count]) => ({ text: quoted(value), says: value, detail: number(count) }))];
  }
  const wanted = folded(where.text);
  const fits = (await fieldsKnown()).filter(({ name }) => folded(name).includes(wanted));
  fits.sort(
    (one, other) =>
      Number(!one.name.startsWith(where.text)) - Number(!other.name.startsWith(where.text)) ||
      one.name.localeCompare(other.name),
  );
  return [
    where,
    fits.slice(0, MOST_SUGGESTIONS).map(({ name, type }) => ({ text: `${name}:`, says: name, detail: type })),
  ];
}

/** What is wrong with a query, under the character where it is. */
export function QueryFault({ query, fault }: { query: string; fault: Refused | null }) {
  if (!fault) return null;
  const at = fault.body.position;
  return (
    <div class="notice fault" role="alert" id="query-fault">
      {at !== undefined && at !== null && (
        <div class="caret" aria-hidden="true">
          {query.slice(0, at)}
          <mark>{query.slice(at, at + 1) || " "}</mark>
          {query.slice(at + 1)}
          {"\n"}
          {" ".repeat(at)}
          <b>▲</b>
        </div>
      )}
      <span>
        {at !== undefined && fault.body.reason
          ? t("query.fault_at", { position: number(at + 1), reason: fault.body.reason })
          : fault.message}
      </span>
      {fault.passes && <span class="quiet">{t("fault.again")}</span>}
    </div>
  );
}

/** The query's clauses, each to be turned round or taken away. */
export function Chips({ query, onChange }: { query: string; onChange: (query: string) => void }) {
  const clauses = clausesOf(query);
  if (!clauses.length) return null;
  return (
    <div class="chips" role="group" aria-label={t("query.clauses")}>
      {clauses.map((clause) => (
        <span key={clause} class={`chip ${clause.startsWith("NOT ") ? "not" : ""}`}>
          <button type="button" class="raw" title={t("query.turn")} onClick={() => onChange(turned(query, clause))}>
            {clause}
          </button>
          <button
            type="button"
            aria-label={t("query.drop", { clause })}
            onClick={() => onChange(without(query, clause))}
          >
            ×
          </button>
        </span>
      ))}
    </div>
  );
}
