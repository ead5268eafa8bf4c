"""Warnings enter, over HTTPS with a signature, by TAXII or as a file; each becomes a case and a list of indicators.

A warning is a STIX 2.1 bundle. Over HTTPS it is signed by a detached JSON Web Signature (RFC 7515 appendix F, RS256 of
RFC 7518) in the header `X-JWS-Signature`, whose protected header has `iat` (when, RFC 7519 section 4.1.6) and `jti`
(its id). What came is kept in one transaction; the detectors make indicators of it
(`detectors/indicators/warnings.py`), this stage a case; what was done is told to whoever sent it.
"""

import base64
import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from sqlalchemy import Connection, Engine, func, select, update

from pipeline.access import note as audit
from pipeline.cases import CLOSED, OBSERVABLE, OPEN, entries, life
from pipeline.cases.entries import By
from pipeline.event import from_micros
from pipeline.logs import log
from pipeline.messages import HaidangError, say
from pipeline.networks import is_address
from pipeline.queue import OPEN as OPEN_GROUPS
from pipeline.settings import Settings
from pipeline.state import insert_new
from pipeline.state.tables import alert_groups, alerts, cases, share_received
from pipeline.state.tables import audit as audit_rows
from sharing import ACKNOWLEDGEMENT, book
from sharing.keys import valid_certificate
from sharing.profile import Named
from sharing.stix.checking import is_deeper
from sharing.stix.patterns import values_of

HTTPS, TAXII, FILE = "https", "taxii", "file"
#: Bytes, objects and depth of a warning.
LARGEST, _MOST_OBJECTS, _DEEPEST = 10_000_000, 20_000, 40
#: A warning may be so old, and its sender's clock so far ahead of ours, in seconds.
_OLDEST, _AHEAD = 72 * 3600.0, 600.0
#: After its indicators were taken over, the events that are stored are searched: so long it takes until we answer.
SEARCHED_SECONDS = 60.0
_MOST_SIGNATURE = 10_000
_JWS = re.compile(r"([\w-]+)\.\.([\w-]+)", re.ASCII)
_TITLED = ("report", "grouping", "indicator", "malware", "note")
_REPORTS = ("report", "grouping")
_TLP = ("red", "amber+strict", "amber", "green", "clear")
#: Observables that a warning brings into its case, and characters of one.
_MOST_OBSERVABLES, _LONGEST_OBSERVABLE = 200, 1000
#: Rules of indicators, which alone name the list that theirs was in (`detectors/indicators/alerting.py`).
_RULES = ("indicator.", "indicator/")
_BY = By("haidang", "")
#: Warnings that something is done about at once, and open cases of them into which alerts are brought, the newest.
_AT_ONCE, _MOST_IN_WORK = 50, 500
#: Refusals are written into the audit, of one address and of all at most so many a minute, for anybody may ask.
REFUSED = "warning_refused"
_MINUTE, _MOST_OF_ADDRESS, _MOST_REFUSALS = 60.0, 1, 60
#: What is told of a signature: that there is none, and, to those whom the profile names, what is wrong with theirs.
_TOLD = ("inbox.unsigned", "inbox.not_fresh", "inbox.no_id")
TAKEN = "taken"
_NO_CASE = -1


class NotTaken(HaidangError):
    """A warning that cannot be taken as it is."""


@dataclass(frozen=True, slots=True)
class Warned:
    """What a warning says of itself."""

    title: str
    text: str
    tlp: str
    objects: int
    is_report: bool  # it tells of something, and is not only a list of indicators


def verified(named: Named, data: bytes, signature: str, now: float) -> str:
    """Return the id of a warning that came over HTTPS, signed by whom the profile names, and now.

    Raises:
        NotTaken: it is not; the text says why.
        HaidangError: the certificate of the profile is over.
    """
    file = named.profile.inbox.certificate
    if file is None:
        raise NotTaken("inbox.closed", profile=named.name)
    found = _JWS.fullmatch(signature) if len(signature) <= _MOST_SIGNATURE else None
    if found is None:
        raise NotTaken("inbox.no_signature")
    try:
        header = orjson.loads(_decoded(found[1]))
        signed = _decoded(found[2])
    except ValueError as error:
        raise NotTaken("inbox.no_signature") from error
    if not isinstance(header, dict) or header.get("alg") != "RS256" or "crit" in header or "b64" in header:
        raise NotTaken("inbox.no_algorithm")
    key = valid_certificate(file).public_key()
    if not isinstance(key, RSAPublicKey):
        raise NotTaken("inbox.no_algorithm")
    content = found[1].encode() + b"." + base64.urlsafe_b64encode(data).rstrip(b"=")
    try:
        key.verify(signed, content, PKCS1v15(), SHA256())
    except InvalidSignature as error:
        raise NotTaken("inbox.bad_signature", file=file.name) from error
    made, message = header.get("iat"), header.get("jti")
    if not isinstance(made, int | float) or isinstance(made, bool) or not -_AHEAD <= now - made <= _OLDEST:
        raise NotTaken("inbox.not_fresh", made=str(made)[:30], now=round(now))
    if not isinstance(message, str) or not 0 < len(message) <= 100:
        raise NotTaken("inbox.no_id")
    return message


