// The detail sheet: slides over the right of a task and keeps the list in view; Escape closes it.

import type { ComponentChildren } from "preact";
import { useKeys } from "../keys";
import { t } from "../words";
import { Icon } from "./icon";

interface Props {
  title: ComponentChildren;
  meta?: ComponentChildren;
  actions?: ComponentChildren;
  children: ComponentChildren;
  onClose: () => void;
}

export function Sheet({ title, meta, actions, children, onClose }: Props) {
  useKeys([{ keys: "Escape", says: "key.close", run: onClose }]);
  return (
    <aside class="sheet" aria-label={t("sheet")}>
      <header>
        <div>
          <h2>{title}</h2>
          {meta && <div class="line small quiet">{meta}</div>}
        </div>
        <button type="button" class="plain" aria-label={t("close")} title="Esc" onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      {actions && <div class="actions">{actions}</div>}
      <div class="body">{children}</div>
    </aside>
  );
}
