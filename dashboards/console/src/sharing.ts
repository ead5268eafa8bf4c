// Sharing as the API has it: with whom, what leaves, what came in; and content as text that people can read.

import { addressOf } from "./address";
import { plain } from "./format";

export interface Look {
  good: boolean;
  text: string;
}

export interface Profile {
  profile: string;
  title: string;
  format: string;
  state: "inactive" | "rehearsal" | "confirmed" | "changed";
  endpoint: string;
  organ: string;
  every_minutes: number;
  kinds: string[];
  fields: string[];
  pseudonyms: string[];
  /** How many people must agree to a message of each kind. */
  approval: Record<string, number>;
  messages: Partial<Record<Status, number>>;
  oldest: string | null;
  error: string;
  succeeded: string | null;
  confirmed_by: string;
  confirmed_at: string | null;
}
export interface Broken {
  profile: string;
  faults: string[];
}
export interface Profiles {
  profiles: Profile[];
  faults: Broken[];
}

export const STATUSES = ["held", "approved", "queued", "sent", "refused", "expired", "withdrawn", "rehearsed"] as const;
export type Status = (typeof STATUSES)[number];
export const KINDS = ["statistics", "indicators", "incident", "acknowledgement"] as const;
/** What only people put down; nothing of it leaves by itself. */
export const INCIDENTS = "incident-report";

export interface Message {
  number: number;
  profile: string;
  kind: string;
  key: string;
  status: Status;
  since: string | null;
  until: string | null;
  created: string;
  due: string | null;
  tried: string | null;
  ended: string | null;
  attempts: number;
  code: number;
  answer: string;
  digest: string;
  needed: number;
  approvals: { who: string; time: string }[];
  receipt: { status?: number; body?: string; sha256?: string };
}
export interface Fact {
  kind: string;
  values: Record<string, unknown>;
  /** The alerts that say it. */
  alerts: string[];
}
export interface WholeMessage extends Message {
  facts: Fact[];
}
export interface Messages {
  total: number;
  statuses: Partial<Record<Status, number>>;
  messages: Message[];
}

export interface Warning {
  id: string;
  profile: string;
  way: string;
  message: string;
  title: string;
  tlp: string;
  received: string;
  imported: string | null;
  indicators: number;
  refused: number;
  fault: string;
  answered: string;
  /** The list that its indicators are in. */
  feed: string;
  alerts: number;
  groups: number;
  case: number;
  status: string;
  verdict: string;
}

export const LOOKS: Record<Status, "" | "good" | "fault" | "attention" | "accent"> = {
  held: "attention",
  approved: "accent",
  queued: "accent",
  sent: "good",
  refused: "fault",
  expired: "fault",
  withdrawn: "",
  rehearsed: "",
};

export const messagesAt = (values: Record<string, string>): string =>
  addressOf("sharing", { view: "messages", ...values });

/** The case and the document that a message about an incident is of. */
export function incidentOf(message: Message): { case: number; document: string } | null {
  if (message.kind !== "incident") return null;
  const [number = "", document = ""] = message.key.split(" ");
  return Number(number) ? { case: Number(number), document } : null;
}

/** More is not shown on a page; the file has it. */
export const MOST_SHOWN = 200_000;

/** Return content with a line for each element, where it is XML or JSON; it stays text. */
export function readable(content: string): string {
  const text = content.slice(0, MOST_SHOWN);
  if (text.trimStart().startsWith("<")) return plain(inLines(text));
  if (content.length > MOST_SHOWN) return plain(text);
  try {
    return plain(JSON.stringify(JSON.parse(text), null, 2));
  } catch {
    return plain(text);
  }
}

/** Return XML with a line for each element; one that holds only text stays on its line. */
function inLines(xml: string): string {
  let depth = 0;
  const lines: string[] = [];
  for (const token of xml.match(/<[^>]+>|[^<]+/g) ?? []) {
    const closes = token.startsWith("</"),
      opens = /^<[^/?!]/.test(token) && !token.endsWith("/>");
    if (closes) depth = Math.max(0, depth - 1);
    const last = lines.length - 1;
    const holdsText = closes && lines[last]?.trimStart().startsWith(token.replace("/", "").slice(0, -1));
    if (holdsText || (!token.startsWith("<") && token.trim())) lines[last] = (lines[last] ?? "") + token.trim();
    else if (token.trim()) lines.push("  ".repeat(depth) + token.trim());
    if (opens) depth += 1;
  }
  return lines.join("\n");
}
