// What was done, said for a moment, with the way back where there is one.

import { signal } from "@preact/signals";
import { Refused } from "../api";
import { t } from "../words";

interface Told {
  id: number;
  says: string;
  undo?: () => void;
}

const SECONDS = 8;
const told = signal<readonly Told[]>([]);
let last = 0;

/** Say that something was done. */
export function tell(says: string, undo?: () => void): void {
  const id = ++last;
  told.value = [...told.value.slice(-3), { id, says, ...(undo ? { undo } : {}) }];
  setTimeout(() => drop(id), SECONDS * 1000);
}

/** Do something; say so where it is refused. Returns whether it was done. */
export async function attempt(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    tell(error.message);
    return false;
  }
}

function drop(id: number): void {
  told.value = told.value.filter((each) => each.id !== id);
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {told.value.map(({ id, says, undo }) => (
        <div class="toast" key={id}>
          <span>{says}</span>
          {undo && (
            <button
              type="button"
              onClick={() => {
                drop(id);
                undo();
              }}
            >
              {t("undo")}
            </button>
          )}
          <button type="button" aria-label={t("close")} onClick={() => drop(id)}>
            ×
          </button>
        </div>
      ))}
    </div>
  );
}
