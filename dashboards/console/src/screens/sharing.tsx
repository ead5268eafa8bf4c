// Sharing with the authority and with partners: with whom, what leaves, what they warn of.

import { addressOf, chosen } from "../address";
import { t } from "../words";
import { heldCount } from "./held_count";
import { Messages } from "./sharing_messages";
import { Receivers } from "./sharing_profiles";
import { Received } from "./sharing_received";

const VIEWS = { profiles: Receivers, messages: Messages, received: Received } as const;

export default function Sharing() {
  const { view = "profiles" } = chosen.value;
  const Shown = VIEWS[view as keyof typeof VIEWS] ?? Receivers;
  return (
    <>
      <header>
        <h1>{t("screen.sharing")}</h1>
      </header>
      <nav class="tabs">
        {(Object.keys(VIEWS) as (keyof typeof VIEWS)[]).map((each) => (
          <a
            key={each}
            href={addressOf("sharing", { view: each })}
            {...(VIEWS[each] === Shown ? { "aria-current": "page" as const } : {})}
          >
            {t(`sharing.view.${each}`)}
            {each === "messages" && heldCount.value && (
              <span class="tag attention">{t("sharing.waiting_people", { count: heldCount.value })}</span>
            )}
          </a>
        ))}
      </nav>
      <Shown />
    </>
  );
}
