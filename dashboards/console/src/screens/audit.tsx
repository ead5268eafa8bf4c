// The audit: who did what, when and from where; and whether anybody changed what is written down.

import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { adjust, chosen } from "../address";
import { useAnswer } from "../answers";
import { ask, Refused, withValues } from "../api";
import { number, plain } from "../format";
import { useListing } from "../listing";
import { question } from "../parts/dialog";
import { Raw } from "../parts/fields";
import { Facts, Narrowed, type Fact } from "../parts/facts";
import { Grid, type Column } from "../parts/grid";
import { Icon } from "../parts/icon";
import { CopyButton, Empty, Fault, When } from "../parts/marks";
import { Sheet } from "../parts/sheet";
import { bounds } from "../range";
import { rich, t, word } from "../words";

interface Row {
  id: number;
  time: number;
  who: string;
  address: string;
  action: string;
  detail: Record<string, unknown>;
  digest: string;
}
interface Listed {
  rows: Row[];
  total: number;
}
interface Verdict {
  whole: boolean;
  rows: number;
  head: string;
  broken: number | null;
  cut: boolean;
  lost: string[];
  unguarded: string[];
  gone: string[];
}

/** Those that one looks for most; any other is found by its name in the address or by the text. */
const ACTIONS = [
  "login",
  "login_failed",
  "denied",
  "user_locked",
  "user_add",
  "user_change",
  "user_password",
  "role_set",
  "token_create",
  "token_revoke",
  "search",
  "screen_search",
  "event_read",
  "export",
  "alerts_changed",
  "suppression_made",
  "suppression_removed",
  "case_changed",
  "case_exported",
  "settings_written",
  "settings_changed",
  "stages_restarted",
  "messages_resent",
  "audit_read",
  "backup",
  "restore",
] as const;
const MOST_SHOWN = 300;

const COLUMNS: readonly Column<Row>[] = [
  { id: "time", says: t("column.time"), width: 168, cell: (each) => <When at={each.time * 1000} /> },
  { id: "who", says: t("audit.who"), width: 140, cell: (each) => plain(each.who) },
  { id: "action", says: t("audit.what"), width: 200, phone: "lead", cell: (each) => word("audit.action", each.action) },
  {
    id: "detail",
    says: t("audit.detail"),
    width: 200,
    grows: true,
    phone: "off",
    cell: (each) => <span class="raw">{shortOf(each.detail)}</span>,
  },
  {
    id: "address",
    says: t("audit.address"),
    width: 140,
    phone: "off",
    cell: (each) => <span class="raw">{plain(each.address)}</span>,
  },
  {
    id: "id",
    says: t("audit.row"),
    width: 88,
    right: true,
    phone: "off",
    extra: true,
    cell: (each) => number(each.id),
  },
];

/** What a search asked for; its whole body is in the sheet. */
const SEARCHED = ["query", "from", "to", "by", "total"];

