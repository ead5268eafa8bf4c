// A case as the API has it.

import type { Clock } from "./parts/clocks";
import type { Document } from "./parts/fields";

export interface Case {
  id: number;
  title: string;
  status: "open" | "closed";
  level: string;
  tlp: string;
  pap: string;
  owner: string;
  creator: string;
  reportable: boolean;
  verdict: string;
  summary: string;
  summary_html: string;
  created: string;
  detected: string;
  notified: string | null;
  reported: string | null;
  closed: string | null;
  changed: string;
  clocks: Clock[];
}

export interface Entry {
  number: number;
  time: string;
  who: string;
}
export interface AlertEntry extends Entry {
  group: string;
  "rule.name": string;
  "rule.name_vi"?: string;
  entity: string;
  status?: string;
  level?: string;
  risk?: number;
  last?: string;
}
export interface NoteEntry extends Entry {
  text: string;
  html: string;
}
export interface FileEntry extends Entry {
  name: string;
  size: number;
  sha256: string;
}
export interface ObservableEntry extends Entry {
  kind: string;
  value: string;
  tlp: string;
  note: string;
}
export interface TaskEntry extends Entry {
  title: string;
  owner: string;
  done: boolean;
}
export interface Step {
  at: string;
  kind: string;
  number: number;
  who: string;
  removed: boolean;
  what: string;
}

export interface WholeCase extends Case {
  alerts: AlertEntry[];
  events: (Entry & Document)[];
  notes: NoteEntry[];
  files: FileEntry[];
  observables: ObservableEntry[];
  tasks: TaskEntry[];
  timeline: Step[];
}
