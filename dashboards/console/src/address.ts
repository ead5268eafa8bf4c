// The address bar: it holds which screen is shown and everything that is chosen on it, so that a copied address shows
// a colleague the same. `place` is what it says; `go` and `adjust` change it.

import { computed, signal } from "@preact/signals";

export type Chosen = Readonly<Record<string, string>>;

interface Place {
  /** The first part of the path: `queue` of `/queue/12`. */
  screen: string;
  /** The rest of it: what is open. */
  rest: string;
  chosen: Chosen;
}

/** What goes along from screen to screen. */
const CARRIED = ["from", "to", "unit"] as const;

function read(): Place {
  const [, screen = "", ...rest] = location.pathname.split("/");
  const linked = /^#alert\/(.+)$/.exec(location.hash); // as messages name an alert
  if (linked?.[1]) return { screen: "alert", rest: decodeURIComponent(linked[1]), chosen: {} };
  return {
    screen: screen || "overview",
    rest: rest.map(decodeURIComponent).join("/"),
    chosen: Object.fromEntries(new URLSearchParams(location.search)),
  };
}

export const place = signal<Place>(read());
export const chosen = computed(() => place.value.chosen);

addEventListener("popstate", () => (place.value = read()));

/** Return the address of a screen; the time range and the unit are taken along unless they are given. */
export function addressOf(screen: string, values: Chosen = {}, rest = ""): string {
  const carried = Object.fromEntries(CARRIED.map((name) => [name, place.value.chosen[name] ?? ""]));
  const given = Object.entries({ ...carried, ...values }).filter(([, value]) => value !== "");
  const path = [screen === "overview" ? "" : screen, ...(rest ? rest.split("/") : [])]
    .map(encodeURIComponent)
    .join("/");
  return `/${path}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
}

/** Show a screen. */
export function go(screen: string, values: Chosen = {}, rest = ""): void {
  show(addressOf(screen, values, rest), true);
}

/** Change what is chosen on this screen; `quietly`: the way back does not stop here. */
export function adjust(values: Chosen, quietly = false): void {
  const { screen, rest, chosen: now } = place.value;
  show(addressOf(screen, { ...now, ...values }, rest), !quietly);
}

function show(address: string, noted: boolean): void {
  if (address === location.pathname + location.search) return;
  if (noted) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
  place.value = read();
}

/** Let links to our own screens change the place without loading the page again. */
export function followLinks(): void {
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
      return;
    const link = (event.target as Element | null)?.closest?.("a");
    if (
      !link ||
      link.origin !== location.origin ||
      link.target ||
      link.hasAttribute("download") ||
      link.hasAttribute("data-load")
    )
      return;
    event.preventDefault();
    show(link.pathname + link.search, true);
  });
}
