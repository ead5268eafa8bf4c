// Dashboards: the list of them, and one of them, to look at, to build by dragging, to share, to print, to hang on a wall.

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { addressOf, adjust, chosen, go, place } from "../address";
import { useAnswer, type Answer } from "../answers";
import { ask, part, Refused } from "../api";
import { draftOf } from "../drafts";
import { BoardEdit, BoardView } from "../boards/board";
import { Editor } from "../boards/editor";
import { EMPTY, MOST_PANELS, newId, said, type Board, type Panel, type Variable } from "../boards/model";
import { useKeys } from "../keys";
import { paused } from "../live";
import { question } from "../parts/dialog";
import { Icon } from "../parts/icon";
import { Empty, Fault, Shown, Tag, When } from "../parts/marks";
import { Item, MenuButton } from "../parts/popover";
import { attempt, tell } from "../parts/toast";
import { roleSays } from "../rights";
import { may, person } from "../session";
import { oneHost, search } from "../search";
import { folded, language, t } from "../words";
import type { Saved } from "../parts/saved";

type SavedBoard = Saved<Board>;
const REFRESHES = [0, 30, 60, 300, 900];

/** Return a name in the reader's language where it has both. */
export const nameOf = ({ name }: { name: SavedBoard["name"] }): string =>
  typeof name === "string" ? name : name[language];

export default function Dashboards() {
  return place.value.rest ? <One key={place.value.rest} id={place.value.rest} /> : <All />;
}

function All() {
  const wanted = useSignal("");
  const answer = useAnswer("dashboards", (signal) => ask<{ saved: SavedBoard[] }>("/saved?kind=dashboard", { signal }));
  const make = (name: string, body: Board) =>
    ask<{ id: string }>("/saved", {
      method: "POST",
      body: { kind: "dashboard", name, description: "", shared: "private", body },
    });
  const create = () =>
    question({
      title: t("board.new"),
      does: t("board.new"),
      fields: [{ name: "name", says: t("saved.name"), required: true, most: 100 }],
      work: async ({ name = "" }) => go("dashboards", { edit: "on" }, (await make(name, EMPTY)).id),
    });
  const take = () =>
    question({
      title: t("board.import"),
      does: t("board.import"),
      fields: [{ name: "file", says: t("board.file"), kind: "file", required: true, accept: ".json,application/json" }],
      work: async (_, { file }) => {
        const { name, body } = await read(file);
        go("dashboards", {}, (await make(name, body)).id);
      },
    });
  return (
    <>
      <header>
        <h1>{t("screen.dashboards")}</h1>
        <input
          type="search"
          class="narrow"
          placeholder={t("board.find")}
          aria-label={t("board.find")}
          value={wanted.value}
          onInput={(event) => (wanted.value = event.currentTarget.value)}
        />
        {may("events.read") && (
          <>
            <button type="button" onClick={take}>
              <Icon name="import" />
              {t("board.import")}
            </button>
            <button type="button" class="main" onClick={create}>
              <Icon name="plus" />
              {t("board.new")}
            </button>
          </>
        )}
      </header>
      <Shown of={answer}>
        {({ saved }) => {
          const found = saved.filter((each) =>
            folded(`${nameOf(each)} ${each.description}`).includes(folded(wanted.value)),
          );
          return found.length ? (
            <div class="cards">
              {found.map((each) => (
                <a key={each.id} class="card board-card" href={addressOf("dashboards", {}, each.id)}>
                  <h2>{nameOf(each)}</h2>
                  <p class="quiet small">
                    {typeof each.description === "string"
                      ? each.description
                      : (each.description as Record<string, string>)[language]}
                  </p>
                  <p class="line small quiet">
                    {each.ready ? (
                      <Tag kind="accent">{t("board.ready")}</Tag>
                    ) : (
                      <>
                        <span>{each.owner}</span>
                        <When at={each.changed * 1000} short />
                      </>
                    )}
                    {each.shared !== "private" && !each.ready && <Tag>{t("board.shared")}</Tag>}
                  </p>
                </a>
              ))}
            </div>
          ) : (
            <Empty says={t("board.none")} next={t("board.none.next")} />
          );
        }}
      </Shown>
      <Maps />
    </>
  );
}

