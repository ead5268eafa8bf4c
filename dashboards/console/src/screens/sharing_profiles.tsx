// With whom data is shared: how each fares, what may leave, and what people decide about it.

import { addressOf, adjust, chosen } from "../address";
import { useAnswer, useChange } from "../answers";
import { ask, part, Refused } from "../api";
import { duration, number, plain } from "../format";
import { marks } from "../live";
import { question } from "../parts/dialog";
import { Facts } from "../parts/facts";
import { Icon } from "../parts/icon";
import { Empty, Fault, Shown, Tag, When } from "../parts/marks";
import { Sheet } from "../parts/sheet";
import { tell } from "../parts/toast";
import { may } from "../session";
import {
  INCIDENTS,
  messagesAt,
  MOST_SHOWN,
  readable,
  type Broken,
  type Look,
  type Profile,
  type Profiles,
  type Status,
} from "../sharing";
import { t, word, type Key } from "../words";

/** A receiver without an address gets its documents from people. */
const isCarried = (of: Profile): boolean => of.format === INCIDENTS && !of.endpoint;
const stateOf = (of: Profile) => (isCarried(of) && of.state !== "inactive" ? "carried" : of.state);

const STATES = { carried: "good", inactive: "", rehearsal: "accent", confirmed: "good", changed: "attention" } as const;
/** Counts on a card: their word and the status that they lead to. */
const COUNTS: readonly (readonly [Status, Key, string])[] = [
  ["held", "sharing.count.held", "attention"],
  ["approved", "sharing.count.approved", ""],
  ["queued", "sharing.count.queued", ""],
  ["sent", "sharing.count.sent", ""],
  ["refused", "sharing.count.refused", "fault"],
  ["expired", "sharing.count.expired", "fault"],
  ["rehearsed", "sharing.count.rehearsed", ""],
];

export function Receivers() {
  const { open = "" } = chosen.value;
  const answer = useAnswer("profiles", (signal, byItself) => ask<Profiles>("/sharing/profiles", { signal, byItself }));
  useChange(marks.sharing, () => answer.again(true));
  const opened = answer.value?.profiles.find((each) => each.profile === open);
  return (
    <>
      <Shown of={answer}>
        {({ profiles, faults }) =>
          profiles.length + faults.length ? (
            <div class="cards">
              {faults.map((each) => (
                <BrokenCard key={each.profile} of={each} />
              ))}
              {profiles.map((each) => (
                <Card key={each.profile} of={each} done={() => answer.again()} />
              ))}
            </div>
          ) : (
            <Empty says={t("sharing.no_profiles")} next={t("sharing.no_profiles.next")} />
          )
        }
      </Shown>
      {opened && <ProfileSheet of={opened} />}
    </>
  );
}

function BrokenCard({ of }: { of: Broken }) {
  return (
    <section class="card stack">
      <h2 class="two-lines">{of.profile}</h2>
      <div>
        <Tag kind="fault">{t("sharing.state.broken")}</Tag>
      </div>
      <p>{t("sharing.broken", { profile: of.profile })}</p>
      <ul class="stack small">
        {of.faults.map((each) => (
          <li key={each} class="fault wrap">
            {plain(each)}
          </li>
        ))}
      </ul>
    </section>
  );
}

function Card({ of, done }: { of: Profile; done: () => void }) {
  const counts = COUNTS.filter(([status]) => of.messages[status]);
  return (
    <section class="card stack">
      <h2 class="two-lines" title={plain(of.title)}>
        <a href={addressOf("sharing", { open: of.profile })}>{plain(of.title)}</a>
      </h2>
      <div>
        <Tag kind={STATES[stateOf(of)]}>{t(`sharing.state.${stateOf(of)}`)}</Tag>
      </div>
      <p class="small quiet two-lines">
        {of.profile} · {word("sharing.format", of.format)} · {of.endpoint || t("sharing.no_address")}
      </p>
      <p class="small">{t(`sharing.state.${stateOf(of)}.means`)}</p>
      {of.error && (
        <p class="notice fault small wrap">{t("sharing.last_error", { error: plain(of.error.slice(0, 500)) })}</p>
      )}
      {counts.length > 0 ? (
        <p class="line">
          {counts.map(([status, says, kind]) => (
            <a key={status} class={kind} href={messagesAt({ profile: of.profile, status })}>
              {t(says, { count: number(of.messages[status] ?? 0) })}
            </a>
          ))}
        </p>
      ) : (
        <p class="quiet">{t("sharing.no_messages_yet")}</p>
      )}
      {(of.succeeded || of.oldest) && (
        <p class="small quiet line">
          {of.succeeded && (
            <span>
              {t("sharing.last_good")} <When at={of.succeeded} short />
            </span>
          )}
          {of.oldest && (
            <span>
              {t("sharing.oldest")} <When at={of.oldest} short />
            </span>
          )}
        </p>
      )}
      <div class="line">
        <a class="button small" href={addressOf("sharing", { open: of.profile })}>
          <Icon name="text" />
          {t("sharing.leaves")}
        </a>
        {may("sharing.change") && !isCarried(of) && (
          <>
            <button type="button" class="small" onClick={() => check(of)}>
              <Icon name="check" />
              {t("sharing.check")}
            </button>
            {of.state === "confirmed" ? (
              <button type="button" class="small danger" onClick={() => stop(of, done)}>
                <Icon name="pause" />
                {t("sharing.stop")}
              </button>
            ) : (
              of.state !== "inactive" && (
                <button type="button" class="small" onClick={() => confirm(of, done)}>
                  <Icon name="send" />
                  {t("sharing.confirm")}
                </button>
              )
            )}
          </>
        )}
      </div>
    </section>
  );
}

