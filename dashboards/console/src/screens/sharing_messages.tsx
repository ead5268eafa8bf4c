// Messages that leave: what each tells, who must agree, and what became of it.

import { useSignal } from "@preact/signals";
import { addressOf, adjust, chosen } from "../address";
import { useAnswer, useChange } from "../answers";
import { ask, send, withValues } from "../api";
import { number, plain } from "../format";
import { useListing } from "../listing";
import { marks } from "../live";
import { question } from "../parts/dialog";
import { Facts } from "../parts/facts";
import { Grid, type Column } from "../parts/grid";
import { Icon } from "../parts/icon";
import { Empty, Fault, Shown, Tag, When } from "../parts/marks";
import { Sheet } from "../parts/sheet";
import { tell } from "../parts/toast";
import { may, person } from "../session";
import {
  incidentOf,
  KINDS,
  LOOKS,
  STATUSES,
  type Fact,
  type Message,
  type Messages as Listed,
  type Profiles,
  type Status,
  type WholeMessage,
} from "../sharing";
import { t, word } from "../words";
import { Content } from "./sharing_profiles";

const COLUMNS: readonly Column<Message>[] = [
  { id: "number", says: t("sharing.number"), width: 64, right: true, cell: (each) => number(each.number) },
  { id: "created", says: t("sharing.created"), width: 168, cell: (each) => <When at={each.created} /> },
  {
    id: "kind",
    says: t("sharing.message_kind"),
    width: 160,
    grows: true,
    phone: "lead",
    cell: (each) => titleOf(each),
  },
  { id: "profile", says: t("sharing.receiver"), width: 110, cell: (each) => each.profile },
  { id: "status", says: t("column.status"), width: 140, cell: (each) => <StatusOf of={each} /> },
  {
    id: "ended",
    says: t("sharing.ended"),
    width: 168,
    phone: "off",
    cell: (each) => each.ended && <When at={each.ended} />,
  },
  {
    id: "answer",
    says: t("sharing.answer"),
    width: 160,
    grows: true,
    phone: "off",
    cell: (each) => plain(each.answer.slice(0, 300)),
  },
  {
    id: "attempts",
    says: t("sharing.attempts"),
    width: 80,
    right: true,
    phone: "off",
    extra: true,
    cell: (each) => number(each.attempts),
  },
];

function titleOf(of: Message): string {
  const incident = incidentOf(of);
  if (!incident) return word("sharing.kind", of.kind);
  return t("sharing.of_case", { document: word("incident.document", incident.document), case: incident.case });
}

function StatusOf({ of }: { of: Message }) {
  return (
    <Tag kind={LOOKS[of.status] ?? ""}>
      {word("sharing.status", of.status)}
      {of.status === "held" && ` ${of.approvals.length}/${of.needed}`}
    </Tag>
  );
}

