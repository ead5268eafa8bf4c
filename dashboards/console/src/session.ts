// Who is logged in, and what they may do and prefer.

import { signal } from "@preact/signals";
import { ask, Refused, whenLoggedOut } from "./api";

export interface Person {
  name: string;
  role: string;
  permissions: string[];
  /** A data view hides something from them. */
  limited: boolean;
  second_factor: boolean;
  /** Marks of what changes (`live.ts`), as they were before anything was shown. */
  marks: Record<string, string>;
}

/** undefined: not known yet; null: nobody. */
export const person = signal<Person | null | undefined>(undefined);

whenLoggedOut(() => (person.value = null));

/** Say whether who is logged in may do something, such as `alerts.change`. */
export const may = (permission: string): boolean => person.value?.permissions.includes(permission) ?? false;

/** Find out who is logged in. */
export async function meet(): Promise<void> {
  try {
    const found = await ask<Person>("/me");
    await loadPreferences(found.name);
    person.value = found;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401) person.value = null;
    else setTimeout(() => void meet(), 2000);
  }
}

export async function logOut(): Promise<void> {
  await ask("/logout", { method: "POST", body: {} }).catch(() => null);
  person.value = null;
}

export type Theme = "auto" | "light" | "dark";
export type Density = "compact" | "usual" | "comfortable";

export interface Preferences {
  theme: Theme;
  density: Density;
  /** The rail shows icons alone. */
  folded: boolean;
  /** The columns of each list, by its name. */
  columns: Record<string, string[]>;
  /** The widths of columns in pixels, by list and column. */
  widths: Record<string, number>;
  /** The last queries, the latest first. */
  queries: string[];
}

const USUAL: Preferences = { theme: "auto", density: "usual", folded: false, columns: {}, widths: {}, queries: [] };
const KEPT = "haidang.preferences";
/** Whose changes the server does not have yet. */
const UNSAVED = "haidang.preferences.unsaved";
const SAVE_AFTER_MS = 1500;

export const preferences = signal<Preferences>({ ...USUAL, ...kept() });

let saving = 0;

/** Change what the person prefers: at once here, and soon wherever they log in. */
export function prefer(changes: Partial<Preferences>): void {
  preferences.value = { ...preferences.value, ...changes };
  localStorage.setItem(KEPT, JSON.stringify(preferences.value));
  localStorage.setItem(UNSAVED, person.value?.name ?? "");
  clearTimeout(saving);
  saving = window.setTimeout(() => void save(), SAVE_AFTER_MS);
}

addEventListener("pagehide", () => {
  if (saving) void save();
});

async function save(): Promise<void> {
  clearTimeout(saving);
  saving = 0;
  const asking = { method: "PUT", body: preferences.value, byItself: true, keepalive: true } as const;
  try {
    await ask("/me/preferences", asking);
    if (!saving) localStorage.removeItem(UNSAVED);
  } catch (error) {
    if (!(error instanceof Refused)) throw error; // the next change saves it, too, or the next log-in
  }
}

async function loadPreferences(name: string): Promise<void> {
  if (name && localStorage.getItem(UNSAVED) === name) return void save();
  const found = await ask<Partial<Preferences>>("/me/preferences").catch(() => null);
  if (found && Object.keys(found).length) {
    preferences.value = { ...USUAL, ...found };
    localStorage.setItem(KEPT, JSON.stringify(preferences.value));
  }
}

function kept(): Partial<Preferences> {
  try {
    return JSON.parse(localStorage.getItem(KEPT) ?? "{}");
  } catch {
    return {};
  }
}
