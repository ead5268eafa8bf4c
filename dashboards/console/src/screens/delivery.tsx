// Delivery: how each channel fares, what became of every message, and sending again.

import { addressOf, adjust, chosen } from "../address";
import { useAnswer, useChange } from "../answers";
import { ask, part, Refused, withValues } from "../api";
import { ago, number, plain } from "../format";
import type { Channel } from "../health";
import { useListing } from "../listing";
import { marks } from "../live";
import { question } from "../parts/dialog";
import { Raw } from "../parts/fields";
import { Facts, Narrowed, type Fact } from "../parts/facts";
import { Grid, type Column } from "../parts/grid";
import { Icon } from "../parts/icon";
import { Empty, Fault, Severity, Shown, Tag, When } from "../parts/marks";
import { Sheet } from "../parts/sheet";
import { tell } from "../parts/toast";
import { may } from "../session";
import { t, word } from "../words";
import { ChannelState } from "./health";

const STATUSES = ["waiting", "joined", "sent", "dead", "dropped"] as const;
type Status = (typeof STATUSES)[number];

interface Message {
  id: string;
  channel: string;
  kind: string;
  status: Status;
  level: string;
  alert: string;
  /** The message that this one has become a part of. */
  digest: string;
  route: string;
  body: Record<string, unknown>;
  created: number;
  due: number;
  attempts: number;
  tried: number;
  ended: number;
  answer: string;
}
interface Listed {
  total: number;
  messages: Message[];
}

const KINDS: Record<Status, "" | "good" | "fault" | "attention"> = {
  waiting: "attention",
  joined: "",
  sent: "good",
  dead: "fault",
  dropped: "",
};

const COLUMNS: readonly Column<Message>[] = [
  { id: "created", says: t("delivery.created"), width: 168, cell: (each) => <When at={each.created * 1000} /> },
  { id: "channel", says: t("delivery.channel"), width: 150, phone: "lead", cell: (each) => each.channel },
  { id: "status", says: t("column.status"), width: 132, cell: (each) => <StatusOf status={each.status} /> },
  { id: "kind", says: t("delivery.kind"), width: 104, phone: "off", cell: (each) => word("delivery.kind", each.kind) },
  { id: "level", says: t("column.level"), width: 144, cell: (each) => each.level && <Severity level={each.level} /> },
  {
    id: "attempts",
    says: t("delivery.attempts"),
    width: 88,
    right: true,
    phone: "off",
    cell: (each) => number(each.attempts),
  },
  {
    id: "answer",
    says: t("delivery.answer"),
    width: 160,
    grows: true,
    phone: "off",
    cell: (each) => plain(each.answer.slice(0, 300)),
  },
  {
    id: "due",
    says: t("delivery.due"),
    width: 168,
    phone: "off",
    extra: true,
    cell: (each) => each.status === "waiting" && <When at={each.due * 1000} />,
  },
  {
    id: "alert",
    says: t("delivery.alert"),
    width: 200,
    phone: "off",
    extra: true,
    cell: (each) => <span class="raw">{each.alert}</span>,
  },
];

function StatusOf({ status }: { status: Status }) {
  return <Tag kind={KINDS[status]}>{word("delivery.status", status)}</Tag>;
}

