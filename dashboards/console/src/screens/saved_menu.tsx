// Saved searches and the like: what is on the screen enters and is kept under a name; what was kept leaves again.

import { useAnswer } from "../answers";
import { ask, part } from "../api";
import type { Chosen } from "../address";
import { question } from "../parts/dialog";
import { Item, MenuButton } from "../parts/popover";
import { tell } from "../parts/toast";
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

export function SavedMenu({ kind, body, onOpen }: Props) {
  const answer = useAnswer(kind, (signal) =>
    ask<{ saved: Saved[] }>(`/saved?kind=${kind}`, { signal, byItself: true }),
  );
  const saved = answer.value?.saved ?? [];
  const save = () =>
    question({
      title: t(`saved.save.${kind}`),
      does: t("save"),
      fields: [
        { name: "name", says: t("saved.name"), required: true, most: 100 },
        { name: "description", says: t("saved.description"), most: 500 },
        ...(may("saved.share")
          ? [
              {
                name: "shared",
                says: t("saved.share"),
                kind: "select" as const,
                options: [
                  ["private", t("saved.private")],
                  ["everyone", t("saved.everyone")],
                ] as const,
              },
            ]
          : []),
      ],
      work: async ({ name, description = "", shared = "private" }) => {
        await ask("/saved", { method: "POST", body: { kind, name, description, shared, body } });
        tell(t("saved.done", { name: name ?? "" }));
        answer.again();
      },
    });
  const remove = (each: Saved) =>
    question({
      title: t("saved.remove", { name: String(each.name) }),
      does: t("remove"),
      danger: true,
      work: async () => {
        await ask(`/saved/${part(each.id)}`, { method: "DELETE" });
        answer.again();
      },
    });
  return (
    <MenuButton kind="small" icon="bookmark" says={t(`saved.${kind}`)}>
      {() => (
        <>
          {saved.map((each) => (
            <Item
              key={each.id}
              says={
                <>
                  {String(each.name)}{" "}
                  <span class="small quiet">{each.owner === person.value?.name ? "" : each.owner}</span>
                </>
              }
              run={() => onOpen(each.body)}
            />
          ))}
          {saved.length === 0 && <div class="says quiet small">{t("saved.none")}</div>}
          <hr />
          {may("events.read") && <Item icon="save" says={t(`saved.save.${kind}`)} run={save} />}
          {saved
            .filter(({ owner }) => owner === person.value?.name || may("saved.manage"))
            .map((each) => (
              <Item
                key={each.id}
                icon="remove"
                says={t("saved.remove", { name: String(each.name) })}
                run={() => remove(each)}
              />
            ))}
        </>
      )}
    </MenuButton>
  );
}
