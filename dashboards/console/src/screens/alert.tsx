// An alert on a page of its own: where messages lead.

import { useSignal } from "@preact/signals";
import { addressOf, place } from "../address";
import { useAnswer } from "../answers";
import { Empty, Fault } from "../parts/marks";
import { spoken, t } from "../words";
import { Actions, AlertDetail, Meta, wholeOf } from "./alert_sheet";

export default function Alert() {
  const id = place.value.rest;
  const shown = useSignal("");
  const answer = useAnswer(`${id} ${shown.value}`, (signal) => wholeOf(id, shown.value, signal));
  const whole = answer.value;
  if (answer.fault?.status === 404)
    return (
      <Empty says={t("alert.missing", { id })} next={t("alert.missing.next")}>
        <a class="button" href={addressOf("queue")}>
          {t("screen.queue")}
        </a>
      </Empty>
    );
  return (
    <>
      <Fault of={answer.fault} />
      {whole && (
        <>
          <header>
            <h1>{String(spoken(whole.alert, "rule.name") ?? id)}</h1>
          </header>
          <div class="line">
            <Meta of={whole} />
          </div>
          <div class="line">
            <Actions of={whole} onChange={() => answer.again()} />
          </div>
          <div class="card stack">
            <AlertDetail of={whole} onShow={(alert) => (shown.value = alert)} />
          </div>
        </>
      )}
    </>
  );
}
