// What people do with rules: a rule and what is to be filled in enter, a revision of the rulebook leaves.

import { ask, part } from "./api";
import { number } from "./format";
import { question, type Field } from "./parts/dialog";
import { Tag } from "./parts/marks";
import { attempt, tell } from "./parts/toast";
import { spoken, t, word } from "./words";

export const MODES = ["alert", "observe", "off"] as const;
export type Mode = (typeof MODES)[number];

/** What a rule is called. */
export interface Titled {
  title: string;
  title_vi: string | null;
}

/** A rule as lists have it. */
export interface Rule extends Titled {
  id: string;
  /** The name of the file that it lies in. */
  file: string;
  level: string;
  status: string;
  tags: string[];
  mode: Mode;
  /** It raises no alerts of its own: correlations refer to it. */
  silent: boolean;
  pack: string;
  pack_name: string;
  kind: "rule" | "correlation";
  logsource: Record<string, string>;
  alerts: number;
  observed: number;
}

export interface Exception {
  id: string;
  rules: string[];
  text: string;
  author: string;
  reason: string;
  created: number;
  expires: number | null;
}

/** A rule in full. */
export interface WholeRule extends Rule {
  description: string;
  author: string;
  references: string[];
  falsepositives: string[];
  extra: Record<string, unknown>;
  /** What it looks for, and where events may hold that. */
  fields: { name: string; keys: string[] }[];
  parts: (Titled & { id: string })[];
  path: string;
  text: string;
  tests: string | null;
  set_by: { mode: Mode; who: string; reason: string; changed: number } | null;
  exceptions: Exception[];
}

export interface Revision {
  revision: number;
  time: number;
  who: string;
  address: string;
  action: string;
  detail: Record<string, unknown> | null;
  failed: string;
}

export interface Finding {
  severity: "error" | "warning";
  path: string;
  rule: string;
  text: string;
}

/** The pack of the rules that were written here. */
export const OWN = "own";
const DAY_SECONDS = 86_400;
/** Fields that exceptions are mostly told by, beside those that the rule reads. */
const USUAL_FIELDS = ["host.name", "user.name", "source.ip"] as const;
const MOST_FIELDS = 6;

/** Return what a rule is called in the reader's language. */
export const titleOf = (rule: Titled): string => String(spoken({ ...rule }, "title") || rule.title);

export const sourceOf = ({ logsource }: Pick<Rule, "logsource">): string => Object.values(logsource).join(" · ");

/** Return the end of a path: what reads it need not know the folders of that machine. */
export const fileOf = (path: string): string => path.split("/").at(-1) ?? path;

/** What a pack or a folder is called: those that come with us and those of the site's own have words. */
export const packName = (name: string): string => word("rule.pack_name", name);

const KINDS: Record<Mode, "" | "accent" | "attention"> = { alert: "", observe: "accent", off: "attention" };

export function ModeTag({ of }: { of: Mode }) {
  return <Tag kind={KINDS[of]}>{t(`rule.mode.${of}`)}</Tag>;
}

/** Give rules a mode; null: the one of their pack. `before`: what an undo gives them again. */
export function setMode(ids: readonly string[], mode: Mode | null, done: () => void, before?: Mode | null): void {
  const change = (to: Mode | null, reason: string) =>
    ask("/rules/mode", { method: "POST", body: { rules: ids, mode: to, reason } });
  question({
    title: t(mode ? `rule.set.${mode}` : "rule.set.default"),
    does: t(mode ? `rule.set.${mode}` : "rule.set.default"),
    danger: mode === "off",
    says: (
      <p>
        {t(mode ? `rule.set.${mode}.help` : "rule.set.default.help")} {t("rule.about", { count: number(ids.length) })}
      </p>
    ),
    fields: [{ name: "reason", says: t("reason"), kind: "textarea", required: true, most: 2000 }],
    work: async ({ reason = "" }) => {
      await change(mode, reason);
      const back = async () => {
        await change(before ?? null, t("triage.undone"));
        done();
      };
      tell(
        t("rule.mode.done", { count: number(ids.length) }),
        before === undefined ? undefined : () => void attempt(back),
      );
      done();
    },
  });
}

/** Let a rule stay quiet where fields have values; those that are given stand first. */
export function except(
  rule: { id: string; title: string; fields: readonly string[] },
  where: Record<string, string>,
  done: () => void,
): void {
  const names = [...new Set([...Object.keys(where), ...USUAL_FIELDS, ...rule.fields])].slice(0, MOST_FIELDS);
  const fields: Field[] = names.map((name) => ({ name: `where ${name}`, says: name, value: where[name] ?? "" }));
  question({
    title: t("rule.except"),
    does: t("rule.except"),
    danger: true,
    wide: true,
    says: (
      <>
        <p>{t("rule.except.of", { rule: rule.title })}</p>
        <p class="quiet">{t("rule.except.help")}</p>
      </>
    ),
    fields: [
      ...fields,
      { name: "other", says: t("rule.except.other"), most: 200, help: t("rule.except.other.help") },
      { name: "value", says: t("rule.except.other.value") },
      { name: "reason", says: t("reason"), kind: "textarea", required: true, most: 2000 },
      { name: "days", says: t("rule.except.days"), kind: "number", value: "90", help: t("rule.except.days.help") },
    ],
    work: async (filled) => {
      const given = names.map((name) => [name, filled[`where ${name}`] ?? ""] as const);
      if (filled.other) given.push([filled.other.trim(), filled.value ?? ""]);
      const days = Number(filled.days);
      const body = {
        rule: rule.id,
        where: Object.fromEntries(given.filter(([, value]) => value)),
        reason: filled.reason,
        expires: days > 0 ? Date.now() / 1000 + days * DAY_SECONDS : null,
      };
      const { id } = await ask<{ id: string }>("/rules/exceptions", { method: "POST", body });
      const back = async () => {
        await ask(`/rules/exceptions/${part(id)}`, { method: "DELETE" });
        done();
      };
      tell(t("rule.except.done"), () => void attempt(back));
      done();
    },
  });
}

export function removeException(each: Exception, done: () => void): void {
  question({
    title: t("rule.unexcept"),
    does: t("remove"),
    danger: true,
    says: (
      <>
        <p>{t("rule.unexcept.help")}</p>
        <p class="wrap quiet">{each.reason}</p>
      </>
    ),
    work: async () => {
      await ask(`/rules/exceptions/${part(each.id)}`, { method: "DELETE" });
      tell(t("rule.unexcept.done"));
      done();
    },
  });
}

/** Return what a change was, in words. */
export const actionOf = (action: string): string => word("rule.action", action);
