// What the server knew when it sent the page.

export type Language = "vi" | "en";

interface Boot {
  language: Language;
  /** The zone in which the site writes times, an IANA name. */
  zone: string;
  /** This site's name, as its operator set it. */
  site: string;
  version: string;
  /** Where else one may log in; empty for nowhere. */
  provider: string;
  /** Why the log-in there was refused, where that was just so. */
  refused: string;
}

const LANGUAGE = "haidang.language";
const sent: Boot = JSON.parse(document.getElementById("boot")?.textContent ?? "{}");

export const boot: Boot = { ...sent, language: spoken() ?? sent.language };

/** Return the language that this browser's reader has chosen, now or once; of the address, it is kept. */
function spoken(): Language | null {
  const address = new URL(location.href);
  const wanted = address.searchParams.get("lang") ?? localStorage.getItem(LANGUAGE);
  if (address.searchParams.has("lang")) {
    address.searchParams.delete("lang");
    history.replaceState(null, "", address);
  }
  if (wanted !== "vi" && wanted !== "en") return null;
  localStorage.setItem(LANGUAGE, wanted);
  return wanted;
}
