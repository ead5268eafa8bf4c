// A group of alerts of one rule about one entity: what the API says of it, and how its status and entity are shown.

import type { Status } from "../triage";
import { word } from "../words";
import type { IconName } from "./icon";
import { Tag } from "./marks";
import { Value } from "./value";

export interface Group {
  id: string;
  status: Status;
  level: string;
  entity: string;
  risk: number | null;
  owner: string;
  note: string;
  first: string;
  last: string;
  opened: string;
  reopened: number;
  count: number;
  alerts_by_status: Partial<Record<Status, number>>;
  latest: string;
  case: number | null;
  "rule.id": string;
  "rule.name": string;
  tags?: string[];
  [field: string]: unknown;
}

const STATUS_KINDS: Partial<Record<Status, "good" | "attention" | "accent" | "fault">> = {
  new: "attention",
  escalated: "accent",
  true_positive: "fault",
  false_positive: "good",
};
export const StatusTag = ({ of }: { of: Status }) => <Tag kind={STATUS_KINDS[of] ?? ""}>{word("status", of)}</Tag>;

const ENTITY_FIELDS: Record<string, string> = { host: "host.name", user: "user.name", address: "source.ip" };

const ICONS: Record<string, IconName> = { host: "device", user: "user", address: "network" };
export const iconOf = (entity: string): IconName => ICONS[entity.split(":", 1)[0] ?? ""] ?? "server";

/** An entity as `host:pc-7`; what one may do with it is what one may do with its value. */
export function EntityValue({ entity }: { entity: string }) {
  const [kind = "", value] = [entity.split(":", 1)[0], entity.slice(entity.indexOf(":") + 1)];
  const field = ENTITY_FIELDS[kind];
  return <>{field ? <Value field={field} value={value} /> : value}</>;
}
