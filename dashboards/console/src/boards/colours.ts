// The page's colours as charts take them; they follow light and dark.

import { computed } from "@preact/signals";
import { LEVELS } from "../parts/marks";
import { preferences } from "../session";
import type { Colours } from "./options";

// Eight hues that stay apart for colour-blind eyes (after Okabe and Ito, 2008), darker on light ground.
const LIGHT = ["#0f766e", "#0b5cad", "#b83c08", "#7d5a00", "#a5004f", "#4f46a5", "#3f6212", "#55606c"];
const DARK = ["#2dd4bf", "#79b8ff", "#ff9b62", "#e5c04c", "#ff7ab6", "#b3aaff", "#a3d977", "#a6b2bd"];

export const colours = computed<Colours>(() => {
  preferences.value.theme; // follows the choice
  const style = getComputedStyle(document.documentElement);
  const of = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const isDark = document.documentElement.dataset.theme === "dark";
  return {
    text: of("text"),
    quiet: of("quiet"),
    line: of("line"),
    surface: of("surface"),
    accent: of("accent"),
    series: isDark ? DARK : LIGHT,
    levels: Object.fromEntries(LEVELS.map((level) => [level, of(level)])),
  };
});
