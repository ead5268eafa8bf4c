// One alert in full: why it fired, what to do first, the events that show it, what is related, what was done.

import { useSignal } from "@preact/signals";
import { addressOf, go } from "../address";
import { useAnswer, useChange } from "../answers";
import { ask, part } from "../api";
import { number, plain } from "../format";
import { marks } from "../live";
import { Fields, Raw, type Document } from "../parts/fields";
import { Icon } from "../parts/icon";
import { Fault, Severity, Tag, When } from "../parts/marks";
import { Item, MenuButton } from "../parts/popover";
import { Sheet } from "../parts/sheet";
import { Value } from "../parts/value";
import { quoted } from "../query";
import { except } from "../rulebook";
import { may } from "../session";
import { tagSays } from "../techniques";
import { escalate, judge, suppress, type Meant } from "../triage";
import { rich, spoken, t, word } from "../words";
import { ProcessTree } from "./process_tree";
import { EntityValue, iconOf, StatusTag, type Group } from "../parts/group";

interface Risk {
  risk: number;
  tactics: string[];
  parts: {
    rule: string;
    "rule.name": string;
    "rule.name_vi"?: string;
    alerts: number;
    points: number;
    group: string;
  }[];
}
interface Step {
  time: string;
  action: string;
  who: string;
  alerts: number;
  note: string;
}
interface Match {
  selection: string;
  field: string;
  field_vi?: string;
  /** The rule that gives risk to an entity: `field` is its name. */
  rule?: string;
  value: unknown;
}
/** A group as a page of its own has it. */
export type WholeGroup = { [Name in keyof Group as Name extends "risk" ? never : Name]: Group[Name] } & Pick<
  Group,
  "id" | "status" | "level" | "entity" | "last" | "count" | "owner" | "case" | "latest"
> & {
    alerts: Document[];
    history: Step[];
    risk?: Risk | null;
  };
export interface Whole {
  group: WholeGroup | null;
  alert: Document;
}

/** Return a group with its newest alert, or an alert with its group. */
export async function wholeOf(id: string, shown: string, signal: AbortSignal): Promise<Whole> {
  const group = await ask<WholeGroup>(`/alerts/groups/${part(id)}`, { signal }).catch((fault: unknown) => {
    if (signal.aborted) throw fault;
    return null;
  });
  const alert = await ask<Document>(`/alerts/${part(shown || group?.latest || id)}`, { signal });
  const known =
    group ??
    (alert["alert.group"]
      ? await ask<WholeGroup>(`/alerts/groups/${part(String(alert["alert.group"]))}`, { signal }).catch(() => null)
      : null);
  return { group: known, alert };
}

interface Props {
  id: string;
  onClose: () => void;
  onChange: () => void;
}

export function AlertSheet({ id, onClose, onChange }: Props) {
  const shown = useSignal("");
  const answer = useAnswer(`${id} ${shown.value}`, (signal) => wholeOf(id, shown.value, signal));
  useChange(marks.queue, () => answer.again(true)); // by keys in the list, too, or by somebody else
  const whole = answer.value;
  const changed = () => {
    answer.again();
    onChange();
  };
  return (
    <Sheet
      onClose={onClose}
      title={whole ? String(spoken(whole.alert, "rule.name") ?? id) : t("loading")}
      meta={whole && <Meta of={whole} />}
      actions={whole && <Actions of={whole} onChange={changed} />}
    >
      <Fault of={answer.fault} />
      {whole && (
        <div class={`stack ${answer.waits ? "waits" : ""}`}>
          <AlertDetail of={whole} onShow={(alert) => (shown.value = alert)} />
        </div>
      )}
    </Sheet>
  );
}

export function Meta({ of: { group, alert } }: { of: Whole }) {
  return (
    <>
      <Severity level={String(group?.level ?? alert["rule.level"] ?? "")} />
      {group && <StatusTag of={group.status} />}
      {group && (
        <span>
          {group.entity.split(":", 1)[0] !== "part" && (
            <a href={addressOf("entity", {}, group.entity)} aria-label={t("value.entity")} title={t("value.entity")}>
              <Icon name={iconOf(group.entity)} />
            </a>
          )}{" "}
          <EntityValue entity={group.entity} />
        </span>
      )}
      <When at={String(group?.last ?? alert["@timestamp"])} />
      {group && <span>{t("alert.count", { count: number(group.count) })}</span>}
      {group?.owner && (
        <span>
          {t("column.owner")}: {group.owner}
        </span>
      )}
      {group?.case && (
        <a href={addressOf("cases", {}, String(group.case))}>{t("case.number", { number: group.case })}</a>
      )}
    </>
  );
}

