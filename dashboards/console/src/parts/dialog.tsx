// Questions before something is done: what is to be filled in enters, what was filled in goes to the work; a refusal is
// shown in the question. One at a time.

import { signal, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Refused } from "../api";
import { t } from "../words";

export interface Field {
  name: string;
  says: string;
  kind?: "text" | "textarea" | "password" | "number" | "select" | "checkbox" | "date" | "datetime-local" | "file";
  options?: readonly (readonly [value: string, says: string])[];
  value?: string;
  required?: boolean;
  help?: string;
  most?: number;
  accept?: string;
}

export type Filled = Record<string, string>;

interface Question {
  title: string;
  says?: ComponentChildren;
  fields?: readonly Field[];
  /** The word on the button. */
  does: string;
  danger?: boolean;
  wide?: boolean;
  /** There is nothing that could be cancelled. */
  only_says?: boolean;
  work: (filled: Filled, files: Record<string, File>) => Promise<unknown> | unknown;
}

const asked = signal<Question | null>(null);

/** Ask; the work is done when the person says so. */
export function question(wanted: Question): void {
  asked.value = wanted;
}

export function Dialog() {
  const now = asked.value;
  return now && <Asked key={now.title} of={now} />;
}

function Asked({ of }: { of: Question }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const fault = useSignal("");
  const works = useSignal(false);
  const warned = useSignal(false);
  useEffect(() => dialog.current?.showModal(), []);
  const close = () => (asked.value = null);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget as HTMLFormElement);
    const filled: Filled = {},
      files: Record<string, File> = {};
    for (const [name, value] of given) {
      if (value instanceof File) files[name] = value;
      else filled[name] = value;
    }
    works.value = true;
    fault.value = "";
    try {
      await of.work(filled, files);
      if (asked.value === of) close();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      fault.value = error.message;
    } finally {
      works.value = false;
    }
  };
  return (
    <dialog
      ref={dialog}
      class={of.wide ? "wide" : ""}
      aria-labelledby="question"
      onClose={close}
      onKeyDown={(event) => {
        // Escape is pressed soon, and a text is written slowly.
        if (event.key !== "Escape" || warned.value || !hasWritten(event.currentTarget)) return;
        event.preventDefault();
        warned.value = true;
      }}
    >
      <form
        onSubmit={(event) => void submit(event)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.requestSubmit();
        }}
      >
        <h2 id="question">{of.title}</h2>
        {of.says && <div class="stack">{of.says}</div>}
        {of.fields?.map((field, place) => (
          <Filling key={field.name} field={field} first={place === 0} />
        ))}
        {fault.value && (
          <p class="notice fault" role="alert">
            {fault.value}
          </p>
        )}
        {warned.value && (
          <p class="notice attention" role="alert">
            {t("dialog.unsaved")}
          </p>
        )}
        <div class="ends">
          {!of.only_says && (
            <button type="button" onClick={() => dialog.current?.close()}>
              {t("cancel")}
            </button>
          )}
          <button type="submit" class={of.danger ? "danger" : "main"} disabled={works.value}>
            {of.does}
          </button>
        </div>
      </form>
    </dialog>
  );
}

/** Say whether a text was written that would be lost. */
const hasWritten = (dialog: HTMLDialogElement): boolean =>
  [...dialog.querySelectorAll("textarea")].some(({ value, defaultValue }) => value.trim() && value !== defaultValue);

function Filling({ field, first }: { field: Field; first: boolean }) {
  const { name, kind = "text", required = false, value = "", help } = field;
  const shared = { name, required, autofocus: first, ...(help ? { "aria-describedby": `help-${name}` } : {}) };
  if (kind === "checkbox")
    return (
      <label class="field tick">
        <input type="checkbox" name={name} value="yes" defaultChecked={value === "yes"} />
        <span>{field.says}</span>
      </label>
    );
  return (
    <label class="field">
      <span>{field.says}</span>
      {kind === "textarea" ? (
        <textarea {...shared} maxLength={field.most ?? 5000} defaultValue={value} />
      ) : kind === "select" ? (
        <select {...shared}>
          {field.options?.map(([each, says]) => (
            <option key={each} value={each} selected={each === value}>
              {says}
            </option>
          ))}
        </select>
      ) : kind === "file" ? (
        <input {...shared} type="file" accept={field.accept ?? ""} />
      ) : (
        <input
          {...shared}
          type={kind as "text"}
          maxLength={field.most ?? 500}
          defaultValue={value}
          step="any"
          autocomplete={kind === "password" ? "new-password" : "off"}
        />
      )}
      {help && (
        <small id={`help-${name}`} class="quiet">
          {help}
        </small>
      )}
    </label>
  );
}
