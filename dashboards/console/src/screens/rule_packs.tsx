// Packs: rules that came together. What is brought in, updated or restored is shown as a preview before it is done.

import { addressOf } from "../address";
import { useAnswer } from "../answers";
import { ask, part, withValues } from "../api";
import { duration, number, plain } from "../format";
import { question, type Filled } from "../parts/dialog";
import { Icon } from "../parts/icon";
import { CopyButton, Empty, Row, Shown, Tag, When } from "../parts/marks";
import { attempt, tell } from "../parts/toast";
import { MODES, ModeTag, OWN, packName, type Mode } from "../rulebook";
import { may } from "../session";
import { t } from "../words";
import { confirm, type Preview } from "./rule_preview";

interface Pack {
  name: string;
  rules: number;
  version: string;
  source: string;
  licence: string;
  added: number;
  mode: Mode;
  key: string;
  created: number;
  every_hours: number;
}
interface Listed {
  packs: Pack[];
  folders: { folder: string; rules: number }[];
  keys: Record<string, string>;
}
const ARCHIVES = ".zip,.tar,.gz,.tgz,.zst,.haidang-rules,.yml,.yaml";

export function Packs() {
  const answer = useAnswer("packs", (signal) => ask<Listed>("/rules/packs", { signal }));
  const again = () => answer.again();
  const manages = may("rules.manage");
  return (
    <>
      {may("rules.change") && (
        <div class="line">
          <button type="button" onClick={() => fromFile(again)}>
            <Icon name="upload" />
            {t(manages ? "pack.from_file" : "pack.look")}
          </button>
          {manages && (
            <>
              <button type="button" onClick={() => fromSource(again)}>
                <Icon name="import" />
                {t("pack.from_source")}
              </button>
              <button type="button" onClick={() => reload(again)}>
                <Icon name="refresh" />
                {t("pack.reload")}
              </button>
              <a class="button" data-load href="/api/v1/rules/backup" download>
                <Icon name="download" />
                {t("pack.backup")}
              </a>
              <button type="button" onClick={() => restore(again)}>
                <Icon name="history" />
                {t("pack.restore")}
              </button>
            </>
          )}
        </div>
      )}
      <Shown of={answer}>
        {({ packs, folders, keys }) => (
          <>
            <div class="cards">
              {folders.map((each) => (
                <Folder key={each.folder} of={each} />
              ))}
              {packs.map((each) => (
                <PackCard key={each.name} of={each} onChange={again} />
              ))}
            </div>
            {packs.length === 0 && <Empty says={t("pack.none")} next={t("pack.none.next")} />}
            <Keys of={keys} onChange={again} />
          </>
        )}
      </Shown>
    </>
  );
}

function Count({ pack, count }: { pack: string; count: number }) {
  return (
    <p>
      <a href={addressOf("rules", { pack })}>
        <b class="number">{number(count)}</b> {t("pack.rules")}
      </a>
    </p>
  );
}

function Folder({ of }: { of: Listed["folders"][number] }) {
  const name = of.folder.split("/").filter(Boolean).at(-1) ?? "";
  return (
    <section class="card stack">
      <div class="line apart">
        <h2 class="clip">{packName(name)}</h2>
        <Tag>{t("pack.folder")}</Tag>
      </div>
      <Count pack={name} count={of.rules} />
      <p class="small quiet">{t(name === "rules" ? "pack.shipped" : "pack.of_folder")}</p>
    </section>
  );
}

function PackCard({ of, onChange }: { of: Pack; onChange: () => void }) {
  const isOwn = of.name === OWN;
  return (
    <section class="card stack">
      <div class="line apart">
        <h2 class="clip">{packName(of.name)}</h2>
        <span class="line">
          {of.key && <Tag kind="good">{t("pack.signed", { key: of.key })}</Tag>}
          <ModeTag of={of.mode} />
        </span>
      </div>
      <Count pack={of.name} count={of.rules} />
      <table class="fields">
        <tbody>
          {of.version && <Row says="pack.version">{plain(of.version)}</Row>}
          {of.licence && <Row says="pack.licence">{plain(of.licence)}</Row>}
          {of.source && (
            <Row says="pack.source">
              <span class="raw">{plain(of.source)}</span>
            </Row>
          )}
          {of.source && (
            <Row says="pack.every">
              {of.every_hours ? t("pack.every.says", { span: duration(of.every_hours * 3600) }) : t("pack.every.never")}
            </Row>
          )}
          <Row says="pack.added">
            <When at={of.added * 1000} />
          </Row>
        </tbody>
      </table>
      {may("rules.manage") && !isOwn && (
        <div class="line">
          {of.source && (
            <button type="button" class="small" onClick={() => update(of, onChange)}>
              <Icon name="refresh" />
              {t("pack.update")}
            </button>
          )}
          <button type="button" class="small danger" onClick={() => remove(of, onChange)}>
            <Icon name="remove" />
            {t("pack.remove")}
          </button>
        </div>
      )}
    </section>
  );
}