def to_stranger(error: HaidangError) -> HaidangError:
    """Return what is said of a signature that was refused: whoever is nobody learns of no profile."""
    return error if error.key in _TOLD else NotTaken("inbox.nobody")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def read(data: bytes) -> Warned:
    """Return what a bundle says of itself; its indicators are the detectors' to read.

    Raises:
        NotTaken: it is too large, or no bundle of STIX 2.1.
    """
    if len(data) > LARGEST:
        raise NotTaken("inbox.large", bytes=len(data), limit=LARGEST)
    try:
        told = orjson.loads(data)
    except ValueError as error:
        raise NotTaken("inbox.no_json", fault=str(error)[:200]) from error
    objects = told.get("objects") if isinstance(told, dict) and told.get("type") == "bundle" else None
    if not isinstance(objects, list) or not objects or not all(isinstance(each, dict) for each in objects):
        raise NotTaken("inbox.no_bundle")
    if len(objects) > _MOST_OBJECTS:
        raise NotTaken("inbox.many", count=len(objects), limit=_MOST_OBJECTS)
    if is_deeper(told, _DEEPEST):
        raise NotTaken("inbox.deep", limit=_DEEPEST)
    named = sorted(
        (each for each in objects if each.get("type") in _TITLED and isinstance(each.get("name"), str)),
        key=lambda each: _TITLED.index(each["type"]),
    )
    first = named[0] if named else {}
    text = first.get("description")
    return Warned(
        str(first.get("name", ""))[:300] or say("inbox.untitled"), text[:10_000] if isinstance(text, str) else "",
        _strictest(objects), len(objects), first.get("type") in _REPORTS,
    )  # fmt: skip


def _strictest(objects: list[dict[str, Any]]) -> str:
    """Return the strictest TLP that a bundle names; `amber` where it names none."""
    names = {
        str(each.get("name", "")).lower().removeprefix("tlp:")
        for each in objects
        if each.get("type") == "marking-definition"
    }
    return next((tlp for tlp in _TLP if tlp in names), "amber")


def receive(
    engine: Engine, profile: str, way: str, data: bytes, message: str, who: str, address: str, now: float
) -> dict[str, Any]:
    """Keep a warning; return its receipt. The same bytes again have the same receipt and are one warning.

    Raises:
        NotTaken: it is no warning, or the sender's id is that of another one.
    """
    warned = read(data)
    with engine.begin() as connection:
        return receive_in(connection, profile, way, data, warned, message, who, address, now)


def receive_in(
    connection: Connection, profile: str, way: str, data: bytes, warned: Warned, message: str, who: str, address: str,
    now: float,
) -> dict[str, Any]:  # fmt: skip
    """Do so in the caller's transaction."""
    identifier = hashlib.sha256(data).hexdigest()
    row = {
        "id": identifier, "profile": profile, "way": way, "message": message[:100], "title": warned.title,
        "tlp": warned.tlp, "received": now, "data": data, "case_id": 0, "imported": 0.0, "indicators": 0,
        "refused": 0, "fault": "", "answered": "",
    }  # fmt: skip
    columns = share_received.c
    same = (columns.profile == profile, columns.message == message[:100], columns.id != identifier)
    if message and connection.scalar(select(func.count()).where(*same)):
        raise NotTaken("inbox.replayed", message=message[:100])
    before = connection.execute(select(columns.received).where(columns.id == identifier)).first()
    if before is None:
        insert_new(connection, share_received, [row], key=["id"])
        told = {"profile": profile, "way": way, "sha256": identifier, "title": warned.title}
        audit(connection, who, address, "warning_received", **told)
    received = now if before is None else before.received
    return {"receipt": identifier, "received": from_micros(round(received * 1e6)), "objects": warned.objects}


# --- What is refused


