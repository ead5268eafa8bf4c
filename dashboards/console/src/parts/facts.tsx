// What is known of one thing, as names and values; those without a value are left out. And what a list is narrowed to.

import type { ComponentChildren } from "preact";
import { adjust, type Chosen } from "../address";
import { t } from "../words";

export type Fact = readonly [says: string, value: ComponentChildren];

export function Facts({ of }: { of: readonly Fact[] }) {
  return (
    <table class="fields">
      <tbody>
        {of
          .filter(([, value]) => value)
          .map(([says, value]) => (
            <tr key={says}>
              <th scope="row">{says}</th>
              <td>{value}</td>
            </tr>
          ))}
      </tbody>
    </table>
  );
}

/** What a list is narrowed to, and the way back: `off` is chosen then. */
export function Narrowed({ says, off }: { says: string; off: Chosen }) {
  return (
    <span class="chip">
      <span>{says}</span>
      <button type="button" aria-label={`${t("list.choose_none")}: ${says}`} onClick={() => adjust(off)}>
        ×
      </button>
    </span>
  );
}