function Keys({ of, onChange }: { of: Record<string, string>; onChange: () => void }) {
  const names = Object.entries(of);
  return (
    <section class="card stack">
      <div class="line apart">
        <h2>{t("pack.keys")}</h2>
        {may("rules.manage") && (
          <button type="button" class="small" onClick={() => trust(onChange)}>
            <Icon name="plus" />
            {t("pack.trust")}
          </button>
        )}
      </div>
      {names.length === 0 ? (
        <p class="quiet">{t("pack.no_keys")}</p>
      ) : (
        <ul class="stack">
          {names.map(([name, key]) => (
            <li key={name} class="line">
              <b>{name}</b>
              <code>{key}</code>
              <CopyButton text={key} />
              {may("rules.manage") && (
                <button type="button" class="small danger" onClick={() => distrust(name, onChange)}>
                  {t("pack.distrust")}
                </button>
              )}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function modeOptions(): (readonly [string, string])[] {
  return [["", t("pack.mode.kept")], ...MODES.map((each) => [each, t(`rule.mode.${each}`)] as const)];
}

function fromFile(done: () => void): void {
  question({
    title: t("pack.from_file"),
    does: t("pack.preview"),
    says: <p class="quiet">{t("pack.from_file.help")}</p>,
    fields: [
      { name: "file", says: t("pack.file"), kind: "file", required: true, accept: ARCHIVES },
      { name: "name", says: t("pack.name"), help: t("pack.name.help"), most: 50 },
      { name: "version", says: t("pack.version"), most: 200 },
      { name: "licence", says: t("pack.licence"), most: 200 },
      { name: "mode", says: t("pack.mode"), kind: "select", options: modeOptions() },
    ],
    work: async ({ name, version, licence, mode }, { file }) => {
      if (!file) return;
      const send = (path: string, force: boolean) =>
        ask<Preview>(withValues(path, { file: file.name, name, version, licence, mode, ...(force && { force }) }), {
          method: "POST",
          body: file,
        });
      confirm(await send("/rules/packs/preview", false), (force) => send("/rules/packs", force), done);
    },
  });
}

function fromSource(done: () => void): void {
  const bodyOf = ({ source, name, version, licence, mode, hours }: Filled) => ({
    source,
    name,
    version,
    licence,
    ...(mode && { mode }),
    every_hours: Number(hours) || 0,
  });
  question({
    title: t("pack.from_source"),
    does: t("pack.preview"),
    says: <p class="quiet">{t("pack.from_source.help")}</p>,
    fields: [
      { name: "source", says: t("pack.source"), required: true, most: 2000, help: t("pack.source.help") },
      { name: "name", says: t("pack.name"), help: t("pack.name.help"), most: 50 },
      { name: "version", says: t("pack.version"), most: 200 },
      { name: "licence", says: t("pack.licence"), most: 200 },
      { name: "mode", says: t("pack.mode"), kind: "select", options: modeOptions() },
      { name: "hours", says: t("pack.hours"), kind: "number", value: "0", help: t("pack.hours.help") },
    ],
    work: async (filled) => {
      const body = bodyOf(filled);
      const found = await ask<Preview>("/rules/packs/fetch/preview", { method: "POST", body });
      confirm(found, (force) => ask<Preview>("/rules/packs/fetch", { method: "POST", body: { ...body, force } }), done);
    },
  });
}

function update(of: Pack, done: () => void): void {
  const path = `/rules/packs/${part(of.name)}/update`;
  void attempt(async () => {
    const found = await ask<Preview>(`${path}/preview`, { method: "POST", body: {} });
    confirm(found, (force) => ask<Preview>(path, { method: "POST", body: { force } }), done);
  });
}

function restore(done: () => void): void {
  question({
    title: t("pack.restore"),
    does: t("pack.preview"),
    says: <p class="quiet">{t("pack.restore.help")}</p>,
    fields: [{ name: "file", says: t("pack.backup.file"), kind: "file", required: true, accept: ".haidang-backup" }],
    work: async (_filled, { file }) => {
      if (!file) return;
      const send = (path: string, force: boolean) =>
        ask<Preview>(withValues(path, { file: file.name, ...(force && { force }) }), { method: "POST", body: file });
      confirm(await send("/rules/restore/preview", false), (force) => send("/rules/restore", force), done);
    },
  });
}

function remove(of: Pack, done: () => void): void {
  question({
    title: t("pack.remove"),
    does: t("pack.remove"),
    danger: true,
    says: <p>{t("pack.remove.help", { pack: of.name, count: number(of.rules) })}</p>,
    work: async () => {
      await ask(`/rules/packs/${part(of.name)}`, { method: "DELETE" });
      tell(t("pack.removed", { pack: of.name }));
      done();
    },
  });
}

function reload(done: () => void): void {
  question({
    title: t("pack.reload"),
    does: t("pack.reload"),
    says: <p>{t("pack.reload.help")}</p>,
    work: async () => {
      await ask("/rules/reload", { method: "POST", body: {} });
      tell(t("pack.reloaded"));
      done();
    },
  });
}

function trust(done: () => void): void {
  question({
    title: t("pack.trust"),
    does: t("pack.trust"),
    danger: true,
    says: <p>{t("pack.trust.help")}</p>,
    fields: [
      { name: "name", says: t("pack.key.name"), required: true, most: 50, help: t("pack.name.help") },
      { name: "public", says: t("pack.key"), required: true, most: 200 },
    ],
    work: async ({ name, public: key }) => {
      await ask("/rules/keys", { method: "POST", body: { name, public: key?.trim() } });
      tell(t("pack.trusted", { key: name ?? "" }));
      done();
    },
  });
}

function distrust(name: string, done: () => void): void {
  question({
    title: t("pack.distrust"),
    does: t("pack.distrust"),
    danger: true,
    says: <p>{t("pack.distrust.help", { key: name })}</p>,
    work: async () => {
      await ask(`/rules/keys/${part(name)}`, { method: "DELETE" });
      tell(t("pack.distrusted", { key: name }));
      done();
    },
  });
}
