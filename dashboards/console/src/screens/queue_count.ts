// How many groups wait in the queue, for the rail.

import { effect, signal } from "@preact/signals";
import { ask } from "../api";
import { short } from "../format";
import { marks } from "../live";
import { may, person } from "../session";

export const queueCount = signal("");

effect(() => {
  marks.queue.value;
  if (!person.value || !may("alerts.read")) return;
  void ask<{ total: number }>("/alerts/groups?limit=0", { byItself: true }).then(
    ({ total }) => (queueCount.value = total ? short(total) : ""),
    () => {},
  );
});
