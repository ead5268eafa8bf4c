// Users, roles and groups: who may do what and sees what, changed at once and written down in the audit.

import { addressOf, adjust, chosen } from "../address";
import { useAnswer } from "../answers";
import { ask, part } from "../api";
import { number } from "../format";
import { rowsOf, useListing } from "../listing";
import { question, type Filled } from "../parts/dialog";
import { Facts, type Fact } from "../parts/facts";
import { Grid, type Column } from "../parts/grid";
import { Icon } from "../parts/icon";
import { Empty, Fault, Shown, Tag, When } from "../parts/marks";
import { Sheet } from "../parts/sheet";
import { tell } from "../parts/toast";
import {
  isLimited,
  permissionFields,
  permissionsOf,
  reveal,
  roleOptions,
  roleSays,
  rolesOf,
  viewFields,
  viewOf,
  viewSays,
  type DataView,
  type Rights,
  type Roles,
} from "../rights";
import { may } from "../session";
import { folded, t, word } from "../words";

interface User {
  name: string;
  role: string;
  groups: string[];
  view: DataView | null;
  disabled: boolean;
  locked: boolean;
  second_factor: boolean;
  must_change: boolean;
  /** Who proves who they are; "": we do. */
  issuer: string;
  created: number;
  password_changed: number;
  /** Null: they never logged in. */
  seen: number | null;
  sessions: number;
}

const VIEWS = ["users", "roles"] as const;

const COLUMNS: readonly Column<User>[] = [
  { id: "name", says: t("user.name"), width: 160, grows: true, phone: "lead", cell: (each) => each.name },
  { id: "role", says: t("user.role"), width: 200, cell: (each) => roleSays(each.role) },
  { id: "groups", says: t("user.groups"), width: 104, phone: "off", cell: (each) => each.groups.join(", ") },
  { id: "state", says: t("user.state"), width: 148, cell: (each) => <State of={each} /> },
  {
    id: "factor",
    says: t("user.factor"),
    width: 104,
    phone: "off",
    cell: (each) => <span class={each.second_factor ? "good" : "quiet"}>{factorSays(each)}</span>,
  },
  {
    id: "view",
    says: t("user.data"),
    width: 120,
    phone: "off",
    cell: (each) => (isLimited(each.view) ? t("user.data.limited") : t("user.data.all")),
  },
  {
    id: "sessions",
    says: t("user.sessions"),
    width: 76,
    right: true,
    phone: "off",
    cell: (each) => number(each.sessions),
  },
  { id: "seen", says: t("user.seen"), width: 124, cell: (each) => <Seen of={each} short /> },
];

function Seen({ of: { seen }, short = false }: { of: User; short?: boolean }) {
  return seen === null ? <span class="quiet">{t("user.never")}</span> : <When at={seen * 1000} short={short} />;
}

const factorSays = (of: User): string => t(of.second_factor ? "user.factor.on" : "user.factor.off");

function State({ of }: { of: User }) {
  if (of.disabled) return <Tag>{t("user.state.disabled")}</Tag>;
  if (of.locked) return <Tag kind="fault">{t("user.state.locked")}</Tag>;
  if (of.must_change) return <Tag kind="attention">{t("user.state.must_change")}</Tag>;
  return <Tag kind="good">{t("user.state.good")}</Tag>;
}

export default function UsersScreen() {
  const { view = "users" } = chosen.value;
  const roles = useAnswer("roles", rolesOf);
  return (
    <>
      <header>
        <h1>{t("screen.users")}</h1>
      </header>
      <nav class="tabs">
        {VIEWS.map((each) => (
          <a
            key={each}
            href={addressOf("users", { view: each })}
            {...(view === each ? { "aria-current": "page" as const } : {})}
          >
            {t(`user.view.${each}`)}
          </a>
        ))}
      </nav>
      {view === "roles" ? (
        <Shown of={roles}>{(found) => <RolesView of={found} onChange={() => roles.again()} />}</Shown>
      ) : (
        <>
          <Fault of={roles.fault} />
          <Users roles={roles.value} />
        </>
      )}
    </>
  );
}

