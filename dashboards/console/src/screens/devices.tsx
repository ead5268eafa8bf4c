// The inventory: devices that were seen or listed, what kind each is and why, and what people say of it.

import { useSignal } from "@preact/signals";
import { addressOf, adjust, chosen } from "../address";
import { useAnswer } from "../answers";
import { ask, withValues } from "../api";
import { number, percent, plain } from "../format";
import { useListing } from "../listing";
import { question } from "../parts/dialog";
import { Facts, type Fact } from "../parts/facts";
import { Grid, type Column } from "../parts/grid";
import { Icon } from "../parts/icon";
import { Empty, Fault, Tag, When } from "../parts/marks";
import { Sheet } from "../parts/sheet";
import { tell } from "../parts/toast";
import { Value } from "../parts/value";
import { may } from "../session";
import { t, word } from "../words";

export const DEVICE_KINDS = [
  "server",
  "computer",
  "laptop",
  "phone",
  "tablet",
  "network",
  "printer",
  "camera",
  "other",
  "unknown",
] as const;

interface Device {
  id: string;
  name: string;
  kind: string;
  confidence: number;
  kind_seen: string;
  os: string;
  maker: string;
  mac: string;
  address: string;
  unit: string;
  owner: string;
  note: string;
  names: string[];
  first_seen: string | null;
  last_seen: string | null;
  by_hand: string[];
  /** Of one device alone: what speaks for its kind. */
  evidence?: [hint: string, text: string, kinds: Record<string, number> | unknown][];
}

interface Listed {
  total: number;
  kinds: Record<string, number>;
  devices: Device[];
}

const COLUMNS: readonly Column<Device>[] = [
  {
    id: "name",
    says: t("device.name"),
    width: 220,
    grows: true,
    phone: "lead",
    cell: (each) => each.name || each.address || each.id,
  },
  { id: "kind", says: t("device.kind"), width: 176, cell: (each) => <Kind of={each} /> },
  {
    id: "address",
    says: t("device.address"),
    width: 140,
    cell: (each) => <Value field="source.ip" value={each.address} />,
  },
  { id: "os", says: t("device.os"), width: 160, phone: "off", cell: (each) => each.os },
  { id: "unit", says: t("unit"), width: 160, cell: (each) => each.unit },
  { id: "owner", says: t("device.owner"), width: 140, phone: "off", cell: (each) => each.owner },
  {
    id: "last",
    says: t("device.last_seen"),
    width: 172,
    cell: (each) => each.last_seen && <When at={each.last_seen} />,
  },
  { id: "maker", says: t("device.maker"), width: 180, phone: "off", extra: true, cell: (each) => each.maker },
  {
    id: "mac",
    says: t("device.mac"),
    width: 160,
    phone: "off",
    extra: true,
    cell: (each) => <span class="raw">{each.mac}</span>,
  },
  {
    id: "first",
    says: t("device.first_seen"),
    width: 172,
    phone: "off",
    extra: true,
    cell: (each) => each.first_seen && <When at={each.first_seen} />,
  },
];

/** The kind of a device, and how certain it is. */
function Kind({ of }: { of: Device }) {
  const said = of.by_hand.includes("kind");
  return (
    <>
      {word("device", of.kind)}{" "}
      <span class="small quiet">{said ? t("device.by_hand") : of.confidence > 0 ? percent(of.confidence) : ""}</span>
    </>
  );
}

export default function Devices() {
  const { text = "", kind = "", unit = "", open = "" } = chosen.value;
  const numbers = useSignal<Record<string, number>>({});
  const asked = { text, kind, unit };
  const list = useListing<Device>(
    JSON.stringify(asked),
    async (offset, limit, signal, byItself) => {
      const found = await ask<Listed>(withValues("/devices", { ...asked, offset, limit }), { signal, byItself });
      numbers.value = found.kinds;
      return { total: found.total, rows: found.devices };
    },
    ({ id }) => id,
  );
  const take = () =>
    question({
      title: t("device.import"),
      does: t("device.import"),
      says: <p class="quiet">{t("device.import.help")}</p>,
      fields: [{ name: "file", says: t("device.import.file"), kind: "file", required: true, accept: ".csv,text/csv" }],
      work: async (_, { file }) => {
        const made = await ask<{ imported: number; wrong: number; reasons: string[] }>("/devices/import", {
          method: "POST",
          body: new Blob([await (file as File).arrayBuffer()]),
        });
        tell(t("device.imported", { count: number(made.imported), wrong: number(made.wrong) }));
        if (made.wrong) {
          question({
            title: t("device.wrong"),
            does: t("close"),
            says: <pre class="raw">{made.reasons.join("\n")}</pre>,
            work: () => {},
          });
        }
        list.again();
      },
    });
  return (
    <>
      <header>
        <h1>{t("screen.devices")}</h1>
        <input
          type="search"
          class="narrow"
          placeholder={t("device.find")}
          aria-label={t("device.find")}
          value={text}
          onInput={(event) => adjust({ text: event.currentTarget.value }, true)}
        />
        {may("devices.change") && (
          <button type="button" onClick={take}>
            <Icon name="import" />
            {t("device.import")}
          </button>
        )}
      </header>
      <div class="line">
        {DEVICE_KINDS.filter((each) => numbers.value[each] || each === kind).map((each) => (
          <button
            key={each}
            type="button"
            class="small"
            aria-pressed={kind === each}
            onClick={() => adjust({ kind: kind === each ? "" : each })}
          >
            {word("device", each)} {number(numbers.value[each] ?? 0)}
          </button>
        ))}
      </div>
      <Grid
        name="devices"
        label={t("screen.devices")}
        list={list}
        columns={COLUMNS}
        onOpen={({ id }) => adjust({ open: id }, Boolean(open))}
        empty={
          <Empty says={t(text || kind || unit ? "device.none_here" : "device.none")} next={t("device.none.next")} />
        }
      />
      {open && <DeviceSheet id={open} onClose={() => adjust({ open: "" })} onChange={() => list.again(true)} />}
    </>
  );
}

