// The editor of the site's own rules: a text and its test vectors enter, findings at their lines, then a revision leave.
// What is written is a draft until it is saved.

import { signal, useSignal } from "@preact/signals";
import { addressOf, go } from "../address";
import { useAnswer } from "../answers";
import { ask, part, withValues } from "../api";
import { draftOf } from "../drafts";
import { clockAt, number, plain } from "../format";
import { question } from "../parts/dialog";
import { Editor as LineEditor } from "../parts/editor";
import { Icon } from "../parts/icon";
import { Shown } from "../parts/marks";
import { attempt, tell } from "../parts/toast";
import { fileOf, OWN, titleOf, type Finding, type Rule, type WholeRule } from "../rulebook";
import { may, person } from "../session";
import { folded, rich, t } from "../words";
import { Backtest } from "./rule_trial";

interface Written {
  /** Of the file; empty: it follows the title. */
  name: string;
  text: string;
  tests: string;
}

/** As many as the server lists at once. */
const MOST_OWN = 10_000;
const ENDING = /\.ya?ml$/;

/** Edit a rule; without one, write a new one. */
export function Editor({ of }: { of: string }) {
  const answer = useAnswer(of || null, (signal) => ask<WholeRule>(`/rules/${part(of)}`, { signal }));
  if (!of) return <Form of="" from={template()} />;
  const rule = answer.value;
  if (!rule) return <Shown of={answer}>{() => null}</Shown>;
  const title = titleOf(rule);
  if (rule.pack === OWN)
    return (
      <Form of={rule.id} title={title} from={{ name: fileOf(rule.path), text: rule.text, tests: rule.tests ?? "" }} />
    );
  return (
    <p class="notice attention">
      {t("rule.not_own")} <a href={addressOf("rules", {}, rule.id)}>{title}</a>
    </p>
  );
}