def note_refused(
    connection: Connection, profile: str, way: str, reason: str, size: int, address: str, now: float
) -> None:
    """Write into the program's log and the audit that a warning was refused, and why."""
    log("sharing").error("warning_refused", profile=profile, way=way, address=address, reason=reason[:300])
    rows = audit_rows.c
    is_recent = (rows.time > now - _MINUTE, rows.action == REFUSED)
    of_address = func.count().filter(rows.address == address[:100])
    count, of_it = connection.execute(select(func.count(), of_address).where(*is_recent)).one()
    if count < _MOST_REFUSALS and of_it < _MOST_OF_ADDRESS:
        told = {"profile": profile[:63], "way": way, "reason": reason[:300], "size": size}
        audit(connection, _BY.who, address, REFUSED, **told)


def refuse(engine: Engine, profile: str, way: str, error: HaidangError, size: int, address: str, now: float) -> None:
    """Do so in a transaction of its own."""
    with engine.begin() as connection:
        note_refused(connection, profile, way, str(error), size, address, now)


def refusals(engine: Engine, limit: int = 100) -> list[dict[str, Any]]:
    """Return the last refusals that the audit has, the newest first: when, profile, way, reason, size, from where."""
    rows = audit_rows.c
    query = select(rows.time, rows.address, rows.detail).where(rows.action == REFUSED).order_by(rows.id.desc())
    with engine.connect().execution_options(read_only=True) as connection:
        found = connection.execute(query.limit(limit)).all()
    return [{"time": from_micros(round(row.time * 1e6)), "address": row.address, **row.detail} for row in found]


# --- What is made of it


def work(engine: Engine, profile: str, named: Named | None, now: float) -> int:
    """Open cases for warnings of a profile, and put down what is to be told of them (`named`: where anybody wants to
    hear it); return how many were changed."""
    columns = share_received.c
    of_profile = select(columns.id, columns.case_id).outerjoin(cases, cases.c.id == columns.case_id)
    of_profile = of_profile.where(columns.profile == profile, columns.answered != CLOSED)
    waits = (
        (columns.case_id == 0)
        | ((columns.answered == "") & (columns.imported > 0))
        | ((columns.answered == TAKEN) & cases.c.status.is_distinct_from(OPEN))
    )
    with engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(of_profile.where(waits).order_by(columns.received).limit(_AT_ONCE)).all()
        in_work = connection.execute(
            of_profile.where(cases.c.status == OPEN).order_by(columns.received.desc()).limit(_MOST_IN_WORK)
        ).all()
    changed = sum(_worked(engine, named, row, now) for row in rows)
    for case, groups in _raised(engine, {feed_of(row.id): row.case_id for row in in_work}).items():
        try:
            life.add_alerts(engine, case, groups, _BY)
        except HaidangError as error:  # closed, or put into another case, meanwhile
            log("sharing").info("not_brought", case=case, reason=str(error)[:300])
    return changed


def _raised(engine: Engine, feeds: Mapping[str, int]) -> dict[int, list[str]]:
    """Return the open groups in no case whose alerts are about lists of warnings, by the cases of these (`feeds`)."""
    provider = alerts.c.document["threat.indicator.provider"].as_string()
    found: dict[int, list[str]] = {}
    if not feeds:
        return found
    fits = (
        alert_groups.c.status.in_(OPEN_GROUPS), alert_groups.c.case_id == 0, alert_groups.c.rule_id >= _RULES[0],
        alert_groups.c.rule_id < _RULES[1], alerts.c.group_id == alert_groups.c.id, provider.in_(list(feeds)),
    )  # fmt: skip
    with engine.connect().execution_options(read_only=True) as connection:
        for feed, group in connection.execute(select(provider, alert_groups.c.id).where(*fits).distinct()):
            found.setdefault(feeds[feed], []).append(group)
    return found


def _worked(engine: Engine, named: Named | None, row: Any, now: float) -> bool:
    with engine.begin() as connection:
        row = connection.execute(select(share_received).where(share_received.c.id == row.id).with_for_update()).one()
        changes: dict[str, Any] = {}
        if not row.case_id:
            changes["case_id"] = _case(connection, row)
        elif row.imported and not row.answered and now - row.imported >= SEARCHED_SECONDS:
            _answer(connection, named, row, TAKEN, now)
            changes["answered"] = TAKEN if row.case_id > 0 else CLOSED
        elif row.answered == TAKEN:
            case = connection.execute(select(cases).where(cases.c.id == row.case_id)).first()
            if case is None or case.status == OPEN:
                return False
            _answer(connection, named, row, CLOSED, now)
            changes["answered"] = CLOSED
        if changes:
            connection.execute(update(share_received).where(share_received.c.id == row.id).values(changes))
    return bool(changes)


