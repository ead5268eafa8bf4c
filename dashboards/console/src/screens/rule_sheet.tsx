// One rule in full: what it says and what to do first, its text, its exceptions, how it does on stored events, and who
// changed it.

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { addressOf, adjust, chosen } from "../address";
import { useAnswer } from "../answers";
import { ask, part } from "../api";
import { number, plain } from "../format";
import { question } from "../parts/dialog";
import { Icon } from "../parts/icon";
import { CopyButton, Empty, Fault, Row, Severity, Shown, Tag, When } from "../parts/marks";
import { Item, MenuButton } from "../parts/popover";
import { Sheet } from "../parts/sheet";
import { attempt, tell } from "../parts/toast";
import { quoted } from "../query";
import {
  except,
  fileOf,
  MODES,
  ModeTag,
  OWN,
  packName,
  removeException,
  setMode,
  sourceOf,
  titleOf,
  type Finding,
  type Revision,
  type WholeRule,
} from "../rulebook";
import { may, person } from "../session";
import { tagSays } from "../techniques";
import { rich, spoken, t, type Key } from "../words";
import { FieldsOf } from "./rule_coverage";
import { ExceptionsOf } from "./rule_exceptions";
import { Changes, concerns, useHistory } from "./rule_history";
import { Backtest, Explain } from "./rule_trial";

const TABS = ["about", "text", "exceptions", "trial", "changes"] as const;

interface Props {
  id: string;
  onClose: () => void;
  onChange: () => void;
}

export function RuleSheet({ id, onClose, onChange }: Props) {
  const answer = useAnswer(id, (signal) => ask<WholeRule>(`/rules/${part(id)}`, { signal }));
  const rule = answer.value;
  const { tab = "about" } = chosen.value;
  const changed = () => {
    answer.again();
    onChange();
  };
  const gone = () => {
    onClose();
    onChange();
  };
  const tabs = TABS.filter((each) => each !== "trial" || may("events.read"));
  return (
    <Sheet
      onClose={onClose}
      title={rule ? plain(titleOf(rule)) : answer.fault ? id : t("loading")}
      meta={rule && <Meta of={rule} />}
      actions={rule && <Actions of={rule} onGone={gone} onChange={changed} />}
    >
      {answer.fault?.status === 404 ? (
        <Empty says={t("rule.built_in")} next={t("rule.built_in.next")} />
      ) : (
        <Fault of={answer.fault} />
      )}
      {rule && (
        <div class={`stack ${answer.waits ? "waits" : ""}`}>
          <nav class="tabs">
            {tabs.map((each) => (
              <button
                key={each}
                type="button"
                aria-current={tab === each ? "page" : undefined}
                onClick={() => adjust({ tab: each === "about" ? "" : each }, true)}
              >
                {t(`rule.tab.${each}`)}
                {each === "exceptions" && rule.exceptions.length > 0 && <b>{number(rule.exceptions.length)}</b>}
              </button>
            ))}
          </nav>
          {tab === "about" && <About of={rule} />}
          {tab === "text" && <Text of={rule} />}
          {tab === "exceptions" && (
            <ExceptionsOf
              of={rule.exceptions}
              onRemove={may("rules.change") ? (each) => removeException(each, changed) : undefined}
              none={t(rule.kind === "correlation" ? "rule.no_exceptions.parts" : "rule.no_exceptions")}
            />
          )}
          {tab === "trial" && may("events.read") && (
            <>
              {may("rules.change") && !person.value?.limited && (
                <Backtest key={rule.text} path={`/rules/${part(rule.id)}/backtest`} rule={rule} />
              )}
              <Explain rule={rule} />
            </>
          )}
          {tab === "changes" && <ChangesOf rule={rule} />}
        </div>
      )}
    </Sheet>
  );
}

function Meta({ of }: { of: WholeRule }) {
  return (
    <>
      <Severity level={of.level} />
      <ModeTag of={of.mode} />
      {of.silent && <Tag>{t("rule.silent")}</Tag>}
      <span>{packName(of.pack_name)}</span>
      <span class="raw">{sourceOf(of)}</span>
    </>
  );
}

function Actions({ of, onGone, onChange }: { of: WholeRule; onGone: () => void; onChange: () => void }) {
  const before = of.set_by?.mode ?? null;
  return (
    <>
      {may("rules.change") && (
        <MenuButton icon="settings" says={`${t("rule.mode")}: ${t(`rule.mode.${of.mode}`)}`}>
          {() => (
            <>
              {MODES.map((each) => (
                <Item
                  key={each}
                  says={t(`rule.set.${each}`)}
                  checked={of.mode === each}
                  run={() => each !== of.mode && setMode([of.id], each, onChange, before)}
                />
              ))}
              {of.set_by && (
                <>
                  <hr />
                  <Item says={t("rule.set.default")} run={() => setMode([of.id], null, onChange, before)} />
                </>
              )}
            </>
          )}
        </MenuButton>
      )}
      {may("rules.change") && of.kind === "rule" && (
        <button
          type="button"
          onClick={() =>
            except(
              { id: of.id, title: titleOf(of), fields: of.fields.flatMap(({ keys }) => keys.slice(0, 1)) },
              {},
              onChange,
            )
          }
        >
          <Icon name="minus" />
          {t("rule.except")}
        </button>
      )}
      {may("events.read") && (
        <a class="button" href={addressOf("hunt", { index: "alerts", q: `rule.id:${quoted(of.id)}` })}>
          <Icon name="search" />
          {t("alert.all_of_rule")}
        </a>
      )}
      {may("rules.manage") && of.pack === OWN && (
        <>
          <a class="button" href={addressOf("rules", { view: "edit", rule: of.id })}>
            <Icon name="edit" />
            {t("rule.edit")}
          </a>
          <button type="button" class="danger" onClick={() => remove(of, onGone)}>
            <Icon name="remove" />
            {t("remove")}
          </button>
        </>
      )}
    </>
  );
}

