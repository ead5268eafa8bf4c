// A problem of the site in words, with the way to where it is mended.

import { addressOf, place } from "../address";
import type { Told } from "../health";
import { may } from "../session";
import { rich, t, word } from "../words";

/** What one must be allowed to see a screen; who sees problems sees those that are not here. */
const NEEDS: Readonly<Record<string, string>> = {
  delivery: "delivery.read",
  rules: "rules.read",
  indicators: "indicators.read",
  cases: "cases.read",
  users: "users.manage",
};

export function Problem({ of: { says, screen, values } }: { of: Told }) {
  const needs = NEEDS[screen];
  const leads = screen !== place.value.screen && (!needs || may(needs));
  return (
    <div class="notice attention">
      <span>{rich(says)}</span>
      {leads && (
        <a class="button small" href={addressOf(screen, values)}>
          {t("health.to", { screen: word("screen", screen) })}
        </a>
      )}
    </div>
  );
}
