// What tags of rules are called: tactics by the catalogue, techniques of ATT&CK by the server, asked for when the first one
// is shown.

import { signal } from "@preact/signals";
import { ask } from "./api";
import { word } from "./words";

const names = signal<Record<string, string> | null>(null);
const AGAIN_MS = 30_000;
let asked: Promise<unknown> | null = null;
let at = 0;

/** Return a tag in words where it names a tactic or a technique of ATT&CK; else the tag itself. */
export function tagSays(tag: string): string {
  const [, said = ""] = /^attack\.(.+)$/.exec(tag) ?? [];
  if (!said) return tag;
  if (!/^t\d{4}(\.\d{3})?$/.test(said)) return word("tactic", said.replaceAll("_", "-"), tag);
  if (!names.value) void techniquesKnown();
  const code = said.toUpperCase();
  const name = names.value?.[code] ?? names.value?.[code.slice(0, 5)];
  return name ? `${code} ${name}` : code;
}

/** Wait for the names; where they cannot be had, codes alone say it, too. */
export function techniquesKnown(): Promise<unknown> {
  if (!asked || (!names.value && Date.now() - at > AGAIN_MS)) {
    at = Date.now();
    asked = ask<{ techniques: Record<string, string> }>("/techniques", { byItself: true }).then(
      ({ techniques }) => (names.value = techniques),
      () => null,
    );
  }
  return asked;
}