function check(of: Profile): void {
  question({
    title: t("sharing.check.title", { title: plain(of.title) }),
    does: t("close"),
    wide: true,
    only_says: true,
    says: <Checked profile={of.profile} />,
    work: () => {},
  });
}

function Checked({ profile }: { profile: string }) {
  const answer = useAnswer(profile, (signal) =>
    ask<{ good: boolean; looks: Look[] }>(`/sharing/profiles/${part(profile)}/check`, { method: "POST", signal }),
  );
  return (
    <>
      <p class="quiet">{t("sharing.check.help")}</p>
      <Fault of={answer.fault} />
      {answer.value ? (
        <Looks of={answer.value.looks} />
      ) : (
        answer.waits && (
          <p class="quiet" role="status">
            {t("sharing.checking")}
          </p>
        )
      )}
    </>
  );
}

/** What was looked at, each with whether it is well. */
function Looks({ of }: { of: readonly Look[] }) {
  return (
    <ul class="stack looks">
      {of.map(({ good, text }, place) => (
        <li key={place} class="wrap">
          <b class={good ? "good" : "fault"} aria-label={t(good ? "sharing.look.good" : "sharing.look.bad")} role="img">
            {good ? "✓" : "✗"}
          </b>
          <span>{plain(text)}</span>
        </li>
      ))}
    </ul>
  );
}

function confirm(of: Profile, done: () => void): void {
  const path = `/sharing/profiles/${part(of.profile)}`;
  question({
    title: t("sharing.confirm.title", { title: plain(of.title) }),
    does: t("sharing.confirm.does"),
    wide: true,
    says: (
      <>
        <p>{t("sharing.confirm.help")}</p>
        <Facts
          of={[
            [t("sharing.where"), <span class="wrap">{of.endpoint || t("sharing.no_address")}</span>],
            [t("sharing.how_often"), of.format === INCIDENTS ? t("sharing.by_people") : oftenSays(of)],
            [t("sharing.what"), whatSays(of)],
            [t("sharing.fields"), of.fields.length > 0 && <FieldList of={of} />],
            [t("sharing.approval"), approvalSays(of)],
          ]}
        />
      </>
    ),
    work: async () => {
      try {
        await ask(`${path}/confirm`, { method: "POST" });
      } catch (error) {
        if (!(error instanceof Refused) || error.status !== 409) throw error;
        const { good, looks } = await ask<{ good: boolean; looks: Look[] }>(`${path}/check`, { method: "POST" });
        if (good) throw error;
        question({
          title: t("sharing.confirm.refused", { title: plain(of.title) }),
          does: t("close"),
          wide: true,
          only_says: true,
          says: (
            <>
              <p>{t("sharing.confirm.refused.help")}</p>
              <Looks of={looks} />
            </>
          ),
          work: () => {},
        });
        return;
      }
      tell(t("sharing.confirmed", { title: plain(of.title) }));
      done();
    },
  });
}

function stop(of: Profile, done: () => void): void {
  question({
    title: t("sharing.stop.title", { title: plain(of.title) }),
    does: t("sharing.stop"),
    danger: true,
    says: <p>{t("sharing.stop.help")}</p>,
    work: async () => {
      await ask(`/sharing/profiles/${part(of.profile)}/stop`, { method: "POST" });
      tell(t("sharing.stopped", { title: plain(of.title) }));
      done();
    },
  });
}

const oftenSays = (of: Profile): string => t("sharing.every", { time: duration(of.every_minutes * 60) });
const whatSays = (of: Profile): string =>
  of.format === INCIDENTS
    ? t("sharing.kind.incident")
    : of.kinds.map((each) => word("sharing.fact", each)).join(", ") || t("sharing.nothing");

