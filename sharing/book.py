"""The book of messages: what is built enters, people agree, bytes are signed, and what became of each is kept.

Each step is a row of the audit, which is a chain of hashes (`pipeline/audit.py`): built, approved, signed, sent with
its receipt, refused. So the ledger of what left the site cannot be changed without being seen.
"""

import hashlib
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, insert, select, update

from pipeline.access import note as audit
from pipeline.cases import entries
from pipeline.cases.entries import By
from pipeline.delivery.book import Outcome, pause
from pipeline.messages import HaidangError, say
from pipeline.outward.posting import Answer
from pipeline.state import insert_new
from pipeline.state.tables import alerts, cases, share_alerts, share_messages, share_profiles
from sharing import (
    APPROVED,
    ENDED,
    EXPIRED,
    HELD,
    INCIDENT,
    QUEUED,
    REFUSED,
    REHEARSED,
    SENT,
    STATUSES,
    WITHDRAWN,
)
from sharing.facts import Fact
from sharing.profile import Named

#: Who does what nobody has asked for.
_BY_ITSELF = "haidang"
#: An alert may be written a little later than it was made: so far back is looked for some that were not there, seconds.
LATE_SECONDS = 3600.0
#: Alerts of which is known that no message tells of them are remembered for as long as they would be looked at again.
_REMEMBERED_SECONDS = 3 * LATE_SECONDS
#: The longest pause between two tries, in seconds: so soon is it noticed that a receiver is back.
_LONGEST_PAUSE = 600.0
_CLOCK_SLACK = 60.0
_LONGEST_ANSWER = 4000
#: Bytes of an answer that are kept as a receipt; its hash is that of the whole answer.
_LONGEST_RECEIPT = 16_384
_PART = 500
#: Which moment of its case a notice or report sets when it has been given.
MOMENTS = {"first": "notified", "report": "reported"}


@dataclass(frozen=True, slots=True)
class Draft:
    """A message as it is built: what it is about, the facts in it, and its bytes."""

    kind: str
    key: str
    since: float
    until: float
    facts: Sequence[Fact]
    content: bytes


def known(connection: Connection, profile: str, now: float) -> Any:
    """Return a profile's row, made when it is new: what was before is not shared."""
    row = {
        "name": profile, "confirmed": "", "confirmed_by": "", "confirmed_at": 0.0,
        "pseudonym_key": secrets.token_bytes(32), "began": now, "built_until": now, "sent": 0, "succeeded": 0.0,
        "failed": 0.0, "failures": 0, "error": "", "position": "",
    }  # fmt: skip
    insert_new(connection, share_profiles, [row], key=["name"])
    return connection.execute(select(share_profiles).where(share_profiles.c.name == profile)).one()


def peek(engine: Engine, profile: str) -> Any | None:
    """Return a profile's row, None where there is none yet; costs no writing."""
    with engine.connect().execution_options(read_only=True) as connection:
        return connection.execute(select(share_profiles).where(share_profiles.c.name == profile)).first()


def confirm(engine: Engine, named: Named, who: str, address: str) -> None:
    """Let messages of a profile, as it is now, really leave."""
    with engine.begin() as connection:
        known(connection, named.name, time.time())
        values = {"confirmed": named.digest, "confirmed_by": who, "confirmed_at": time.time()}
        connection.execute(update(share_profiles).where(share_profiles.c.name == named.name).values(values))
        told = {"profile": named.name, "digest": named.digest, "endpoint": named.profile.endpoint.url}
        audit(connection, who, address, "sharing_confirmed", **told)


def stop(engine: Engine, profile: str, who: str, address: str) -> None:
    """Let nothing more of a profile leave: what is built from now on is a rehearsal."""
    with engine.begin() as connection:
        known(connection, profile, time.time())
        connection.execute(update(share_profiles).where(share_profiles.c.name == profile).values(confirmed=""))
        audit(connection, who, address, "sharing_stopped", profile=profile)


def is_confirmed(row: Any, named: Named) -> bool:
    """Whether messages really leave: a person has confirmed this profile, and it is still the same."""
    return bool(row.confirmed) and row.confirmed == named.digest


# --- What is new


@dataclass(frozen=True, slots=True)
class Alert:
    """What of an alert facts are made of."""

    id: str
    time: int
    rule_id: str
    level: str
    status: str
    group_id: str
    document: Mapping[str, Any]


