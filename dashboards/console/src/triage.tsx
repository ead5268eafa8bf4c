// What an analyst makes of alerts: groups or alerts enter, their new status is saved, the way back is offered.

import { ask } from "./api";
import { go } from "./address";
import { number } from "./format";
import { question } from "./parts/dialog";
import { attempt, tell } from "./parts/toast";
import { t, type Key } from "./words";

export type Status = "new" | "acknowledged" | "escalated" | "true_positive" | "false_positive" | "suppressed";

export interface Meant {
  /** Of alerts or groups, with the status of each. */
  ids: readonly string[];
  before: Readonly<Record<string, Status>>;
  /** Instead: all that fit, and how many those are. */
  fits?: Record<string, string>;
  count: number;
  /** Called when it is done. */
  done: () => void;
}

/** Give alerts a status; a verdict asks for its note. */
export function judge(meant: Meant, status: "new" | "acknowledged" | "true_positive" | "false_positive"): void {
  if (!meant.count) return;
  if (status === "new" || status === "acknowledged") {
    void attempt(() => change(meant, status, ""));
    return;
  }
  question({
    title: t(`key.${status}`),
    says: <p>{t("triage.about", { count: number(meant.count) })}</p>,
    fields: [
      {
        name: "note",
        says: t("triage.note"),
        kind: "textarea",
        required: true,
        help: t(`triage.${status}.help` as Key),
      },
    ],
    does: t(`triage.${status}`),
    work: ({ note }) => change(meant, status, note ?? ""),
  });
}

async function change(meant: Meant, status: Status, note: string): Promise<void> {
  const which = meant.fits ? { groups_fit: meant.fits } : { ids: meant.ids };
  const { changed } = await ask<{ changed: number }>("/alerts/changes", {
    method: "POST",
    body: { status, note, ...which },
  });
  tell(
    t("triage.done", { count: number(changed), status: t(`status.${status}`) }),
    meant.fits ? undefined : () => void attempt(() => back(meant)),
  );
  meant.done();
}

/** Give each its status of before. */
async function back(meant: Meant): Promise<void> {
  const by = Map.groupBy(meant.ids, (id) => meant.before[id] ?? "new");
  for (const [status, ids] of by) {
    const earlier = status === "acknowledged" || status === "new" ? status : "acknowledged";
    await ask("/alerts/changes", { method: "POST", body: { status: earlier, note: t("triage.undone"), ids } });
  }
  meant.done();
}

/** Escalate alerts into a case, a new one or one that is open. */
export async function escalate(meant: Meant, title: string): Promise<void> {
  if (!meant.ids.length) return;
  await chooseCase(title, t("triage.about", { count: number(meant.count) }), async (chosen, asked) => {
    const body = { ...asked, alerts: meant.ids };
    const id = chosen ?? (await ask<{ id: number }>("/cases", { method: "POST", body })).id;
    if (chosen) await ask(`/cases/${chosen}/alerts`, { method: "POST", body: { ids: meant.ids } });
    meant.done();
    return id;
  });
}

/** Put copies of events into a case, a new one or one that is open. */
export async function keepInCase(events: readonly string[], title: string): Promise<void> {
  await chooseCase(title, t("triage.about_events", { count: number(events.length) }), async (chosen, asked) => {
    const id = chosen ?? (await ask<{ id: number }>("/cases", { method: "POST", body: asked })).id;
    await ask(`/cases/${id}/events`, { method: "POST", body: { ids: events } });
    return id;
  });
}

/** Ask for a case; `put` gets its number, or null and what a new one is, and returns where it was put. */
async function chooseCase(
  title: string,
  says: string,
  put: (id: number | null, asked: { title: string; reportable: boolean }) => Promise<number>,
): Promise<void> {
  let open: { id: number; title: string }[] = [];
  await attempt(async () => ({ cases: open } = await ask<{ cases: typeof open }>("/cases?status=open&limit=100")));
  question({
    title: t("triage.escalate"),
    says: <p>{says}</p>,
    does: t("triage.escalate"),
    fields: [
      {
        name: "case",
        says: t("triage.case"),
        kind: "select",
        options: [
          ["", t("triage.new_case")],
          ...open.map(({ id, title: name }) => [String(id), `#${id} ${name}`] as const),
        ],
      },
      {
        name: "title",
        says: t("triage.case_title"),
        value: title.slice(0, 300),
        most: 300,
        help: t("triage.case_title.help"),
      },
      { name: "reportable", says: t("case.reportable"), kind: "checkbox" },
    ],
    work: async (filled) => {
      const asked = { title: filled.title || title, reportable: filled.reportable === "yes" };
      const id = await put(filled.case ? Number(filled.case) : null, asked);
      tell(t("triage.escalated", { case: id }));
      go("cases", {}, String(id));
    },
  });
}

/** Keep alerts like this one out of the queue from now on. */
export function suppress(rule: string, where: Record<string, string>, done: () => void): void {
  const fields = Object.entries(where);
  question({
    title: t("triage.suppress"),
    does: t("triage.suppress"),
    danger: true,
    says: <p class="quiet">{t("triage.suppress.help")}</p>,
    fields: [
      { name: "rule", says: t("column.rule"), value: rule, required: true },
      ...fields.map(([name, value]) => ({
        name: `where ${name}`,
        says: name,
        value,
        help: t("triage.suppress.empty"),
      })),
      { name: "reason", says: t("reason"), kind: "textarea", required: true, most: 2000 },
      { name: "days", says: t("triage.days"), kind: "number", value: "30", required: true },
    ],
    work: async (filled) => {
      const kept = fields.map(([name]) => [name, filled[`where ${name}`] ?? ""] as const).filter(([, value]) => value);
      const body = {
        rule: filled.rule,
        where: Object.fromEntries(kept),
        reason: filled.reason,
        days: Number(filled.days),
      };
      const made = await ask<{ id: string; would_have: number; of: number }>("/alerts/suppressions", {
        method: "POST",
        body,
      });
      tell(
        t("triage.suppressed", { count: number(made.would_have), of: number(made.of) }),
        () => void attempt(() => ask(`/alerts/suppressions/${made.id}`, { method: "DELETE" })),
      );
      done();
    },
  });
}