/** Kinds of messages to which somebody must agree, and how many. */
function approvalSays(of: Profile): string {
  const said = Object.entries(of.approval)
    .filter(([kind, count]) => count > 0 && (of.format === INCIDENTS) === (kind === "incident"))
    .map(([kind, count]) => t("sharing.needs", { kind: word("sharing.kind", kind), count }));
  return said.join("; ") || t("sharing.needs_nobody");
}

function FieldList({ of }: { of: Profile }) {
  return (
    <ul class="line">
      {of.fields.map((each) => (
        <li key={each}>
          <Tag kind={of.pseudonyms.includes(each) ? "accent" : ""}>
            {word("sharing.field", each)}
            {of.pseudonyms.includes(each) && ` · ${t("sharing.pseudonym")}`}
          </Tag>
        </li>
      ))}
    </ul>
  );
}

function ProfileSheet({ of }: { of: Profile }) {
  const { preview = "" } = chosen.value;
  const isByPeople = of.format === INCIDENTS;
  return (
    <Sheet
      title={plain(of.title)}
      onClose={() => adjust({ open: "", preview: "" })}
      meta={
        <>
          <Tag kind={STATES[stateOf(of)]}>{t(`sharing.state.${stateOf(of)}`)}</Tag>
          <span class="raw">{of.profile}</span>
        </>
      }
      actions={
        !isByPeople && (
          <button
            type="button"
            aria-pressed={preview === "on"}
            onClick={() => adjust({ preview: preview ? "" : "on" }, true)}
          >
            <Icon name="search" />
            {t("sharing.preview")}
          </button>
        )
      }
    >
      {preview === "on" && !isByPeople && <Preview profile={of.profile} />}
      <section>
        <h3>{t("sharing.leaves")}</h3>
        <Facts
          of={[
            [t("sharing.what"), whatSays(of)],
            [t("sharing.how_often"), isByPeople ? t("sharing.by_people") : oftenSays(of)],
            [t("sharing.approval"), approvalSays(of)],
          ]}
        />
        {of.fields.length > 0 && (
          <>
            <h4>{t("sharing.fields")}</h4>
            <p class="small quiet">{t("sharing.fields.help")}</p>
            <FieldList of={of} />
          </>
        )}
      </section>
      <section>
        <h3>{t("sharing.profile")}</h3>
        <Facts
          of={[
            [t("sharing.where"), <span class="raw">{of.endpoint || t("sharing.no_address")}</span>],
            [t("sharing.format"), word("sharing.format", of.format)],
            [t("sharing.organ"), plain(of.organ)],
            [t("sharing.last_good"), of.succeeded && <When at={of.succeeded} />],
            [t("sharing.error"), of.error && <span class="fault">{plain(of.error)}</span>],
            [t("sharing.confirmed_by"), of.confirmed_by],
            [t("sharing.confirmed_at"), of.confirmed_at && <When at={of.confirmed_at} />],
          ]}
        />
        <p class="small quiet">{t("sharing.profile.file", { file: `sharing/${of.profile}.toml` })}</p>
      </section>
    </Sheet>
  );
}

interface Found {
  looked: number;
  found: Record<string, number>;
  leaves: Record<string, number>;
  content: string;
}

/** What would leave now. */
function Preview({ profile }: { profile: string }) {
  const answer = useAnswer(profile, (signal) => ask<Found>(`/sharing/profiles/${part(profile)}/preview`, { signal }));
  return (
    <section>
      <h3>{t("sharing.preview.title")}</h3>
      <Shown of={answer}>
        {({ looked, found, leaves, content }) => (
          <>
            <p class="quiet">{t("sharing.preview.looked", { count: number(looked) })}</p>
            {Object.keys(found).length > 0 && (
              <table class="fields rows-table">
                <thead>
                  <tr>
                    <th>{t("sharing.what")}</th>
                    <th class="right">{t("sharing.preview.found")}</th>
                    <th class="right">{t("sharing.preview.leaves")}</th>
                  </tr>
                </thead>
                <tbody>
                  {Object.entries(found).map(([kind, count]) => (
                    <tr key={kind}>
                      <td>{word("sharing.fact", kind)}</td>
                      <td class="right">{number(count)}</td>
                      <td class="right">{number(leaves[kind] ?? 0)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            )}
            {content ? (
              <Content text={content} />
            ) : (
              <p>{t(Object.keys(found).length ? "sharing.preview.not_allowed" : "sharing.preview.nothing")}</p>
            )}
          </>
        )}
      </Shown>
    </section>
  );
}

/** Content of a message as text, a line for each element. */
export function Content({ text }: { text: string }) {
  return (
    <>
      <p class="small quiet">{t("sharing.content.help")}</p>
      <pre class="raw" tabIndex={0}>
        {readable(text)}
      </pre>
      {text.length > MOST_SHOWN && <p class="quiet small">{t("sharing.content.more")}</p>}
    </>
  );
}
