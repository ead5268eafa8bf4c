"""A case enters, the notices and reports of an incident leave, as people sign them; what is not known is listed so.

The first notice and the report within 72 hours are of Nghị định 331/2026/NĐ-CP article 31, the initial and the closing
report of Quyết định 05/2017/QĐ-TTg article 11, the notice of an incident of Thông tư 20/2017/TT-BTTTT article 9.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from sqlalchemy import Connection, Engine, select

from pipeline.access import note as audit
from pipeline.cases import ALERTS, CHANGE, EVENT, NOTE, showing
from pipeline.delivery.routing import zone_of
from pipeline.event import Event, from_micros, parse_time
from pipeline.messages import HaidangError, say, speaking
from pipeline.networks import OUTSIDE, Site
from pipeline.settings import Settings
from pipeline.state import upsert
from pipeline.state.tables import alert_groups, alerts, case_entries, cases, incident_fields
from pipeline.systems.register import Owners, listed
from sharing import INCIDENT, book
from sharing.documents import Block, Document, Fields, Heading, Paragraph, Table
from sharing.documents.frame import framed, moment
from sharing.documents.pdf import pdf
from sharing.facts import attack_of
from sharing.formats import FORMATS
from sharing.profile import Named

FIRST, INITIAL, REPORT, CLOSING = "first", "initial", "report", "closing"
KINDS = (FIRST, INITIAL, REPORT, CLOSING)
#: What each says, by part; names of fields as `_known` and people fill them.
_WHO = (
    "operator",
    "owner",
    "system",
    "system_level",
    "contact_name",
    "contact_title",
    "contact_phone",
    "contact_email",
)
_WHAT = ("detected", "kind", "symptoms", "severity", "spread", "impact")
_PARTS: Mapping[str, Sequence[tuple[str, Sequence[str]]]] = {
    FIRST: (("who", _WHO), ("what", _WHAT), ("measures", ("done", "proposals"))),
    INITIAL: (
        ("who", _WHO), ("what", (*_WHAT, "providers")), ("measures", ("done", "planned", "helpers", "proposals")),
    ),
    REPORT: (
        ("who", _WHO), ("what", (*_WHAT, "cause")),
        ("measures", ("done", "planned", "helpers", "results", "proposals")),
    ),
    CLOSING: (
        ("who", _WHO), ("what", (*_WHAT, "cause", "providers")),
        ("measures", ("done", "helpers", "results", "lessons", "proposals")),
    ),
}  # fmt: skip
#: Fields that people may write; what they write wins over what is known.
FIELDS = tuple(dict.fromkeys(name for parts in _PARTS.values() for _, names in parts for name in names))
_MOST = 5000
_MAX_VALUE = 20_000
_SHOWN_ROWS = 40
_SPREAD = 20
#: Entries of a case that tell what happened.
_HAPPENED = (ALERTS, EVENT, NOTE, CHANGE)
#: Where a system's own programs lie, which no attacker brought.
_OF_THE_SYSTEM = ("c:\\windows\\system32\\", "c:\\windows\\syswow64\\", "c:\\windows\\explorer.exe",
                  "/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/lib/", "/lib/")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Incident:
    """What is known of an incident: values by field (what people wrote, else what the case says), and the case.

    `values` are in the language that is spoken, `paper` in that of documents, Vietnamese, as is the case."""

    case: Mapping[str, Any]
    values: Mapping[str, str]
    paper: Mapping[str, str]
    written: Mapping[str, str]  # who wrote a field
    names: Mapping[str, str]  # of its rules, in Vietnamese where they have such a name
    first: Mapping[str, str]  # when the first alert of a group was
    ours: frozenset[tuple[str, str]]  # observables that are the victim's, not the attackers'
    told: Sequence[Mapping[str, str]]  # what happened, when, by whom

    def missing(self, kind: str) -> list[str]:
        """Return the fields of a notice or report of which nothing is known."""
        return [name for _, names in _PARTS[kind] for name in names if not self.values.get(name)]


def read(engine: Engine, settings: Settings, case: int) -> Incident:
    """Return what is known of an incident.

    Raises:
        HaidangError: there is no such case.
    """
    zone = zone_of(settings)
    with engine.connect().execution_options(read_only=True) as connection, speaking("vi"):
        told = showing.one(connection, case, settings.cases)
        query = select(incident_fields).where(incident_fields.c.case_id == case)
        rows = connection.execute(query).all()
        written = {row.name: row.value for row in rows if row.value}
        found, owners = _alerts(connection, told), Owners(listed(connection))
        paper = _known(settings, told, found, zone, owners, written.get("system", ""))
        first, done = _first(connection, told), _done(connection, told)
    values = _known(settings, told, found, zone, owners, written.get("system", ""))
    names = {str(each["rule.id"]): name_of(each) for each in [*told["alerts"], *found]}
    site = Site(settings.detectors.behaviours.local_networks)
    ours = frozenset(
        (each["kind"], each["value"])
        for each in told["observables"]
        if _is_ours(each["kind"], each["value"], site, owners)
    )
    who = {row.name: row.who for row in rows}
    return Incident(told, {**values, **written}, {**paper, **written}, who, names, first, ours, _told(told, done))


def write(engine: Engine, case: int, values: Mapping[str, str], who: str, address: str) -> None:
    """Write fields of an incident; an empty value takes one back.

    Raises:
        HaidangError: there is no such case, no such field, or a value is too long.
    """
    if unknown := sorted(set(values) - set(FIELDS)):
        raise HaidangError("incidents.no_field", name=unknown[0][:50], expected=", ".join(FIELDS))
    if long := next((name for name, value in values.items() if len(value) > _MAX_VALUE), ""):
        raise HaidangError("incidents.long", name=long, limit=_MAX_VALUE)
    now = time.time()
    rows = [{"case_id": case, "name": n, "value": v.strip(), "who": who, "time": now} for n, v in values.items()]
    with engine.begin() as connection:
        if connection.scalar(select(cases.c.id).where(cases.c.id == case)) is None:
            raise HaidangError("cases.none", case=case)
        upsert(connection, incident_fields, rows, key=["case_id", "name"])
        audit(connection, who, address, "incident_written", case=case, fields=sorted(values))


def _alerts(connection: Connection, case: Mapping[str, Any]) -> list[Event]:
    """Return the alerts of a case, the first ones first."""
    groups = [each["group"] for each in case["alerts"]]
    query = select(alerts.c.document).where(alerts.c.group_id.in_(groups)).order_by(alerts.c.time).limit(_MOST)
    return list(connection.scalars(query))


def _first(connection: Connection, case: Mapping[str, Any]) -> dict[str, str]:
    """Return when the first alert of each group was, also of one that has become another since it was put in."""
    groups = [each["group"] for each in case["alerts"]]
    query = select(alert_groups.c.id, alert_groups.c.first).where(alert_groups.c.id.in_(groups))
    now = {row.id: from_micros(row.first) for row in connection.execute(query)}
    then = {each["number"]: each["at"] for each in case["timeline"]}
    return {
        each["group"]: min((now.get(each["group"], then[each["number"]]), then[each["number"]]), key=parse_time)
        for each in case["alerts"]
    }


def _done(connection: Connection, case: Mapping[str, Any]) -> dict[int, str]:
    """Return the changes that are about a task, each with the task that it has done; "" for one that did none."""
    titles = {each["number"]: each["title"] for each in case["tasks"] if each["done"]}
    query = select(case_entries.c.id, case_entries.c.body).where(
        case_entries.c.case_id == case["id"], case_entries.c.kind == CHANGE
    )
    bodies = {row.id: row.body for row in connection.execute(query.order_by(case_entries.c.id))}
    tasks = {number: body for number, body in bodies.items() if "task" in body}
    last = {body["task"]: number for number, body in tasks.items() if body.get("done")}
    return {number: titles.get(body["task"], "") if number == last.get(body["task"]) else ""
            for number, body in tasks.items()}  # fmt: skip


def _told(case: Mapping[str, Any], done: Mapping[int, str]) -> list[dict[str, str]]:
    """Return what happened: alerts, events, notes, changes, and tasks when they were done (`task`: which one)."""
    rows = []
    for each in case["timeline"]:
        if each["removed"] or each["kind"] not in _HAPPENED or done.get(each["number"]) == "":
            continue
        rows.append({**{name: each[name] for name in ("at", "who", "what")}, "task": done.get(each["number"], "")})
    return rows


def _is_ours(kind: str, value: str, site: Site, owners: Owners) -> bool:
    """Whether an observable is the victim's: its machines, accounts, addresses, what the register names, its system's
    own programs."""
    if kind in ("host", "user"):
        return True
    if kind == "address":
        return site.where(value) != OUTSIDE or owners.of(value) is not None
    if kind == "domain":
        return owners.of(value) is not None
    return kind == "file" and value.lower().startswith(_OF_THE_SYSTEM)


def _known(
    settings: Settings,
    case: Mapping[str, Any],
    found: Sequence[Event],
    zone: tzinfo | None,
    owners: Owners,
    named: str,
) -> dict[str, str]:
    """Return what the case, the settings and the register say by themselves."""
    us = settings.sharing
    hosts = sorted({each["value"] for each in case["observables"] if each["kind"] == "host"})
    places = [*hosts, *(each["value"] for each in case["observables"] if each["kind"] == "address")]
    system = next((owner for owner in map(owners.of, places) if owner is not None), None)
    if named:  # by people: what the register says of another system is not said of it
        system = owners.named(named)
    kinds = dict.fromkeys(attack_of(alert) for alert in found)
    units = sorted({str(alert["organization.id"]) for alert in found if alert.get("organization.id")})
    done = [each["title"] for each in case["tasks"] if each["done"]]
    planned = [each["title"] for each in case["tasks"] if not each["done"]]
    spread = [_spread("hosts", hosts), _spread("units", units)]
    return {
        "operator": (system.operator if system else "") or us.organ, "owner": system.owner if system else "",
        "system": f"{system.name} ({system.code})" if system else "",
        "system_level": str(system.level) if system else "",
        "contact_name": us.contact_name, "contact_title": us.contact_title, "contact_phone": us.contact_phone,
        "contact_email": us.contact_email, "detected": moment(case["detected"], zone),
        "kind": ", ".join(say(f"sharing.attack_{kind}") for kind in kinds),
        "symptoms": "; ".join(list(dict.fromkeys(map(name_of, found)))[:20]),
        "severity": say(f"show.level.{case['level']}"),
        "spread": "; ".join(each for each in spread if each), "done": "; ".join(done),
        "planned": "; ".join(planned), "results": case["summary"],
    }  # fmt: skip


def _spread(name: str, found: Sequence[str]) -> str:
    """Return how many machines or units there are, and which."""
    if not found:
        return ""
    rest = say("incidents.and_more", count=len(found) - _SPREAD) if len(found) > _SPREAD else ""
    return f"{say(f'incidents.spread_{name}', count=len(found))} ({', '.join(found[:_SPREAD])}{rest})"


def name_of(alert: Mapping[str, Any]) -> str:
    """Return the name of the rule of an alert, or of a group, in Vietnamese where it has such a name."""
    return str(alert.get("rule.name_vi") or alert["rule.name"])


def document(
    settings: Settings, incident: Incident, kind: str, made: float, number: str = "", to: str = ""
) -> Document:
    """Return a notice or report in Vietnamese, made at a moment; `to`: the receiver, where one is known.

    Raises:
        HaidangError: there is no such kind.
    """
    if kind not in KINDS:
        raise HaidangError("incidents.no_kind", value=kind[:50], expected=", ".join(KINDS))
    zone = zone_of(settings)
    with speaking("vi"):
        blocks: list[Block] = []
        for part_number, (part, names) in enumerate(_PARTS[kind], 1):
            blocks.append(Heading(f"{part_number}. {say(f'incidents.part_{part}')}"))
            rows = [(say(f"incidents.field_{name}"), incident.paper.get(name, "")) for name in names]
            blocks.append(Fields(rows, say("incidents.missing")))
        blocks += _annexes(incident, kind, zone, len(_PARTS[kind]) + 1)
        if missing := incident.missing(kind):
            names = ", ".join(say(f"incidents.field_{name}").lower() for name in missing)
            blocks.append(Paragraph(say("incidents.still_missing", names=names), small=True))
        title, law = say(f"incidents.title_{kind}"), say(f"incidents.law_{kind}")
        number = number or (say("documents.number_notice") if kind == FIRST else "")
        return framed(settings, title, law, blocks, made, number, say("documents.to", name=to) if to else "")


def _annexes(incident: Incident, kind: str, zone: tzinfo | None, number: int) -> list[Block]:
    case = incident.case
    rows = [
        [
            incident.names[each["rule.id"]],
            each["entity"].partition(":")[2],
            moment(incident.first[each["group"]], zone),
            moment(each.get("last"), zone),
        ]
        for each in case["alerts"][:_SHOWN_ROWS]
    ]
    head = [say(f"incidents.head_{name}") for name in ("rule", "entity", "first", "last")]
    blocks: list[Block] = [
        Heading(f"{number}. {say('incidents.part_alerts')}"), Table(head, rows, empty=say("incidents.no_alerts")),
        *_rest(len(case["alerts"])),
    ]  # fmt: skip
    head = [say(f"incidents.head_{name}") for name in ("kind", "value", "note")]
    for part_number, (part, is_ours) in enumerate((("affected", True), ("observables", False)), number + 1):
        seen = [
            [say(f"incidents.kind_{each['kind']}"), each["value"], each["note"]]
            for each in case["observables"]
            if ((each["kind"], each["value"]) in incident.ours) == is_ours
        ]
        blocks += [
            Heading(f"{part_number}. {say(f'incidents.part_{part}')}"),
            Table(head, seen[:_SHOWN_ROWS], empty=say("incidents.no_observables")),
            *_rest(len(seen)),
        ]
    if kind in (REPORT, CLOSING):
        rows = [
            [
                moment(each["at"], zone),
                each["who"],
                say("incidents.task_done", title=each["task"]) if each["task"] else each["what"],
            ]
            for each in incident.told[:_SHOWN_ROWS]
        ]
        head = [say(f"incidents.head_{name}") for name in ("time", "who", "what")]
        blocks += [
            Heading(f"{number + 3}. {say('incidents.part_timeline')}"), Table(head, rows), *_rest(len(incident.told)),
        ]  # fmt: skip
    return blocks


def _rest(count: int) -> list[Block]:
    """Return how many rows more there are than a table shows, if any."""
    return [Paragraph(say("incidents.more_rows", count=count - _SHOWN_ROWS), small=True)] if count > _SHOWN_ROWS else []


def submit(engine: Engine, settings: Settings, named: Named, case: int, kind: str, who: str, address: str) -> int:
    """Put a notice or report down for a receiver, as a PDF that waits for approval; return the message's number.

    One that was put down before is another message where the case says something else by now.

    Raises:
        HaidangError: there is no such case or kind, the receiver takes none, or the same is there already.
    """
    if INCIDENT not in FORMATS[named.profile.format].kinds:
        raise HaidangError("incidents.not_taken", profile=named.name, format=named.profile.format)
    incident, now = read(engine, settings, case), time.time()
    content = pdf(document(settings, incident, kind, now, to=named.profile.title))
    said = json.dumps([incident.paper, kind], ensure_ascii=False, sort_keys=True)
    key = f"{case} {kind} {book.sha256_of(said.encode())[:16]}"
    draft = book.Draft(INCIDENT, key, now, now, [], content)
    with engine.begin() as connection:
        book.known(connection, named.name, now)
        number = book.put(connection, named, draft, [], now, who)
    if not number:
        raise HaidangError("incidents.same", case=case, kind=kind, profile=named.name)
    return number
