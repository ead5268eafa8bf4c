// A list as a table: sticky head, columns that may be chosen and made wider, and only the rows that are in sight.

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { number, zone } from "../format";
import { useKeys } from "../keys";
import type { Listing } from "../listing";
import { prefer, preferences } from "../session";
import { t } from "../words";
import { Icon } from "./icon";
import { Fault } from "./marks";
import { Item, MenuButton } from "./popover";

export interface Column<R> {
  id: string;
  says: string;
  /** Pixels; the one that grows takes what is left. */
  width: number;
  grows?: boolean;
  cell: (row: R) => ComponentChildren;
  right?: boolean;
  /** Sorts by this, where the list can. */
  sort?: string;
  /** On a phone: the first line, or not there. */
  phone?: "lead" | "off";
  /** Not there unless somebody chooses it. */
  extra?: boolean;
}

interface Props<R> {
  /** The list's name: the person's columns and widths are kept under it. */
  name: string;
  label: string;
  list: Listing<R>;
  columns: readonly Column<R>[];
  onOpen: (row: R) => void;
  /** Rows may be chosen. */
  chooses?: boolean;
  sorted?: { by: string; on: (by: string) => void };
  empty: ComponentChildren;
  foot?: ComponentChildren;
  /** The order and choice of columns is the screen's own matter. */
  fixed?: boolean;
  /** It has no times, whose zone would be said. */
  timeless?: boolean;
}

const LEAST_WIDTH = 48;
const SPARE_ROWS = 8;
/** Browsers draw nothing beyond some 33 million pixels. */
const MOST_PIXELS = 16_000_000;

export function Grid<R>({
  name,
  label,
  list,
  columns,
  onOpen,
  chooses = false,
  sorted,
  empty,
  foot,
  fixed = false,
  timeless = false,
}: Props<R>) {
  const scroll = useRef<HTMLDivElement>(null);
  const top = useSignal(0);
  const height = useSignal(600);
  const row = useSignal(32);
  const { cursor, selected, total, version, waits, fault, all } = list;

  useLayoutEffect(() => {
    const box = scroll.current;
    if (!box) return undefined;
    const measure = () => {
      height.value = box.clientHeight;
      row.value = parseFloat(getComputedStyle(box).getPropertyValue("--row")) || 32;
    };
    const watch = new ResizeObserver(measure);
    watch.observe(box);
    measure();
    return () => watch.disconnect();
  }, [preferences.value.density]);

  const rowHeight = row.value;
  const most = Math.min(list.most, Math.floor(MOST_PIXELS / rowHeight));
  const count = Math.min(total.value ?? 0, most);
  const first = Math.max(0, Math.floor(top.value / rowHeight) - SPARE_ROWS);
  const last = Math.min(count - 1, Math.ceil((top.value + height.value) / rowHeight) + SPARE_ROWS);
  useEffect(() => {
    if (last >= first) list.need(first, last);
  }, [first, last, total.value]);

  // The cursor is kept in sight when keys move it, and only then.
  const before = useRef(cursor.value);
  useLayoutEffect(() => {
    const box = scroll.current;
    if (!box || before.current === cursor.value) return;
    before.current = cursor.value;
    const at = cursor.value * rowHeight;
    if (at < box.scrollTop) box.scrollTop = at;
    else if (at + rowHeight * 2 > box.scrollTop + box.clientHeight)
      box.scrollTop = at + rowHeight * 2 - box.clientHeight;
  }, [cursor.value]);

  const open = () => list.current && onOpen(list.current);
  useKeys([
    { keys: "j", says: "key.next", run: () => list.move(1) },
    { keys: "k", says: "key.previous", run: () => list.move(-1) },
    { keys: "Enter", says: "key.open", run: open },
    ...(chooses
      ? [{ keys: "x", says: "key.choose" as const, run: () => list.current && list.toggle(list.current) }]
      : []),
  ]);

  const kept = preferences.value.columns[name];
  const shown = fixed
    ? columns.filter((each) => !each.extra)
    : columns.filter((each) => (kept ? kept.includes(each.id) : !each.extra));
  const widthOf = (column: Column<R>) => preferences.value.widths[`${name}.${column.id}`] ?? column.width;
  const laid = [
    ...(chooses ? ["40px"] : []),
    ...shown.map((each) => (each.grows ? `minmax(${widthOf(each)}px, 1fr)` : `${widthOf(each)}px`)),
  ].join(" ");

  const rows: ComponentChildren[] = [];
  version.value;
  for (let place = first; place <= last; place += 1) {
    const item = list.at(place);
    const key = item ? list.keyOf(item) : `place-${place}`;
    const isChosen = all.value || (item !== undefined && selected.value.has(key));
    const press = (event: MouseEvent) => {
      if (!item) return;
      if (event.shiftKey && chooses) list.toggleTo(place);
      cursor.value = before.current = place;
      if (!event.shiftKey) onOpen(item);
    };
    rows.push(
      <div
        key={key}
        role="row"
        aria-rowindex={place + 2}
        aria-selected={isChosen}
        id={`${name}-${place}`}
        class={`row ${place === cursor.value ? "cursor" : ""} ${isChosen ? "selected" : ""}`}
        style={{ transform: `translateY(${place * rowHeight}px)`, gridTemplateColumns: laid }}
        onClick={press}
      >
        {item === undefined ? (
          <span class="gone" role="gridcell">
            …
          </span>
        ) : (
          <>
            {chooses && (
              <span class="cell tick" role="gridcell" onClick={(event) => event.stopPropagation()}>
                <input
                  type="checkbox"
                  aria-label={t("list.choose")}
                  checked={isChosen}
                  tabIndex={-1}
                  onClick={(event) => {
                    if (event.shiftKey) list.toggleTo(place);
                    else list.toggle(item);
                    cursor.value = before.current = place;
                  }}
                />
              </span>
            )}
            {shown.map((column) => (
              <span key={column.id} role="gridcell" class={`cell ${column.right ? "right" : ""} ${column.phone ?? ""}`}>
                {column.cell(item)}
              </span>
            ))}
          </>
        )}
      </div>,
    );
  }

  const onArrows = (event: KeyboardEvent) => {
    const step = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: Math.floor(height.value / rowHeight) - 1,
      PageUp: 1 - Math.floor(height.value / rowHeight),
      Home: -count,
      End: count,
    }[event.key];
    if (!step || event.target !== scroll.current) return;
    event.preventDefault();
    list.move(step);
  };
  const chosenCount = all.value ? (total.value ?? 0) : selected.value.size;

  return (
    <div class="grid">
      {fault.value && <Fault of={fault.value} />}
      <div
        class={`scroll ${waits.value && total.value !== null && version.value === 0 ? "waits" : ""}`}
        ref={scroll}
        role="grid"
        tabIndex={0}
        aria-label={label}
        aria-rowcount={count + 1}
        aria-busy={waits.value}
        {...(chooses ? { "aria-multiselectable": true } : {})}
        {...(count ? { "aria-activedescendant": `${name}-${cursor.value}` } : {})}
        onScroll={(event) => (top.value = event.currentTarget.scrollTop)}
        onKeyDown={onArrows}
      >
        <div class="head" role="row" aria-rowindex={1} style={{ gridTemplateColumns: laid }}>
          {chooses && (
            <span class="cell tick" role="columnheader">
              <input
                type="checkbox"
                aria-label={t("list.choose_loaded")}
                checked={chosenCount > 0}
                onClick={() => (chosenCount ? list.choose([]) : list.chooseLoaded())}
              />
            </span>
          )}
          {shown.map((column) => (
            <HeadCell
              key={column.id}
              column={column}
              sorted={sorted}
              onWidth={(width) => prefer({ widths: { ...preferences.value.widths, [`${name}.${column.id}`]: width } })}
            />
          ))}
        </div>
        {total.value === 0 ? (
          empty
        ) : (
          <div role="rowgroup" style={{ height: `${count * rowHeight}px`, position: "relative" }}>
            {rows}
          </div>
        )}
      </div>
      {total.value === null && !fault.value && (
        <p class="gone" role="status">
          {t("loading")}
        </p>
      )}
      <div class="foot">
        <span>
          {total.value === null ? "" : t("list.of", { count: number(total.value) })}
          {count < (total.value ?? 0) ? ` · ${t("list.most", { count: number(count) })}` : ""}
        </span>
        {!timeless && <span class="quiet">{t("list.zone", { zone })}</span>}
        {foot}
        {!fixed && (
          <MenuButton kind="plain small" icon="columns" label={t("list.columns")} says={t("list.columns")}>
            {() =>
              columns.map((column) => (
                <Item
                  key={column.id}
                  says={column.says}
                  checked={shown.includes(column)}
                  run={() =>
                    prefer({
                      columns: {
                        ...preferences.value.columns,
                        [name]: columns
                          .filter((each) => shown.includes(each) !== (each === column))
                          .map(({ id }) => id),
                      },
                    })
                  }
                />
              ))
            }
          </MenuButton>
        )}
      </div>
    </div>
  );
}