def new_alerts(connection: Connection, profile: Any, now: float, limit: int) -> list[Alert]:
    """Return alerts that were not looked at for a profile (its row), the first that came first, at most `limit`."""
    columns = alerts.c
    looked = select(share_alerts.c.alert).where(
        share_alerts.c.profile == profile.name, share_alerts.c.alert == columns.id
    )
    since = max(profile.began, min(profile.built_until, now) - LATE_SECONDS)
    query = (
        select(
            columns.id, columns.time, columns.rule_id, columns.level, columns.status, columns.group_id,
            columns.document,
        )
        .where(columns.created >= since, ~looked.exists())
        .order_by(columns.created, columns.id)
        .limit(limit)
        .execution_options(yield_per=_PART)
    )  # fmt: skip
    return [Alert(**{**row, "document": _slim(row["document"])}) for row in connection.execute(query).mappings()]


def _slim(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return an alert with the first event of its evidence alone: thousands are held at a time."""
    made = dict(document)
    evidence = made.get("alert.evidence")
    if isinstance(evidence, list):
        made["alert.evidence"] = evidence[:1]
    return made


def put(
    connection: Connection, named: Named, draft: Draft, looked: Sequence[str], now: float, by: str = _BY_ITSELF
) -> int:
    """Put a message down, with the alerts that were looked at for it; return its number, 0 where it is there already.

    In one transaction: no alert is told of twice, and none is forgotten.
    """
    needed = int(getattr(named.profile.approval, draft.kind))
    digest = hashlib.sha256(draft.content).hexdigest()
    row = {
        "profile": named.name, "kind": draft.kind, "key": draft.key[:100],
        "status": HELD if needed else APPROVED, "since": draft.since, "until": draft.until,
        "facts": [{"kind": fact.kind, "values": dict(fact.values), "alerts": fact.alerts} for fact in draft.facts],
        "content": draft.content, "signed": b"", "digest": digest, "approvals": [], "needed": needed, "created": now,
        "queued": 0.0, "due": now, "planned": now, "attempts": 0, "tried": 0.0, "ended": 0.0, "code": 0, "answer": "",
        "receipt": {},
    }  # fmt: skip
    same = (
        share_messages.c.profile == named.name, share_messages.c.kind == draft.kind,
        share_messages.c.key == draft.key[:100],
    )  # fmt: skip
    if connection.scalar(select(share_messages.c.number).where(*same)) is not None:
        return 0
    made = insert(share_messages).values(row).returning(share_messages.c.number)
    number: int = connection.execute(made).scalar_one()
    told = {identifier for fact in draft.facts for identifier in fact.alerts}
    note_looked(connection, named.name, looked, told, number, now)
    _ledger(connection, "sharing_built", number, named.name, by, "", kind=draft.kind, sha256=digest, needed=needed)
    return number


def note_looked(
    connection: Connection, profile: str, looked: Sequence[str], told: set[str], number: int, now: float
) -> None:
    """Note which alerts need not be looked at again, and which of them message `number` tells of."""
    rows = [
        {"profile": profile, "alert": each, "message": number if each in told else 0, "created": now} for each in looked
    ]
    for start in range(0, len(rows), _PART):
        connection.execute(insert(share_alerts), rows[start : start + _PART])  # fails where another has told of it


def note_built(connection: Connection, profile: str, until: float) -> None:
    """Note until when alerts were looked for."""
    connection.execute(update(share_profiles).where(share_profiles.c.name == profile).values(built_until=until))


# --- What people decide


def approve(engine: Engine, number: int, who: str, address: str) -> str:
    """Agree to a message; return its status then.

    Raises:
        HaidangError: there is none, it waits for nobody, or this person has agreed already.
    """
    with engine.begin() as connection:
        row = _one(connection, number, lock=True)
        if row.status != HELD:
            raise HaidangError("sharing.not_held", number=number, status=said_status(row.status))
        if any(each["who"] == who for each in row.approvals):
            raise HaidangError("sharing.agreed_already", number=number, who=who, needed=row.needed)
        given = [*row.approvals, {"who": who, "time": time.time()}]
        status = APPROVED if len(given) >= row.needed else HELD
        values = {"approvals": given, "status": status}
        connection.execute(update(share_messages).where(share_messages.c.number == number).values(values))
        told = {"given": len(given), "needed": row.needed, "sha256": row.digest}
        _ledger(connection, "sharing_approved", number, row.profile, who, address, **told)
    return status


def withdraw(engine: Engine, number: int, who: str, address: str, reason: str) -> None:
    """Take a message back that was not sent yet.

    Raises:
        HaidangError: there is none, it has ended, or no reason is given.
    """
    if not reason.strip():
        raise HaidangError("sharing.no_reason")
    with engine.begin() as connection:
        row = _one(connection, number, lock=True)
        if row.status in (SENT, WITHDRAWN, REHEARSED):
            raise HaidangError("sharing.ended", number=number, status=said_status(row.status))
        values = {"status": WITHDRAWN, "ended": time.time(), "answer": reason.strip()[:_LONGEST_ANSWER]}
        connection.execute(update(share_messages).where(share_messages.c.number == number).values(values))
        _ledger(connection, "sharing_withdrawn", number, row.profile, who, address, reason=reason.strip()[:1000])


def resend(engine: Engine, number: int, who: str, address: str) -> None:
    """Try a message again that was refused or not taken in time: the same bytes.

    Raises:
        HaidangError: there is none, or it has not ended so.
    """
    now = time.time()
    with engine.begin() as connection:
        row = _one(connection, number, lock=True)
        if row.status not in (REFUSED, EXPIRED) or not row.signed:
            raise HaidangError("sharing.not_failed", number=number, status=said_status(row.status))
        values = {"status": QUEUED, "queued": now, "due": now, "planned": now, "attempts": 0, "ended": 0.0}
        connection.execute(update(share_messages).where(share_messages.c.number == number).values(values))
        _ledger(connection, "sharing_resent", number, row.profile, who, address, sha256=sha256_of(row.signed))


def carried(engine: Engine, number: int, note: str, who: str, address: str) -> None:
    """Note that people have handed a document over, and to whom, as the note says.

    Raises:
        HaidangError: there is none, it does not wait for that, or the note says nothing.
    """
    if not note.strip():
        raise HaidangError("sharing.no_reason")
    now = time.time()
    with engine.begin() as connection:
        row = _one(connection, number, lock=True)
        if row.status != QUEUED or row.kind != INCIDENT:
            raise HaidangError("sharing.not_carried", number=number, status=said_status(row.status))
        receipt = {"status": 0, "time": now, "body": note.strip()[:_LONGEST_ANSWER], "sha256": ""}
        values = {"status": SENT, "ended": now, "receipt": receipt, "answer": note.strip()[:_LONGEST_ANSWER]}
        connection.execute(update(share_messages).where(share_messages.c.number == number).values(values))
        columns = share_profiles.c  # whether the receiver answers by itself is another matter: `error` stays
        taken = update(share_profiles).where(columns.name == row.profile)
        connection.execute(taken.values(sent=columns.sent + 1, succeeded=now))
        _ledger(connection, "sharing_carried", number, row.profile, who, address, note=note.strip()[:1000])
        _note_case(connection, row, now, who, address)


def _note_case(connection: Connection, row: Any, now: float, who: str, address: str) -> None:
    """Stop the law's clock of the case that a notice or report was about."""
    case, _, kind = row.key.partition(" ")
    moment = MOMENTS.get(kind.partition(" ")[0])
    if row.kind != INCIDENT or moment is None or not case.isdigit():
        return
    fits = (cases.c.id == int(case), cases.c[moment].is_(None))
    if connection.execute(update(cases).where(*fits).values({moment: now, "changed": now})).rowcount:
        entries.change(connection, int(case), By(who, address), **{moment: now})


# --- What is signed and sent


def to_sign(connection: Connection, profile: str, limit: int = 20) -> list[Any]:
    """Return messages that people have agreed to, the oldest first."""
    fits = (share_messages.c.profile == profile, share_messages.c.status == APPROVED)
    query = select(share_messages).where(*fits).order_by(share_messages.c.number).limit(limit)
    return list(connection.execute(query).all())


def note_signed(connection: Connection, row: Any, signed: bytes, leaves: bool, now: float) -> None:
    """Keep what was signed; it waits to be sent, or has ended where it was a rehearsal."""
    values = {
        "signed": signed, "status": QUEUED if leaves else REHEARSED, "ended": 0.0 if leaves else now,
        "queued": now if leaves else 0.0, "due": now, "planned": now,
    }  # fmt: skip
    fits = (share_messages.c.number == row.number, share_messages.c.status == APPROVED)
    if not connection.execute(update(share_messages).where(*fits).values(values)).rowcount:
        return  # withdrawn meanwhile
    _ledger(connection, "sharing_signed", row.number, row.profile, sha256=sha256_of(signed), leaves=leaves)


def first_queued(connection: Connection, profile: str, are_carried: bool = False) -> Any | None:
    """Return the oldest message that waits to be sent: they leave in order, so no other may go before it.

    `are_carried`: people carry its documents, so these hold nothing else.
    """
    fits = [share_messages.c.profile == profile, share_messages.c.status == QUEUED]
    fits += [share_messages.c.kind != INCIDENT] if are_carried else []
    return connection.execute(select(share_messages).where(*fits).order_by(share_messages.c.number).limit(1)).first()


def is_due(row: Any, now: float) -> bool:
    """Whether it is time to try a message; a clock that went back shows by what was planned later than now."""
    return bool(row.due <= now or row.planned > now + _CLOCK_SLACK)


def note_tried(
    connection: Connection, row: Any, outcome: Outcome, answer: Answer | None, now: float, retry_seconds: float
) -> str:
    """Write down what became of a try; return the message's status then."""
    tried = {
        "attempts": row.attempts + 1, "tried": now, "code": answer.status if answer else 0,
        "answer": outcome.answer[:_LONGEST_ANSWER].replace("\0", " "),
    }  # fmt: skip
    if outcome.status == "sent":
        assert answer is not None
        text = answer.body[:_LONGEST_RECEIPT].decode("utf-8", "replace").replace("\0", " ")
        receipt = {"status": answer.status, "time": now, "body": text, "sha256": sha256_of(answer.body)}
        tried |= {"status": SENT, "ended": now, "receipt": receipt}
        told = {"status": answer.status, "receipt": receipt["sha256"], "attempts": row.attempts + 1}
        _note_case(connection, row, now, _BY_ITSELF, "")
        _ledger(connection, "sharing_sent", row.number, row.profile, sha256=sha256_of(row.signed), **told)
    elif outcome.status == "refused":
        tried |= {"status": REFUSED, "ended": now}
        _ledger(connection, "sharing_refused", row.number, row.profile, answer=outcome.answer[:1000])
    elif min(now, row.tried) - row.queued > retry_seconds:  # as long as it waited for people counts for nothing
        tried |= {"status": EXPIRED, "ended": now}
        _ledger(connection, "sharing_expired", row.number, row.profile, answer=outcome.answer[:1000])
    else:
        tried |= {"due": now + max(pause(row.attempts + 1, _LONGEST_PAUSE), outcome.again or 0.0), "planned": now}
        if not row.attempts:
            _ledger(connection, "sharing_failed", row.number, row.profile, answer=outcome.answer[:1000])
    fits = [share_messages.c.number == row.number]
    if outcome.status != "sent":  # what was withdrawn while it was on its way has arrived all the same
        fits.append(share_messages.c.status == QUEUED)
    connection.execute(update(share_messages).where(*fits).values(tried))
    _note_profile(connection, row.profile, outcome, now)
    return str(tried.get("status", QUEUED))


def _note_profile(connection: Connection, profile: str, outcome: Outcome, now: float) -> None:
    columns = share_profiles.c
    values: dict[str, Any] = {"failed": now, "failures": columns.failures + 1, "error": outcome.answer[:1000]}
    if outcome.status == "sent":
        values = {"sent": columns.sent + 1, "succeeded": now, "failures": 0, "error": ""}
    connection.execute(update(share_profiles).where(columns.name == profile).values(values))


def note_fault(connection: Connection, profile: str, fault: str, now: float) -> None:
    """Write down that nothing could be built or signed, and why."""
    columns = share_profiles.c
    values = {"failed": now, "failures": columns.failures + 1, "error": fault[:1000]}
    connection.execute(update(share_profiles).where(columns.name == profile).values(values))


def release(connection: Connection, profile: str, now: float) -> None:
    """Try at once what waited for a receiver that answers again."""
    fits = (share_messages.c.profile == profile, share_messages.c.status == QUEUED, share_messages.c.due > now)
    connection.execute(update(share_messages).where(*fits).values(due=now, planned=now))


# --- What others see

_SHOWN = tuple(column for column in share_messages.c if column.name not in ("content", "signed", "facts"))
_WHEN = ("since", "until", "created", "queued", "due", "tried", "ended")


def listed(
    engine: Engine, profile: str = "", status: str = "", kind: str = "", limit: int = 100, offset: int = 0
) -> dict[str, Any]:
    """Return messages, the newest first, and how many there are of each status.

    Raises:
        HaidangError: there is no such status.
    """
    if status and status not in STATUSES:
        raise HaidangError("sharing.no_status", value=status[:50], expected=", ".join(STATUSES))
    columns = share_messages.c
    asked = ((columns.profile, profile), (columns.kind, kind))
    fits: list[ColumnElement[bool]] = [column == value for column, value in asked if value]
    by_status = select(columns.status, func.count()).where(*fits).group_by(columns.status)
    of_status = [columns.status == status] if status else []
    query = select(*_SHOWN).where(*fits, *of_status).order_by(columns.number.desc()).limit(limit).offset(offset)
    with engine.connect().execution_options(read_only=True) as connection:
        statuses: dict[str, int] = dict(connection.execute(by_status).all())
        rows = connection.execute(query).mappings().all()
    total = statuses.get(status, 0) if status else sum(statuses.values())
    return {"total": total, "statuses": statuses, "messages": [shown(row) for row in rows]}


def one(engine: Engine, number: int) -> dict[str, Any]:
    """Return a message with the facts in it.

    Raises:
        HaidangError: there is none.
    """
    with engine.connect().execution_options(read_only=True) as connection:
        row = _one(connection, number)
    signed = sha256_of(row.signed) if row.signed else ""
    return {**shown(row._mapping), "signed_sha256": signed, "facts": row.facts}


def signed_digests(engine: Engine, numbers: Sequence[int]) -> dict[int, str]:
    """Return the SHA-256 of what left, of those of these messages that were signed."""
    columns = share_messages.c
    found: dict[int, str] = {}
    with engine.connect().execution_options(read_only=True) as connection:
        for start in range(0, len(numbers), _PART):
            query = select(columns.number, columns.signed).where(columns.number.in_(numbers[start : start + _PART]))
            for number, signed in connection.execute(query.execution_options(yield_per=20)):
                if signed:
                    found[number] = sha256_of(signed)
    return found


def bytes_of(engine: Engine, number: int) -> tuple[bytes, bytes]:
    """Return a message's content as people see it, and as it leaves (empty: not signed yet).

    Raises:
        HaidangError: there is none.
    """
    with engine.connect().execution_options(read_only=True) as connection:
        row = _one(connection, number)
    return bytes(row.content), bytes(row.signed)


def shown(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a message as answers have it; times in ISO 8601."""
    made = {str(name): value for name, value in row.items() if name not in ("content", "signed", "facts", "planned")}
    for name in _WHEN:
        made[name] = written(made[name]) if made[name] else None
    made["approvals"] = [{**each, "time": written(each["time"])} for each in made["approvals"]]
    return made


def written(seconds: float) -> str:
    """Return seconds since 1970 in ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def standing(engine: Engine, names: Sequence[str]) -> dict[str, Any]:
    """Return the rows of profiles by their names, and how many of their messages wait, were refused or not taken."""
    columns = share_messages.c
    counts = select(columns.profile, columns.status, func.count(), func.min(columns.created)).group_by(
        columns.profile, columns.status
    )
    with engine.connect().execution_options(read_only=True) as connection:
        rows = {row.name: row for row in connection.execute(select(share_profiles))}
        found: dict[str, Any] = {name: {"row": rows.get(name), "messages": {}, "oldest": None} for name in names}
        for profile, status, count, oldest in connection.execute(counts):
            if profile in found:
                found[profile]["messages"][status] = count
                if status == QUEUED:
                    found[profile]["oldest"] = oldest
    return found


def forget_old(connection: Connection, now: float, keep_seconds: float) -> None:
    """Delete messages that have ended long ago, and what was noted of alerts that are not looked at again."""
    old = (share_messages.c.status.in_(ENDED), share_messages.c.created < now - keep_seconds)
    gone = select(share_messages.c.number).where(*old)
    stale = share_alerts.c.message.in_(gone) | (
        (share_alerts.c.message == 0) & (share_alerts.c.created < now - _REMEMBERED_SECONDS)
    )
    connection.execute(delete(share_alerts).where(stale))
    connection.execute(delete(share_messages).where(*old))


def _one(connection: Connection, number: int, lock: bool = False) -> Any:
    query = select(share_messages).where(share_messages.c.number == number)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise HaidangError("sharing.no_message", number=number)
    return row


def said_status(status: str) -> str:
    """Return a status in the language that is spoken."""
    return say(f"sharing.status_{status}")


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _ledger(
    connection: Connection, step: str, number: int, profile: str, who: str = _BY_ITSELF, address: str = "", **told: Any
) -> None:
    audit(connection, who, address, step, message=number, profile=profile, **told)
