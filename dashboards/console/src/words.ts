// Words: a key and values enter, a sentence in the reader's language leaves.
// The catalogues are `locale/vi.json` and `locale/en.json`; a key that is in neither does not compile.

import { h, type ComponentChild } from "preact";
import type vietnamese from "../locale/vi.json";
import { boot, type Language } from "./boot";

export type Key = keyof typeof vietnamese;

export const LANGUAGES: readonly Language[] = ["vi", "en"];
export const language: Language = boot.language;

let catalogue: Record<string, string> = {};

/** Load the catalogue of the reader's language; nothing may be shown before. */
export async function loadWords(): Promise<void> {
  catalogue = (language === "vi" ? await import("../locale/vi.json") : await import("../locale/en.json")).default;
}

/** Return a sentence with its values filled in: `{count}` by `values.count`. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  const sentence = catalogue[key] ?? key;
  return sentence.replace(/\{(\w+)\}/g, (whole, name: string) => (name in values ? String(values[name]) : whole));
}

/** Return the word for a value of an open set, such as a status that a newer server knows; else the value itself. */
export function word(family: string, value: string, otherwise = value): string {
  return catalogue[`${family}.${value}`] ?? otherwise;
}

/** Return a sentence as texts and elements: what stands between backquotes is a command or a key. */
export function rich(sentence: string): ComponentChild[] {
  return sentence.split("`").map((part, place) => (place % 2 ? h("code", null, part) : part));
}

/** Return a field in the reader's language where there is one: `rule.name_vi` for `rule.name`. */
export function spoken(document: Record<string, unknown>, field: string): unknown {
  return document[`${field}_${language}`] ?? document[field];
}

const MARKS = /[\u0300-\u036f]/g;

/** Return a text without case and diacritics, as the search compares: `Đăng nhập` is `dang nhap`. */
export function folded(text: string): string {
  return text.toLowerCase().replace(/đ/g, "d").normalize("NFD").replace(MARKS, "");
}