interface HeadProps<R> {
  column: Column<R>;
  sorted: Props<R>["sorted"];
  onWidth: (width: number) => void;
}

function HeadCell<R>({ column, sorted, onWidth }: HeadProps<R>) {
  const begin = (event: PointerEvent) => {
    const edge = event.currentTarget as HTMLElement,
      cell = edge.parentElement as HTMLElement;
    const from = event.clientX,
      width = cell.getBoundingClientRect().width;
    edge.setPointerCapture(event.pointerId);
    edge.onpointermove = (moved) => onWidth(Math.max(LEAST_WIDTH, Math.round(width + moved.clientX - from)));
    edge.onpointerup = () => (edge.onpointermove = edge.onpointerup = null);
    event.preventDefault();
  };
  const isSorted = Boolean(column.sort && sorted?.by === column.sort);
  return (
    <span
      class={`cell ${column.right ? "right" : ""}`}
      role="columnheader"
      {...(isSorted ? { "aria-sort": "descending" as const } : {})}
    >
      {column.sort && sorted ? (
        <button type="button" onClick={() => sorted.on(column.sort ?? "")}>
          {column.says}
          {isSorted ? " ↓" : ""}
        </button>
      ) : (
        column.says
      )}
      <i class="edge" onPointerDown={begin} />
    </span>
  );
}

/** What is done with the chosen rows; hides where none are. */
export function Bulk<R>({
  list,
  allows = false,
  children,
}: {
  list: Listing<R>;
  allows?: boolean;
  children: ComponentChildren;
}) {
  const { selected, all, total } = list;
  if (!selected.value.size && !all.value) return null;
  const count = all.value ? (total.value ?? 0) : selected.value.size;
  return (
    <div class="bulk" role="toolbar" aria-label={t("list.chosen", { count: number(count) })}>
      <b>{t("list.chosen", { count: number(count) })}</b>
      {allows && !all.value && (total.value ?? 0) > selected.value.size && (
        <button type="button" class="plain small" onClick={() => (all.value = true)}>
          {t("list.choose_all", { count: number(total.value ?? 0) })}
        </button>
      )}
      {children}
      <button type="button" class="plain small" onClick={() => list.choose([])}>
        <Icon name="close" />
        {t("list.choose_none")}
      </button>
    </div>
  );
}
