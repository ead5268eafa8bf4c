// The beginning: words and who is logged in, then the frame or the log-in.

import "./style.css";
import { effect } from "@preact/signals";
import { render } from "preact";
import { followLinks } from "./address";
import { App } from "./app";
import { listenToKeys } from "./keys";
import { listen } from "./live";
import { meet, preferences } from "./session";
import { language, loadWords } from "./words";

const dark = matchMedia("(prefers-color-scheme: dark)");

function dress(): void {
  const { theme, density } = preferences.value;
  document.documentElement.dataset.theme = theme === "auto" ? (dark.matches ? "dark" : "light") : theme;
  document.documentElement.dataset.density = density;
}

document.documentElement.lang = language;
effect(dress);
dark.addEventListener("change", dress);
followLinks();
listenToKeys();
listen();
await Promise.all([loadWords(), meet()]);
render(<App />, document.body);
