// Exceptions: what rules stay quiet on, why, and until when.

import { addressOf } from "../address";
import { useAnswer } from "../answers";
import { ask } from "../api";
import { plain } from "../format";
import { Icon } from "../parts/icon";
import { Empty, Shown, Tag, When } from "../parts/marks";
import { removeException, titleOf, type Exception, type Titled } from "../rulebook";
import { may } from "../session";
import { t } from "../words";

interface Listed {
  exceptions: Exception[];
  titles: Record<string, Titled>;
}

/** All of them. */
export function Exceptions() {
  const answer = useAnswer("exceptions", (signal) => ask<Listed>("/rules/exceptions", { signal }));
  return (
    <Shown of={answer}>
      {({ exceptions, titles }) => (
        <ExceptionsOf
          of={exceptions}
          titles={titles}
          onRemove={may("rules.change") ? (each) => removeException(each, () => answer.again()) : undefined}
          none={t("rule.no_exceptions.at_all")}
        />
      )}
    </Shown>
  );
}

interface Props {
  of: readonly Exception[];
  titles?: Record<string, Titled>;
  onRemove: ((each: Exception) => void) | undefined;
  /** What is said where there is none. */
  none: string;
}

export function ExceptionsOf({ of, titles, onRemove, none }: Props) {
  if (!of.length) return <Empty says={none} next={t("rule.no_exceptions.next")} />;
  return (
    <ul class="stack">
      {of.map((each) => (
        <li key={each.id} class="card stack exception">
          <div class="line apart">
            <b class="wrap">{plain(each.reason)}</b>
            {onRemove && (
              <button type="button" class="small danger" onClick={() => onRemove(each)}>
                <Icon name="remove" />
                {t("remove")}
              </button>
            )}
          </div>
          {titles && (
            <div class="line">
              {each.rules.map((id) => (
                <RuleLink key={id} id={id} titled={titles[id]} />
              ))}
            </div>
          )}
          <div class="line small quiet">
            <span>{each.author}</span>
            <When at={each.created * 1000} />
            <Ending of={each} />
          </div>
          <details>
            <summary class="small">{t("rule.except.text")}</summary>
            <pre class="raw code">{each.text}</pre>
          </details>
        </li>
      ))}
    </ul>
  );
}

function RuleLink({ id, titled }: { id: string; titled: Titled | undefined }) {
  if (id === "any") return <Tag kind="attention">{t("rule.except.any")}</Tag>;
  return titled ? (
    <a href={addressOf("rules", { tab: "exceptions" }, id)}>{plain(titleOf(titled))}</a>
  ) : (
    <span class="quiet">{t("rule.except.gone", { rule: id })}</span>
  );
}

function Ending({ of }: { of: Exception }) {
  if (of.expires === null) return <Tag kind="attention">{t("rule.except.forever")}</Tag>;
  if (of.expires * 1000 < Date.now()) return <Tag>{t("rule.except.over")}</Tag>;
  return (
    <span>
      {t("rule.except.until")} <When at={of.expires * 1000} />
    </span>
  );
}
