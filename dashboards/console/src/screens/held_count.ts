// How many messages wait until people agree to them, for the rail.

import { effect, signal } from "@preact/signals";
import { ask } from "../api";
import { short } from "../format";
import { marks } from "../live";
import { may, person } from "../session";
import type { Messages } from "../sharing";

export const heldCount = signal("");

effect(() => {
  marks.sharing.value;
  if (!person.value || !may("sharing.read")) return;
  void ask<Messages>("/sharing/messages?status=held&limit=0", { byItself: true }).then(
    ({ total }) => (heldCount.value = total ? short(total) : ""),
    () => {},
  );
});
