// Network and C2: how many devices of which kind spoke with command-and-control servers, which, when, and with whom.

import { addressOf, adjust, chosen } from "../address";
import { useAnswer, useChange } from "../answers";
import { ask, withValues } from "../api";
import { familySays, type Contacts } from "../boards/counted";
import { number } from "../format";
import { marks } from "../live";
import { Empty, Share, Shown, Tag, When } from "../parts/marks";
import { Value } from "../parts/value";
import { quoted } from "../query";
import { bounds, nameOf, range } from "../range";
import { t, word } from "../words";

interface Contact {
  "@timestamp": string;
  device: string;
  name: string;
  kind: string;
  address: string;
  unit: string;
  family: string;
  target: string;
  count: number;
  blocked: boolean;
}

interface Answered extends Contacts {
  all: {
    devices: number;
    contacts: number;
    blocked: number;
    kinds: Record<string, number>;
    families: string[];
    first: string | null;
    last: string | null;
  };
  contacts: Contact[];
}

const BY = ["kind", "family", "unit", "day", "week", "month", "device"] as const;
const LAST_CONTACTS = 200;

export default function Network() {
  const { by = "kind" } = chosen.value;
  const key = JSON.stringify([by, range.value]);
  const answer = useAnswer(key, (signal, byItself) =>
    ask<Answered>(withValues("/c2", { ...bounds(), by, limit: LAST_CONTACTS }), { signal, byItself }),
  );
  useChange(marks.queue, () => answer.again(true));
  return (
    <>
      <header>
        <h1>{t("screen.network")}</h1>
        <a class="button small" href={addressOf("dashboards", {}, "ready-network")}>
          {t("network.traffic")}
        </a>
        <a class="button small" href={addressOf("dashboards", {}, "ready-c2")}>
          {t("network.dashboard")}
        </a>
      </header>
      <Shown of={answer}>
        {(found) => {
          const { all, groups, contacts } = found;
          return all.devices === 0 ? (
            <Empty says={t("network.none", { range: nameOf() })} next={t("network.none.next")} />
          ) : (
            <>
              <p class="status attention">
                <span>
                  {t("network.status", {
                    devices: number(all.devices),
                    contacts: number(all.contacts),
                    blocked: number(all.blocked),
                  })}
                </span>
              </p>
              <div class="tiles kinds-tiles">
                {Object.entries(all.kinds).map(([kind, count]) => (
                  <a key={kind} class="card tile" href={addressOf("devices", { kind })}>
                    <b class="number">{number(count)}</b>
                    <span>{word("device", kind)}</span>
                  </a>
                ))}
              </div>
              <section class="card">
                <header>
                  <h2>{t("network.groups")}</h2>
                  <select
                    value={by}
                    aria-label={t("network.by")}
                    onChange={(event) => adjust({ by: event.currentTarget.value })}
                  >
                    {BY.map((each) => (
                      <option key={each} value={each}>
                        {t(`network.by.${each}`)}
                      </option>
                    ))}
                  </select>
                </header>
                <table class="fields rows-table">
                  <thead>
                    <tr>
                      <th>{t(`network.by.${by as (typeof BY)[number]}`)}</th>
                      <th class="right">{t("network.devices")}</th>
                      <th class="right">{t("network.contacts")}</th>
                      <th />
                    </tr>
                  </thead>
                  <tbody>
                    {groups.map(({ group, devices, contacts: count }) => (
                      <tr key={group}>
                        <td>
                          <a href={leads(by, group)}>{groupSays(found, by, group)}</a>
                        </td>
                        <td class="right">{number(devices)}</td>
                        <td class="right">{number(count)}</td>
                        <td>
                          <Share of={devices / all.devices} />
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </section>
              <section class="card">
                <header>
                  <h2>{t("network.last")}</h2>
                  <span class="small quiet">{nameOf()}</span>
                </header>
                <table class="fields rows-table stacked">
                  <thead>
                    <tr>
                      <th>{t("column.time")}</th>
                      <th>{t("network.device")}</th>
                      <th>{t("device.kind")}</th>
                      <th>{t("network.family")}</th>
                      <th>{t("network.target")}</th>
                      <th class="right">{t("network.contacts")}</th>
                    </tr>
                  </thead>
                  <tbody>
                    {contacts.map((each, place) => (
                      <tr key={place}>
                        <td data-head={t("column.time")}>
                          <When at={each["@timestamp"]} />
                        </td>
                        <td data-head={t("network.device")}>
                          <a href={addressOf("devices", { open: each.device })}>{each.name || each.address}</a>{" "}
                          <span class="small quiet">{each.unit}</span>
                        </td>
                        <td data-head={t("device.kind")}>{word("device", each.kind)}</td>
                        <td data-head={t("network.family")}>{familySays(found, each.family)}</td>
                        <td class="raw" data-head={t("network.target")}>
                          <Value field="destination.address" value={each.target} />
                        </td>
                        <td class="right" data-head={t("network.contacts")}>
                          {number(each.count)} {each.blocked && <Tag kind="good">{t("network.blocked")}</Tag>}
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </section>
            </>
          );
        }}
      </Shown>
    </>
  );
}

function groupSays(found: Answered, by: string, group: string): string {
  if (by === "kind") return word("device", group);
  return (by === "family" ? familySays(found, group) : group) || t("network.no_group");
}

/** Where the number of a group leads. */
function leads(by: string, group: string): string {
  if (by === "kind") return addressOf("devices", { kind: group });
  if (by === "device") return addressOf("devices", { open: group });
  if (by === "unit") return addressOf("devices", { unit: group });
  if (by === "family")
    return addressOf("hunt", {
      index: "alerts",
      q: `rule.name:${quoted(group)} OR threat.software.name:${quoted(group)}`,
    });
  return addressOf("hunt", {
    index: "alerts",
    q: "tags:attack.command-and-control OR rule.id:indicator.*",
    ...spanOf(by, group),
  });
}

const DAY_MS = 86_400_000;

/** Return the time of a day, week (ISO 8601) or month. */
function spanOf(by: string, group: string): { from: string; to: string } {
  const [year = 1970, second = 1, third = 1] = group.split(/-W?/).map(Number);
  if (by === "month") return { from: iso(Date.UTC(year, second - 1)), to: iso(Date.UTC(year, second)) };
  if (by === "day")
    return { from: iso(Date.UTC(year, second - 1, third)), to: iso(Date.UTC(year, second - 1, third) + DAY_MS) };
  const fourth = new Date(Date.UTC(year, 0, 4)); // is always in the first week
  const monday = fourth.getTime() - ((fourth.getUTCDay() + 6) % 7) * DAY_MS + (second - 1) * 7 * DAY_MS;
  return { from: iso(monday), to: iso(monday + 7 * DAY_MS) };
}

const iso = (at: number): string => new Date(at).toISOString();
