// The panels of a dashboard in their grid: to look at, or, by gridstack, to drag and resize.

import type { GridStack } from "gridstack";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "../parts/icon";
import { Item, MenuButton } from "../parts/popover";
import { go } from "../address";
import { t } from "../words";
import { COUNTED } from "./counted";
import { COLUMNS, filled, said, type Board, type Panel } from "./model";
import { PanelBody } from "./panel";

interface Shared {
  board: Board;
  turn: number;
}

export function BoardView({ board, turn }: Shared) {
  const panels = board.panels.toSorted((one, other) => one.y - other.y || one.x - other.x); // read in this order, also on a phone
  return (
    <div class="board">
      {panels.map((panel) => (
        <section
          key={panel.id}
          class={`card panel ${panel.h <= 3 ? "flat" : ""}`}
          style={{ gridColumn: `${panel.x + 1} / span ${panel.w}`, gridRow: `${panel.y + 1} / span ${panel.h}` }}
        >
          <PanelHead panel={panel} board={board} />
          <div class="panel-body">
            <PanelBody panel={panel} variables={board.variables} turn={turn} />
          </div>
        </section>
      ))}
    </div>
  );
}

interface EditProps extends Shared {
  onChange: (panels: Panel[]) => void;
  onEdit: (id: string) => void;
  edited: string;
}

export function BoardEdit({ board, turn, onChange, onEdit, edited }: EditProps) {
  const box = useRef<HTMLDivElement>(null);
  const grid = useRef<GridStack | null>(null);
  const latest = useRef({ board, onChange });
  latest.current = { board, onChange };
  useEffect(() => {
    let gone = false;
    void Promise.all([import("gridstack"), import("gridstack/dist/gridstack.min.css")]).then(
      ([{ GridStack: Made }]) => {
        if (gone || !box.current) return;
        const made = Made.init(
          { column: COLUMNS, cellHeight: 72, margin: 6, handle: ".panel-head", resizable: { handles: "e,se,s,sw,w" } },
          box.current,
        );
        grid.current = made;
        if (!made) return;
        made.on("change", (_: Event, nodes: { id?: string; x?: number; y?: number; w?: number; h?: number }[]) => {
          const moved = new Map(nodes.map((node) => [node.id, node]));
          latest.current.onChange(
            latest.current.board.panels.map((panel) => {
              const node = moved.get(panel.id);
              return node
                ? { ...panel, x: node.x ?? panel.x, y: node.y ?? panel.y, w: node.w ?? panel.w, h: node.h ?? panel.h }
                : panel;
            }),
          );
        });
      },
    );
    return () => {
      gone = true;
      grid.current?.destroy(false);
      grid.current = null;
    };
  }, []);
  useEffect(() => {
    for (const each of box.current?.children ?? []) {
      if (grid.current && !("gridstackNode" in each)) grid.current.makeWidget(each as HTMLElement);
    }
  }, [board.panels.length]);
  const remove = (panel: Panel, element: Element | null) => {
    if (element) grid.current?.removeWidget(element as HTMLElement, false);
    onChange(board.panels.filter(({ id }) => id !== panel.id));
  };
  return (
    <div class="grid-stack" ref={box}>
      {board.panels.map((panel) => (
        <div
          key={panel.id}
          class="grid-stack-item"
          gs-id={panel.id}
          gs-x={panel.x}
          gs-y={panel.y}
          gs-w={panel.w}
          gs-h={panel.h}
        >
          <section class={`grid-stack-item-content card panel ${edited === panel.id ? "edited" : ""}`}>
            <PanelHead panel={panel} board={board}>
              <button
                type="button"
                class="plain small"
                aria-label={t("board.edit_panel")}
                title={t("board.edit_panel")}
                onClick={() => onEdit(panel.id)}
              >
                <Icon name="edit" />
              </button>
              <button
                type="button"
                class="plain small"
                aria-label={t("board.remove_panel")}
                title={t("board.remove_panel")}
                onClick={(event) => remove(panel, event.currentTarget.closest(".grid-stack-item"))}
              >
                <Icon name="remove" />
              </button>
            </PanelHead>
            <div class="panel-body">
              <PanelBody panel={panel} variables={board.variables} turn={turn} />
            </div>
          </section>
        </div>
      ))}
    </div>
  );
}

function PanelHead({ panel, board, children }: { panel: Panel; board: Board; children?: ComponentChildren }) {
  const open = () =>
    go("hunt", {
      q: filled(panel.query, board.variables),
      index: panel.index,
      ...(panel.fields[0] && panel.kind !== "points" ? { group: panel.fields[0] } : {}),
    });
  return (
    <header class="panel-head">
      <h3 class="clip" title={said(panel.title)}>
        {said(panel.title)}
      </h3>
      <span class="line">
        {children ??
          (panel.kind !== "text" && !COUNTED[panel.index] && (
            <MenuButton kind="plain small" icon="more" label={t("board.panel_menu")}>
              {() => <Item icon="search" says={t("board.open_in_hunt")} run={open} />}
            </MenuButton>
          ))}
      </span>
    </header>
  );
}