export default function Delivery() {
  const { channel = "", status = "", alert = "", open = "" } = chosen.value;
  const channels = useAnswer("channels", (signal, byItself) =>
    ask<{ channels: Channel[] }>("/delivery/channels", { signal, byItself }),
  );
  const fits = { channel, status, alert };
  const list = useListing<Message>(
    JSON.stringify(fits),
    async (offset, limit, signal, byItself) => {
      const found = await ask<Listed>(withValues("/delivery/messages", { ...fits, offset, limit }), {
        signal,
        byItself,
      });
      return { total: found.total, rows: found.messages };
    },
    ({ id }) => id,
  );
  const again = () => {
    channels.again(true);
    list.again(true);
  };
  useChange(marks.deliveries, again);
  useChange(marks.health, () => channels.again(true));
  const known = channels.value?.channels ?? [];
  const dead = known.filter((each) => each.set && (!channel || each.channel === channel));
  const count = dead.reduce((sum, each) => sum + each.dead, 0);
  return (
    <>
      <header>
        <h1>{t("screen.delivery")}</h1>
        {may("delivery.change") && count > 0 && (
          <>
            <button type="button" onClick={() => resendAll(channel, count, again)}>
              <Icon name="refresh" />
              {t("delivery.resend_all", { count: number(count) })}
            </button>
            <button type="button" onClick={() => dropAll(channel, count, again)}>
              <Icon name="remove" />
              {t("delivery.drop_all", { count: number(count) })}
            </button>
          </>
        )}
      </header>
      <Shown of={channels}>
        {({ channels: found }) =>
          found.length ? (
            <div class="cards">
              {found.map((each) => (
                <ChannelCard key={each.channel} of={each} />
              ))}
            </div>
          ) : (
            <Empty says={t("delivery.no_channels")} next={t("delivery.no_channels.next")}>
              {may("settings.change") && (
                <a class="button" href={addressOf("settings", { view: "file" })}>
                  {t("screen.settings")}
                </a>
              )}
            </Empty>
          )
        }
      </Shown>
      <div class="line" role="group" aria-label={t("delivery.filters")}>
        {["", ...STATUSES].map((each) => (
          <button
            key={each}
            type="button"
            class="small"
            aria-pressed={status === each}
            onClick={() => adjust({ status: each })}
          >
            {each ? word("delivery.status", each) : t("delivery.all")}
          </button>
        ))}
        {channel && <Narrowed says={`${t("delivery.channel")}: ${channel}`} off={{ channel: "" }} />}
        {alert && <Narrowed says={t("delivery.only_alert")} off={{ alert: "" }} />}
      </div>
      <Grid
        name="messages"
        label={t("screen.delivery")}
        list={list}
        columns={COLUMNS}
        onOpen={({ id }) => adjust({ open: id }, Boolean(open))}
        empty={
          <Empty
            says={t(channel || status || alert ? "delivery.none_here" : "delivery.none")}
            next={t("delivery.none.next")}
          />
        }
      />
      {open && <MessageSheet id={open} known={known} onClose={() => adjust({ open: "" })} onChange={again} />}
    </>
  );
}

function ChannelCard({ of }: { of: Channel }) {
  const to = (status: string) => addressOf("delivery", { channel: of.channel, status });
  return (
    <section class="card stack">
      <div class="line apart">
        <h2 class="clip">
          <a href={to("")}>{of.channel}</a> <span class="small quiet">{of.kind}</span>
        </h2>
        <ChannelState of={of} />
      </div>
      {of.failures > 0 && (
        <p class="fault wrap">
          {t("delivery.failing", { count: number(of.failures), error: plain(of.error.slice(0, 500)) })}
        </p>
      )}
      <p class="quiet">
        {of.succeeded ? t("delivery.last_good", { time: ago(of.succeeded * 1000) }) : t("delivery.never_good")}
      </p>
      <div class="line apart">
        <span class="line">
          <a href={to("sent")}>{t("delivery.sent", { count: number(of.sent) })}</a>
          {of.waiting > 0 && (
            <a href={to("waiting")} title={of.oldest ? t("delivery.oldest", { time: ago(of.oldest * 1000) }) : ""}>
              {t("channel.waiting", { count: number(of.waiting) })}
            </a>
          )}
          {of.dead > 0 && (
            <a class="fault" href={to("dead")}>
              {t("channel.dead", { count: number(of.dead) })}
            </a>
          )}
        </span>
        {of.set && may("delivery.change") && (
          <button type="button" class="small" onClick={() => test(of.channel)}>
            <Icon name="send" />
            {t("delivery.test")}
          </button>
        )}
      </div>
    </section>
  );
}

function test(channel: string): void {
  question({
    title: t("delivery.test.title", { channel }),
    does: t("delivery.test"),
    says: <p>{t("delivery.test.help")}</p>,
    work: async () => {
      const made = await ask<{ alert: string }>(`/delivery/channels/${part(channel)}/test`, { method: "POST" });
      tell(t("delivery.tested"));
      adjust({ channel: "", status: "", alert: made.alert, open: "" });
    },
  });
}

function resendAll(channel: string, count: number, done: () => void): void {
  const values = { channel: channel || t("delivery.all_channels"), count: number(count) };
  question({
    title: t("delivery.resend_all", values),
    does: t("delivery.resend"),
    says: <p>{t("delivery.resend_all.help", values)}</p>,
    work: () => resend({ all: true, channel }, done),
  });
}

function dropAll(channel: string, count: number, done: () => void): void {
  const values = { channel: channel || t("delivery.all_channels"), count: number(count) };
  question({
    title: t("delivery.drop_all", values),
    does: t("delivery.drop"),
    danger: true,
    says: <p>{t("delivery.drop_all.help", values)}</p>,
    work: () => drop({ all: true, channel }, done),
  });
}

async function drop(body: object, done: () => void): Promise<void> {
  const { messages } = await ask<{ messages: number }>("/delivery/drop", { method: "POST", body });
  tell(t("delivery.dropped", { count: number(messages) }));
  done();
}