function Users({ roles }: { roles: Roles | null }) {
  const { text = "", open = "" } = chosen.value;
  const list = useListing<User>(
    text,
    async (offset, limit, signal, byItself) => {
      const { users } = await ask<{ users: User[] }>("/users", { signal, byItself });
      const wanted = folded(text);
      const fits = ({ name, role, groups }: User) =>
        folded(`${name} ${roleSays(role)} ${groups.join(" ")}`).includes(wanted);
      return rowsOf(users.filter(fits), offset, limit);
    },
    ({ name }) => name,
  );
  return (
    <>
      <div class="line apart">
        <input
          type="search"
          class="narrow"
          placeholder={t("user.find")}
          aria-label={t("user.find")}
          value={text}
          onInput={(event) => adjust({ text: event.currentTarget.value }, true)}
        />
        {roles && (
          <button type="button" class="main" onClick={() => add(roles, () => list.again())}>
            <Icon name="plus" />
            {t("user.add")}
          </button>
        )}
      </div>
      <Grid
        name="users"
        label={t("user.view.users")}
        list={list}
        columns={COLUMNS}
        onOpen={({ name }) => adjust({ open: name }, Boolean(open))}
        empty={<Empty says={t("user.none")} next={t("user.none.next")} />}
      />
      {open && roles && (
        <UserSheet name={open} roles={roles} onClose={() => adjust({ open: "" })} onChange={() => list.again(true)} />
      )}
    </>
  );
}

const namesOf = ({ roles, own_roles: own }: Roles): string[] => [...roles, ...own].map(({ name }) => name);

function add(roles: Roles, done: () => void): void {
  question({
    title: t("user.add"),
    does: t("user.add"),
    fields: [
      { name: "name", says: t("user.name"), required: true, most: 100, help: t("user.add.name.help") },
      {
        name: "role",
        says: t("user.role"),
        kind: "select",
        required: true,
        options: [["", t("user.add.role")], ...roleOptions(namesOf(roles))],
      },
      { name: "password", says: t("user.add.password"), kind: "password", help: t("user.add.password.help") },
    ],
    work: async ({ name, role, password }) => {
      const body = { name, role, ...(password ? { password } : {}) };
      const made = await ask<{ name: string; password: string }>("/users", { method: "POST", body });
      reveal(t("user.secret", { name: made.name }), t("user.secret.help"), made.password);
      done();
    },
  });
}

interface SheetProps {
  name: string;
  roles: Roles;
  onClose: () => void;
  onChange: () => void;
}

function UserSheet({ name, roles, onClose, onChange }: SheetProps) {
  const answer = useAnswer(name, async (signal, byItself) => {
    const { users } = await ask<{ users: User[] }>("/users", { signal, byItself });
    return { user: users.find((each) => each.name === name) ?? null };
  });
  const user = answer.value?.user;
  const changed = () => {
    answer.again(true);
    onChange();
  };
  return (
    <Sheet
      onClose={onClose}
      title={name}
      meta={
        user && (
          <>
            <State of={user} />
            <span>{roleSays(user.role)}</span>
          </>
        )
      }
      actions={user && <Actions of={user} roles={roles} onChange={changed} />}
    >
      <Fault of={answer.fault} />
      {answer.value && !user && <p class="quiet">{t("user.none")}</p>}
      {user && (
        <>
          <section>
            <h3>{t("user.about")}</h3>
            <Facts of={facts(user)} />
          </section>
          <section>
            <h3>{t("user.may")}</h3>
            <ul class="ticks">
              {permissionsNow(user, roles).map((each) => (
                <li key={each}>
                  <Icon name="check" /> {word("permission", each)}
                </li>
              ))}
            </ul>
          </section>
        </>
      )}
    </Sheet>
  );
}

function permissionsNow(of: User, { roles, own_roles: own, groups, permissions }: Roles): string[] {
  const given = [
    ...[...roles, ...own].filter(({ name }) => name === of.role),
    ...groups.filter(({ name }) => of.groups.includes(name)),
  ].flatMap((each) => each.permissions);
  return permissions.filter((each) => given.includes(each));
}

function facts(of: User): Fact[] {
  return [
    [t("user.groups"), of.groups.join(", ")],
    [t("user.data"), viewSays(of.view)],
    [t("user.factor"), factorSays(of)],
    [t("user.issuer"), of.issuer],
    [t("user.sessions"), number(of.sessions)],
    [t("user.seen"), <Seen of={of} />],
    [t("user.password_changed"), !of.issuer && <When at={of.password_changed * 1000} />],
    [t("user.created"), <When at={of.created * 1000} />],
  ];
}

