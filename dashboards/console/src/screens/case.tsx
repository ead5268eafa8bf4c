// One case: what happened, what is known, what is to be done.

import type { ComponentChildren } from "preact";
import { addressOf } from "../address";
import { useAnswer, useChange, type Answer } from "../answers";
import { ask, withValues } from "../api";
import type { Case, WholeCase } from "../cases";
import { draftOf } from "../drafts";
import { ago, plain, size, zone } from "../format";
import { marks } from "../live";
import type { Clock } from "../parts/clocks";
import { question } from "../parts/dialog";
import { Fields, type Document } from "../parts/fields";
import { Icon } from "../parts/icon";
import { CopyButton, Empty, Fault, Severity, Tag, When } from "../parts/marks";
import { Item, MenuButton } from "../parts/popover";
import { attempt } from "../parts/toast";
import { Value } from "../parts/value";
import { may, person } from "../session";
import { spoken, t, word, type Key } from "../words";
import { Incident } from "./case_incident";
import { addFile, addObservable, addTask, close, edit, reopen } from "./case_questions";
import { EntityValue, iconOf } from "../parts/group";

/** The fields in which an observable may stand, for a hunt. */
const HUNTED: Record<string, string> = { host: "host.name", user: "user.name" };

export function One({ id }: { id: number }) {
  const answer = useAnswer(String(id), (signal, byItself) => ask<WholeCase>(`/cases/${id}`, { signal, byItself }));
  useChange(marks.cases, () => answer.again(true));
  if (answer.fault?.status === 404) {
    return (
      <Empty says={answer.fault.message}>
        <a class="button" href={addressOf("cases")}>
          {t("screen.cases")}
        </a>
      </Empty>
    );
  }
  return (
    <>
      <Fault of={answer.fault} />
      {answer.value && <Held of={answer.value} answer={answer} />}
    </>
  );
}

