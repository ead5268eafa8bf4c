// An event as a table of fields and values, and as the JSON that it is.

import { useSignal } from "@preact/signals";
import { folded, t } from "../words";
import { CopyButton } from "./marks";
import { Value } from "./value";

export type Document = Record<string, unknown>;

/** Rows that are drawn before somebody asks for the others. */
const FIRST_ROWS = 200;

export function Fields({ of }: { of: Document }) {
  const wanted = useSignal("");
  const all = useSignal(false);
  const names = Object.keys(of).sort();
  const text = folded(wanted.value);
  const found = text ? names.filter((name) => folded(`${name} ${String(of[name])}`).includes(text)) : names;
  const shown = all.value ? found : found.slice(0, FIRST_ROWS);
  return (
    <>
      <input
        type="search"
        placeholder={t("fields.find")}
        aria-label={t("fields.find")}
        value={wanted.value}
        onInput={(event) => (wanted.value = event.currentTarget.value)}
      />
      <table class="fields">
        <thead class="unseen">
          <tr>
            <th>{t("fields.name")}</th>
            <th>{t("fields.value")}</th>
          </tr>
        </thead>
        <tbody>
          {shown.map((name) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="raw">
                <Value field={name} value={of[name]} whole />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {found.length > shown.length && (
        <button type="button" onClick={() => (all.value = true)}>
          {t("fields.all", { count: found.length })}
        </button>
      )}
    </>
  );
}

export function Raw({ of }: { of: Document }) {
  const text = JSON.stringify(of, null, 1);
  return (
    <details>
      <summary>{t("fields.raw")}</summary>
      <CopyButton text={text} />
      <pre class="raw">{text.slice(0, 200_000)}</pre>
    </details>
  );
}
