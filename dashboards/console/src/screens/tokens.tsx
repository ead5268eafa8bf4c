// Tokens: what programs and senders have instead of passwords. One is shown when it is made, and never again.

import { adjust, chosen } from "../address";
import { useAnswer } from "../answers";
import { ask, part } from "../api";
import { number } from "../format";
import { rowsOf, useListing } from "../listing";
import { question } from "../parts/dialog";
import { Facts, type Fact } from "../parts/facts";
import { Grid, type Column } from "../parts/grid";
import { Icon } from "../parts/icon";
import { Empty, Tag, When } from "../parts/marks";
import { Sheet } from "../parts/sheet";
import { tell } from "../parts/toast";
import {
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
} from "../rights";
import { may, person } from "../session";
import { t, word } from "../words";

interface Token {
  name: string;
  kind: "api" | "source";
  role: string;
  /** No more of the role's than these; null: all of them. */
  permissions: string[] | null;
  view: DataView | null;
  created: number;
  creator: string;
  expires: number | null;
  used: number | null;
  revoked: boolean;
}

const ROLES = ["viewer", "analyst", "lead", "admin", "auditor"];
const USUAL_DAYS = "90";

const COLUMNS: readonly Column<Token>[] = [
  { id: "name", says: t("token.name"), width: 180, grows: true, phone: "lead", cell: (each) => each.name },
  { id: "state", says: t("user.state"), width: 112, cell: (each) => <State of={each} /> },
  { id: "kind", says: t("token.kind"), width: 196, phone: "off", cell: (each) => word("token.kind", each.kind) },
  { id: "role", says: t("user.role"), width: 176, phone: "off", cell: (each) => each.role && roleSays(each.role) },
  { id: "expires", says: t("token.expires"), width: 168, cell: (each) => <Expires of={each} /> },
  { id: "used", says: t("token.used"), width: 140, phone: "off", cell: (each) => <Used of={each} /> },
  { id: "creator", says: t("token.creator"), width: 120, phone: "off", extra: true, cell: (each) => each.creator },
];

const isOver = ({ expires }: Token): boolean => expires !== null && expires * 1000 < Date.now();

function State({ of }: { of: Token }) {
  if (of.revoked) return <Tag>{t("token.state.revoked")}</Tag>;
  if (isOver(of)) return <Tag kind="attention">{t("token.state.expired")}</Tag>;
  return <Tag kind="good">{t("token.state.good")}</Tag>;
}

function Expires({ of }: { of: Token }) {
  return of.expires === null ? <span class="quiet">{t("token.never")}</span> : <When at={of.expires * 1000} />;
}

function Used({ of }: { of: Token }) {
  return of.used ? <When at={of.used * 1000} short /> : <span class="quiet">{t("token.unused")}</span>;
}

export default function Tokens() {
  const { open = "" } = chosen.value;
  const roles = useAnswer(may("users.manage") ? "roles" : null, rolesOf);
  const list = useListing<Token>(
    "tokens",
    async (offset, limit, signal, byItself) => {
      const { tokens } = await ask<{ tokens: Token[] }>("/tokens", { signal, byItself });
      const order = tokens.sort((a, b) => Number(a.revoked) - Number(b.revoked) || b.created - a.created);
      return rowsOf(order, offset, limit);
    },
    ({ name }) => name,
  );
  const names = roles.value ? [...roles.value.roles, ...roles.value.own_roles].map(({ name }) => name) : ROLES;
  const permissions = roles.value?.permissions ?? person.value?.permissions ?? [];
  const add = () =>
    question({
      title: t("token.add"),
      does: t("token.add"),
      wide: true,
      says: <p class="quiet">{t("token.add.help")}</p>,
      fields: [
        { name: "name", says: t("token.name"), required: true, most: 100 },
        { name: "role", says: t("user.role"), kind: "select", value: "viewer", options: roleOptions(names) },
        { name: "days", says: t("token.days"), kind: "number", value: USUAL_DAYS, required: true },
        ...permissionFields(permissions, []),
        ...viewFields(null),
      ],
      work: async (filled) => {
        const scope = permissionsOf(filled);
        const body = {
          name: filled.name,
          role: filled.role,
          days: Number(filled.days),
          view: viewOf(filled),
          ...(scope.length ? { permissions: scope } : {}),
        };
        const made = await ask<{ name: string; token: string; days: number }>("/tokens", { method: "POST", body });
        const help = t("token.secret.help", { days: number(made.days) });
        reveal(t("token.secret", { name: made.name }), help, made.token);
        list.again();
      },
    });
  return (
    <>
      <header>
        <h1>{t("screen.tokens")}</h1>
        <button type="button" class="main" onClick={add}>
          <Icon name="plus" />
          {t("token.add")}
        </button>
      </header>
      <Grid
        name="tokens"
        label={t("screen.tokens")}
        list={list}
        columns={COLUMNS}
        onOpen={({ name }) => adjust({ open: name }, Boolean(open))}
        empty={<Empty says={t("token.none")} next={t("token.none.next")} />}
      />
      {open && <TokenSheet name={open} onClose={() => adjust({ open: "" })} onChange={() => list.again(true)} />}
    </>
  );
}

interface SheetProps {
  name: string;
  onClose: () => void;
  onChange: () => void;
}

function TokenSheet({ name, onClose, onChange }: SheetProps) {
  const answer = useAnswer(name, async (signal, byItself) => {
    const { tokens } = await ask<{ tokens: Token[] }>("/tokens", { signal, byItself });
    return { token: tokens.find((each) => each.name === name) ?? null };
  });
  const token = answer.value?.token;
  const revoke = () =>
    question({
      title: t("token.revoke"),
      does: t("token.revoke"),
      danger: true,
      says: <p>{t("token.revoke.help", { name })}</p>,
      work: async () => {
        await ask(`/tokens/${part(name)}`, { method: "DELETE" });
        tell(t("token.revoked", { name }));
        answer.again(true);
        onChange();
      },
    });
  return (
    <Sheet
      onClose={onClose}
      title={name}
      meta={token && <State of={token} />}
      actions={
        token &&
        !token.revoked && (
          <button type="button" class="danger" onClick={revoke}>
            {t("token.revoke")}
          </button>
        )
      }
    >
      {answer.value && !token && <p class="quiet">{t("token.none")}</p>}
      {token && (
        <section>
          <Facts of={facts(token)} />
        </section>
      )}
    </Sheet>
  );
}

function facts(of: Token): Fact[] {
  const scope = of.permissions?.map((each) => word("permission", each)).join(", ") ?? t("token.scope.all");
  return [
    [t("token.kind"), word("token.kind", of.kind)],
    [t("user.role"), of.role && roleSays(of.role)],
    [t("token.scope"), of.kind === "api" && scope],
    [t("user.data"), of.kind === "api" && viewSays(of.view)],
    [t("token.expires"), <Expires of={of} />],
    [t("token.used"), <Used of={of} />],
    [t("token.created"), <When at={of.created * 1000} />],
    [t("token.creator"), of.creator],
  ];
}