function remove(of: WholeRule, onGone: () => void): void {
  question({
    title: t("rule.remove"),
    does: t("rule.remove"),
    danger: true,
    says: <p>{t("rule.remove.help", { rule: titleOf(of), file: fileOf(of.path) })}</p>,
    work: async () => {
      await ask(`/rules/${part(of.id)}`, { method: "DELETE" });
      tell(t("rule.removed", { rule: titleOf(of) }));
      onGone();
    },
  });
}

function Section({ says, children }: { says: Key; children: ComponentChildren }) {
  return (
    <section>
      <h3>{t(says)}</h3>
      {children}
    </section>
  );
}

function About({ of }: { of: WholeRule }) {
  const texts = { description: of.description, ...of.extra };
  const description = spoken(texts, "description");
  const response = spoken(texts, "response");
  const looks = may("events.read") && !person.value?.limited;
  return (
    <>
      {of.set_by && (
        <p class="notice">
          <span>
            {t("rule.set_by", { who: of.set_by.who, mode: t(`rule.mode.${of.set_by.mode}`) })}{" "}
            <When at={of.set_by.changed * 1000} />
          </span>
          {of.set_by.reason && <span class="wrap quiet">{plain(of.set_by.reason)}</span>}
        </p>
      )}
      {Boolean(description) && (
        <Section says="rule.description">
          <p class="wrap">{rich(plain(description))}</p>
        </Section>
      )}
      {Boolean(response) && (
        <Section says="alert.first">
          <div class="notice good wrap">{rich(plain(response))}</div>
        </Section>
      )}
      {of.parts.length > 0 && (
        <Section says="rule.parts">
          <ul class="stack">
            {of.parts.map((each) => (
              <li key={each.id}>
                <a href={addressOf("rules", {}, each.id)}>{plain(titleOf(each))}</a>
              </li>
            ))}
          </ul>
        </Section>
      )}
      {of.falsepositives.length > 0 && (
        <Section says="rule.false_positives">
          <ul class="listed">
            {of.falsepositives.map((each, place) => (
              <li key={place} class="wrap">
                {plain(each)}
              </li>
            ))}
          </ul>
        </Section>
      )}
      {(of.fields.length > 0 || looks) && (
        <Section says="rule.fields">
          <FieldsOf rule={of} looks={looks} />
        </Section>
      )}
      {of.tags.length > 0 && (
        <Section says="column.tags">
          <div class="line">
            {of.tags.map((each) => (
              <Tag key={each}>{tagSays(each)}</Tag>
            ))}
          </div>
        </Section>
      )}
      <section>
        <table class="fields">
          <tbody>
            <Row says="rule.matched">
              {person.value?.limited
                ? t("rule.matches.limited")
                : t("rule.matches.says", { alerts: number(of.alerts), observed: number(of.observed) })}
            </Row>
            <Row says="rule.kind">{t(`rule.kind.${of.kind}`)}</Row>
            {of.author && <Row says="rule.author">{plain(of.author)}</Row>}
            {of.status && <Row says="rule.status">{plain(of.status)}</Row>}
            <Row says="rule.id">
              <span class="raw">{of.id}</span> <CopyButton text={of.id} />
            </Row>
            {of.references.length > 0 && (
              <Row says="rule.references">
                <div class="raw">{of.references.map(plain).join("\n")}</div>
              </Row>
            )}
          </tbody>
        </table>
      </section>
    </>
  );
}

function Text({ of }: { of: WholeRule }) {
  return (
    <>
      <section>
        <div class="line apart">
          <h3 class="raw">{fileOf(of.path)}</h3>
          <CopyButton text={of.text} />
        </div>
        <pre class="raw code">{of.text}</pre>
      </section>
      <section>
        <div class="line apart">
          <h3>{t("rule.tests")}</h3>
          {of.tests !== null && may("rules.change") && <TestButton id={of.id} />}
        </div>
        {of.tests === null ? <p class="quiet">{t("rule.no_tests")}</p> : <pre class="raw code">{of.tests}</pre>}
      </section>
    </>
  );
}

interface Tested {
  vectors: number;
  failed: number;
  findings: Finding[];
}

/** Try the vectors of a rule as it is in force. */
function TestButton({ id }: { id: string }) {
  const found = useSignal<Tested | null>(null);
  const works = useSignal(false);
  const run = async () => {
    works.value = true;
    await attempt(async () => {
      found.value = await ask<Tested>("/rules/test", { method: "POST", body: { rules: [id] } });
    });
    works.value = false;
  };
  const told = found.value;
  return (
    <div class="line">
      {told &&
        (told.findings.length ? (
          <ul class="fault small">
            {told.findings.map((each, place) => (
              <li key={place}>{plain(each.text)}</li>
            ))}
          </ul>
        ) : (
          <Tag kind="good">{t("rule.tested", { count: number(told.vectors) })}</Tag>
        ))}
      <button type="button" class="small" disabled={works.value} onClick={() => void run()}>
        <Icon name="play" />
        {t("rule.test")}
      </button>
    </div>
  );
}

function ChangesOf({ rule }: { rule: WholeRule }) {
  const history = useHistory();
  return (
    <Shown of={history}>
      {(revisions: Revision[]) => {
        const found = revisions.filter((each) => concerns(each, rule));
        return found.length ? <Changes of={found} /> : <Empty says={t("rule.no_changes")} />;
      }}
    </Shown>
  );
}