function Held({ of, answer }: { of: WholeCase; answer: Answer<WholeCase> }) {
  const changes = may("cases.change") && of.status === "open";
  const done = () => answer.again();
  const change = (body: Document) =>
    attempt(async () => {
      await ask(`/cases/${of.id}`, { method: "PATCH", body });
      done();
    });
  // where the law asks for a report, it is what is to be done first
  const papers = <Incident id={of.id} changed={of.changed} done={done} />;
  return (
    <>
      <header>
        <h1>
          <a href={addressOf("cases")} aria-label={t("screen.cases")}>
            <Icon name="back" />
          </a>{" "}
          <span class="quiet">#{of.id}</span> {of.title}
        </h1>
        {changes && of.owner !== person.value?.name && (
          <button type="button" onClick={() => void change({ owner: person.value?.name })}>
            {t("case.take")}
          </button>
        )}
        {changes && (
          <button type="button" onClick={() => edit(of, done)}>
            <Icon name="edit" />
            {t("case.edit")}
          </button>
        )}
        {changes && (
          <button type="button" class="main" onClick={() => close(of, done)}>
            {t("case.close")}
          </button>
        )}
        <MenuButton icon="more" label={t("more")}>
          {() => (
            <>
              {may("events.export") && (
                <Item
                  icon="download"
                  says={t("case.bundle")}
                  run={() => window.open(`/api/v1/cases/${of.id}/bundle`, "_self")}
                />
              )}
              {may("cases.change") && of.status === "closed" && (
                <Item icon="refresh" says={t("case.reopen")} run={() => reopen(of, done)} />
              )}
            </>
          )}
        </MenuButton>
      </header>
      <div class="line">
        <Severity level={of.level} />
        <Tag kind={of.status === "open" ? "accent" : ""}>{t(`case.view.${of.status}`)}</Tag>
        {of.verdict && <Tag>{word("status", of.verdict)}</Tag>}
        <Tag>TLP:{of.tlp.toUpperCase()}</Tag>
        <Tag>PAP:{of.pap.toUpperCase()}</Tag>
        <span class="quiet">{of.owner ? t("case.owned", { owner: of.owner }) : t("case.unowned")}</span>
        <span class="quiet">
          {t("case.detected")} <When at={of.detected} />
        </span>
        <span class="quiet">{t("list.zone", { zone })}</span>
      </div>
      {of.clocks.length > 0 && (
        <div class="cards">
          {of.clocks.map((clock) => (
            <ClockCard
              key={clock.clock}
              of={clock}
              onDone={
                changes ? () => void change({ [clock.clock === "notice" ? "notified" : "reported"]: "now" }) : null
              }
              onBack={
                changes ? () => void change({ [clock.clock === "notice" ? "notified" : "reported"]: null }) : null
              }
            />
          ))}
        </div>
      )}
      {of.summary && (
        <section class="card">
          <header>
            <h2>{t("case.summary")}</h2>
          </header>
          <Safe html={of.summary_html} />
        </section>
      )}
      {of.reportable && papers}
      <div class="columns">
        <div class="stack">
          <Part says={t("case.alerts")} count={of.alerts.length} empty={t("case.no_alerts")}>
            {of.alerts.map((each) => (
              <Line key={each.number} of={of} number={each.number} removable={false} done={done}>
                <a class="line" href={addressOf("queue", { open: each.group, status: "all", from: "", to: "" })}>
                  {each.level && <Severity level={each.level} />}
                  <span>{String(spoken({ ...each }, "rule.name"))}</span>
                </a>
                <span class="entity">
                  <Icon name={iconOf(each.entity)} />
                  <EntityValue entity={each.entity} />
                </span>
                {each.last && <When at={each.last} />}
              </Line>
            ))}
          </Part>
          <Part says={t("case.notes")} count={of.notes.length} empty={t("case.no_notes")}>
            {of.notes.map((each) => (
              <Line
                key={each.number}
                of={of}
                number={each.number}
                removable={changes}
                done={done}
                meta={
                  <>
                    {each.who} · <When at={each.time} />
                  </>
                }
              >
                <Safe html={each.html} />
              </Line>
            ))}
            {changes && <NoteForm id={of.id} done={done} />}
          </Part>
          <Part says={t("case.timeline")} count={of.timeline.length} empty="">
            <ol class="stack">
              {of.timeline.map((step, place) => (
                <li key={place} class={`small ${step.removed ? "removed" : ""}`}>
                  <When at={step.at} /> · <b>{t(`case.kind.${step.kind}` as Key)}</b> · {step.who}
                  <div class="wrap">{plain(step.what)}</div>
                </li>
              ))}
            </ol>
          </Part>
        </div>
        <div class="stack">
          <Part
            says={t("case.tasks")}
            count={of.tasks.length}
            empty={t("case.no_tasks")}
            action={changes && { says: t("case.add_task"), run: () => addTask(of, done) }}
          >
            {of.tasks.map((each) => (
              <Line key={each.number} of={of} number={each.number} removable={changes} done={done}>
                <label class="line">
                  <input
                    type="checkbox"
                    checked={each.done}
                    disabled={!changes}
                    onChange={(event) =>
                      void attempt(async () => {
                        await ask(`/cases/${of.id}/tasks/${each.number}`, {
                          method: "PUT",
                          body: { done: event.currentTarget.checked },
                        });
                        done();
                      })
                    }
                  />
                  <span class={`wrap ${each.done ? "quiet" : ""}`}>{plain(each.title)}</span>
                </label>
                {each.owner && <span class="small quiet">{each.owner}</span>}
              </Line>
            ))}
          </Part>
          <Part
            says={t("case.observables")}
            count={of.observables.length}
            empty={t("case.no_observables")}
            action={changes && { says: t("case.add_observable"), run: () => addObservable(of, done) }}
          >
            {of.observables.map((each) => (
              <Line key={each.number} of={of} number={each.number} removable={changes} done={done}>
                <span class="tag">{t(`case.observable.${each.kind}` as Key)}</span>
                <span class="raw">
                  <Value field={HUNTED[each.kind] ?? "message"} value={each.value} />
                </span>
                {each.note && <span class="small quiet">{plain(each.note)}</span>}
              </Line>
            ))}
          </Part>
          <Part
            says={t("case.files")}
            count={of.files.length}
            empty={t("case.no_files")}
            action={changes && { says: t("case.add_file"), run: () => addFile(of, done) }}
          >
            {of.files.map((each) => (
              <Line key={each.number} of={of} number={each.number} removable={changes} done={done}>
                <a data-load href={`/api/v1/cases/${of.id}/files/${each.number}`} download>
                  {plain(each.name)}
                </a>
                <span class="small quiet">{size(each.size)}</span>
                <code class="clip" title={each.sha256}>
                  {each.sha256.slice(0, 16)}…
                </code>
                <CopyButton text={each.sha256} />
              </Line>
            ))}
          </Part>
          <Part says={t("case.events")} count={of.events.length} empty={t("case.no_events")}>
            {of.events.map((each) => (
              <Line key={each.number} of={of} number={each.number} removable={changes} done={done}>
                <details>
                  <summary class="clip">
                    {plain(each.message ?? each["event.action"] ?? each["event.dataset"] ?? "")}
                  </summary>
                  <Fields of={each} />
                </details>
              </Line>
            ))}
          </Part>
        </div>
      </div>
      {!of.reportable && papers}
    </>
  );
}

