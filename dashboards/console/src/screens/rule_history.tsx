// History: every change of the rulebook with its author, and the way back to an earlier state.

import { addressOf } from "../address";
import { useAnswer, type Answer } from "../answers";
import { ask } from "../api";
import { number, plain } from "../format";
import { Icon } from "../parts/icon";
import { Empty, Shown, Tag, When } from "../parts/marks";
import { attempt } from "../parts/toast";
import { actionOf, fileOf, type Exception, type Revision, type WholeRule } from "../rulebook";
import { may } from "../session";
import { t } from "../words";
import { confirm, DIFFERENCES, type Preview } from "./rule_preview";

/** As many as are kept. */
const MOST = 500;
const MOST_NAMED = 8;

export function useHistory(): Answer<Revision[]> {
  return useAnswer(
    "history",
    async (signal) => (await ask<{ revisions: Revision[] }>(`/rules/history?limit=${MOST}`, { signal })).revisions,
  );
}

interface FileChange {
  before: string;
  after: string;
}

const rulesOf = (each: Revision): Record<string, string> => (each.detail?.rules ?? {}) as Record<string, string>;
const filesOf = (each: Revision): Record<string, FileChange> =>
  (each.detail?.files ?? {}) as Record<string, FileChange>;
const exceptionOf = (each: Revision): Exception | undefined => each.detail?.exception as Exception | undefined;

/** Whether a change was of this rule. */
export function concerns(each: Revision, rule: WholeRule): boolean {
  return (
    rule.id in rulesOf(each) ||
    Boolean(exceptionOf(each)?.rules.includes(rule.id)) ||
    fileOf(rule.path) in filesOf(each)
  );
}

export function History() {
  const answer = useHistory();
  return (
    <Shown of={answer}>
      {(revisions) =>
        revisions.length ? (
          <section class="card">
            <Changes
              of={revisions}
              onBack={may("rules.manage") ? (each) => rollBack(each, revisions, () => answer.again()) : undefined}
            />
          </section>
        ) : (
          <Empty says={t("rule.no_history")} next={t("rule.no_history.next")} />
        )
      }
    </Shown>
  );
}

interface Props {
  of: readonly Revision[];
  onBack?: ((number: number) => void) | undefined;
}

export function Changes({ of, onBack }: Props) {
  const first = of.at(-1)?.revision ?? 0;
  return (
    <ol class="changes">
      {of.map((each, place) => (
        <li key={each.revision} class="change">
          <div class="line">
            <b>{actionOf(each.action)}</b>
            <span class="small quiet">{t("rule.revision", { number: each.revision })}</span>
            {each.failed && <Tag kind="fault">{t("rule.failed")}</Tag>}
            {place === 0 && onBack && !each.failed && <Tag kind="good">{t("rule.in_force")}</Tag>}
            {place > 0 && onBack && !each.failed && <BackButton onPress={() => onBack(each.revision)} />}
          </div>
          <div class="line small quiet">
            <When at={each.time * 1000} />
            <span>{each.who}</span>
            <span>{each.address === "command" ? t("rule.by_command") : each.address}</span>
          </div>
          <Detail of={each} />
          {each.failed && <p class="notice fault small wrap">{plain(each.failed)}</p>}
        </li>
      ))}
      {onBack && first === 1 && (
        <li class="change">
          <div class="line">
            <b>{t("rule.as_delivered")}</b>
            <BackButton onPress={() => onBack(0)} />
          </div>
        </li>
      )}
    </ol>
  );
}

function BackButton({ onPress }: { onPress: () => void }) {
  return (
    <button type="button" class="small back" onClick={onPress}>
      <Icon name="history" />
      {t("rule.back")}
    </button>
  );
}

/** How many: a revision keeps the number, or which. */
const countOf = (told: unknown): number => (Array.isArray(told) ? told.length : Number(told) || 0);