export function Messages() {
  const { profile = "", status = "", kind = "", open = "" } = chosen.value;
  const statuses = useSignal<Listed["statuses"]>({});
  const profiles = useAnswer("profiles", (signal) => ask<Profiles>("/sharing/profiles", { signal }));
  const list = useListing<Message>(
    JSON.stringify([profile, status, kind]),
    async (offset, limit, signal, byItself) => {
      const path = withValues("/sharing/messages", { profile, status, kind, offset, limit });
      const found = await ask<Listed>(path, { signal, byItself });
      statuses.value = found.statuses;
      return { total: found.total, rows: found.messages };
    },
    (each) => String(each.number),
  );
  const again = () => list.again(true);
  useChange(marks.sharing, again);
  const count = (of: Status) => statuses.value[of] ?? 0;
  const names = new Set([...(profiles.value?.profiles ?? []).map((each) => each.profile), profile].filter(Boolean));
  return (
    <>
      <div class="line" role="group" aria-label={t("sharing.filters")}>
        <button type="button" class="small" aria-pressed={!status} onClick={() => adjust({ status: "" })}>
          {t("sharing.all")}
        </button>
        {STATUSES.filter((each) => count(each) || each === status).map((each) => (
          <button
            key={each}
            type="button"
            class={`small ${each === "held" && count(each) ? "attention" : ""}`}
            aria-pressed={status === each}
            onClick={() => adjust({ status: each })}
          >
            {word("sharing.status", each)} <b>{number(count(each))}</b>
          </button>
        ))}
        <select
          class="small"
          aria-label={t("sharing.receiver")}
          value={profile}
          onChange={(event) => adjust({ profile: event.currentTarget.value })}
        >
          <option value="">{t("sharing.all_receivers")}</option>
          {[...names].map((each) => (
            <option key={each} value={each}>
              {each}
            </option>
          ))}
        </select>
        <select
          class="small"
          aria-label={t("sharing.message_kind")}
          value={kind}
          onChange={(event) => adjust({ kind: event.currentTarget.value })}
        >
          <option value="">{t("sharing.all_kinds")}</option>
          {KINDS.map((each) => (
            <option key={each} value={each}>
              {word("sharing.kind", each)}
            </option>
          ))}
        </select>
      </div>
      <Grid
        name="shared"
        label={t("sharing.view.messages")}
        list={list}
        columns={COLUMNS}
        onOpen={(each) => adjust({ open: String(each.number) }, Boolean(open))}
        empty={
          <Empty
            says={t(profile || status || kind ? "sharing.none_here" : "sharing.none")}
            next={t("sharing.none.next")}
          />
        }
      />
      {open && <MessageSheet key={open} number={Number(open)} onChange={again} />}
    </>
  );
}

function MessageSheet({ number: of, onChange }: { number: number; onChange: () => void }) {
  const answer = useAnswer(String(of), (signal, byItself) =>
    ask<WholeMessage>(`/sharing/messages/${of}`, { signal, byItself }),
  );
  useChange(marks.sharing, () => answer.again(true));
  const message = answer.value;
  const changed = () => {
    answer.again(true);
    onChange();
  };
  const incident = message && incidentOf(message);
  return (
    <Sheet
      onClose={() => adjust({ open: "" })}
      title={message ? titleOf(message) : t("loading")}
      meta={
        message && (
          <>
            <StatusOf of={message} />
            <span>{t("sharing.to", { number: number(message.number), receiver: message.profile })}</span>
            <When at={message.created} />
          </>
        )
      }
      actions={message && <Actions of={message} changed={changed} />}
    >
      <Fault of={answer.fault} />
      {message && (
        <>
          {message.status === "held" && <p class="notice attention">{heldSays(message)}</p>}
          {incident && may("cases.read") && (
            <p>
              <a href={addressOf("cases", {}, String(incident.case))}>{t("sharing.see_case", { id: incident.case })}</a>
            </p>
          )}
          <FactTables of={message.facts} />
          <ContentOf message={message} />
          {message.needed > 0 && (
            <section>
              <h3>{t("sharing.approvals", { given: message.approvals.length, needed: message.needed })}</h3>
              {message.approvals.length ? (
                <ul class="rows">
                  {message.approvals.map(({ who, time }) => (
                    <li key={who} class="line apart">
                      <span>{plain(who)}</span>
                      <When at={time} />
                    </li>
                  ))}
                </ul>
              ) : (
                <p class="quiet">{t("sharing.approvals.none")}</p>
              )}
            </section>
          )}
          <section>
            <h3>{t("sharing.history")}</h3>
            <Facts
              of={[
                [t("sharing.since"), message.since && <When at={message.since} />],
                [t("sharing.until"), message.until && <When at={message.until} />],
                [t("sharing.created"), <When at={message.created} />],
                [t("sharing.attempts"), number(message.attempts)],
                [t("sharing.tried"), message.tried && <When at={message.tried} />],
                [
                  t("sharing.due"),
                  message.status === "queued" && message.attempts > 0 && message.due && <When at={message.due} />,
                ],
                [t("sharing.ended"), message.ended && <When at={message.ended} />],
                [t("sharing.code"), message.code > 0 && String(message.code)],
                [t("sharing.answer"), message.answer && <div class="wrap">{plain(message.answer)}</div>],
                [t("sharing.digest"), <span class="raw">{message.digest}</span>],
              ]}
            />
          </section>
          {(message.receipt.body || message.receipt.sha256) && (
            <section>
              <h3>{t("sharing.receipt")}</h3>
              {message.receipt.body && <pre class="raw">{plain(message.receipt.body.slice(0, 20_000))}</pre>}
              {message.receipt.sha256 && (
                <Facts of={[[t("sharing.digest"), <span class="raw">{message.receipt.sha256}</span>]]} />
              )}
            </section>
          )}
        </>
      )}
    </Sheet>
  );
}