async function resend(body: object, done: () => void): Promise<void> {
  const { messages } = await ask<{ messages: number }>("/delivery/resend", { method: "POST", body });
  tell(t("delivery.resent", { count: number(messages) }));
  done();
}

interface SheetProps {
  id: string;
  known: readonly Channel[];
  onClose: () => void;
  onChange: () => void;
}

function MessageSheet({ id, known, onClose, onChange }: SheetProps) {
  const answer = useAnswer(id, async (signal, byItself) => {
    const asking = { signal, byItself };
    const [message] = (await ask<Listed>(withValues("/delivery/messages", { message: id }), asking)).messages;
    if (!message) throw new Refused(404, { detail: t("delivery.none_here") });
    const others = message.alert
      ? (await ask<Listed>(withValues("/delivery/messages", { alert: message.alert, limit: 100 }), asking)).messages
      : [];
    return { message, others: others.filter((each) => each.id !== id) };
  });
  useChange(marks.deliveries, () => answer.again(true));
  const { message, others = [] } = answer.value ?? {};
  const isSet = known.some((each) => each.set && each.channel === message?.channel);
  const changed = () => {
    answer.again(true);
    onChange();
  };
  const send = ({ channel }: Message) =>
    question({
      title: t("delivery.resend.title"),
      does: t("delivery.resend"),
      says: <p>{t("delivery.resend.help", { channel })}</p>,
      work: () => resend({ ids: [id] }, changed),
    });
  const giveUp = ({ channel }: Message) =>
    question({
      title: t("delivery.drop.title"),
      does: t("delivery.drop"),
      danger: true,
      says: <p>{t("delivery.drop.help", { channel })}</p>,
      work: () => drop({ ids: [id] }, changed),
    });
  const mayDrop = message && (message.status === "dead" || (!isSet && ["waiting", "joined"].includes(message.status)));
  return (
    <Sheet
      onClose={onClose}
      title={message ? `${word("delivery.kind", message.kind)} → ${message.channel}` : t("loading")}
      meta={
        message && (
          <>
            <StatusOf status={message.status} />
            {message.level && <Severity level={message.level} />}
            <When at={message.created * 1000} />
          </>
        )
      }
      actions={
        message && (
          <>
            {isSet && may("delivery.change") && ["dead", "sent", "dropped"].includes(message.status) && (
              <button type="button" onClick={() => send(message)}>
                <Icon name="refresh" />
                {t("delivery.resend")}
              </button>
            )}
            {mayDrop && may("delivery.change") && (
              <button type="button" class="danger" onClick={() => giveUp(message)}>
                <Icon name="remove" />
                {t("delivery.drop")}
              </button>
            )}
            {message.alert && may("alerts.read") && (
              <a class="button" href={addressOf("alert", {}, message.alert)}>
                <Icon name="alert" />
                {t("delivery.see_alert")}
              </a>
            )}
          </>
        )
      }
    >
      <Fault of={answer.fault} />
      {message && (
        <>
          <section>
            <h3>{t("delivery.answer")}</h3>
            {message.answer ? <pre class="raw">{plain(message.answer)}</pre> : <p class="quiet">–</p>}
          </section>
          <section>
            <h3>{t("delivery.history")}</h3>
            <Facts of={facts(message)} />
          </section>
          {message.alert && (
            <section>
              <h3>{t("delivery.same")}</h3>
              {others.length ? (
                <ul class="rows">
                  {others.map((each) => (
                    <li key={each.id} class="line apart">
                      <a href={addressOf("delivery", { ...chosen.value, open: each.id })}>
                        {word("delivery.kind", each.kind)} → {each.channel}
                      </a>
                      <StatusOf status={each.status} />
                    </li>
                  ))}
                </ul>
              ) : (
                <p class="quiet">{t("delivery.same.none")}</p>
              )}
            </section>
          )}
          {Object.keys(message.body).length > 0 && <Raw of={message.body} />}
        </>
      )}
    </Sheet>
  );
}

function facts(of: Message): Fact[] {
  const at = (seconds: number) => seconds > 0 && <When at={seconds * 1000} />;
  return [
    [t("delivery.created"), at(of.created)],
    [t("delivery.attempts"), number(of.attempts)],
    [t("delivery.tried"), at(of.tried)],
    [t("delivery.due"), of.status === "waiting" && at(of.due)],
    [t("delivery.ended"), at(of.ended)],
    [t("delivery.route"), of.route],
    [
      t("delivery.digest"),
      of.digest && <a href={addressOf("delivery", { ...chosen.value, open: of.digest })}>{of.digest}</a>,
    ],
    [t("delivery.id"), <span class="raw">{of.id}</span>],
  ];
}
