// What is asked before a case is opened, changed, closed, or something is put into it.

import { go } from "../address";
import { ask, send, withValues } from "../api";
import type { Case } from "../cases";
import { question, type Field } from "../parts/dialog";
import { LEVELS } from "../parts/marks";
import { tell } from "../parts/toast";
import { t, word } from "../words";

const TLPS = ["clear", "green", "amber", "amber+strict", "red"] as const;
const OBSERVABLES = ["address", "domain", "url", "hash", "email", "host", "user", "file", "other"] as const;

const tlpField = (value: string): Field => ({
  name: "tlp",
  says: t("case.tlp"),
  kind: "select",
  value,
  options: TLPS.map((each) => [each, each.toUpperCase()] as const),
});

export function open(): void {
  question({
    title: t("case.open"),
    does: t("case.open"),
    fields: [
      { name: "title", says: t("case.title"), required: true, most: 300 },
      {
        name: "level",
        says: t("column.level"),
        kind: "select",
        value: "medium",
        options: LEVELS.map((level) => [level, word("level", level)] as const),
      },
      tlpField("amber"),
      { name: "reportable", says: t("case.reportable"), kind: "checkbox" },
    ],
    work: async ({ title, level, tlp, reportable }) => {
      const made = await ask<{ id: number }>("/cases", {
        method: "POST",
        body: { title, level, tlp, reportable: reportable === "yes" },
      });
      go("cases", {}, String(made.id));
    },
  });
}

export function edit(of: Case, done: () => void): void {
  question({
    title: t("case.edit"),
    does: t("save"),
    fields: [
      { name: "title", says: t("case.title"), value: of.title, required: true, most: 300 },
      {
        name: "level",
        says: t("column.level"),
        kind: "select",
        value: of.level,
        options: LEVELS.map((level) => [level, word("level", level)] as const),
      },
      { name: "owner", says: t("column.owner"), value: of.owner, most: 100 },
      tlpField(of.tlp),
      {
        name: "pap",
        says: t("case.pap"),
        kind: "select",
        value: of.pap,
        options: (["clear", "green", "amber", "red"] as const).map((each) => [each, each.toUpperCase()] as const),
      },
      { name: "reportable", says: t("case.reportable"), kind: "checkbox", value: of.reportable ? "yes" : "" },
    ],
    work: async ({ reportable, ...filled }) => {
      await ask(`/cases/${of.id}`, { method: "PATCH", body: { ...filled, reportable: reportable === "yes" } });
      done();
    },
  });
}

export function close(of: Case, done: () => void): void {
  question({
    title: t("case.close"),
    does: t("case.close"),
    wide: true,
    says: <p>{t("case.close.help")}</p>,
    fields: [
      {
        name: "verdict",
        says: t("case.verdict"),
        kind: "select",
        options: [
          ["true_positive", t("status.true_positive")],
          ["false_positive", t("status.false_positive")],
        ],
      },
      {
        name: "summary",
        says: t("case.summary"),
        kind: "textarea",
        required: true,
        most: 50_000,
        help: t("case.summary.help"),
      },
    ],
    work: async (body) => {
      await ask(`/cases/${of.id}/close`, { method: "POST", body });
      tell(t("case.closed", { id: of.id }));
      done();
    },
  });
}

export function reopen(of: Case, done: () => void): void {
  question({
    title: t("case.reopen"),
    does: t("case.reopen"),
    fields: [{ name: "reason", says: t("reason"), required: true, most: 500 }],
    work: async (body) => {
      await ask(`/cases/${of.id}/reopen`, { method: "POST", body });
      done();
    },
  });
}

export function addTask(of: Case, done: () => void): void {
  question({
    title: t("case.add_task"),
    does: t("case.add_task"),
    fields: [
      { name: "title", says: t("case.task"), required: true },
      { name: "owner", says: t("column.owner"), most: 100 },
    ],
    work: async (body) => {
      await ask(`/cases/${of.id}/tasks`, { method: "POST", body });
      done();
    },
  });
}

export function addObservable(of: Case, done: () => void): void {
  question({
    title: t("case.add_observable"),
    does: t("case.add_observable"),
    fields: [
      {
        name: "kind",
        says: t("device.kind"),
        kind: "select",
        options: OBSERVABLES.map((kind) => [kind, t(`case.observable.${kind}`)] as const),
      },
      { name: "value", says: t("fields.value"), required: true },
      tlpField(of.tlp),
      { name: "note", says: t("device.note") },
    ],
    work: async (body) => {
      await ask(`/cases/${of.id}/observables`, { method: "POST", body });
      done();
    },
  });
}

export function addFile(of: Case, done: () => void): void {
  question({
    title: t("case.add_file"),
    does: t("case.add_file"),
    fields: [{ name: "file", says: t("case.file"), kind: "file", required: true }],
    work: async (_, { file }) => {
      if (!file) return;
      await send(withValues("/cases/files", { case: of.id, name: file.name }), { method: "POST", body: file });
      done();
    },
  });
}