def _case(connection: Connection, row: Any) -> int:
    """Open a case with what the warning names; `_NO_CASE` where a partner's collection only brought more indicators."""
    warned = read(bytes(row.data))
    if row.way == TAXII and not warned.is_report:
        return _NO_CASE
    wanted = life.Wanted(_case_title(row.title), "high", row.tlp, reportable=False, owner="")
    case = life.open_in(connection, wanted, _BY, note=warned.text)
    for kind, value in observables(bytes(row.data)):
        entries.put(connection, case, OBSERVABLE, {"kind": kind, "value": value, "tlp": row.tlp, "note": ""}, _BY)
    return case


def _case_title(title: str) -> str:
    """Return what the case of a warning is called: it says once that it is one."""
    says_so = title.casefold().startswith(say("inbox.warning").casefold())
    return title if says_so else say("inbox.case_title", title=title)


def observables(data: bytes) -> list[tuple[str, str]]:
    """Return what the indicators of a bundle name, kinds and values of observables of a case, the first ones."""
    found: dict[tuple[str, str], None] = {}
    for each in orjson.loads(data)["objects"]:
        pattern = each.get("pattern")
        if each.get("type") != "indicator" or each.get("revoked") is True or not isinstance(pattern, str):
            continue
        for kind, value in values_of(pattern) if each.get("pattern_type", "stix") == "stix" else ():
            is_text = value.strip() and value.isprintable() and len(value) <= _LONGEST_OBSERVABLE
            if is_text and (kind != "address" or is_address(value)):
                found[kind, value] = None
            if len(found) == _MOST_OBSERVABLES:
                return list(found)
    return list(found)


def _answer(connection: Connection, named: Named | None, row: Any, step: str, now: float) -> None:
    """Put down what is told about a warning, where its sender wants to hear it."""
    if named is None or not named.profile.inbox.reply_url:
        return
    content = orjson.dumps(done(connection, row), option=orjson.OPT_SORT_KEYS)
    draft = book.Draft(ACKNOWLEDGEMENT, f"{row.id[:32]} {step}", row.received, now, [], content)
    book.put(connection, named, draft, [], now)


def done(connection: Connection, row: Any) -> dict[str, Any]:
    """Return what was done about a warning (its row)."""
    feed = feed_of(row.id)
    provider = alerts.c.document["threat.indicator.provider"].as_string()
    found = connection.execute(
        select(func.count(), func.count(func.distinct(alerts.c.group_id))).where(
            provider == feed, alerts.c.created >= row.received
        )
    ).one()
    case = connection.execute(select(cases).where(cases.c.id == row.case_id)).first()
    return {
        "warning": row.id, "message": row.message, "received": from_micros(round(row.received * 1e6)),
        "indicators": row.indicators, "refused": row.refused, "alerts": found[0], "groups": found[1],
        "case": max(row.case_id, 0), "status": case.status if case else "", "verdict": case.verdict if case else "",
    }  # fmt: skip


def feed_of(identifier: str) -> str:
    """Return the name of the list that the indicators of a warning are in."""
    return f"warning-{identifier[:12]}"


def listed(engine: Engine, limit: int = 100, offset: int = 0) -> list[dict[str, Any]]:
    """Return warnings, the newest first, with what was done about each."""
    columns = [column for column in share_received.c if column.name != "data"]
    query = select(*columns).order_by(share_received.c.received.desc()).limit(limit).offset(offset)
    with engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(query).all()
        return [{**_plain(row._mapping), **done(connection, row)} for row in rows]


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    made = {str(name): value for name, value in row.items()}
    return {**made, "imported": from_micros(round(made["imported"] * 1e6)) if made["imported"] else None}


# --- Files


def dropped(settings: Settings, named: Named) -> Iterator[Path]:
    """Yield the files that were put down for a profile, the oldest first; what is still written is left alone."""
    folder = settings.sharing.folder(settings.data_dir) / "inbox" / named.name
    files = [each for each in folder.glob("*.json") if each.is_file() and not each.is_symlink()]
    for file in sorted(files, key=lambda each: each.stat().st_mtime):
        if time.time() - file.stat().st_mtime > 2:
            yield file


def take_files(engine: Engine, settings: Settings, named: Named) -> int:
    """Take the files that were put down; one that is none is kept beside, named `….refused`. Return how many."""
    taken = 0
    for file in dropped(settings, named) if named.profile.inbox.folder else ():
        try:
            with file.open("rb") as opened:
                data = opened.read(LARGEST + 1)
            receive(engine, named.name, FILE, data, "", "haidang", file.name, time.time())
        except NotTaken as error:
            refuse(engine, named.name, FILE, error, len(data), file.name, time.time())
            file.rename(file.with_name(f"{file.name}.refused"))
            continue
        file.rename(file.with_name(f"{file.name}.taken"))
        taken += 1
    return taken
