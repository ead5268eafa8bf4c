// Suppressions: which alerts are kept out of the queue, why, by whom, until when, and how many that were.

import { addressOf, adjust, chosen } from "../address";
import { ask, part } from "../api";
import { number, plain } from "../format";
import { useAnswer } from "../answers";
import { rowsOf, useListing } from "../listing";
import { question } from "../parts/dialog";
import { Facts, type Fact } from "../parts/facts";
import { Grid, type Column } from "../parts/grid";
import { Icon } from "../parts/icon";
import { Empty, Fault, Tag, When } from "../parts/marks";
import { Sheet } from "../parts/sheet";
import { tell } from "../parts/toast";
import { Value } from "../parts/value";
import { quoted } from "../query";
import { may } from "../session";
import { folded, t } from "../words";

interface Suppression {
  id: string;
  rule: string;
  where: Record<string, string>;
  reason: string;
  who: string;
  created: number;
  expires: number;
  count: number;
  last: number | null;
  holds: boolean;
}

const COLUMNS: readonly Column<Suppression>[] = [
  { id: "rule", says: t("suppression.rule"), width: 200, phone: "lead", cell: (each) => plain(each.rule) },
  {
    id: "where",
    says: t("suppression.where"),
    width: 200,
    grows: true,
    phone: "off",
    cell: (each) => <span class="raw">{whereSays(each)}</span>,
  },
  { id: "state", says: t("column.status"), width: 108, cell: (each) => <State of={each} /> },
  { id: "count", says: t("suppression.count"), width: 92, right: true, cell: (each) => number(each.count) },
  { id: "who", says: t("suppression.who"), width: 112, phone: "off", cell: (each) => plain(each.who) },
  { id: "expires", says: t("suppression.expires"), width: 168, cell: (each) => <When at={each.expires * 1000} /> },
  { id: "reason", says: t("suppression.reason"), width: 160, phone: "off", cell: (each) => plain(each.reason) },
];

function whereSays({ where }: Suppression): string {
  const said = Object.entries(where).map(([name, value]) => `${name}: ${plain(value)}`);
  return said.join(", ") || t("suppression.anything");
}

function State({ of }: { of: Suppression }) {
  return <Tag kind={of.holds ? "accent" : ""}>{t(of.holds ? "suppression.holds" : "suppression.over")}</Tag>;
}

const all = async (signal: AbortSignal, byItself: boolean): Promise<Suppression[]> =>
  (await ask<{ suppressions: Suppression[] }>("/alerts/suppressions", { signal, byItself })).suppressions;

export default function Suppressions() {
  const { text = "", open = "" } = chosen.value;
  const list = useListing<Suppression>(
    text,
    async (offset, limit, signal, byItself) => {
      const wanted = folded(text);
      const fits = (each: Suppression) =>
        folded(`${each.rule} ${whereSays(each)} ${each.reason} ${each.who}`).includes(wanted);
      return rowsOf((await all(signal, byItself)).filter(fits), offset, limit);
    },
    ({ id }) => id,
  );
  return (
    <>
      <header>
        <h1>{t("screen.suppressions")}</h1>
        <input
          type="search"
          class="narrow"
          placeholder={t("suppression.find")}
          aria-label={t("suppression.find")}
          value={text}
          onInput={(event) => adjust({ text: event.currentTarget.value }, true)}
        />
        <a class="button" href={addressOf("queue")}>
          <Icon name="back" />
          {t("screen.queue")}
        </a>
      </header>
      <Grid
        name="suppressions"
        label={t("screen.suppressions")}
        list={list}
        columns={COLUMNS}
        onOpen={({ id }) => adjust({ open: id }, Boolean(open))}
        empty={
          <Empty says={t(text ? "suppression.none_here" : "suppression.none")} next={t("suppression.none.next")} />
        }
      />
      {open && <SuppressionSheet id={open} onClose={() => adjust({ open: "" })} onChange={() => list.again(true)} />}
    </>
  );
}

interface SheetProps {
  id: string;
  onClose: () => void;
  onChange: () => void;
}

function SuppressionSheet({ id, onClose, onChange }: SheetProps) {
  const answer = useAnswer(id, async (signal, byItself) => ({
    found: (await all(signal, byItself)).find((each) => each.id === id) ?? null,
  }));
  const found = answer.value?.found;
  const end = () =>
    question({
      title: t("suppression.end"),
      does: t("suppression.end"),
      danger: true,
      says: <p>{t("suppression.end.help")}</p>,
      work: async () => {
        await ask(`/alerts/suppressions/${part(id)}`, { method: "DELETE" });
        tell(t("suppression.ended"));
        onClose();
        onChange();
      },
    });
  return (
    <Sheet
      onClose={onClose}
      title={found ? plain(found.rule) : t("screen.suppressions")}
      meta={found && <State of={found} />}
      actions={
        found && (
          <>
            {may("suppressions.change") && (
              <button type="button" class="danger" onClick={end}>
                {t("suppression.end")}
              </button>
            )}
            {may("events.read") && (
              <a
                class="button"
                href={addressOf("hunt", { q: ofRule(found.rule), index: "alerts", from: "all", to: "" })}
              >
                <Icon name="search" />
                {t("suppression.alerts")}
              </a>
            )}
          </>
        )
      }
    >
      <Fault of={answer.fault} />
      {answer.value && !found && <p class="quiet">{t("suppression.none_here")}</p>}
      {found && (
        <>
          <section>
            <h3>{t("suppression.reason")}</h3>
            <p class="wrap">{plain(found.reason)}</p>
          </section>
          <section>
            <h3>{t("suppression.where")}</h3>
            {Object.keys(found.where).length ? (
              <table class="fields">
                <tbody>
                  {Object.entries(found.where).map(([name, value]) => (
                    <tr key={name}>
                      <th scope="row">{name}</th>
                      <td class="raw">
                        <Value field={name} value={value} whole />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            ) : (
              <p class="quiet">{t("suppression.anything")}</p>
            )}
          </section>
          <section>
            <Facts of={facts(found)} />
          </section>
        </>
      )}
    </Sheet>
  );
}

/** Return a query for the alerts of a rule: its id, which may end in `*`, or its whole name. */
const ofRule = (rule: string): string =>
  rule.endsWith("*") ? `rule.id:${rule}` : `rule.id:${quoted(rule)} OR rule.name:${quoted(rule)}`;

function facts(of: Suppression): Fact[] {
  const kept = of.count ? number(of.count) : `0 · ${t("suppression.useless")}`;
  return [
    [t("suppression.count"), kept],
    [t("suppression.last"), of.last && <When at={of.last * 1000} />],
    [t("suppression.who"), plain(of.who)],
    [t("suppression.created"), <When at={of.created * 1000} />],
    [t("suppression.expires"), <When at={of.expires * 1000} />],
  ];
}
