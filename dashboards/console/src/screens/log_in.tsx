// The log-in: name and password, then whatever is still asked for, step by step.

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { ask, Refused } from "../api";
import { boot } from "../boot";
import favicon from "../favicon.svg";
import { meet } from "../session";
import { language, rich, t } from "../words";

interface Session {
  name: string;
  next: "" | "code" | "enrol" | "password";
  recovery_codes: string[];
}
interface Factor {
  secret: string;
  uri: string;
  image: string;
}
type Step =
  | { at: "name" }
  | { at: "code" }
  | { at: "enrol"; factor: Factor }
  | { at: "codes"; session: Session }
  | { at: "password" };

export function LogIn() {
  const step = useSignal<Step>({ at: "name" });
  const fault = useSignal(boot.refused);
  const works = useSignal(false);
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    form.current?.querySelector<HTMLElement>("input, button")?.focus();
    document.title = `${t("login.title")} · Hải Đăng`;
  }, [step.value.at]);

  const goOn = async (session: Session): Promise<void> => {
    if (session.recovery_codes.length) step.value = { at: "codes", session };
    else if (session.next === "enrol")
      step.value = { at: "enrol", factor: await ask<Factor>("/login/second-factor", { method: "POST", body: {} }) };
    else if (session.next) step.value = { at: session.next };
    else await meet();
  };
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.currentTarget as HTMLFormElement)) as Record<string, string>;
    works.value = true;
    fault.value = "";
    try {
      await goOn(await carryOut(step.value, given));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      fault.value = error.message;
      form.current?.querySelector<HTMLInputElement>("input[type=password], input[name=code]")?.select();
    } finally {
      works.value = false;
    }
  };
  return (
    <main class="log-in">
      <form ref={form} onSubmit={(event) => void submit(event)}>
        <img src={favicon} alt="" width={40} height={40} />
        <Asked step={step.value} />
        {fault.value && (
          <p class="notice fault" role="alert">
            {fault.value}
          </p>
        )}
        <button type="submit" class="main" disabled={works.value}>
          {t(step.value.at === "name" ? "login.log_in" : "login.go_on")}
        </button>
        {step.value.at === "name" && (
          <>
            {boot.provider && (
              <a class="button" data-load href="/api/v1/login/oidc">
                {t("login.provider", { provider: boot.provider })}
              </a>
            )}
            <p class="small quiet">{rich(t("login.help"))}</p>
          </>
        )}
        <p class="small quiet other">
          <span>{boot.site}</span>
          <a data-load href={`?lang=${language === "vi" ? "en" : "vi"}`} hreflang={language === "vi" ? "en" : "vi"}>
            {t("login.other_language")}
          </a>
        </p>
      </form>
    </main>
  );
}

async function carryOut(step: Step, given: Record<string, string>): Promise<Session> {
  if (step.at === "codes") return { ...step.session, recovery_codes: [] };
  if (step.at === "password" && given.password !== given.again)
    throw new Refused(422, { detail: t("login.not_the_same") });
  const [path, body] = {
    name: ["/login", { name: given.name, password: given.password }] as const,
    code: ["/login/code", { code: given.code }] as const,
    enrol: ["/login/second-factor/confirm", { code: given.code }] as const,
    password: ["/login/password", { password: given.password }] as const,
  }[step.at];
  return ask<Session>(path, { method: "POST", body });
}

function Asked({ step }: { step: Step }): ComponentChildren {
  switch (step.at) {
    case "name":
      return (
        <>
          <div>
            <h1>Hải Đăng</h1>
            <p class="quiet">{t("login.about")}</p>
          </div>
          <label class="field">
            <span>{t("login.name")}</span>
            <input
              name="name"
              autocomplete="username"
              required
              maxLength={100}
              autocapitalize="off"
              spellcheck={false}
            />
          </label>
          <label class="field">
            <span>{t("login.password")}</span>
            <input name="password" type="password" autocomplete="current-password" required maxLength={1000} />
          </label>
        </>
      );
    case "code":
      return (
        <>
          <h1>{t("login.code")}</h1>
          <p class="quiet">{t("login.code.help")}</p>
          <CodeField />
        </>
      );
    case "enrol":
      return (
        <>
          <h1>{t("login.enrol")}</h1>
          <p class="quiet">{t("login.enrol.help")}</p>
          <FactorDrawing of={step.factor} />
          <CodeField />
        </>
      );
    case "codes":
      return (
        <>
          <h1>{t("login.recovery")}</h1>
          <p class="quiet">{t("login.recovery.help")}</p>
          <Codes of={step.session.recovery_codes} />
        </>
      );
    case "password":
      return (
        <>
          <h1>{t("login.new_password")}</h1>
          <p class="quiet">{t("login.new_password.help")}</p>
          <NewPassword />
        </>
      );
  }
}

export const CodeField = () => (
  <label class="field">
    <span>{t("login.code")}</span>
    <input name="code" inputMode="numeric" autocomplete="one-time-code" required minLength={6} maxLength={40} />
  </label>
);
export const Codes = ({ of }: { of: readonly string[] }) => (
  <ul class="codes">
    {of.map((each) => (
      <li key={each}>
        <code>{each}</code>
      </li>
    ))}
  </ul>
);
export const FactorDrawing = ({ of }: { of: Factor }) => (
  <>
    <img class="code" src={of.image} alt={of.uri} width={220} height={220} />
    <code>{of.secret}</code>
  </>
);

export function NewPassword() {
  return (
    <>
      <label class="field">
        <span>{t("login.new_password")}</span>
        <input name="password" type="password" autocomplete="new-password" required maxLength={1000} />
      </label>
      <label class="field">
        <span>{t("login.repeat_password")}</span>
        <input name="again" type="password" autocomplete="new-password" required maxLength={1000} />
      </label>
    </>
  );
}
