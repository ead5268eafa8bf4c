// Settings: what is in force, the file as a text that is looked at before it is written, and the texts from before.

import { useSignal } from "@preact/signals";
import { addressOf, adjust, chosen } from "../address";
import { useAnswer } from "../answers";
import { ask } from "../api";
import { draftOf } from "../drafts";
import { number, plain } from "../format";
import { question } from "../parts/dialog";
import { Editor } from "../parts/editor";
import { Icon } from "../parts/icon";
import { Empty, Shown, Tag, When } from "../parts/marks";
import { attempt, tell } from "../parts/toast";
import { may } from "../session";
import { stageWord } from "../health";
import { folded, rich, t } from "../words";

interface Revision {
  revision: number;
  time: number;
  who: string;
  reason: string;
  digest: string;
}
interface File {
  file: string;
  there: boolean;
  digest: string;
  /** Null where it is no TOML: nobody knows what in it is secret. */
  text: string | null;
  fault: string | null;
  writable: boolean;
  why_not: string | null;
  overridden: { variable: string; setting: string }[];
  /** What the file says and is not in force before a restart; null where the file has faults. */
  waiting: Change[] | null;
  history: Revision[];
}
interface Change {
  setting: string;
  before: unknown;
  after: unknown;
}
interface Looked {
  good: boolean;
  problems: { line: number | null; text: string }[];
  changes: Change[];
}

const VIEWS = ["now", "file", "history"] as const;
/** How pydantic writes what is secret. */
const MASK = /^\*+$/;
/** After this the page asks whether what was started again has taken the file over. */
const AGAIN_MS = 8000;

/** What somebody is writing, and of which text of the file. It may hold passwords, so no browser stores it. */
const draftOfFile = () => draftOf<{ text: string; digest: string }>("settings", true);

export default function SettingsScreen() {
  const { view: wanted = "now" } = chosen.value;
  const view = may("settings.change") ? wanted : "now";
  const file = useAnswer(may("settings.change") && view !== "now" ? "file" : null, (signal) =>
    ask<File>("/settings/file", { signal }),
  );
  const waiting = file.value?.waiting ?? [];
  const restart = () => askToRestart(() => void setTimeout(() => file.again(true), AGAIN_MS));
  return (
    <>
      <header>
        <h1>{t("screen.settings")}</h1>
        {may("settings.change") && (
          <button type="button" onClick={restart}>
            <Icon name="refresh" />
            {t("settings.restart")}
          </button>
        )}
      </header>
      {may("settings.change") && (
        <nav class="tabs">
          {VIEWS.map((each) => (
            <a
              key={each}
              href={addressOf("settings", { view: each })}
              {...(view === each ? { "aria-current": "page" as const } : {})}
            >
              {t(`settings.view.${each}`)}
            </a>
          ))}
        </nav>
      )}
      {waiting.length > 0 && (
        <details class="notice attention">
          <summary>{t("settings.waiting", { count: number(waiting.length) })}</summary>
          <Changes of={waiting} />
        </details>
      )}
      {view === "now" && <Now />}
      {view === "file" && <Shown of={file}>{(found) => <FileView of={found} onChange={() => file.again()} />}</Shown>}
      {view === "history" && <Shown of={file}>{(found) => <History of={found} onChange={() => file.again()} />}</Shown>}
    </>
  );
}

function askToRestart(done: () => void): void {
  question({
    title: t("settings.restart.title"),
    does: t("settings.restart.do"),
    danger: true,
    says: <p>{t("settings.restart.help")}</p>,
    fields: [{ name: "reason", says: t("reason"), required: true }],
    work: async ({ reason }) => {
      const told = await ask<{ restarts: string[]; missing: string[] }>("/settings/restart", {
        method: "POST",
        body: { reason },
      });
      tell(t("settings.restarted", { stages: told.restarts.map(stageWord).join(", ") }));
      if (told.missing.length) tell(t("settings.missing", { stages: told.missing.map(stageWord).join(", ") }));
      done();
    },
  });
}