export function Actions({ of: { group, alert }, onChange }: { of: Whole; onChange: () => void }) {
  const id = group?.id ?? String(alert["event.id"]);
  const meant: Meant = { ids: [id], before: { [id]: group?.status ?? "new" }, count: 1, done: onChange };
  const rule = String(alert["rule.id"] ?? "");
  const name = String(spoken(alert, "rule.name"));
  return (
    <>
      {may("alerts.change") && (
        <>
          <button type="button" onClick={() => judge(meant, "acknowledged")}>
            <Icon name="check" />
            {t("triage.acknowledged")}
            <kbd>a</kbd>
          </button>
          <button type="button" onClick={() => judge(meant, "true_positive")}>
            {t("triage.true_positive")}
            <kbd>t</kbd>
          </button>
          <button type="button" onClick={() => judge(meant, "false_positive")}>
            {t("triage.false_positive")}
            <kbd>f</kbd>
          </button>
        </>
      )}
      {may("cases.change") && (
        <button type="button" onClick={() => void escalate(meant, name)}>
          <Icon name="case" />
          {t("triage.escalate")}
          <kbd>e</kbd>
        </button>
      )}
      <MenuButton icon="more" label={t("more")}>
        {() => (
          <>
            {may("suppressions.change") && (
              <Item icon="minus" says={t("triage.suppress")} run={() => suppress(rule, whereOf(alert), onChange)} />
            )}
            {may("rules.change") && OF_RULEBOOK.test(rule) && (
              <Item
                icon="minus"
                says={t("rule.except.this")}
                run={() => except({ id: rule, title: name, fields: [] }, whereOf(alert), onChange)}
              />
            )}
            {may("rules.read") && <Item icon="shield" says={t("alert.rule")} href={addressOf("rules", {}, rule)} />}
            {may("events.read") && (
              <Item
                icon="search"
                says={t("alert.all_of_rule")}
                run={() => go("hunt", { q: `rule.id:${quoted(rule)}`, index: "alerts" })}
              />
            )}
            {may("packets.read") && (
              <Item
                icon="download"
                says={t("alert.packets")}
                run={() => window.open(`/api/v1/alerts/${part(String(alert["event.id"]))}/packets`, "_self")}
              />
            )}
            <Item icon="alert" says={t("alert.page")} href={addressOf("alert", {}, String(alert["event.id"]))} />
          </>
        )}
      </MenuButton>
    </>
  );
}

/** The ids of rules; what is built in has names (`scan.ports`). */
const OF_RULEBOOK = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;

/** What an alert may be told by, for a suppression. */
function whereOf(alert: Document): Record<string, string> {
  const fields = ["host.name", "user.name", "source.ip", "destination.ip", "process.executable", "file.path"];
  return Object.fromEntries(
    fields.filter((field) => typeof alert[field] === "string").map((field) => [field, String(alert[field])]),
  );
}

