// The law's terms of a case, as marks: how long there is left, or how late it is.

import { ago } from "../format";
import { t } from "../words";
import { Tag } from "./marks";

export interface Clock {
  clock: "notice" | "report";
  due: string;
  state: "running" | "soon" | "late" | "done" | "done_late";
  done: string | null;
}

const CLOCK_KINDS = { running: "", soon: "attention", late: "fault", done: "good", done_late: "attention" } as const;

export function Clocks({ of }: { of: readonly Clock[] }) {
  return (
    <>
      {of.map(({ clock, state, due, done }) => (
        <Tag key={clock} kind={CLOCK_KINDS[state]}>
          {t(`case.clock.${clock}`)}:{" "}
          {done ? t(state === "done" ? "case.clock.done" : "case.clock.done_late") : ago(due)}
        </Tag>
      ))}
    </>
  );
}
