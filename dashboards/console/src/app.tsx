// The frame: a rail of screens, the top bar, one task; before that the log-in.

import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import type { ComponentType } from "preact";
import { lazy, Suspense } from "preact/compat";
import { addressOf, adjust, chosen, go, place } from "./address";
import { away } from "./answers";
import { boot } from "./boot";
import { useKeys, type Bound } from "./keys";
import { Dialog, question } from "./parts/dialog";
import { Icon, type IconName } from "./parts/icon";
import { Item, MenuButton, Popover } from "./parts/popover";
import { QueryBar } from "./parts/query_bar";
import { Toasts } from "./parts/toast";
import { Keys } from "./parts/keys_list";
import { RangePicker } from "./parts/range_picker";
import { UnitPicker } from "./parts/unit_picker";
import { connected, paused } from "./live";
import { heldCount } from "./screens/held_count";
import { LogIn } from "./screens/log_in";
import { queueCount } from "./screens/queue_count";
import { logOut, may, person, prefer, preferences, type Density, type Theme } from "./session";
import { language, LANGUAGES, t, type Key } from "./words";
import favicon from "./favicon.svg";

interface Screen {
  name: string;
  /** What one must be allowed to see it. */
  needs: string;
  icon: IconName;
  /** The letter after `g` that leads here. */
  letter: string;
  shows: ComponentType;
  /** It is reached from others, and not in the rail. */
  hidden?: boolean;
}

const screen = (load: () => Promise<{ default: ComponentType }>): ComponentType => lazy(load) as ComponentType;

const WORK: readonly Screen[] = [
  { name: "overview", needs: "", icon: "activity", letter: "o", shows: screen(() => import("./screens/overview")) },
  { name: "queue", needs: "alerts.read", icon: "queue", letter: "q", shows: screen(() => import("./screens/queue")) },
  { name: "hunt", needs: "events.read", icon: "search", letter: "h", shows: screen(() => import("./screens/hunt")) },
  {
    name: "dashboards",
    needs: "events.read",
    icon: "dashboard",
    letter: "d",
    shows: screen(() => import("./screens/dashboards")),
  },
  { name: "cases", needs: "cases.read", icon: "case", letter: "c", shows: screen(() => import("./screens/cases")) },
  {
    name: "alert",
    needs: "alerts.read",
    icon: "alert",
    letter: "",
    shows: screen(() => import("./screens/alert")),
    hidden: true,
  },
  {
    name: "entity",
    needs: "events.read",
    icon: "user",
    letter: "",
    shows: screen(() => import("./screens/entity")),
    hidden: true,
  },
  {
    name: "suppressions",
    needs: "suppressions.read",
    icon: "bell",
    letter: "",
    shows: screen(() => import("./screens/suppressions")),
    hidden: true,
  },
  {
    name: "account",
    needs: "",
    icon: "account",
    letter: "",
    shows: screen(() => import("./screens/account")),
    hidden: true,
  },
];

const ASSETS: readonly Screen[] = [
  {
    name: "network",
    needs: "devices.read",
    icon: "network",
    letter: "n",
    shows: screen(() => import("./screens/network")),
  },
  {
    name: "devices",
    needs: "devices.read",
    icon: "device",
    letter: "v",
    shows: screen(() => import("./screens/devices")),
  },
  {
    name: "indicators",
    needs: "indicators.read",
    icon: "target",
    letter: "i",
    shows: screen(() => import("./screens/indicators")),
  },
  { name: "rules", needs: "rules.read", icon: "shield", letter: "r", shows: screen(() => import("./screens/rules")) },
];

const SITE: readonly Screen[] = [
  {
    name: "sources",
    needs: "site.read",
    icon: "server",
    letter: "s",
    shows: screen(() => import("./screens/sources")),
  },
  { name: "health", needs: "site.read", icon: "health", letter: "e", shows: screen(() => import("./screens/health")) },
  {
    name: "delivery",
    needs: "delivery.read",
    icon: "send",
    letter: "l",
    shows: screen(() => import("./screens/delivery")),
  },
  {
    name: "sharing",
    needs: "sharing.read",
    icon: "share",
    letter: "x",
    shows: screen(() => import("./screens/sharing")),
  },
  {
    name: "reports",
    needs: "sharing.read",
    icon: "text",
    letter: "b",
    shows: screen(() => import("./screens/reports")),
  },
  { name: "audit", needs: "audit.read", icon: "audit", letter: "t", shows: screen(() => import("./screens/audit")) },
  { name: "users", needs: "users.manage", icon: "users", letter: "u", shows: screen(() => import("./screens/users")) },
  { name: "tokens", needs: "tokens.manage", icon: "key", letter: "k", shows: screen(() => import("./screens/tokens")) },
  {
    name: "settings",
    needs: "settings.read",
    icon: "settings",
    letter: "m",
    shows: screen(() => import("./screens/settings")),
  },
];

const GROUPS: readonly (readonly [Key, readonly Screen[]])[] = [
  ["rail.work", WORK],
  ["rail.assets", ASSETS],
  ["rail.site", SITE],
];
const SCREENS = GROUPS.flatMap(([, screens]) => screens);

export function App() {
  if (person.value === undefined) return null;
  if (person.value === null) return <LogIn />;
  return <Frame />;
}