export function AlertDetail({ of: { group, alert }, onShow }: { of: Whole; onShow: (alert: string) => void }) {
  const matches = (alert["alert.matches"] as Match[] | undefined) ?? [];
  const evidence = (alert["alert.evidence"] as Document[] | undefined) ?? [];
  const description = spoken(alert, "rule.description"),
    response = spoken(alert, "rule.response");
  const risk = group?.risk;
  const started = evidence.find((event) => event["process.pid"] || event["process.entity_id"]);
  const process = started && String(started["event.id"] ?? "");
  return (
    <>
      {Boolean(description) && (
        <section>
          <h3>{t("alert.why")}</h3>
          <p class="wrap">{rich(plain(description))}</p>
        </section>
      )}
      {matches.length > 0 && (
        <section>
          {!description && <h3>{t("alert.why")}</h3>}
          <table class="fields">
            <thead class="unseen">
              <tr>
                <th>{t("fields.name")}</th>
                <th>{t("fields.value")}</th>
              </tr>
            </thead>
            <tbody>
              {matches.slice(0, 40).map((match, place) => (
                <tr key={place}>
                  <th scope="row">
                    {match.rule ? (
                      <a href={addressOf("queue", { rule: match.rule, entity: group?.entity ?? "", status: "all" })}>
                        {String(spoken({ ...match }, "field"))}
                      </a>
                    ) : (
                      <>
                        {match.field} <span class="small">({match.selection})</span>
                      </>
                    )}
                  </th>
                  <td class="raw">
                    {match.rule ? (
                      t("alert.points_alone", { points: number(Number(match.value)) })
                    ) : (
                      <Value field={match.field} value={match.value} whole />
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      {Boolean(response) && (
        <section>
          <h3>{t("alert.first")}</h3>
          <div class="notice good wrap">{rich(plain(response))}</div>
        </section>
      )}
      {evidence.length > 0 && (
        <section>
          <h3>{t("alert.evidence", { count: number(evidence.length) })}</h3>
          {evidence.slice(0, 20).map((event, place) => (
            <Evidence key={place} of={event} open={place === 0} />
          ))}
        </section>
      )}
      {process && may("events.read") && <ProcessTree event={process} />}
      {risk && risk.parts.length > 0 && (
        <section>
          <h3>{t("alert.risk", { risk: number(risk.risk) })}</h3>
          <table class="fields">
            <tbody>
              {risk.parts.map((each) => (
                <tr key={each.group}>
                  <th scope="row">
                    <a href={addressOf("queue", { open: each.group, status: "all" })}>
                      {String(spoken({ ...each }, "rule.name"))}
                    </a>
                  </th>
                  <td>{t("alert.points", { points: number(Math.round(each.points)), alerts: number(each.alerts) })}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      {group && group.alerts.length > 1 && (
        <section>
          <h3>{t("alert.others", { count: number(group.count) })}</h3>
          <ul class="stack">
            {group.alerts.slice(0, 20).map((each) => {
              const id = String(each["event.id"]);
              return (
                <li key={id} class="line small">
                  <button
                    type="button"
                    class="small plain"
                    aria-pressed={id === alert["event.id"]}
                    onClick={() => onShow(id)}
                  >
                    <When at={String(each["@timestamp"])} />
                  </button>
                  <span class="clip quiet">
                    {plain(each["source.ip"] ?? each["user.name"] ?? each["host.name"] ?? "")}
                  </span>
                </li>
              );
            })}
          </ul>
        </section>
      )}
      {group && group.history.length > 0 && (
        <section>
          <h3>{t("alert.history")}</h3>
          <ul class="stack">
            {group.history.map((step, place) => (
              <li key={place} class="small">
                <When at={step.time} /> · {word("action", step.action)}
                {step.who && ` · ${step.who}`}
                {step.note && <div class="wrap">{plain(step.note)}</div>}
              </li>
            ))}
          </ul>
        </section>
      )}
      {Array.isArray(alert.tags) && alert.tags.length > 0 && (
        <section>
          <h3>{t("column.tags")}</h3>
          <div class="line">
            {(alert.tags as string[]).map((tag) => (
              <Tag key={tag}>{tagSays(tag)}</Tag>
            ))}
          </div>
        </section>
      )}
      <section>
        <h3>{t("alert.fields")}</h3>
        <Fields
          of={Object.fromEntries(
            Object.entries(alert).filter(([name]) => name !== "alert.evidence" && name !== "alert.matches"),
          )}
        />
      </section>
      <Raw of={alert} />
    </>
  );
}

/** An event that shows what an alert says. */
function Evidence({ of, open }: { of: Document; open: boolean }) {
  const id = String(of["event.id"] ?? "");
  return (
    <details class="card" open={open}>
      <summary>
        <When at={String(of["@timestamp"])} /> <span class="quiet small">{plain(of["event.dataset"] ?? "")}</span>
      </summary>
      {typeof of["event.original"] === "string" && <pre class="raw">{plain(of["event.original"])}</pre>}
      {id && may("events.read") && (
        <div class="line">
          <a
            class="button small"
            href={addressOf("hunt", { q: `event.id:${quoted(id)}`, from: "all", to: "", event: id })}
          >
            <Icon name="search" />
            {t("alert.in_hunt")}
          </a>
        </div>
      )}
      <Fields of={Object.fromEntries(Object.entries(of).filter(([name]) => name !== "event.original"))} />
    </details>
  );
}