function heldSays({ needed, approvals }: Message): string {
  const left = needed - approvals.length;
  const isMine = approvals.some(({ who }) => who === person.value?.name);
  return isMine ? t("sharing.held.mine", { count: left }) : t("sharing.held", { count: left });
}

function Actions({ of, changed }: { of: WholeMessage; changed: () => void }) {
  const path = `/sharing/messages/${of.number}`;
  const decides = may("sharing.approve");
  const isMine = of.approvals.some(({ who }) => who === person.value?.name);
  const does = async (what: string, body?: object) => {
    const { status } = await ask<{ status: Status }>(`${path}/${what}`, { method: "POST", body });
    tell(t("sharing.now", { number: number(of.number), status: word("sharing.status", status) }));
    changed();
  };
  const values = { number: number(of.number), receiver: of.profile };
  const approve = () =>
    question({
      title: t("sharing.approve.title", values),
      does: t("sharing.approve"),
      says: (
        <>
          <p>{t(of.needed - of.approvals.length > 1 ? "sharing.approve.more" : "sharing.approve.help", values)}</p>
          <p class="quiet">{t("sharing.approve.tells", { content: contentSays(of) })}</p>
        </>
      ),
      work: () => does("approve"),
    });
  const resend = () =>
    question({
      title: t("sharing.resend.title", values),
      does: t("sharing.resend"),
      says: <p>{t("sharing.resend.help", values)}</p>,
      work: () => does("resend"),
    });
  const withdraw = () =>
    question({
      title: t("sharing.withdraw.title", values),
      does: t("sharing.withdraw"),
      danger: true,
      says: <p>{t(of.kind === "statistics" ? "sharing.withdraw.help" : "sharing.withdraw.other", values)}</p>,
      fields: [{ name: "reason", says: t("reason"), required: true, most: 500 }],
      work: (body) => does("withdraw", body),
    });
  const carry = () =>
    question({
      title: t("sharing.carried.title", values),
      does: t("sharing.carried"),
      says: <p>{t("sharing.carried.help")}</p>,
      fields: [{ name: "reason", says: t("sharing.carried.note"), required: true, most: 500 }],
      work: (body) => does("carried", body),
    });
  const isSigned = ["queued", "sent", "refused", "expired", "rehearsed"].includes(of.status);
  return (
    <>
      {decides && of.status === "held" && !isMine && (
        <button type="button" class="main" onClick={approve}>
          <Icon name="check" />
          {t("sharing.approve")}
        </button>
      )}
      {decides && (of.status === "refused" || of.status === "expired") && (
        <button type="button" class="main" onClick={resend}>
          <Icon name="refresh" />
          {t("sharing.resend")}
        </button>
      )}
      {decides && of.status === "queued" && of.kind === "incident" && (
        <button type="button" class="main" onClick={carry}>
          <Icon name="check" />
          {t("sharing.carried")}
        </button>
      )}
      <a class="button" data-load download href={`/api/v1${path}/content`}>
        <Icon name="download" />
        {t("sharing.content")}
      </a>
      {isSigned && (
        <a class="button" data-load download href={`/api/v1${path}/content?signed=true`}>
          <Icon name="download" />
          {t("sharing.signed")}
        </a>
      )}
      {decides && !["sent", "withdrawn", "rehearsed"].includes(of.status) && (
        <button type="button" class="danger" onClick={withdraw}>
          <Icon name="remove" />
          {t("sharing.withdraw")}
        </button>
      )}
    </>
  );
}

