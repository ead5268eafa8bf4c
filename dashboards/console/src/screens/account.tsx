// One's own account: password, second factor, sessions.

import { useSignal } from "@preact/signals";
import { useAnswer } from "../answers";
import { ask, part } from "../api";
import { question, type Field } from "../parts/dialog";
import { Shown, Tag } from "../parts/marks";
import { tell } from "../parts/toast";
import { meet, person } from "../session";
import { t } from "../words";
import { CodeField, Codes, FactorDrawing } from "./log_in";

interface Open {
  id: string;
  address: string;
  agent: string;
  created: number;
  seen: number;
  expires: number;
}
interface Factor {
  secret: string;
  uri: string;
  image: string;
}

const CURRENT: Field = { name: "current", says: t("account.current_password"), kind: "password", required: true };

export default function Account() {
  const factor = useSignal<Factor | null>(null);
  const codes = useSignal<string[]>([]);
  const sessions = useAnswer("sessions", (signal) =>
    ask<{ sessions: Open[]; this: string }>("/me/sessions", { signal }),
  );
  const changePassword = () =>
    question({
      title: t("account.change_password"),
      does: t("account.change_password"),
      fields: [
        CURRENT,
        {
          name: "password",
          says: t("login.new_password"),
          kind: "password",
          required: true,
          help: t("login.new_password.help"),
        },
        { name: "again", says: t("login.repeat_password"), kind: "password", required: true },
      ],
      work: async ({ current, password, again }) => {
        await ask("/me/password", { method: "POST", body: { current, password: password === again ? password : "" } });
        tell(t("account.password_changed"));
      },
    });
  const setUp = () =>
    question({
      title: t("login.enrol"),
      does: t("login.go_on"),
      fields: [CURRENT],
      work: async ({ current }) => {
        factor.value = await ask<Factor>("/me/second-factor", { method: "POST", body: { current } });
      },
    });
  const confirm = async (event: SubmitEvent) => {
    event.preventDefault();
    const code = new FormData(event.currentTarget as HTMLFormElement).get("code");
    try {
      codes.value = (
        await ask<{ recovery_codes: string[] }>("/me/second-factor/confirm", { method: "POST", body: { code } })
      ).recovery_codes;
      factor.value = null;
      await meet();
    } catch (error) {
      tell(error instanceof Error ? error.message : String(error));
    }
  };
  const remove = () =>
    question({
      title: t("account.remove_factor"),
      does: t("account.remove_factor"),
      danger: true,
      fields: [CURRENT],
      work: async ({ current }) => {
        await ask("/me/second-factor", { method: "DELETE", body: { current } });
        await meet();
      },
    });
  return (
    <>
      <header>
        <h1>{t("screen.account")}</h1>
      </header>
      <div class="cards">
        <section class="card stack">
          <h2>{person.value?.name}</h2>
          <p class="quiet">
            {t("account.role", { role: person.value?.role ?? "" })}
            {person.value?.limited && ` · ${t("account.limited")}`}
          </p>
          <div class="line">
            <button type="button" onClick={changePassword}>
              {t("account.change_password")}
            </button>
          </div>
        </section>
        <section class="card stack">
          <h2>{t("login.enrol")}</h2>
          {person.value?.second_factor ? (
            <>
              <p>
                <Tag kind="good">{t("account.factor_on")}</Tag>
              </p>
              <div class="line">
                <button type="button" onClick={remove}>
                  {t("account.remove_factor")}
                </button>
              </div>
            </>
          ) : factor.value ? (
            <form class="stack" onSubmit={(event) => void confirm(event)}>
              <p class="quiet">{t("login.enrol.help")}</p>
              <FactorDrawing of={factor.value} />
              <CodeField />
              <button type="submit" class="main">
                {t("login.go_on")}
              </button>
            </form>
          ) : (
            <>
              <p class="quiet">{t("account.factor_off")}</p>
              <div class="line">
                <button type="button" onClick={setUp}>
                  {t("login.enrol")}
                </button>
              </div>
            </>
          )}
          {codes.value.length > 0 && (
            <>
              <p class="notice attention">{t("login.recovery.help")}</p>
              <Codes of={codes.value} />
            </>
          )}
        </section>
        <section class="card stack">
          <h2>{t("account.sessions")}</h2>
          <Shown of={sessions}>
            {(found) => (
              <ul class="stack">
                {found.sessions.map((each) => (
                  <li key={each.id} class="line apart">
                    <span>
                      {each.address} <span class="small quiet">{each.agent.slice(0, 60)}</span>
                      {each.id === found.this && (
                        <>
                          {" "}
                          <Tag kind="accent">{t("account.this_session")}</Tag>
                        </>
                      )}
                    </span>
                    {each.id !== found.this && (
                      <button
                        type="button"
                        class="small"
                        onClick={() =>
                          void ask(`/me/sessions/${part(each.id)}`, { method: "DELETE" }).then(() => sessions.again())
                        }
                      >
                        {t("account.end_session")}
                      </button>
                    )}
                  </li>
                ))}
              </ul>
            )}
          </Shown>
        </section>
      </div>
    </>
  );
}
