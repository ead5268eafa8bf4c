// Saved searches and time ranges: what is on the screen enters and is kept under a name; what was kept leaves again.

import { useAnswer } from "../answers";
import { ask, part } from "../api";
import type { Chosen } from "../address";
import { question } from "./dialog";
import { Item, MenuButton } from "./popover";
import { tell } from "./toast";
import { may, person } from "../session";
import { t } from "../words";

export interface Saved<B = Record<string, string>> {
  id: string;
  kind: string;
  name: string | { vi: string; en: string };
  description: string;
  body: B;
  owner: string;
  shared: "private" | "everyone" | string[];
  revision: number;
  /** Seconds since 1970. */
  changed: number;
  changed_by: string;
  ready: boolean;
}

interface Props {
  kind: "search" | "range";
  body: Record<string, string>;
  onOpen: (body: Chosen) => void;
}

export function SavedMenu(props: Props) {
  return (
    <MenuButton kind="small" icon="bookmark" says={t(`saved.${props.kind}`)}>
      {() => <SavedItems {...props} />}
    </MenuButton>
  );
}

/** Lines of a menu: what was kept, keeping what is there now, taking away. */
export function SavedItems({ kind, body, onOpen }: Props) {
  const answer = useAnswer(kind, (signal) => ask<{ saved: Saved[] }>(`/saved?kind=${kind}`, { signal }));
  const saved = answer.value?.saved ?? [];
  const mine = saved.filter(({ owner }) => owner === person.value?.name || may("saved.manage"));
  return (
    <>
      {saved.map((each) => (
        <Item
          key={each.id}
          says={
            <>
              {String(each.name)} <span class="small quiet">{each.owner === person.value?.name ? "" : each.owner}</span>
            </>
          }
          run={() => onOpen(each.body)}
        />
      ))}
      {answer.value && saved.length === 0 && <div class="says quiet small">{t("saved.none")}</div>}
      <hr />
      <Item icon="save" says={t(`saved.save.${kind}`)} run={() => save(kind, body)} />
      {mine.map((each) => (
        <Item
          key={each.id}
          icon="remove"
          says={t("saved.remove", { name: String(each.name) })}
          run={() => remove(each)}
        />
      ))}
    </>
  );
}

function save(kind: Props["kind"], body: Props["body"]): void {
  const sharing = {
    name: "shared",
    says: t("saved.share"),
    kind: "select",
    options: [
      ["private", t("saved.private")],
      ["everyone", t("saved.everyone")],
    ],
  } as const;
  question({
    title: t(`saved.save.${kind}`),
    does: t("save"),
    fields: [
      { name: "name", says: t("saved.name"), required: true, most: 100 },
      { name: "description", says: t("saved.description"), most: 500 },
      ...(may("saved.share") ? [sharing] : []),
    ],
    work: async ({ name, description = "", shared = "private" }) => {
      await ask("/saved", { method: "POST", body: { kind, name, description, shared, body } });
      tell(t("saved.done", { name: name ?? "" }));
    },
  });
}

function remove(each: Saved): void {
  question({
    title: t("saved.remove", { name: String(each.name) }),
    does: t("remove"),
    danger: true,
    work: () => ask(`/saved/${part(each.id)}`, { method: "DELETE" }),
  });
}
