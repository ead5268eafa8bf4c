// A list that is too long to be held: pages are loaded where one looks. It knows the row under the cursor and the chosen
// rows by their keys, so that neither moves when rows come or go.

import { batch, signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { Refused } from "./api";

export interface Page<R> {
  total: number;
  rows: R[];
}
type Load<R> = (offset: number, limit: number, until: AbortSignal, byItself: boolean) => Promise<Page<R>>;

const PAGE = 100;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15_000;

export class Listing<R> {
  readonly total = signal<number | null>(null);
  /** Changes with every row that came. */
  readonly version = signal(0);
  readonly waits = signal(false);
  readonly fault = signal<Refused | null>(null);
  readonly cursor = signal(0);
  readonly selected = signal<ReadonlySet<string>>(new Set());
  /** All that fit are meant, also those that were never loaded. */
  readonly all = signal(false);
  private rows = new Map<number, R>();
  private loading = new Set<number>();
  private stop = new AbortController();
  private failures = 0;
  private timer = 0;
  private first = 0;
  private last = PAGE - 1;

  /** `most`: rows beyond are not to be had. */
  constructor(
    private load: Load<R>,
    readonly keyOf: (row: R) => string,
    readonly most = Number.MAX_SAFE_INTEGER,
  ) {}

  /** Begin anew with other rows. The last ones stay until the first of these are there. */
  begin(load: Load<R>): void {
    this.load = load;
    batch(() => {
      this.cursor.value = 0;
      this.choose([]);
    });
    this.first = 0;
    this.last = PAGE - 1;
    this.again();
  }

  /** Load again what one looks at; the cursor stays on its row as long as that is in sight. */
  again(byItself = false): void {
    this.end();
    this.failures = 0;
    this.fetch(Math.floor(this.first / PAGE), byItself, true);
  }

  /** Say which rows one looks at. */
  need(first: number, last: number): void {
    [this.first, this.last] = [first, last];
    for (let page = Math.floor(first / PAGE); page <= Math.floor(last / PAGE); page += 1) {
      if (page * PAGE < (this.total.value ?? 1) && !this.rows.has(page * PAGE)) this.fetch(page, false, false);
    }
  }

  at(place: number): R | undefined {
    return this.rows.get(place);
  }

  /** The row under the cursor. */
  get current(): R | undefined {
    return this.rows.get(this.cursor.value);
  }

  /** Change a row that is there, by its key. */
  change(key: string, changed: (row: R) => R): void {
    for (const [place, row] of this.rows) if (this.keyOf(row) === key) this.rows.set(place, changed(row));
    this.version.value += 1;
  }

  /** Return the place of a row that is there; -1 for none. */
  placeOf(key: string): number {
    for (const [place, row] of this.rows) if (this.keyOf(row) === key) return place;
    return -1;
  }

  /** Return the rows that are chosen and there; of none, the one under the cursor. */
  meant(): R[] {
    const found = [...this.rows.values()].filter((row) => this.selected.value.has(this.keyOf(row)));
    if (found.length) return found;
    return this.current ? [this.current] : [];
  }

  move(step: number): void {
    this.cursor.value = Math.max(0, Math.min((this.total.value ?? 1) - 1, this.cursor.value + step));
  }

  /** Choose a row, or not any more. */
  toggle(row: R): void {
    const key = this.keyOf(row),
      now = new Set(this.selected.value);
    if (!now.delete(key)) now.add(key);
    this.choose(now);
  }

  /** Choose all rows from the cursor to a place, as far as they are there. */
  toggleTo(place: number): void {
    const now = new Set(this.selected.value);
    const [from, to] = [Math.min(this.cursor.value, place), Math.max(this.cursor.value, place)];
    for (let each = from; each <= to; each += 1) {
      const row = this.rows.get(each);
      if (row) now.add(this.keyOf(row));
    }
    this.choose(now);
  }

  choose(keys: Iterable<string>): void {
    batch(() => {
      this.selected.value = new Set(keys);
      this.all.value = false;
    });
  }

  chooseLoaded(): void {
    this.choose([...this.rows.values()].map(this.keyOf));
  }

  end(): void {
    this.stop.abort();
    this.stop = new AbortController();
    this.loading.clear();
    clearTimeout(this.timer);
  }

  private fetch(page: number, byItself: boolean, anew: boolean): void {
    if (this.loading.has(page)) return;
    this.loading.add(page);
    this.waits.value = true;
    const until = this.stop.signal;
    this.load(page * PAGE, PAGE, until, byItself).then(
      (found) => until.aborted || this.take(page, found, anew),
      (error: unknown) => until.aborted || this.refuse(error, page, anew),
    );
  }

  private take(page: number, found: Page<R>, anew: boolean): void {
    const key = this.current && this.keyOf(this.current);
    this.loading.delete(page);
    this.failures = 0;
    if (anew) this.rows = new Map();
    found.rows.forEach((row, place) => this.rows.set(page * PAGE + place, row));
    batch(() => {
      this.fault.value = null;
      this.total.value = found.total;
      this.waits.value = this.loading.size > 0;
      const moved = anew && key !== undefined ? this.placeOf(key) : -1;
      this.cursor.value = moved >= 0 ? moved : Math.min(this.cursor.value, Math.max(0, found.total - 1));
      this.version.value += 1;
    });
    if (anew) this.need(this.first, Math.min(this.last, Math.max(0, found.total - 1)));
  }

  private refuse(error: unknown, page: number, anew: boolean): void {
    if (!(error instanceof Refused)) throw error;
    this.loading.delete(page);
    batch(() => {
      this.fault.value = error;
      this.waits.value = false;
    });
    if (!error.passes) return;
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.failures) * (0.5 + Math.random() / 2);
    this.failures += 1;
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.fetch(page, true, anew), pause);
  }
}

/** Return a page of rows that are all here already. */
export const rowsOf = <R>(all: readonly R[], offset: number, limit: number): Page<R> => ({
  total: all.length,
  rows: all.slice(offset, offset + limit),
});

/** Return a list that begins anew whenever `key` changes. */
export function useListing<R>(key: string, load: Load<R>, keyOf: (row: R) => string, most?: number): Listing<R> {
  const made = useRef<Listing<R> | null>(null);
  const list = (made.current ??= new Listing(load, keyOf, most));
  useEffect(() => list.begin(load), [key]);
  useEffect(() => () => list.end(), []);
  return list;
}
