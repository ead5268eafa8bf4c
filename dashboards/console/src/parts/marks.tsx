// Small marks that every screen uses: severity, time, tags, what is empty, what went wrong.

import type { ComponentChildren } from "preact";
import type { Answer } from "../answers";
import { Refused } from "../api";
import { ago, moment, zone } from "../format";
import { rich, t, word, type Key } from "../words";
import { Icon } from "./icon";

export const LEVELS = ["critical", "high", "medium", "low", "informational"] as const;
export type Level = (typeof LEVELS)[number];
const SHAPES: Record<Level, string> = { critical: "▲", high: "◆", medium: "●", low: "■", informational: "○" };

export function Severity({ level }: { level: string }) {
  const known = (LEVELS as readonly string[]).includes(level) ? (level as Level) : "informational";
  return (
    <span class={`level ${known}`}>
      <i aria-hidden="true">{SHAPES[known]}</i>
      {word("level", level)}
    </span>
  );
}

/** A time as the site writes it; how long ago it was over it. */
export function When({ at, short = false }: { at: string | number; short?: boolean }) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return <span>{String(at)}</span>;
  return (
    <time dateTime={date.toISOString()} title={`${moment(date)} · ${ago(date)} (${zone})`}>
      {short ? ago(date) : moment(date)}
    </time>
  );
}

export function Tag({
  kind = "",
  children,
}: {
  kind?: "" | "good" | "fault" | "attention" | "accent";
  children: ComponentChildren;
}) {
  return <span class={`tag ${kind}`}>{children}</span>;
}

/** What stands where there is nothing: what that means, and what to do next. */
export function Empty({ says, next, children }: { says: string; next?: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p>{rich(says)}</p>
      {next && <p class="quiet">{rich(next)}</p>}
      {children}
    </div>
  );
}

/** What went wrong, and what happens next. */
export function Fault({ of }: { of: Refused | null }) {
  if (!of) return null;
  return (
    <div class="notice fault" role="alert">
      <span>{of.message}</span>
      {of.passes && <span class="quiet">{t("fault.again")}</span>}
    </div>
  );
}

/** An answer on a screen: the last one, dimmed while the next is awaited, with what went wrong above it. */
export function Shown<T>({
  of,
  children,
  waiting,
}: {
  of: Answer<T>;
  children: (value: T) => ComponentChildren;
  waiting?: ComponentChildren;
}) {
  return (
    <>
      <Fault of={of.fault} />
      {of.value !== null ? (
        <div class={`stack ${of.waits || of.fault ? "waits" : ""}`} aria-busy={of.waits}>
          {children(of.value)}
        </div>
      ) : (
        of.waits &&
        (waiting ?? (
          <p class="quiet" role="status">
            {t("loading")}
          </p>
        ))
      )}
    </>
  );
}

/** A line of a table of two columns: what it is, and the value. */
export function Row({ says, children }: { says: Key; children: ComponentChildren }) {
  return (
    <tr>
      <th scope="row">{t(says)}</th>
      <td>{children}</td>
    </tr>
  );
}

/** A share of a whole, drawn. */
export function Share({ of }: { of: number }) {
  return (
    <span class="share" aria-hidden="true">
      <i style={{ width: `${Math.min(100, of * 100)}%` }} />
    </span>
  );
}

export function CopyButton({ text }: { text: string }) {
  return (
    <button
      type="button"
      class="plain small"
      aria-label={t("copy")}
      title={t("copy")}
      onClick={() => void navigator.clipboard?.writeText(text)}
    >
      <Icon name="copy" />
    </button>
  );
}
