// Blind spots: rules that find nothing here, because their log source sends nothing or nothing fills their fields.

import { addressOf } from "../address";
import { useAnswer } from "../answers";
import { ask, part } from "../api";
import { number, plain } from "../format";
import { Empty, Severity, Shown } from "../parts/marks";
import { titleOf, type Titled, type WholeRule } from "../rulebook";
import { t } from "../words";

const LACKING = ["blind", "unseen", "partly"] as const;
type State = "silent" | "seeing" | (typeof LACKING)[number];

interface Covered {
  "rule.id": string;
  "rule.level": string;
  state: State;
  logsource: Record<string, string>;
  events: number;
  codes: string[];
  missing: { field: string; keys: string[] }[];
}
interface Found {
  days: number;
  counts: Record<State, number>;
  silent: { logsource: Record<string, string>; rules: number }[];
  rules: (Covered & Titled)[];
}

const namesOf = (source: Record<string, string>): string => Object.values(source).join(" · ") || t("rule.any_source");

export function Coverage() {
  const answer = useAnswer("coverage", (signal) => ask<Found>("/rules/coverage", { signal }));
  return (
    <Shown of={answer}>
      {(found) => (
        <>
          <p>
            {t("rule.blind.says", {
              days: found.days,
              seeing: number(found.counts.seeing),
              silent: number(found.counts.silent),
              blind: number(found.counts.blind),
            })}
          </p>
          {found.counts.blind + found.counts.silent === 0 && (
            <Empty says={t("rule.blind.none")} next={t("rule.blind.none.next")} />
          )}
          {LACKING.map((state) => (
            <Lacking key={state} state={state} count={found.counts[state]} of={found.rules} />
          ))}
          {found.silent.length > 0 && <Silent of={found.silent} />}
        </>
      )}
    </Shown>
  );
}

function Lacking({ state, count, of }: { state: (typeof LACKING)[number]; count: number; of: Found["rules"] }) {
  if (!count) return null;
  const rules = of.filter((each) => each.state === state);
  return (
    <details class="card" open={state === "blind"}>
      <summary>
        <b>{t(`rule.blind.${state}`, { count: number(count) })}</b>
      </summary>
      <p class="small quiet">{t(`rule.blind.${state}.help`)}</p>
      <table class="fields loose">
        <thead>
          <tr>
            <th class="roomy">{t("column.level")}</th>
            <th>{t("column.rule")}</th>
            <th class="roomy">{t("rule.logsource")}</th>
            <th>{t(state === "unseen" ? "rule.blind.codes" : "rule.blind.fields")}</th>
          </tr>
        </thead>
        <tbody>
          {rules.map((each) => (
            <tr key={each["rule.id"]}>
              <td class="roomy">
                <Severity level={each["rule.level"]} />
              </td>
              <td>
                <a href={addressOf("rules", {}, each["rule.id"])}>{plain(titleOf(each))}</a>
              </td>
              <td class="raw roomy">{namesOf(each.logsource)}</td>
              <td class="raw">
                {state === "unseen"
                  ? each.codes.slice(0, 10).join(" · ")
                  : each.missing.map(({ keys }) => keys.join(" / ")).join(" · ")}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {rules.length < count && <p class="small quiet">{t("rule.and_more", { count: number(count - rules.length) })}</p>}
    </details>
  );
}

function Silent({ of }: { of: Found["silent"] }) {
  return (
    <details class="card" open>
      <summary>
        <b>{t("rule.blind.silent", { count: number(of.length) })}</b>
      </summary>
      <p class="small quiet">{t("rule.blind.silent.help")}</p>
      <table class="fields loose">
        <thead>
          <tr>
            <th>{t("rule.logsource")}</th>
            <th class="right">{t("rule.blind.waiting")}</th>
          </tr>
        </thead>
        <tbody>
          {of.map((each, place) => (
            <tr key={place}>
              <td class="raw">{namesOf(each.logsource)}</td>
              <td class="right">{number(each.rules)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}

/** The fields of a rule, those that nothing fills marked; and what that means for it. */
export function FieldsOf({ rule, looks }: { rule: WholeRule; looks: boolean }) {
  const answer = useAnswer(looks ? rule.id : null, (signal) =>
    ask<Covered & { days: number }>(`/rules/${part(rule.id)}/coverage`, { signal }),
  );
  const found = answer.value;
  const missing = new Set(found?.missing.flatMap(({ keys }) => keys));
  return (
    <>
      {found && found.state !== "seeing" && (
        <p class="notice attention">
          {t(`rule.coverage.${found.state}`, {
            source: namesOf(found.logsource),
            days: found.days,
            codes: found.codes.slice(0, 10).join(", "),
          })}
        </p>
      )}
      {found?.state === "seeing" && (
        <p class="small quiet">{t("rule.coverage.seeing", { count: number(found.events), days: found.days })}</p>
      )}
      <ul class="line">
        {rule.fields.map(({ name, keys }) => {
          const isMissing = keys.some((key) => missing.has(key));
          return (
            <li key={name}>
              <code class={isMissing ? "attention" : ""}>
                {isMissing && "✗ "}
                {keys.join(" / ")}
              </code>
            </li>
          );
        })}
      </ul>
    </>
  );
}