function contentSays(of: WholeMessage): string {
  const counts = new Map<string, number>();
  for (const { kind } of of.facts) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const said = [...counts].map(([kind, count]) => `${word("sharing.fact", kind)} ${number(count)}`);
  return said.join(", ") || titleOf(of);
}

/** Rows of a table that are drawn; the content has all. */
const MOST_ROWS = 100;
const MOST_ALERTS = 20;

function FactTables({ of }: { of: readonly Fact[] }) {
  const kinds = [...new Set(of.map(({ kind }) => kind))];
  return (
    <>
      {kinds.map((kind) => (
        <FactTable key={kind} kind={kind} of={of.filter((each) => each.kind === kind)} />
      ))}
    </>
  );
}

function FactTable({ kind, of }: { kind: string; of: readonly Fact[] }) {
  const names = [...new Set(of.flatMap(({ values }) => Object.keys(values)))];
  const shown = of.slice(0, MOST_ROWS);
  return (
    <section>
      <h3>
        {word("sharing.fact", kind)} <span class="quiet small">{number(of.length)}</span>
      </h3>
      <div class="facts">
        <table>
          <thead>
            <tr>
              {names.map((name) => (
                <th key={name}>{word("sharing.field", name)}</th>
              ))}
              <th>{t("column.alerts")}</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((fact, place) => (
              <tr key={place}>
                {names.map((name) => (
                  <td key={name}>
                    <FieldValue field={name} value={fact.values[name]} />
                  </td>
                ))}
                <td>
                  <AlertLinks of={fact.alerts} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {of.length > shown.length && (
        <p class="small quiet">{t("sharing.facts.more", { count: number(shown.length), all: number(of.length) })}</p>
      )}
    </section>
  );
}

function FieldValue({ field, value }: { field: string; value: unknown }) {
  if (field === "machine.kind" || field === "devices.kind") return <>{word("device", plain(value))}</>;
  if (field === "attack.kind") return <>{word("sharing.attack", plain(value))}</>;
  if (field === "indicator.kind" || field === "indicator.threat") return <>{word(field, plain(value))}</>;
  if (field === "indicator.added") return <When at={plain(value)} />;
  if (field === "devices.what") return <>{word("sharing.fact", plain(value))}</>;
  if (typeof value === "boolean") return <>{t(value ? "sharing.yes" : "sharing.no")}</>;
  if (typeof value === "number") return <>{number(value)}</>;
  const text = plain(value).slice(0, 1000);
  if (HASH.test(text))
    return (
      <span class="raw" title={text}>
        {text.slice(0, 12)}…
      </span>
    );
  return <span class={`raw ${text.length > 40 ? "long" : ""}`}>{text}</span>;
}

const HASH = /^[\da-f]{32,64}$/i;

/** The alerts that say a fact, by their numbers. */
function AlertLinks({ of }: { of: readonly string[] }) {
  if (!of.length) return <span class="quiet">–</span>;
  if (!may("alerts.read")) return <>{number(of.length)}</>;
  return (
    <span class={of.length > 1 ? "line" : ""}>
      {of.slice(0, MOST_ALERTS).map((id, place) => (
        <a key={id} href={addressOf("alert", {}, id)} title={t("sharing.see_alert", { id })}>
          {of.length === 1 ? t("sharing.alert") : place + 1}
        </a>
      ))}
      {of.length > MOST_ALERTS && <span class="quiet">{t("sharing.of_all", { count: number(of.length) })}</span>}
    </span>
  );
}

/** What people agree to, byte for byte; a PDF is a file to be opened. */
function ContentOf({ message }: { message: Message }) {
  const shows = useSignal(false);
  const answer = useAnswer(shows.value ? message.digest : null, async (signal) => {
    const found = await send(`/sharing/messages/${message.number}/content`, { signal });
    return found.headers.get("content-type")?.includes("pdf") ? null : found.text();
  });
  if (message.kind === "incident") return null;
  return (
    <details onToggle={(event) => (shows.value = event.currentTarget.open)}>
      <summary>{t("sharing.content.see")}</summary>
      <Shown of={answer}>{(text) => <Content text={text ?? ""} />}</Shown>
    </details>
  );
}
