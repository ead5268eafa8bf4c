// The processes around an event: what started what.

import { adjust, place } from "../address";
import { useAnswer } from "../answers";
import { ask, part } from "../api";
import { plain } from "../format";
import { When } from "../parts/marks";
import { t } from "../words";

interface Process {
  event: string | null;
  name: string;
  pid: number | null;
  command_line: string;
  user: string;
  started: string | null;
  children: Process[];
}
interface Tree {
  root: Process | null;
  focus: string;
  truncated: boolean;
}

export function ProcessTree({ event }: { event: string }) {
  const answer = useAnswer(event, (signal) => ask<Tree>(`/events/${part(event)}/processes`, { signal }));
  if (!answer.value?.root) return null;
  return (
    <section>
      <h3>{t("process.tree")}</h3>
      <ul class="tree">
        <Branch of={answer.value.root} focus={answer.value.focus} />
      </ul>
      {answer.value.truncated && <p class="small quiet">{t("process.truncated")}</p>}
    </section>
  );
}

function Branch({ of, focus }: { of: Process; focus: string }) {
  const open = () => of.event && place.value.screen === "hunt" && adjust({ event: of.event }, true);
  return (
    <li>
      <div class={of.event === focus ? "here" : ""}>
        <button type="button" class="value" onClick={open} title={plain(of.command_line)}>
          <b>{plain(of.name || "?")}</b>{" "}
          <span class="quiet small">
            {of.pid ?? ""} {plain(of.user)}
          </span>
        </button>
        {of.started && (
          <span class="small quiet">
            {" "}
            · <When at={of.started} />
          </span>
        )}
        {of.command_line && <div class="raw clip quiet">{plain(of.command_line)}</div>}
      </div>
      {of.children.length > 0 && (
        <ul>
          {of.children.map((child, number) => (
            <Branch key={child.event ?? number} of={child} focus={focus} />
          ))}
        </ul>
      )}
    </li>
  );
}
