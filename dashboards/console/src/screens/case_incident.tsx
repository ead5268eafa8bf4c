// The notices and reports of an incident: what is known of it, what is missing for each, and what becomes of them.

import { useAnswer } from "../answers";
import { ask } from "../api";
import { plain } from "../format";
import { question, type Field } from "../parts/dialog";
import { Icon } from "../parts/icon";
import { Fault } from "../parts/marks";
import { tell } from "../parts/toast";
import { may } from "../session";
import { messagesAt } from "../sharing";
import { rich, t, word } from "../words";

interface Known {
  fields: string[];
  values: Record<string, string>;
  /** Who wrote a field. */
  written: Record<string, string>;
  missing: Record<Paper, string[]>;
  /** The profiles that take them. */
  receivers: string[];
}

const PAPERS = ["first", "initial", "report", "closing"] as const;
type Paper = (typeof PAPERS)[number];
/** Fields of a line; the others may be long. */
const SHORT = new Set([
  "operator",
  "owner",
  "system",
  "system_level",
  "contact_name",
  "contact_title",
  "contact_phone",
  "contact_email",
  "detected",
  "severity",
]);
const LONGEST = 20_000;

export function Incident({ id, changed, done }: { id: number; changed: string; done: () => void }) {
  const answer = useAnswer(`${id} ${changed}`, (signal, byItself) =>
    ask<Known>(`/cases/${id}/incident`, { signal, byItself }),
  );
  const of = answer.value;
  const changes = may("cases.change");
  const fill = (title: string, names: readonly string[]) => of && write(id, of, title, names, () => answer.again());
  return (
    <section class="card stack tight">
      <header>
        <h2>{t("incident.title")}</h2>
        {of && changes && (
          <button type="button" class="small" onClick={() => fill(t("incident.fill_all"), of.fields)}>
            <Icon name="edit" />
            {t("incident.fill_all")}
          </button>
        )}
      </header>
      <Fault of={answer.fault} />
      {of && (
        <>
          <ul class="papers">
            {PAPERS.map((paper) => (
              <li key={paper}>
                <div>
                  <b>{t(`incident.document.${paper}`)}</b>
                  <div class="small quiet">{t(`incident.law.${paper}`)}</div>
                </div>
                <div class="small">
                  {of.missing[paper].length === 0 ? (
                    <span class="good">{t("incident.whole")}</span>
                  ) : (
                    <p class="two-lines" title={of.missing[paper].map(nameOf).join(", ")}>
                      <span class="attention">{t("incident.missing", { count: of.missing[paper].length })}</span>{" "}
                      <span class="quiet">{of.missing[paper].map(nameOf).join(", ")}</span>
                    </p>
                  )}
                </div>
                <div class="line">
                  {changes && of.missing[paper].length > 0 && (
                    <button
                      type="button"
                      class="small"
                      onClick={() =>
                        fill(t("incident.fill", { document: t(`incident.document.${paper}`) }), of.missing[paper])
                      }
                    >
                      <Icon name="edit" />
                      {t("incident.fill_missing")}
                    </button>
                  )}
                  {(["pdf", "docx"] as const).map((form) => (
                    <a
                      key={form}
                      class="button small"
                      data-load
                      download
                      href={`/api/v1/cases/${id}/incident/${paper}.${form}`}
                      aria-label={t("incident.download", {
                        document: t(`incident.document.${paper}`),
                        form: form.toUpperCase(),
                      })}
                    >
                      <Icon name="download" />
                      {form.toUpperCase()}
                    </a>
                  ))}
                  {changes && of.receivers.length > 0 && (
                    <button type="button" class="small" onClick={() => submit(id, of, paper, done)}>
                      <Icon name="send" />
                      {t("incident.submit")}
                    </button>
                  )}
                </div>
              </li>
            ))}
          </ul>
          {of.receivers.length === 0 && <p class="small quiet">{rich(t("incident.no_receiver"))}</p>}
          <details>
            <summary>{t("incident.known")}</summary>
            <table class="fields">
              <tbody>
                {of.fields.map((name) => (
                  <tr key={name}>
                    <th scope="row">{nameOf(name)}</th>
                    <td>
                      {of.values[name] ? (
                        <div>{plain(of.values[name])}</div>
                      ) : (
                        <span class="attention">{t("incident.unknown")}</span>
                      )}
                      {of.values[name] && of.written[name] && (
                        <span class="small quiet">{t("incident.written", { who: of.written[name] })}</span>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </details>
        </>
      )}
    </section>
  );
}

const nameOf = (name: string): string => word("incident.field", name);

/** Ask for fields; only those that are another now are written, and an empty one is taken back. */
function write(id: number, of: Known, title: string, names: readonly string[], done: () => void): void {
  const fields = names.map((name): Field => {
    const isShort = SHORT.has(name) && !(of.values[name] ?? "").includes("\n");
    return {
      name,
      says: nameOf(name),
      kind: isShort ? "text" : "textarea",
      value: of.values[name] ?? "",
      most: LONGEST,
    };
  });
  question({
    title,
    does: t("save"),
    wide: true,
    says: <p class="quiet">{t("incident.fill.help")}</p>,
    fields,
    work: async (filled) => {
      const now = (name: string) => (of.values[name] ?? "").replaceAll("\r\n", "\n").trim();
      const values = Object.fromEntries(
        names
          .map((name) => [name, (filled[name] ?? "").replaceAll("\r\n", "\n").trim()] as const)
          .filter(([name, value]) => value !== now(name)),
      );
      if (Object.keys(values).length) {
        await ask(`/cases/${id}/incident`, { method: "PUT", body: { values } });
        tell(t("incident.saved"));
      }
      done();
    },
  });
}

function submit(id: number, of: Known, paper: Paper, done: () => void): void {
  const document = t(`incident.document.${paper}`);
  const missing = of.missing[paper];
  question({
    title: t("incident.submit.title", { document }),
    does: t("incident.submit"),
    says: (
      <>
        <p>{t("incident.submit.help")}</p>
        {missing.length > 0 && (
          <p class="notice attention">{t("incident.submit.missing", { names: missing.map(nameOf).join(", ") })}</p>
        )}
      </>
    ),
    fields: [
      {
        name: "profile",
        says: t("sharing.receiver"),
        kind: "select",
        options: of.receivers.map((each) => [each, each] as const),
      },
    ],
    work: async ({ profile }) => {
      const { message } = await ask<{ message: number }>(`/cases/${id}/incident/submit`, {
        method: "POST",
        body: { profile, document: paper },
      });
      done();
      const says = t("incident.submitted", { document, number: message });
      if (!may("sharing.read")) return tell(says);
      question({
        title: t("incident.submitted.title"),
        does: t("close"),
        only_says: true,
        says: (
          <>
            <p>{says}</p>
            <p>
              <a href={messagesAt({ open: String(message) })} onClick={(event) => closeDialog(event.currentTarget)}>
                {t("incident.see_message")}
              </a>
            </p>
          </>
        ),
        work: () => {},
      });
    },
  });
}

const closeDialog = (inside: Element): void => inside.closest("dialog")?.close();