interface ActionsProps {
  of: User;
  roles: Roles;
  onChange: () => void;
}

function Actions({ of, roles, onChange }: ActionsProps) {
  const { name } = of;
  const path = `/users/${part(name)}`;
  const change = async (body: object) => {
    await ask(path, { method: "PATCH", body });
    tell(t("user.changed"));
    onChange();
  };
  const changeRole = () =>
    question({
      title: t("user.change_role"),
      does: t("save"),
      says: <p class="quiet">{t("user.change_role.help", { name })}</p>,
      fields: [
        { name: "role", says: t("user.role"), kind: "select", value: of.role, options: roleOptions(namesOf(roles)) },
      ],
      work: ({ role }) => change({ role }),
    });
  const changeGroups = () =>
    question({
      title: t("user.change_groups"),
      does: t("save"),
      says: !roles.groups.length && <p class="quiet">{t("user.no_groups")}</p>,
      fields: roles.groups.map((group) => ({
        name: `in ${group.name}`,
        says: group.name,
        kind: "checkbox",
        value: of.groups.includes(group.name) ? "yes" : "",
      })),
      work: (filled) => change({ groups: Object.keys(filled).map((each) => each.slice(3)) }),
    });
  const changeView = () =>
    question({
      title: t("user.change_view"),
      does: t("save"),
      says: <p class="quiet">{t("user.change_view.help")}</p>,
      fields: viewFields(of.view),
      work: (filled) => change({ view: viewOf(filled) }),
    });
  const newPassword = () =>
    question({
      title: t("user.new_password"),
      does: t("user.new_password"),
      danger: true,
      says: <p>{t("user.new_password.help", { name })}</p>,
      work: async () => {
        const made = await ask<{ password: string }>(`${path}/password`, { method: "POST", body: {} });
        reveal(t("user.secret", { name }), t("user.secret.help"), made.password);
        onChange();
      },
    });
  const forgetFactor = () =>
    question({
      title: t("user.forget_factor"),
      does: t("user.forget_factor"),
      danger: true,
      says: <p>{t("user.forget_factor.help", { name })}</p>,
      work: async () => {
        await ask(`${path}/second-factor`, { method: "DELETE" });
        onChange();
      },
    });
  const endSessions = () =>
    question({
      title: t("user.end_sessions"),
      does: t("user.end_sessions"),
      danger: true,
      says: <p>{t("user.end_sessions.help", { name })}</p>,
      work: async () => {
        const { ended } = await ask<{ ended: number }>(`${path}/sessions`, { method: "DELETE" });
        tell(t("user.ended", { count: number(ended) }));
        onChange();
      },
    });
  const turn = () =>
    question({
      title: t(of.disabled ? "user.enable" : "user.disable"),
      does: t(of.disabled ? "user.enable" : "user.disable"),
      danger: !of.disabled,
      says: <p>{t(of.disabled ? "user.enable.help" : "user.disable.help", { name })}</p>,
      work: () => change({ disabled: !of.disabled }),
    });
  return (
    <>
      <button type="button" onClick={changeRole}>
        {t("user.change_role")}
      </button>
      <button type="button" onClick={changeGroups}>
        {t("user.change_groups")}
      </button>
      <button type="button" onClick={changeView}>
        {t("user.change_view")}
      </button>
      {!of.issuer && (
        <button type="button" onClick={newPassword}>
          {t("user.new_password")}
        </button>
      )}
      {of.second_factor && (
        <button type="button" onClick={forgetFactor}>
          {t("user.forget_factor")}
        </button>
      )}
      {of.sessions > 0 && (
        <button type="button" onClick={endSessions}>
          {t("user.end_sessions")}
        </button>
      )}
      <button type="button" class={of.disabled ? "" : "danger"} onClick={turn}>
        {t(of.disabled ? "user.enable" : "user.disable")}
      </button>
      {may("audit.read") && (
        <a class="button" href={addressOf("audit", { who: name })}>
          {t("user.audit")}
        </a>
      )}
    </>
  );
}

interface RolesProps {
  of: Roles;
  onChange: () => void;
}
type Kind = "role" | "group";

