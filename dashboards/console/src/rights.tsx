// Rights as people give them: roles, permissions and data views as questions ask for them, and secrets that are shown once.

import { ask } from "./api";
import { question, type Field, type Filled } from "./parts/dialog";
import { CopyButton } from "./parts/marks";
import { rich, t, word } from "./words";

export interface DataView {
  indices?: string[] | null;
  sources?: string[] | null;
  units?: string[] | null;
}
export interface Rights {
  name: string;
  permissions: string[];
  view: DataView | null;
}
export interface Roles {
  roles: Rights[];
  own_roles: Rights[];
  groups: Rights[];
  /** All that there are. */
  permissions: string[];
}

export const rolesOf = (signal: AbortSignal): Promise<Roles> => ask<Roles>("/roles", { signal });

/** Name a role: `Quản trị (admin)`; one of the site's own as it is. */
export function roleSays(name: string): string {
  const says = word("role", name);
  return says === name ? name : `${says} (${name})`;
}

export const roleOptions = (names: readonly string[]): [string, string][] =>
  names.map((name) => [name, roleSays(name)]);

export const isLimited = (view: DataView | null): boolean =>
  Boolean(view && (view.indices || view.sources || view.units));

/** Say in a line what a view shows. */
export function viewSays(view: DataView | null): string {
  if (!view || !isLimited(view)) return t("user.data.all");
  return [view.indices, view.sources, view.units]
    .filter((each) => each)
    .map((each) => each?.join(", "))
    .join(" · ");
}

/** Fields of a question that ask for a view. */
export function viewFields(view: DataView | null): Field[] {
  const [index = ""] = view?.indices?.length === 1 ? view.indices : [];
  return [
    {
      name: "indices",
      says: t("user.indices"),
      kind: "select",
      value: index,
      options: [
        ["", t("user.indices.both")],
        ["events", t("user.indices.events")],
        ["alerts", t("user.indices.alerts")],
      ],
    },
    { name: "sources", says: t("user.sources"), kind: "textarea", value: view?.sources?.join("\n") ?? "" },
    { name: "units", says: t("user.units"), kind: "textarea", value: view?.units?.join("\n") ?? "" },
  ];
}

/** Return the view that was filled in; what is empty is not limited. */
export function viewOf({ indices, sources, units }: Filled): DataView {
  const lines = (text = "") => {
    const names = text.split("\n").map((each) => each.trim());
    return names.some(Boolean) ? names.filter(Boolean) : null;
  };
  return { indices: indices ? [indices] : null, sources: lines(sources), units: lines(units) };
}

/** Fields of a question that ask for permissions. */
export const permissionFields = (all: readonly string[], given: readonly string[]): Field[] =>
  all.map((name) => ({
    name: `may ${name}`,
    says: word("permission", name),
    kind: "checkbox",
    value: given.includes(name) ? "yes" : "",
  }));

export const permissionsOf = (filled: Filled): string[] =>
  Object.keys(filled)
    .filter((name) => name.startsWith("may "))
    .map((name) => name.slice(4));

/** Show a secret that is never shown again. */
export function reveal(title: string, help: string, secret: string): void {
  question({
    title,
    does: t("close"),
    only_says: true,
    says: (
      <>
        <p class="notice attention">{rich(help)}</p>
        <p class="line">
          <code class="wrap secret">{secret}</code>
          <CopyButton text={secret} />
        </p>
      </>
    ),
    work: () => {},
  });
}
