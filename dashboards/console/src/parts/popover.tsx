// Menus that open beside what was pressed: one at a time, closed by Escape or by pressing elsewhere.

import { signal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { Icon, type IconName } from "./icon";

interface Opened {
  at: DOMRect;
  from: HTMLElement | null;
  content: ComponentChildren;
}

const opened = signal<Opened | null>(null);

/** Open a menu beside an element. */
export function openBeside(element: Element, content: ComponentChildren): void {
  opened.value = { at: element.getBoundingClientRect(), from: element as HTMLElement, content };
}

export function closePopover(): void {
  const from = opened.value?.from;
  opened.value = null;
  from?.focus();
}

/** The place of the one menu; stands once in the page. */
export function Popover() {
  const menu = useRef<HTMLDivElement>(null);
  const now = opened.value;
  useLayoutEffect(() => {
    if (!now || !menu.current) return;
    const { width, height } = menu.current.getBoundingClientRect();
    const below = now.at.bottom + 4 + height <= innerHeight || now.at.top < height;
    menu.current.style.left = `${Math.max(8, Math.min(now.at.left, innerWidth - width - 8))}px`;
    menu.current.style.top = `${Math.max(8, below ? Math.min(now.at.bottom + 4, innerHeight - height - 8) : now.at.top - height - 4)}px`;
    (menu.current.querySelector<HTMLElement>("[role^=menuitem], input, button") ?? menu.current).focus({
      preventScroll: true,
    });
  }, [now]);
  useEffect(() => {
    if (!now) return undefined;
    const press = (event: Event) => menu.current?.contains(event.target as Node) || closeWithoutFocus();
    const key = (event: KeyboardEvent) => onKey(event, menu.current);
    addEventListener("pointerdown", press, true);
    addEventListener("keydown", key, true);
    addEventListener("resize", closeWithoutFocus);
    return () => {
      removeEventListener("pointerdown", press, true);
      removeEventListener("keydown", key, true);
      removeEventListener("resize", closeWithoutFocus);
    };
  }, [now]);
  return (
    now && (
      <div class="popover" role="menu" tabIndex={-1} ref={menu}>
        {now.content}
      </div>
    )
  );
}

function closeWithoutFocus(): void {
  opened.value = null;
}

function onKey(event: KeyboardEvent, menu: HTMLElement | null): void {
  if (event.key === "Escape") {
    event.stopPropagation();
    event.preventDefault();
    closePopover();
    return;
  }
  const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
  if (!step || !menu) return;
  event.preventDefault();
  event.stopPropagation();
  const items = [...menu.querySelectorAll<HTMLElement>("[role^=menuitem]")];
  const place = items.indexOf(document.activeElement as HTMLElement);
  items[(place + step + items.length) % items.length]?.focus();
}

interface ItemProps {
  icon?: IconName;
  says: ComponentChildren;
  keys?: string;
  checked?: boolean;
  href?: string;
  run?: () => void;
  disabled?: boolean;
}

/** One line of a menu. */
export function Item({ icon, says, keys, checked, href, run, disabled = false }: ItemProps): JSX.Element {
  const role = checked === undefined ? "menuitem" : "menuitemradio";
  const content = (
    <>
      {icon && <Icon name={icon} />}
      <span class="clip">{says}</span>
      {keys && <kbd>{keys}</kbd>}
    </>
  );
  if (href)
    return (
      <a role="menuitem" href={href} onClick={closeWithoutFocus}>
        {content}
      </a>
    );
  const press = () => {
    closePopover();
    run?.();
  };
  return (
    <button
      type="button"
      role={role}
      {...(checked === undefined ? {} : { "aria-checked": checked })}
      disabled={disabled}
      onClick={press}
    >
      {content}
    </button>
  );
}

/** A button that opens a menu. */
export function MenuButton({
  icon,
  says,
  label,
  kind = "",
  children,
}: {
  icon?: IconName;
  says?: ComponentChildren;
  label?: string;
  kind?: string;
  children: () => ComponentChildren;
}) {
  return (
    <button
      type="button"
      class={kind}
      aria-haspopup="menu"
      {...(label ? { title: label, ...(says ? {} : { "aria-label": label }) } : {})}
      onClick={(event) => openBeside(event.currentTarget, children())}
    >
      {icon && <Icon name={icon} />}
      {says}
      {says && <Icon name="down" />}
    </button>
  );
}
