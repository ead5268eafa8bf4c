// Icons: lucide's drawings as SVG; each stands beside a word or has a label on what it is in.

import {
  Activity, ArrowLeft, Bell, Bookmark, Briefcase, Check, ChevronDown, ChevronRight, CircleHelp, CircleUser, Clock, Columns3, Copy, Download, Ellipsis,
  FileText, FolderInput, GripVertical, HeartPulse, History, Inbox, Languages, LayoutDashboard, LogOut, Mail, Maximize, Menu, Minus, Monitor, Moon,
  Network, PanelLeft, Pause, Pencil, Play, Plus, Printer, RefreshCw, Rows3, Save, ScrollText, Search, Send, Server, Settings, Share2, Shield, ShieldAlert,
  Sun, Target, Trash2, Upload, User, Users, X, type IconNode,
} from "lucide";
import { h } from "preact";

const DRAWN = {
  activity: Activity, back: ArrowLeft, bell: Bell, bookmark: Bookmark, case: Briefcase, check: Check, down: ChevronDown, right: ChevronRight,
  help: CircleHelp, account: CircleUser, clock: Clock, columns: Columns3, copy: Copy, download: Download, more: Ellipsis, text: FileText, import: FolderInput,
  grip: GripVertical, health: HeartPulse, history: History, queue: Inbox, language: Languages, dashboard: LayoutDashboard, logout: LogOut, mail: Mail,
  maximize: Maximize, menu: Menu, minus: Minus, device: Monitor, moon: Moon, network: Network, panel: PanelLeft, pause: Pause, edit: Pencil, play: Play,
  plus: Plus, print: Printer, refresh: RefreshCw, rows: Rows3, save: Save, audit: ScrollText, search: Search, send: Send, server: Server,
  settings: Settings, share: Share2, shield: Shield, alert: ShieldAlert, sun: Sun, target: Target, remove: Trash2, upload: Upload, user: User, users: Users,
  close: X,
} satisfies Record<string, IconNode>;

export type IconName = keyof typeof DRAWN;

export function Icon({ name }: { name: IconName }) {
  return <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">{DRAWN[name].map(([tag, attributes], place) => h(tag as "path", { key: place, ...(attributes as object) }))}</svg>;
}