function Frame() {
  const open = useSignal(false);
  const now = useComputed(() => SCREENS.find(({ name }) => name === place.value.screen));
  useSignalEffect(() => {
    place.value;
    open.value = false;
    document.title = now.value ? `${t(`screen.${now.value.name}` as Key)} · Hải Đăng` : "Hải Đăng";
  });
  const visible = SCREENS.filter(({ needs, hidden }) => !hidden && (!needs || may(needs)));
  useKeys([
    ...visible
      .filter(({ letter }) => letter)
      .map(({ name, letter }): Bound => ({ keys: `g ${letter}`, says: `screen.${name}` as Key, run: () => go(name) })),
    {
      keys: "?",
      says: "key.all",
      run: () =>
        question({
          title: t("key.all"),
          says: <Keys />,
          does: t("close"),
          wide: true,
          only_says: true,
          work: () => {},
        }),
    },
  ]);
  const Task = now.value?.shows;
  const allowed = !now.value?.needs || may(now.value.needs);
  return (
    <div class={`frame ${preferences.value.folded ? "folded" : ""}`}>
      <aside class={`rail ${open.value ? "open" : ""}`}>
        <a class="brand" href={addressOf("overview")}>
          <img src={favicon} alt="" />
          <span>Hải Đăng</span>
        </a>
        <nav aria-label={t("rail")}>
          {GROUPS.map(([says, screens]) => {
            const shown = screens.filter((each) => visible.includes(each));
            return (
              shown.length > 0 && (
                <div key={says}>
                  <h4>{t(says)}</h4>
                  {shown.map((each) => (
                    <RailLink key={each.name} of={each} />
                  ))}
                </div>
              )
            );
          })}
        </nav>
        <footer>
          <button
            type="button"
            class="plain"
            title={t("rail.fold")}
            onClick={() => prefer({ folded: !preferences.value.folded })}
          >
            <Icon name="panel" />
            <span>{t("rail.fold")}</span>
          </button>
        </footer>
      </aside>
      <header class="top">
        <button
          type="button"
          class="plain menu-button"
          aria-label={t("rail")}
          aria-expanded={open.value}
          onClick={() => (open.value = !open.value)}
        >
          <Icon name="menu" />
        </button>
        {may("events.read") && (
          <QueryBar
            value={place.value.screen === "hunt" ? (chosen.value.q ?? "") : ""}
            onSearch={(q) => (place.value.screen === "hunt" ? adjust({ q, event: "" }) : go("hunt", { q }))}
          />
        )}
        <UnitPicker />
        <RangePicker />
        <button
          type="button"
          class="plain"
          aria-pressed={paused.value}
          aria-label={t(paused.value ? "live.resume" : "live.pause")}
          title={t(paused.value ? "live.resume" : connected.value ? "live.pause" : "live.off")}
          onClick={() => (paused.value = !paused.value)}
        >
          <Icon name={paused.value ? "play" : "pause"} />
        </button>
        <AccountMenu />
      </header>
      <main class="task" id="task">
        {away.value > 0 && (
          <div class="notice fault" role="alert">
            {t("fault.away")} <span class="quiet">{t("fault.again")}</span>
          </div>
        )}
        {!Task ? (
          <Missing />
        ) : !allowed ? (
          <p class="notice attention">{t("screen.not_allowed", { permission: now.value?.needs ?? "" })}</p>
        ) : (
          <Suspense
            fallback={
              <p class="quiet" role="status">
                {t("loading")}
              </p>
            }
          >
            <Task />
          </Suspense>
        )}
      </main>
      <Popover />
      <Dialog />
      <Toasts />
    </div>
  );
}

function RailLink({ of }: { of: Screen }) {
  const count = of.name === "queue" ? queueCount.value : of.name === "sharing" ? heldCount.value : "";
  const words = t(`screen.${of.name}` as Key);
  return (
    <a
      href={addressOf(of.name)}
      title={words}
      {...(place.value.screen === of.name ? { "aria-current": "page" as const } : {})}
    >
      <Icon name={of.icon} />
      <span>{words}</span>
      {count && <b>{count}</b>}
    </a>
  );
}

function Missing() {
  return (
    <div class="empty">
      <p>{t("screen.missing", { path: location.pathname })}</p>
      <a class="button" href={addressOf("overview")}>
        {t("screen.overview")}
      </a>
    </div>
  );
}

const THEMES: readonly Theme[] = ["auto", "light", "dark"];
const DENSITIES: readonly Density[] = ["compact", "usual", "comfortable"];

function AccountMenu() {
  return (
    <MenuButton kind="plain" icon="account" label={t("account.menu", { name: person.value?.name ?? "" })}>
      {() => (
        <>
          <div class="says">
            <b>{person.value?.name}</b>
            <span class="small quiet">
              {person.value?.role} · {boot.site}
            </span>
          </div>
          <hr />
          <Item icon="settings" says={t("screen.account")} href={addressOf("account")} />
          <Item
            icon="help"
            says={t("key.all")}
            keys="?"
            run={() =>
              question({
                title: t("key.all"),
                says: <Keys />,
                does: t("close"),
                wide: true,
                only_says: true,
                work: () => {},
              })
            }
          />
          <Item icon="text" says={t("account.api")} run={() => window.open("/docs", "_blank", "noopener")} />
          <hr />
          {LANGUAGES.map((each) => (
            <Item key={each} says={t(`language.${each}`)} checked={each === language} run={() => speak(each)} />
          ))}
          <hr />
          {THEMES.map((theme) => (
            <Item
              key={theme}
              says={t(`theme.${theme}`)}
              checked={preferences.value.theme === theme}
              run={() => prefer({ theme })}
            />
          ))}
          <hr />
          {DENSITIES.map((density) => (
            <Item
              key={density}
              says={t(`density.${density}`)}
              checked={preferences.value.density === density}
              run={() => prefer({ density })}
            />
          ))}
          <hr />
          <Item icon="logout" says={t("account.log_out")} run={() => void logOut()} />
        </>
      )}
    </MenuButton>
  );
}

/** Load the page again in another language. */
function speak(other: string): void {
  const address = new URL(location.href);
  address.searchParams.set("lang", other);
  location.href = address.href;
}