/** What is in force, by section; nothing can be changed here. */
function Now() {
  const { text = "" } = chosen.value;
  const answer = useAnswer("settings", (signal) => ask<{ settings: Record<string, unknown> }>("/settings", { signal }));
  return (
    <>
      <div class="line">
        <input
          type="search"
          class="narrow"
          placeholder={t("settings.find")}
          aria-label={t("settings.find")}
          value={text}
          onInput={(event) => adjust({ text: event.currentTarget.value }, true)}
        />
        <span class="quiet">{t("settings.now.help")}</span>
      </div>
      <Shown of={answer}>
        {({ settings }) => {
          const wanted = folded(text);
          const rows = flat(settings).filter(([name, value]) => folded(`${name} ${valueSays(value)}`).includes(wanted));
          const sections = Map.groupBy(rows, ([name]) => (/[.[]/.test(name) ? (name.split(/[.[]/)[0] ?? "") : ""));
          if (!rows.length) return <Empty says={t("settings.none_here")} />;
          return [...sections].map(([section, of]) => (
            <section key={section} class="card">
              <header>
                <h2>{section || t("settings.general")}</h2>
                <span class="quiet small">{number(of.length)}</span>
              </header>
              <table class="fields">
                <tbody>
                  {of.map(([name, value]) => (
                    <tr key={name}>
                      <th scope="row" class="raw">
                        {name}
                      </th>
                      <td class="raw">
                        <Setting value={value} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </section>
          ));
        }}
      </Shown>
    </>
  );
}

function Setting({ value }: { value: unknown }) {
  const isQuiet = value === null || value === "" || (typeof value === "string" && MASK.test(value));
  return <span class={isQuiet ? "quiet" : ""}>{valueSays(value)}</span>;
}

function valueSays(value: unknown): string {
  if (value === null || value === undefined) return t("settings.unset");
  if (value === "" || (Array.isArray(value) && !value.length)) return t("settings.empty");
  if (typeof value === "boolean") return t(value ? "settings.yes" : "settings.no");
  if (typeof value === "string" && MASK.test(value)) return t("settings.hidden");
  if (Array.isArray(value)) return value.map(plain).join(", ");
  return plain(value);
}

/** Return settings by their names as the file has them: `channels[mail].port`. */
function flat(of: Record<string, unknown>, before = ""): [string, unknown][] {
  return Object.entries(of).flatMap(([name, value]): [string, unknown][] => {
    if (Array.isArray(value) && value.some((each) => typeof each === "object" && each !== null))
      return value.flatMap((each, place) => {
        const known = (each as Record<string, unknown>).name;
        return flat(
          each as Record<string, unknown>,
          `${before}${name}[${typeof known === "string" && known ? known : place}].`,
        );
      });
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      const inner = flat(value as Record<string, unknown>, `${before}${name}.`);
      return inner.length ? inner : [[before + name, ""]];
    }
    return [[before + name, value]];
  });
}

interface FileProps {
  of: File;
  onChange: () => void;
}

function FileView({ of, onChange }: FileProps) {
  const draft = draftOfFile();
  const looked = useSignal<Looked | null>(null);
  const goTo = useSignal<{ line: number; at: number } | null>(null);
  const text = draft.value?.text ?? of.text ?? "";
  const isChanged = draft.value !== null && draft.value.text !== of.text;
  const isStale = draft.value !== null && draft.value.digest !== of.digest;
  const look = async (): Promise<Looked | null> => {
    const done = await attempt(
      async () => (looked.value = await ask<Looked>("/settings/check", { method: "POST", body: { text } })),
    );
    return done ? looked.value : null;
  };
  const save = async () => {
    const found = await look();
    if (!found?.good) return;
    question({
      title: t("settings.save.title"),
      does: t("settings.save.do"),
      wide: true,
      says: (
        <>
          <p>{t("settings.save.help")}</p>
          <Changes of={found.changes} />
        </>
      ),
      fields: [{ name: "reason", says: t("reason"), required: true }],
      work: async ({ reason }) => {
        const body = { text, digest: draft.value?.digest ?? of.digest, reason };
        await ask("/settings/file", { method: "PUT", body });
        draft.drop();
        looked.value = null;
        tell(t("settings.saved"));
        onChange();
      },
    });
  };
  if (of.text === null) return <p class="notice fault">{of.fault}</p>;
  const faults = new Map(
    looked.value?.problems.flatMap(({ line, text: says }) => (line ? [[line, says] as const] : [])),
  );
  return (
    <>
      {!of.there && <p class="notice">{t("settings.file.missing", { file: of.file })}</p>}
      {!of.writable && <p class="notice attention">{of.why_not}</p>}
      {isStale && <p class="notice attention">{t("settings.stale")}</p>}
      <div class="line apart">
        <span class="quiet">{rich(t("settings.file.help"))}</span>
        <span class="line">
          {isChanged && (
            <button
              type="button"
              onClick={() => {
                draft.drop();
                looked.value = null;
              }}
            >
              {t("settings.discard")}
            </button>
          )}
          <button type="button" onClick={() => void look()}>
            <Icon name="check" />
            {t("settings.check")}
          </button>
          {of.writable && (
            <button type="button" class="main" disabled={!isChanged || isStale} onClick={() => void save()}>
              <Icon name="save" />
              {t("settings.save")}
            </button>
          )}
        </span>
      </div>
      {looked.value && <Told of={looked.value} onLine={(line) => (goTo.value = { line, at: Date.now() })} />}
      <Editor
        label={t("settings.text", { file: of.file })}
        value={text}
        readOnly={!of.writable}
        faults={faults}
        goTo={goTo.value}
        onInput={(changed) => {
          draft.keep({ text: changed, digest: draft.value?.digest ?? of.digest });
          looked.value = null;
        }}
      />
      {of.overridden.length > 0 && (
        <section class="card stack">
          <h2>{t("settings.overridden")}</h2>
          <p class="quiet">{t("settings.overridden.help")}</p>
          <table class="fields">
            <tbody>
              {of.overridden.map(({ variable, setting }) => (
                <tr key={variable}>
                  <th scope="row" class="raw">
                    {setting}
                  </th>
                  <td class="raw">{variable}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
    </>
  );
}

function Told({ of, onLine }: { of: Looked; onLine: (line: number) => void }) {
  if (of.good)
    return (
      <section class="card stack" role="status">
        <p class="good">
          <Icon name="check" /> {t("settings.good")}
        </p>
        <Changes of={of.changes} />
      </section>
    );
  return (
    <section class="card stack" role="alert">
      <h2 class="fault">{t("settings.problems", { count: number(of.problems.length) })}</h2>
      <ul class="stack">
        {of.problems.map(({ line, text }, place) => (
          <li key={place} class="line">
            {line !== null && (
              <button type="button" class="small" onClick={() => onLine(line)}>
                {t("settings.line", { line })}
              </button>
            )}
            <span class="wrap">{plain(text)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Changes({ of }: { of: readonly Change[] }) {
  if (!of.length) return <p class="quiet">{t("settings.no_changes")}</p>;
  return (
    <table class="fields rows-table">
      <caption class="unseen">{t("settings.changes", { count: number(of.length) })}</caption>
      <thead>
        <tr>
          <th>{t("settings.setting")}</th>
          <th>{t("settings.before")}</th>
          <th>{t("settings.after")}</th>
        </tr>
      </thead>
      <tbody>
        {of.map(({ setting, before, after }) => (
          <tr key={setting}>
            <td class="raw">{setting}</td>
            <td class="raw">
              <Setting value={before} />
            </td>
            <td class="raw">
              <Setting value={after} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function History({ of, onChange }: FileProps) {
  const back = async ({ revision }: Revision) => {
    const found = await ask<Looked>("/settings/check", { method: "POST", body: { revision } });
    const problems = found.problems.map(({ text }) => plain(text)).join("\n");
    if (!found.good) return tell(t("settings.back.bad", { revision, problems }));
    return question({
      title: t("settings.back.title", { revision }),
      does: t("settings.back"),
      danger: true,
      wide: true,
      says: (
        <>
          <p>{t("settings.back.help", { revision })}</p>
          <Changes of={found.changes} />
        </>
      ),
      fields: [{ name: "reason", says: t("reason"), required: true }],
      work: async ({ reason }) => {
        const body = { revision, digest: of.digest, reason };
        await ask("/settings/roll-back", { method: "POST", body });
        draftOfFile().drop();
        tell(t("settings.saved"));
        onChange();
      },
    });
  };
  if (!of.history.length) return <Empty says={t("settings.history.none")} next={t("settings.history.none.next")} />;
  const now = of.history.find(({ digest }) => digest === of.digest)?.revision;
  return (
    <section class="card">
      <ul class="rows">
        {of.history.map((each) => (
          <li key={each.revision} class="line apart">
            <span class="line">
              <b>{t("settings.revision", { revision: each.revision })}</b>
              <When at={each.time * 1000} />
              <span>{each.who}</span>
              <span class="quiet wrap">{each.who ? plain(each.reason) : t("settings.first")}</span>
              {each.revision === now && <Tag kind="accent">{t("settings.current")}</Tag>}
            </span>
            {of.writable && each.digest !== of.digest && (
              <button type="button" class="small" onClick={() => void attempt(() => back(each))}>
                <Icon name="history" />
                {t("settings.back")}
              </button>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}