function RolesView({ of, onChange }: RolesProps) {
  const own: [Kind, Rights][] = [
    ...of.own_roles.map((each): [Kind, Rights] => ["role", each]),
    ...of.groups.map((each): [Kind, Rights] => ["group", each]),
  ];
  const columns: [Kind, Rights][] = [...of.roles.map((each): [Kind, Rights] => ["role", each]), ...own];
  return (
    <>
      <section class="card stack">
        <div class="line apart">
          <h2>{t("roles.own")}</h2>
          <span class="line">
            <button type="button" onClick={() => edit(of, "role", null, onChange)}>
              <Icon name="plus" />
              {t("roles.add")}
            </button>
            <button type="button" onClick={() => edit(of, "group", null, onChange)}>
              <Icon name="plus" />
              {t("roles.add_group")}
            </button>
          </span>
        </div>
        {own.length ? (
          <ul class="rows">
            {own.map(([kind, each]) => (
              <li key={`${kind} ${each.name}`} class="line apart">
                <span class="line">
                  <b>{each.name}</b>
                  <Tag>{t(`roles.kind.${kind}`)}</Tag>
                  <span class="quiet">{t("roles.count", { count: number(each.permissions.length) })}</span>
                  {isLimited(each.view) && <span class="quiet wrap">{viewSays(each.view)}</span>}
                </span>
                <span class="line">
                  <button
                    type="button"
                    class="plain small"
                    title={t("roles.edit", { name: each.name })}
                    aria-label={t("roles.edit", { name: each.name })}
                    onClick={() => edit(of, kind, each, onChange)}
                  >
                    <Icon name="edit" />
                  </button>
                  <button
                    type="button"
                    class="plain small"
                    title={t("roles.remove", { name: each.name })}
                    aria-label={t("roles.remove", { name: each.name })}
                    onClick={() => remove(kind, each.name, onChange)}
                  >
                    <Icon name="remove" />
                  </button>
                </span>
              </li>
            ))}
          </ul>
        ) : (
          <p class="quiet">{t("roles.own.none")}</p>
        )}
      </section>
      <section class="card stack">
        <h2>{t("roles.matrix")}</h2>
        <div class="matrix">
          <table>
            <thead>
              <tr>
                <th>{t("roles.permission")}</th>
                {columns.map(([kind, { name }]) => (
                  <th key={`${kind} ${name}`} class="turned">
                    {kind === "role" ? word("role", name) : name}
                    {kind === "group" && <span class="quiet small"> {t("roles.kind.group")}</span>}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {of.permissions.map((permission) => (
                <tr key={permission}>
                  <th scope="row" title={permission}>
                    {word("permission", permission)}
                  </th>
                  {columns.map(([kind, { name, permissions }]) => (
                    <td key={`${kind} ${name}`}>
                      {permissions.includes(permission) ? (
                        <span class="good">
                          <Icon name="check" />
                          <span class="unseen">{t("roles.yes")}</span>
                        </span>
                      ) : (
                        <span class="unseen">{t("roles.no")}</span>
                      )}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </section>
    </>
  );
}

const pathOf = (kind: Kind, name: string): string => `/${kind === "role" ? "roles" : "groups"}/${part(name)}`;

/** Make a role or group of the site's own, or change one. */
function edit(of: Roles, kind: Kind, given: Rights | null, done: () => void): void {
  const adding = t(kind === "role" ? "roles.add" : "roles.add_group");
  const named = [{ name: "name", says: t("roles.name"), required: true, most: 100 }];
  question({
    title: given ? t("roles.edit", { name: given.name }) : adding,
    does: t("save"),
    wide: true,
    fields: [
      ...(given ? [] : named),
      ...permissionFields(of.permissions, given?.permissions ?? []),
      ...viewFields(given?.view ?? null),
    ],
    work: async (filled: Filled) => {
      const body = { permissions: permissionsOf(filled), view: viewOf(filled) };
      await ask(pathOf(kind, given?.name ?? filled.name ?? ""), { method: "PUT", body });
      tell(t("user.changed"));
      done();
    },
  });
}

function remove(kind: Kind, name: string, done: () => void): void {
  question({
    title: t("roles.remove", { name }),
    does: t("roles.remove", { name }),
    danger: true,
    says: <p>{t("roles.remove.help", { name })}</p>,
    work: async () => {
      await ask(pathOf(kind, name), { method: "DELETE" });
      done();
    },
  });
}