/** Outlines that the site has uploaded, for panels of points. */
function Maps() {
  const answer = useAnswer("maps", (signal) => ask<{ saved: Saved[] }>("/saved?kind=map", { signal }));
  const upload = () =>
    question({
      title: t("board.maps.add"),
      does: t("board.maps.add"),
      says: <p class="quiet">{t("board.maps.help")}</p>,
      fields: [
        { name: "name", says: t("saved.name"), required: true, most: 100 },
        { name: "file", says: t("board.maps.file"), kind: "file", required: true, accept: ".json,.geojson" },
      ],
      work: async ({ name }, { file }) => {
        const body = parsed((await file?.text()) ?? "");
        if (!body) throw new Refused(422, { detail: t("board.maps.no_json", { file: file?.name ?? "" }) });
        const shared = may("saved.share") ? "everyone" : "private";
        await ask("/saved", { method: "POST", body: { kind: "map", name, description: "", shared, body } });
        answer.again();
      },
    });
  const remove = (map: Saved) =>
    question({
      title: t("saved.remove", { name: String(map.name) }),
      does: t("remove"),
      danger: true,
      work: async () => {
        await ask(`/saved/${part(map.id)}`, { method: "DELETE" });
        answer.again();
      },
    });
  return (
    <details class="card">
      <summary>{t("board.maps")}</summary>
      <p class="small quiet">{t("board.maps.help")}</p>
      <Shown of={answer}>
        {({ saved }) => (
          <ul class="stack">
            {saved.map((map) => (
              <li key={map.id} class="line apart">
                <span>
                  {String(map.name)} <span class="small quiet">{map.owner}</span>
                </span>
                {(map.owner === person.value?.name || may("saved.manage")) && (
                  <button type="button" class="plain small" aria-label={t("remove")} onClick={() => remove(map)}>
                    <Icon name="remove" />
                  </button>
                )}
              </li>
            ))}
          </ul>
        )}
      </Shown>
      <div class="line">
        <button type="button" class="small" onClick={upload}>
          <Icon name="upload" />
          {t("board.maps.add")}
        </button>
      </div>
    </details>
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Read a dashboard from a file that was exported. */
async function read(file: File | undefined): Promise<{ name: string; body: Board }> {
  try {
    const given = JSON.parse((await file?.text()) ?? "");
    const body: unknown = given.body ?? given;
    if (!body || !Array.isArray((body as Board).panels)) throw new SyntaxError("panels");
    return {
      name: String(typeof given.name === "object" ? given.name[language] : (given.name ?? file?.name ?? "")).slice(
        0,
        100,
      ),
      body: body as Board,
    };
  } catch {
    throw new Refused(422, { detail: t("board.no_board", { file: file?.name ?? "" }) });
  }
}

function One({ id }: { id: string }) {
  const answer = useAnswer(id, (signal) => ask<SavedBoard>(`/saved/${part(id)}`, { signal }));
  if (answer.fault?.status === 404)
    return (
      <Empty says={t("board.missing")} next={t("board.missing.next")}>
        <a class="button" href={addressOf("dashboards")}>
          {t("screen.dashboards")}
        </a>
      </Empty>
    );
  return (
    <>
      <Fault of={answer.fault} />
      {answer.value && <Held of={answer.value} answer={answer} />}
    </>
  );
}

function Held({ of, answer }: { of: SavedBoard; answer: Answer<SavedBoard> }) {
  const edits = chosen.value.edit === "on" && !of.ready;
  /** What was built and not saved yet, and of which revision. */
  const draft = draftOf<{ board: Board; revision: number }>(`board.${of.id}`);
  /** What is chosen while one only looks. */
  const seen = useSignal<Board>(of.body);
  const board = edits ? (draft.value?.board ?? of.body) : seen.value;
  const edited = useSignal("");
  const turn = useSignal(0);
  const root = useRef<HTMLDivElement>(null);
  const isStale = edits && draft.value !== null && draft.value.revision !== of.revision;
  useEffect(() => void (seen.value = of.body), [of.revision]);
  useEffect(() => {
    if (!chosen.peek().from && of.body.time.from) adjust({ from: of.body.time.from, to: of.body.time.to }, true);
  }, []);
  useEffect(() => {
    if (!board.refresh) return undefined;
    const timer = setInterval(() => {
      if (!paused.value && !document.hidden) turn.value += 1;
    }, board.refresh * 1000);
    return () => clearInterval(timer);
  }, [board.refresh]);
  const mine = of.owner === person.value?.name || may("saved.manage");
  const set = (changes: Partial<Board>) => {
    const next = { ...board, ...changes };
    if (edits) draft.keep({ board: next, revision: draft.value?.revision ?? of.revision });
    else seen.value = next;
  };
  const discard = () => {
    const before = draft.value;
    draft.drop();
    edited.value = "";
    adjust({ edit: "" });
    if (before) tell(t("board.draft.dropped"), () => draft.keep(before));
  };
  const panel = board.panels.find(({ id }) => id === edited.value);
  const save = () =>
    attempt(async () => {
      await ask(`/saved/${part(of.id)}`, {
        method: "PUT",
        body: {
          name: of.name,
          description: of.description,
          shared: of.shared,
          body: board,
          revision: of.revision,
        },
      });
      draft.drop();
      tell(t("saved.done", { name: nameOf(of) }));
      adjust({ edit: "" });
      answer.again();
    });
  const add = () => {
    if (board.panels.length >= MOST_PANELS) return tell(t("board.too_many", { count: MOST_PANELS }));
    const y = Math.max(0, ...board.panels.map((each) => each.y + each.h));
    const made: Panel = {
      id: newId(),
      title: t("board.new_panel"),
      kind: "bar",
      x: 0,
      y,
      w: 6,
      h: 4,
      query: "",
      index: "events",
      fields: [],
      options: {},
    };
    set({ panels: [...board.panels, made] });
    edited.value = made.id;
  };
  const copy = async () => {
    const body = {
      kind: "dashboard",
      name: t("board.copy_of", { name: nameOf(of) }),
      description: "",
      shared: "private",
      body: spoken(board),
    };
    const { id } = await ask<{ id: string }>("/saved", { method: "POST", body });
    if (edits) draft.drop();
    go("dashboards", { edit: "on" }, id);
  };
  const file = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(
      new Blob([JSON.stringify({ name: nameOf(of), body: spoken(board) }, null, 1)], {
        type: "application/json",
      }),
    );
    link.download = `${folded(nameOf(of)).replace(/[^a-z0-9]+/g, "-") || "dashboard"}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  useKeys([{ keys: "r", says: "key.refresh", run: () => (turn.value += 1) }]);
  return (
    <div class="stack board-page" ref={root}>
      <header class="line">
        <h1>
          <a class="no-print" href={addressOf("dashboards")} aria-label={t("screen.dashboards")}>
            <Icon name="back" />
          </a>{" "}
          {nameOf(of)}
        </h1>
        <span class="line no-print">
          {edits ? (
            <>
              <button type="button" onClick={add}>
                <Icon name="plus" />
                {t("board.add_panel")}
              </button>
              <button type="button" onClick={() => askVariables(board.variables, (variables) => set({ variables }))}>
                {t("board.variables")}
              </button>
              <button type="button" onClick={discard}>
                {t(draft.value ? "board.draft.drop" : "cancel")}
              </button>
              <button type="button" class="main" disabled={!draft.value || isStale} onClick={() => void save()}>
                {t("save")}
              </button>
            </>
          ) : (
            <>
              <MenuButton
                kind=""
                icon="refresh"
                says={board.refresh ? t("board.every", { seconds: board.refresh }) : t("board.refresh_off")}
                label={t("board.refresh")}
              >
                {() =>
                  REFRESHES.map((seconds) => (
                    <Item
                      key={seconds}
                      says={seconds ? t("board.every", { seconds }) : t("board.refresh_off")}
                      checked={board.refresh === seconds}
                      run={() => set({ refresh: seconds })}
                    />
                  ))
                }
              </MenuButton>
              <button type="button" onClick={() => void root.current?.requestFullscreen()}>
                <Icon name="maximize" />
                {t("board.wall")}
              </button>
              {mine && !of.ready && may("events.read") && (
                <button type="button" onClick={() => adjust({ edit: "on" })}>
                  <Icon name="edit" />
                  {t("board.edit")}
                </button>
              )}
              <MenuButton icon="more" label={t("more")}>
                {() => (
                  <>
                    {may("events.read") && <Item icon="copy" says={t("board.copy")} run={() => void attempt(copy)} />}
                    <Item icon="download" says={t("board.export")} run={file} />
                    <Item icon="print" says={t("board.print")} run={() => setTimeout(() => print(), 100)} />
                    {mine && !of.ready && may("saved.share") && (
                      <Item icon="share" says={t("board.share")} run={() => askSharing(of, answer)} />
                    )}
                    {mine && !of.ready && <Item icon="remove" says={t("remove")} run={() => askRemoval(of)} />}
                  </>
                )}
              </MenuButton>
            </>
          )}
        </span>
      </header>
      {draft.value && !edits && mine && !of.ready && (
        <div class="notice attention no-print">
          <span>{t("board.draft")}</span>
          <span class="line">
            <button type="button" class="small" onClick={() => adjust({ edit: "on" })}>
              {t("board.draft.go_on")}
            </button>
            <button type="button" class="small" onClick={discard}>
              {t("board.draft.drop")}
            </button>
          </span>
        </div>
      )}
      {isStale && (
        <div class="notice attention no-print">
          <span>{t("board.draft.stale")}</span>
          <button type="button" class="small" onClick={() => void attempt(copy)}>
            {t("board.draft.copy")}
          </button>
        </div>
      )}
      {board.variables.length > 0 && (
        <div class="line no-print">
          {board.variables.map((variable) => (
            <VariableChoice
              key={variable.name}
              of={variable}
              onChange={(value) =>
                set({
                  variables: board.variables.map((each) => (each.name === variable.name ? { ...each, value } : each)),
                })
              }
            />
          ))}
        </div>
      )}
      {board.panels.length === 0 && <Empty says={t("board.empty")} next={edits ? t("board.empty.next") : undefined} />}
      {edits ? (
        <BoardEdit
          board={board}
          turn={turn.value}
          edited={edited.value}
          onChange={(panels) => set({ panels })}
          onEdit={(each) => (edited.value = each)}
        />
      ) : (
        <BoardView board={board} turn={turn.value} />
      )}
      {panel && edits && (
        <Editor
          panel={panel}
          onClose={() => (edited.value = "")}
          onChange={(next) => set({ panels: board.panels.map((each) => (each.id === next.id ? next : each)) })}
        />
      )}
    </div>
  );
}

/** The values of a field among which a variable chooses. */
function VariableChoice({ of, onChange }: { of: Variable; onChange: (value: string) => void }) {
  const answer = useAnswer(of.field, (signal) =>
    search(
      {
        size: 0,
        query: { range: { "@timestamp": { gte: "now-30d" } } },
        aggs: { values: { terms: { field: of.field, size: 100 } } },
      },
      signal,
      true,
    ),
  );
  const values = oneHost(of.field, answer.value?.aggregations.values?.buckets ?? []).map(({ key }) => String(key));
  return (
    <label class="line small">
      <span class="quiet">{said(of.says) || of.name}</span>
      <select value={of.value} onChange={(event) => onChange(event.currentTarget.value)}>
        <option value="">{t("board.variable.all")}</option>
        {[...new Set([...(of.value ? [of.value] : []), ...values])].map((value) => (
          <option key={value} value={value}>
            {value}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Return a dashboard with its words in the reader's language: of one that comes with us, they are in each. */
function spoken(board: Board): Board {
  return {
    ...board,
    panels: board.panels.map((each) => ({
      ...each,
      title: said(each.title),
      options: each.options.text ? { ...each.options, text: said(each.options.text) } : each.options,
    })),
    variables: board.variables.map((each) => ({ ...each, says: said(each.says) })),
  };
}

function askVariables(now: readonly Variable[], onChange: (variables: Variable[]) => void): void {
  question({
    title: t("board.variables"),
    does: t("save"),
    wide: true,
    says: <p class="quiet">{t("board.variables.help")}</p>,
    fields: [
      {
        name: "lines",
        says: t("board.variables"),
        kind: "textarea",
        value: now.map(({ name, field, says }) => `${name} ${field} ${said(says)}`.trim()).join("\n"),
      },
    ],
    work: ({ lines = "" }) => {
      const made = lines
        .split("\n")
        .map((line) => line.trim())
        .filter(Boolean)
        .map((line): Variable => {
          const [name = "", field = "", ...says] = line.split(/\s+/);
          if (!/^\w+$/.test(name) || !field) throw new Refused(422, { detail: t("board.variables.wrong", { line }) });
          return { name, field, says: says.join(" "), value: now.find((each) => each.name === name)?.value ?? "" };
        });
      onChange(made);
    },
  });
}

function askSharing(of: SavedBoard, answer: Answer<SavedBoard>): void {
  const now = Array.isArray(of.shared) ? of.shared[0] : of.shared;
  const roles = ["viewer", "analyst", "lead", "admin", "auditor"].map(
    (role) => [`role:${role}`, t("board.share.role", { role: roleSays(role) })] as const,
  );
  question({
    title: t("board.share"),
    does: t("save"),
    fields: [
      {
        name: "shared",
        says: t("saved.share"),
        kind: "select",
        value: now ?? "private",
        options: [["private", t("saved.private")], ["everyone", t("saved.everyone")], ...roles],
      },
    ],
    work: async ({ shared = "private" }) => {
      await ask(`/saved/${part(of.id)}`, {
        method: "PUT",
        body: {
          name: of.name,
          description: of.description,
          shared: shared.startsWith("role:") ? [shared] : shared,
          body: of.body,
          revision: of.revision,
        },
      });
      answer.again();
    },
  });
}

function askRemoval(of: SavedBoard): void {
  question({
    title: t("saved.remove", { name: nameOf(of) }),
    does: t("remove"),
    danger: true,
    work: async () => {
      await ask(`/saved/${part(of.id)}`, { method: "DELETE" });
      go("dashboards");
    },
  });
}