/** Write a detail in one line: names and values as they are; of a search, what was asked. */
function shortOf(detail: Record<string, unknown>): string {
  const isSearch = typeof detail.search === "string" && detail.search.startsWith("{");
  const text = Object.entries(detail)
    .filter(([name]) => !isSearch || SEARCHED.includes(name))
    .map(([name, value]) => `${name}=${plain(value)}`)
    .join("  ");
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}…` : text;
}

export default function Audit() {
  const { who = "", action = "", address = "", text = "", open = "" } = chosen.value;
  const { from, to } = bounds();
  const verdict = useSignal<Verdict | null>(null);
  const fits = { who, action, address, text, from, to };
  // Every look adds a row: pages count from the row that was the newest at the first one.
  const newest = useRef<number | undefined>(undefined);
  const list = useListing<Row>(
    JSON.stringify(fits),
    async (offset, limit, signal, byItself) => {
      const before = offset ? newest.current : undefined;
      const found = await ask<Listed>(withValues("/audit", { ...fits, before, offset, limit }), { signal, byItself });
      const [first] = found.rows;
      if (!offset) newest.current = first && first.id + 1;
      return found;
    },
    ({ id }) => String(id),
  );
  const actions = action && !(ACTIONS as readonly string[]).includes(action) ? [action, ...ACTIONS] : ACTIONS;
  return (
    <>
      <header>
        <h1>{t("screen.audit")}</h1>
        <input
          type="search"
          class="narrow"
          placeholder={t("audit.find")}
          aria-label={t("audit.find")}
          value={text}
          onChange={(event) => adjust({ text: event.currentTarget.value })}
        />
        <select
          aria-label={t("audit.what")}
          value={action}
          onChange={(event) => adjust({ action: event.currentTarget.value })}
        >
          <option value="">{t("audit.any_action")}</option>
          {actions.map((each) => (
            <option key={each} value={each} selected={each === action}>
              {word("audit.action", each)}
            </option>
          ))}
        </select>
        <button
          type="button"
          class="plain"
          title={t("key.refresh")}
          aria-label={t("key.refresh")}
          onClick={() => list.again()}
        >
          <Icon name="refresh" />
        </button>
        <button type="button" onClick={() => verify((found) => (verdict.value = found))}>
          <Icon name="shield" />
          {t("audit.verify")}
        </button>
      </header>
      {verdict.value && <Told of={verdict.value} />}
      {(who || address) && (
        <div class="chips">
          {who && <Narrowed says={t("audit.only_who", { who })} off={{ who: "" }} />}
          {address && <Narrowed says={t("audit.only_address", { address })} off={{ address: "" }} />}
        </div>
      )}
      <Grid
        name="audit"
        label={t("screen.audit")}
        list={list}
        columns={COLUMNS}
        onOpen={({ id }) => adjust({ open: String(id) }, Boolean(open))}
        empty={<Empty says={t("audit.none")} next={t("audit.none.next")} />}
      />
      {open && <RowSheet id={open} onClose={() => adjust({ open: "" })} />}
    </>
  );
}

function verify(done: (found: Verdict) => void): void {
  question({
    title: t("audit.verify"),
    does: t("audit.verify"),
    says: <p>{t("audit.verify.help")}</p>,
    fields: [{ name: "head", says: t("audit.verify.head"), most: 64, help: t("audit.verify.head.help") }],
    work: async ({ head = "" }) => done(await ask<Verdict>(withValues("/audit/verify", { head: head.trim() }))),
  });
}

/** Whether the chain is whole, how far, and what to do where it is not. */
function Told({ of }: { of: Verdict }) {
  const wrong = [
    ...(of.broken === null ? [] : [t("audit.broken", { row: number(of.broken), count: number(of.rows) })]),
    ...(of.cut ? [t("audit.cut")] : []),
    ...(of.lost.length ? [t("audit.lost")] : []),
    ...(of.unguarded.length ? [t("audit.unguarded", { names: of.unguarded.join(", ") })] : []),
    ...(of.gone.length ? [t("audit.no_table", { names: of.gone.join(", ") })] : []),
  ];
  return (
    <div class={`notice ${of.whole ? "good" : "fault"}`} role="status">
      <div class="stack">
        {of.whole && (
          <p class="good">
            <Icon name="check" /> {t("audit.whole", { count: number(of.rows) })}
          </p>
        )}
        {wrong.map((sentence) => (
          <p key={sentence}>{sentence}</p>
        ))}
        {!of.whole && <p>{rich(t("audit.what_now"))}</p>}
        <p class="small">
          {t("audit.head")}: <span class="raw wrap">{of.head}</span> <CopyButton text={of.head} />
        </p>
      </div>
    </div>
  );
}

function RowSheet({ id, onClose }: { id: string; onClose: () => void }) {
  const answer = useAnswer(id, async (signal) => {
    const before = Number(id) + 1;
    const [row] = Number.isInteger(before)
      ? (await ask<Listed>(withValues("/audit", { before, limit: 1 }), { signal })).rows
      : [];
    if (String(row?.id) !== id || !row) throw new Refused(404, { detail: t("audit.gone", { row: id }) });
    return row;
  });
  const row = answer.value;
  return (
    <Sheet
      onClose={onClose}
      title={row ? word("audit.action", row.action) : t("loading")}
      meta={
        row && (
          <>
            <span>{plain(row.who)}</span>
            <When at={row.time * 1000} />
          </>
        )
      }
      actions={
        row && (
          <>
            <button type="button" onClick={() => adjust({ who: row.who })}>
              {t("audit.only_who", { who: plain(row.who) })}
            </button>
            <button type="button" onClick={() => adjust({ action: row.action })}>
              {t("audit.only_action")}
            </button>
            {row.address && (
              <button type="button" onClick={() => adjust({ address: row.address })}>
                {t("audit.only_address", { address: plain(row.address) })}
              </button>
            )}
          </>
        )
      }
    >
      <Fault of={answer.fault} />
      {row && (
        <>
          <section>
            <Facts of={facts(row)} />
          </section>
          {Object.keys(row.detail).length > 0 && (
            <section>
              <h3>{t("audit.detail")}</h3>
              <table class="fields">
                <tbody>
                  {Object.entries(row.detail).map(([name, value]) => (
                    <tr key={name}>
                      <th scope="row" class="raw">
                        {name}
                      </th>
                      <td class="raw">
                        <div>{plain(value)}</div>
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </section>
          )}
          <Raw of={row as unknown as Record<string, unknown>} />
        </>
      )}
    </Sheet>
  );
}

const facts = (of: Row): Fact[] => [
  [t("audit.row"), number(of.id)],
  [t("audit.who"), plain(of.who)],
  [t("audit.what"), of.action],
  [t("audit.address"), plain(of.address)],
  [t("audit.digest"), <span class="raw">{of.digest}</span>],
];