interface SheetProps {
  id: string;
  onClose: () => void;
  onChange: () => void;
}

function DeviceSheet({ id, onClose, onChange }: SheetProps) {
  const answer = useAnswer(id, (signal) => ask<Device>(withValues("/devices/one", { id }), { signal }));
  const device = answer.value;
  const changed = () => {
    answer.again();
    onChange();
  };
  return (
    <Sheet
      onClose={onClose}
      title={device ? device.name || device.address || device.id : t("loading")}
      meta={
        device && (
          <>
            <Kind of={device} />
            <span>{device.address}</span>
            <span>{device.unit}</span>
          </>
        )
      }
      actions={
        device && (
          <>
            {may("devices.change") && (
              <button type="button" onClick={() => correct(device, changed)}>
                <Icon name="edit" />
                {t("device.correct")}
              </button>
            )}
            {may("devices.change") && device.by_hand.length > 0 && (
              <button type="button" onClick={() => takeBack(device, changed)}>
                {t("device.take_back")}
              </button>
            )}
            {device.address && may("events.read") && (
              <a class="button" href={addressOf("entity", {}, `address:${device.address}`)}>
                <Icon name="activity" />
                {t("device.activity")}
              </a>
            )}
          </>
        )
      }
    >
      <Fault of={answer.fault} />
      {device && (
        <>
          <section>
            <h3>{t("device.about")}</h3>
            <Facts of={facts(device)} />
          </section>
          <section>
            <h3>{t("device.evidence")}</h3>
            {device.evidence?.length ? (
              <table class="fields">
                <tbody>
                  {device.evidence.map(([hint, text], place) => (
                    <tr key={place}>
                      <th scope="row">{hint}</th>
                      <td class="raw">{plain(text)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            ) : (
              <p class="quiet">{t("device.no_evidence")}</p>
            )}
          </section>
        </>
      )}
    </Sheet>
  );
}

function facts(of: Device): Fact[] {
  return [
    [t("device.kind"), <Kind of={of} />],
    [t("device.kind_seen"), of.kind_seen && word("device", of.kind_seen)],
    [t("device.names"), of.names.join(", ")],
    [t("device.os"), of.os],
    [t("device.maker"), of.maker],
    [t("device.mac"), of.mac],
    [t("device.address"), of.address],
    [t("unit"), of.unit],
    [t("device.owner"), of.owner],
    [t("device.note"), of.note],
    [t("device.first_seen"), of.first_seen && <When at={of.first_seen} />],
    [t("device.last_seen"), of.last_seen && <When at={of.last_seen} />],
    [
      t("device.said"),
      of.by_hand.length > 0 && of.by_hand.map((name) => <Tag key={name}>{word("device.field", name)}</Tag>),
    ],
  ];
}

function correct(device: Device, done: () => void): void {
  const said = (name: keyof Device) => (device.by_hand.includes(name) ? String(device[name]) : "");
  question({
    title: t("device.correct"),
    does: t("save"),
    says: <p class="quiet">{t("device.correct.help")}</p>,
    fields: [
      {
        name: "kind",
        says: t("device.kind"),
        kind: "select",
        value: said("kind"),
        options: [["", t("device.as_seen")], ...DEVICE_KINDS.map((kind) => [kind, word("device", kind)] as const)],
      },
      { name: "label", says: t("device.name"), value: said("name"), most: 200 },
      { name: "unit", says: t("unit"), value: said("unit"), most: 200 },
      { name: "owner", says: t("device.owner"), value: device.owner, most: 200 },
      { name: "note", says: t("device.note"), kind: "textarea", value: device.note, most: 2000 },
    ],
    work: async (filled) => {
      await ask(withValues("/devices/one", { id: device.id }), { method: "PUT", body: filled });
      done();
    },
  });
}

function takeBack(device: Device, done: () => void): void {
  question({
    title: t("device.take_back"),
    does: t("device.take_back"),
    danger: true,
    says: <p>{t("device.take_back.help", { name: device.name || device.id })}</p>,
    work: async () => {
      await ask(withValues("/devices/one", { id: device.id }), { method: "DELETE" });
      done();
    },
  });
}
