// One's own account: password, second factor, sessions.

import { useSignal } from "@preact/signals";
import { useAnswer } from "../answers";
import { ask, part } from "../api";
import { number, plain } from "../format";
import { question, type Field } from "../parts/dialog";
import { Icon } from "../parts/icon";
import { Shown, Tag, When } from "../parts/marks";
import { attempt, tell } from "../parts/toast";
import { roleSays } from "../rights";
import { meet, person } from "../session";
import { t, word } from "../words";
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
            {t("account.role", { role: roleSays(person.value?.role ?? "") })}
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
      </div>
      <section class="card stack">
        <h2>{t("account.sessions")}</h2>
        <Shown of={sessions}>
          {({ sessions: open, this: own }) => (
            <>
              {open.length > 1 && (
                <div class="line">
                  <button
                    type="button"
                    onClick={() =>
                      endOthers(
                        open.map(({ id }) => id).filter((id) => id !== own),
                        () => sessions.again(),
                      )
                    }
                  >
                    {t("account.end_others")}
                  </button>
                </div>
              )}
              <table class="fields rows-table loose">
                <thead>
                  <tr>
                    <th>{t("account.session.where")}</th>
                    <th class="roomy">{t("account.session.since")}</th>
                    <th>{t("account.session.seen")}</th>
                    <th />
                  </tr>
                </thead>
                <tbody>
                  {open.map((each) => (
                    <tr key={each.id}>
                      <td title={plain(each.agent)}>
                        {each.address} <span class="quiet">{agentSays(each.agent)}</span>
                      </td>
                      <td class="roomy">
                        <When at={each.created * 1000} />
                      </td>
                      <td>
                        <When at={each.seen * 1000} short />
                      </td>
                      <td class="right">
                        {each.id === own ? (
                          <Tag kind="accent">{t("account.this_session")}</Tag>
                        ) : (
                          <button
                            type="button"
                            class="small"
                            onClick={() => void attempt(() => end(each.id)).then(() => sessions.again())}
                          >
                            {t("account.end_session")}
                          </button>
                        )}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </>
          )}
        </Shown>
      </section>
      <section class="card stack">
        <h2>{t("account.may")}</h2>
        <ul class="ticks">
          {person.value?.permissions.map((each) => (
            <li key={each}>
              <Icon name="check" /> {word("permission", each)}
            </li>
          ))}
        </ul>
      </section>
    </>
  );
}

const end = (id: string): Promise<void> => ask(`/me/sessions/${part(id)}`, { method: "DELETE" });

function endOthers(ids: readonly string[], done: () => void): void {
  question({
    title: t("account.end_others"),
    does: t("account.end_others"),
    danger: true,
    says: <p>{t("account.end_others.help", { count: number(ids.length) })}</p>,
    work: async () => {
      for (const id of ids) await end(id);
      done();
    },
  });
}

const BROWSERS = [
  ["Edge", /Edg\//],
  ["Firefox", /Firefox\//],
  ["Chrome", /Chrome\//],
  ["Safari", /Safari\//],
] as const;
const SYSTEMS = [
  ["Windows", /Windows/],
  ["Android", /Android/],
  ["iOS", /iPhone|iPad/],
  ["macOS", /Mac OS/],
  ["Linux", /Linux/],
] as const;

/** Name the browser and the system of a user agent; one of another kind as it is, cut. */
function agentSays(agent: string): string {
  const named = (of: readonly (readonly [string, RegExp])[]) => of.find(([, sign]) => sign.test(agent))?.[0];
  return [named(BROWSERS), named(SYSTEMS)].filter(Boolean).join(" · ") || plain(agent.slice(0, 60));
}