/** What was changed: rules by their titles, files line by line as they were and are, the reason. */
function Detail({ of, leads = true }: { of: Revision; leads?: boolean }) {
  const rules = Object.entries(rulesOf(of));
  const files = Object.entries(filesOf(of));
  const exception = exceptionOf(of);
  const { reason, pack, version, key, to } = of.detail ?? {};
  const counts = DIFFERENCES.map((name) => [name, countOf(of.detail?.[name])] as const).filter(
    ([, count]) => count > 0,
  );
  return (
    <>
      {rules.length > 0 && (
        <div class="line small">
          {rules.slice(0, MOST_NAMED).map(([id, title]) =>
            leads ? (
              <a key={id} href={addressOf("rules", {}, id)}>
                {plain(title)}
              </a>
            ) : (
              <span key={id}>{plain(title)}</span>
            ),
          )}
          {rules.length > MOST_NAMED && (
            <span class="quiet">{t("rule.and_more", { count: number(rules.length - MOST_NAMED) })}</span>
          )}
        </div>
      )}
      {Boolean(reason) && <p class="small wrap">{plain(reason)}</p>}
      {exception && (
        <p class="small wrap">
          {plain(exception.reason)}{" "}
          {leads &&
            exception.rules.slice(0, MOST_NAMED).map((id) => (
              <a key={id} href={addressOf("rules", { tab: "exceptions" }, id)}>
                {t("alert.rule")}
              </a>
            ))}
        </p>
      )}
      {Boolean(pack ?? key) && (
        <p class="small">
          {plain(pack ?? key)} {plain(version)}
        </p>
      )}
      {to !== undefined && <p class="small">{t("rule.back.to", { number: plain(to) })}</p>}
      {counts.length > 0 && (
        <div class="line small">
          {counts.map(([name, count]) => (
            <Tag key={name}>{t(`rule.preview.${name}`, { count: number(count) })}</Tag>
          ))}
        </div>
      )}
      {files.map(([name, change]) => (
        <details key={name}>
          <summary class="small raw">{name}</summary>
          <Difference of={change} />
        </details>
      ))}
    </>
  );
}

/** The lines that went and the lines that came, between what both begin and end with. */
function Difference({ of: { before, after } }: { of: FileChange }) {
  const old = before.split("\n"),
    now = after.split("\n");
  let same = 0;
  while (same < old.length && same < now.length && old[same] === now[same]) same += 1;
  let end = 0;
  while (end < old.length - same && end < now.length - same && old[old.length - 1 - end] === now[now.length - 1 - end])
    end += 1;
  const gone = before ? old.slice(same, old.length - end) : [];
  const came = after ? now.slice(same, now.length - end) : [];
  return (
    <pre class="raw code">
      {gone.map((line, place) => (
        <del key={`-${place}`}>- {line}</del>
      ))}
      {came.map((line, place) => (
        <ins key={`+${place}`}>+ {line}</ins>
      ))}
    </pre>
  );
}

/** Ask before an earlier revision is put in force: what was done since, and what of it would change. */
function rollBack(to: number, revisions: readonly Revision[], done: () => void): void {
  const since = revisions.filter((each) => each.revision > to && !each.failed);
  void attempt(async () => {
    const send = (path: string, force: boolean) =>
      ask<Preview>(path, { method: "POST", body: { revision: to, ...(force && { force }) } });
    confirm(await send("/rules/roll-back/preview", false), (force) => send("/rules/roll-back", force), done, {
      title: t("rule.back.title", { number: to }),
      does: t("rule.back.does"),
      danger: true,
      told: (made) => t("rule.back.done", { number: plain(made.revision) }),
      says: (
        <>
          <p>{t("rule.back.help", { count: number(since.length) })}</p>
          <ul class="changes taken-back">
            {since.slice(0, MOST_NAMED).map((each) => (
              <li key={each.revision} class="change">
                <div class="line small">
                  <b>{actionOf(each.action)}</b>
                  <span class="quiet">
                    <When at={each.time * 1000} /> · {each.who}
                  </span>
                </div>
                <Detail of={each} leads={false} />
              </li>
            ))}
            {since.length > MOST_NAMED && (
              <li class="small quiet">{t("rule.and_more", { count: number(since.length - MOST_NAMED) })}</li>
            )}
          </ul>
        </>
      ),
    });
  });
}