/** HTML that the server has made of Markdown, without scripts, pictures and HTML of the one who wrote it. */
const Safe = ({ html }: { html: string }) => <div class="prose" dangerouslySetInnerHTML={{ __html: html }} />;

function ClockCard({
  of: { clock, due, state, done },
  onDone,
  onBack,
}: {
  of: Clock;
  onDone: (() => void) | null;
  onBack: (() => void) | null;
}) {
  return (
    <section class={`card clock ${state}`}>
      <h3>{t(`case.clock.${clock}.long`)}</h3>
      <p class="number">{done ? t(state === "done" ? "case.clock.done" : "case.clock.done_late") : ago(due)}</p>
      <p class="small quiet">
        {t("case.clock.due")} <When at={due} />
        {done && (
          <>
            {" "}
            · {t("case.clock.given")} <When at={done} />
          </>
        )}
      </p>
      {onDone && !done && (
        <button type="button" class="small" onClick={onDone}>
          {t(`case.clock.${clock}.mark`)}
        </button>
      )}
      {onBack && done && (
        <button type="button" class="small plain" onClick={onBack}>
          {t("case.clock.back")}
        </button>
      )}
    </section>
  );
}

interface PartProps {
  says: string;
  count: number;
  empty: string;
  action?: { says: string; run: () => void } | false;
  children: ComponentChildren;
}

function Part({ says, count, empty, action, children }: PartProps) {
  return (
    <section class="card">
      <header>
        <h2>
          {says} <span class="quiet small">{count}</span>
        </h2>
        {action && (
          <button type="button" class="small" onClick={action.run}>
            <Icon name="plus" />
            {action.says}
          </button>
        )}
      </header>
      {count === 0 && empty && <p class="quiet">{empty}</p>}
      <div class="rows-of">{children}</div>
    </section>
  );
}

interface LineProps {
  of: Case;
  number: number;
  removable: boolean;
  done: () => void;
  meta?: ComponentChildren;
  children: ComponentChildren;
}

function Line({ of, number, removable, done, meta, children }: LineProps) {
  const remove = () =>
    question({
      title: t("case.remove"),
      does: t("remove"),
      danger: true,
      says: <p class="quiet">{t("case.remove.help")}</p>,
      fields: [{ name: "reason", says: t("reason"), required: true, most: 1000 }],
      work: async ({ reason = "" }) => {
        await ask(withValues(`/cases/${of.id}/entries/${number}`, { reason }), { method: "DELETE" });
        done();
      },
    });
  return (
    <div class="entry">
      <div class="line">{children}</div>
      {meta && <div class="small quiet">{meta}</div>}
      {removable && (
        <button type="button" class="plain small drop" aria-label={t("remove")} title={t("remove")} onClick={remove}>
          <Icon name="remove" />
        </button>
      )}
    </div>
  );
}

function NoteForm({ id, done }: { id: number; done: () => void }) {
  const draft = draftOf<string>(`case-note.${id}`);
  const text = draft.value ?? "";
  const save = (event: SubmitEvent) => {
    event.preventDefault();
    void attempt(async () => {
      await ask(`/cases/${id}/notes`, { method: "POST", body: { text } });
      draft.drop();
      done();
    });
  };
  return (
    <form class="stack" onSubmit={save}>
      <textarea
        required
        maxLength={50_000}
        placeholder={t("case.note.hint")}
        aria-label={t("case.note")}
        value={text}
        onInput={({ currentTarget: { value } }) => (value ? draft.keep(value) : draft.drop())}
      />
      <div class="line">
        <button type="submit" disabled={!text.trim()}>
          {t("case.add_note")}
        </button>
      </div>
    </form>
  );
}