function Form({ of, title, from }: { of: string; title?: string; from: Written }) {
  const kept = draftOf<Written>(`rule.${of}`);
  const draft = kept.value ?? from;
  /** What was looked at last, and what was found then. */
  const checked = useSignal<{ of: string; findings: Finding[] } | null>(null);
  const works = useSignal(false);
  const filesNow = filesOf(draft);
  const key = JSON.stringify(filesNow);
  const findings = checked.value?.findings ?? [];
  const errors = findings.filter(({ severity }) => severity === "error");
  const warnings = findings.filter(({ severity }) => severity === "warning");
  const isFresh = checked.value?.of === key;
  const isClean = isFresh && errors.length === 0;
  /** It says what every new rule says at first. */
  const isTemplate = !of && (draft.text === from.text || titleIn(draft.text) === t("rule.template.title"));
  const shown = useSignal<{ tests: boolean; line: number; at: number } | null>(null);

  const change = (changes: Partial<Written>) => kept.keep({ ...draft, ...changes });
  const check = async () => {
    works.value = true;
    await attempt(async () => {
      const found = await ask<{ findings: Finding[] }>("/rules/check", {
        method: "POST",
        body: { files: filesNow },
      });
      checked.value = { of: key, findings: found.findings };
    });
    works.value = false;
  };
  const discard = () => {
    const before = draft;
    kept.drop();
    checked.value = null;
    tell(t("rule.draft.dropped"), () => change(before));
  };
  const save = async () => {
    const file = nameOf(draft);
    const taken = of ? "" : await takenBy(file);
    question({
      title: t("rule.save"),
      does: t("rule.save"),
      danger: Boolean(taken),
      says: (
        <>
          <p>{t(of ? "rule.save.help" : "rule.save.new.help", { file })}</p>
          {taken && <p class="notice attention">{t("rule.save.taken", { file, rule: taken })}</p>}
        </>
      ),
      work: async () => {
        const made = await ask<{ revision: number | null; findings: Finding[] }>("/rules", {
          method: "POST",
          body: { files: filesNow },
        });
        checked.value = { of: key, findings: made.findings };
        if (made.revision === null) return tell(t("rule.not_saved"));
        kept.drop();
        fresh.value = null;
        tell(t("rule.saved", { revision: made.revision }));
        return go("rules", {}, idIn(draft.text) || file.replace(ENDING, ""));
      },
    });
  };
  /** Show where a finding is. */
  const goTo = (each: Finding) => {
    const isTests = ofTests(each);
    const line = lineOf(each, isTests ? draft.tests : draft.text);
    if (line) shown.value = { tests: isTests, line, at: Date.now() };
  };
  const linesOf = (some: readonly Finding[], isTests: boolean) =>
    new Map(
      (isFresh ? some : [])
        .filter((each) => ofTests(each) === isTests)
        .map((each) => [lineOf(each, isTests ? draft.tests : draft.text), each.text]),
    );
  return (
    <>
      <header>
        <h1 class="clip">{title ? t("rule.edit.title", { rule: title }) : t("rule.write")}</h1>
        <a class="button" href={addressOf("rules", { view: "" }, of)}>
          <Icon name="back" />
          {t("rule.view.rules")}
        </a>
        {kept.value && (
          <button type="button" onClick={discard}>
            {t("rule.draft.drop")}
          </button>
        )}
        <button type="button" disabled={works.value} onClick={() => void check()}>
          <Icon name="check" />
          {t("rule.check")}
        </button>
        <button
          type="button"
          class="main"
          disabled={!isClean || isTemplate}
          title={isTemplate ? t("rule.save.template") : isClean ? "" : t("rule.save.first")}
          onClick={() => void attempt(save)}
        >
          <Icon name="save" />
          {t("rule.save")}
        </button>
      </header>
      <div class="rule-editor">
        <div class="stack">
          <label class="line">
            <span class="small quiet">{t("rule.file")}</span>
            <input
              class="raw grows"
              value={nameOf(draft)}
              disabled={Boolean(of)}
              maxLength={100}
              onChange={(event) => change({ name: event.currentTarget.value.trim() })}
            />
          </label>
          <LineEditor
            label={t("rule.text")}
            value={draft.text}
            faults={linesOf(errors, false)}
            doubts={linesOf(warnings, false)}
            goTo={shown.value?.tests === false ? shown.value : null}
            rows={26}
            onInput={(now) => change({ text: now })}
          />
          <h3>{t("rule.tests")}</h3>
          <p class="quiet small">{rich(t("rule.tests.help"))}</p>
          <LineEditor
            label={t("rule.tests")}
            value={draft.tests}
            faults={linesOf(errors, true)}
            doubts={linesOf(warnings, true)}
            goTo={shown.value?.tests ? shown.value : null}
            rows={12}
            onInput={(now) => change({ tests: now })}
          />
        </div>
        <div class="stack">
          <section class="card stack" aria-live="polite">
            <h2>{t("rule.findings")}</h2>
            {isTemplate && <p class="quiet">{t("rule.save.template")}</p>}
            {!checked.value ? (
              <p class="quiet">{t("rule.check.help")}</p>
            ) : (
              <>
                {!isFresh && <p class="attention small">{t("rule.check.old")}</p>}
                {isClean && (
                  <p class="notice good">{t(draft.tests.trim() ? "rule.check.clean" : "rule.check.clean.no_tests")}</p>
                )}
                <Findings
                  says={t("rule.errors", { count: number(errors.length) })}
                  kind="fault"
                  of={errors}
                  draft={draft}
                  onGo={goTo}
                />
                <Findings
                  says={t("rule.warnings", { count: number(warnings.length) })}
                  kind="attention"
                  of={warnings}
                  draft={draft}
                  onGo={goTo}
                />
              </>
            )}
          </section>
          {may("events.read") && (
            <div class="card">
              <Backtest path="/rules/backtest" text={draft.text} />
            </div>
          )}
        </div>
      </div>
    </>
  );
}

interface FindingsProps {
  says: string;
  kind: "fault" | "attention";
  of: readonly Finding[];
  draft: Written;
  onGo: (each: Finding) => void;
}

function Findings({ says, kind, of, draft, onGo }: FindingsProps) {
  if (!of.length) return null;
  return (
    <div class="stack">
      <h4>{says}</h4>
      <ul class="stack">
        {of.map((each, place) => {
          const isTests = ofTests(each);
          const line = lineOf(each, isTests ? draft.tests : draft.text);
          return (
            <li key={place} class={`finding ${kind}`}>
              {line ? (
                <button type="button" class="small plain" onClick={() => onGo(each)}>
                  {t(isTests ? "rule.at.tests" : "rule.at.text")} {t("rule.line", { line: number(line) })}
                </button>
              ) : (
                <span class="small">{t(isTests ? "rule.at.tests" : "rule.at.text")}</span>
              )}
              <div class="wrap">{plain(each.text)}</div>
            </li>
          );
        })}
      </ul>
    </div>
  );
}

const ofTests = ({ path }: Finding): boolean => /\.test\.ya?ml(:\d+)?$/.test(path);

/**
 * Return the line of a finding, 0 where it has none: the one that YAML names, that of the vector that failed, that of
 * a word in quotation marks, or where the rule begins.
 */
export function lineOf({ path, text: says }: Finding, text: string): number {
  const lines = text.split("\n");
  const marks = [...says.matchAll(/line (\d+), column/g)];
  const named = marks.at(/parsing a flow|scanning a quoted/.test(says) ? 0 : -1)?.[1]; // where it opens, or where it fails
  if (named) return Math.min(lines.length, Number(named));
  const [, list, nth] = /\b(hits|misses) (\d+):/.exec(says) ?? [];
  if (list && nth) return lineOfItem(lines, list, Number(nth));
  const begins = Number(/:(\d+)$/.exec(path)?.[1] ?? 0);
  const quotedWords = [...says.matchAll(/'([^']{2,80})'/g)].map(([, word]) => word ?? "");
  // The word that stands in the fewest lines says best which one is meant.
  const found = quotedWords
    .map((word) => lines.flatMap((line, place) => (place >= begins - 1 && hasWord(line, word) ? [place + 1] : [])))
    .filter((places) => places.length)
    .sort((one, other) => one.length - other.length);
  return found[0]?.[0] ?? begins;
}

function hasWord(line: string, word: string): boolean {
  const escaped = word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`(?<![\\w-])${escaped}(?![\\w-])`).test(line);
}

/** Return the line of the nth entry of a list of vectors. */
function lineOfItem(lines: readonly string[], list: string, nth: number): number {
  const head = lines.findIndex((line) => line.startsWith(`${list}:`));
  if (head < 0) return 0;
  const indent = /^\s*(?=- )/.exec(lines[head + 1] ?? "")?.[0];
  if (indent === undefined) return head + 1;
  let left = nth;
  for (let place = head + 1; place < lines.length; place += 1) {
    if (lines[place]?.startsWith(`${indent}- `) && --left === 0) return place + 1;
  }
  return head + 1;
}

function filesOf(draft: Written): Record<string, string> {
  const name = nameOf(draft);
  const tests = draft.tests.trim() ? { [name.replace(ENDING, ".test.yml")]: draft.tests } : {};
  return { [name]: draft.text, ...tests };
}

/** Return the name of the file: the one that was given, or one made of the title. */
function nameOf({ name, text }: Written): string {
  if (name) return ENDING.test(name) ? name : `${name}.yml`;
  const made = folded(titleIn(text))
    .replace(/[^a-z0-9]+/g, "_")
    .replace(/^_+|_+$/g, "")
    .slice(0, 60);
  return `${made || "rule"}.yml`;
}

const titleIn = (text: string): string => /^title:\s*(.+)$/m.exec(text)?.[1]?.trim() ?? "";
const idIn = (text: string): string => /^id:\s*['"]?([0-9a-fA-F-]{36})/m.exec(text)?.[1]?.toLowerCase() ?? "";

/** Return which rule of ours lies in a file of this name already; it would be written over. */
async function takenBy(file: string): Promise<string> {
  const { rules } = await ask<{ rules: Rule[] }>(withValues("/rules", { pack: OWN, limit: MOST_OWN }));
  const found = rules.filter((each) => each.file === file);
  return found.map(titleOf).join(", ");
}

/** Return a random UUID (RFC 9562 section 5.4); the browser's own is only there over https. */
function uuid(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = [...bytes].map((each) => each.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

const fresh = signal<Written | null>(null);

/** Return a rule to start from, which passes its own vectors; the same one until the page is loaded again. */
function template(): Written {
  return (fresh.value ??= { name: "", text: templateText(), tests: TESTS });
}

function templateText(): string {
  const today = clockAt(Date.now());
  return `title: ${t("rule.template.title")}
id: ${uuid()}
status: experimental
description: ${t("rule.template.description")}
author: ${JSON.stringify(person.value?.name ?? "")}
date: '${today ? `${today.year}-${today.month}-${today.day}` : ""}'
tags:
  - attack.credential-access
  - attack.t1110
logsource:
  product: linux
  service: sshd
detection:
  selection:
    message|startswith: 'Failed password for '
  condition: selection
falsepositives:
  - ${t("rule.template.false_positive")}
response: ${t("rule.template.response")}
level: medium
`;
}

const TESTS = `hits:
  - event.dataset: linux.auth
    process.name: sshd
    message: Failed password for root from 203.0.113.9 port 50022 ssh2
misses:
  - event.dataset: linux.auth
    process.name: sshd
    message: Accepted publickey for lan.nguyen from 10.1.2.3 port 50022 ssh2
`;
