"""The book of messages: what is due on a channel leaves it, what became of each enters; people look, and send again.

Times are this machine's. A clock that went back shows by messages that were planned later than now: they are due.
"""

import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Engine, and_, bindparam, delete, func, or_, select, update

from pipeline.access import note as audit
from pipeline.delivery import ALERT, DEAD, DIGEST, DROPPED, HEARTBEAT, JOINED, SENT, WAITING
from pipeline.delivery.routing import message_id, new_row
from pipeline.messages import HaidangError
from pipeline.settings.delivery import LEVELS
from pipeline.state import insert_new
from pipeline.state.tables import channels, deliveries

#: The first pause after a failure and the longest one, in seconds; between them it doubles.
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 3600.0
#: A message is dead when it is old and was tried so often: a clock that jumps ahead kills none.
_LEAST_ATTEMPTS = 20
#: A clock that went back by less than this is not noticed, in seconds.
_CLOCK_SLACK = 60.0
#: Alerts that one digest tells of.
MOST_OF_DIGEST = 500
#: Characters of an answer that are kept.
_LONGEST_ANSWER = 4000
_PART = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one try: `sent`; `failed`, to be tried again; `refused` for good; `dropped`, needed no more.

    `away`: not this message is at fault but its channel, so others need not be tried now. `again` is how long the
    channel asks us to wait, in seconds. `left` goes into the message: whom it has still to reach.
    """

    status: Literal["sent", "failed", "refused", "dropped"]
    answer: str = ""
    away: bool = False
    again: float | None = None
    left: Mapping[str, Any] | None = None


def below(level: str) -> Sequence[str]:
    """Return the levels below one."""
    return LEVELS[: LEVELS.index(level)]


def pause(failures: int, longest: float = _LONGEST_PAUSE) -> float:
    """Return how long to wait after so many failures in a row, in seconds: exponential, with full jitter.

    So that not all come back at once:
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    return random.uniform(0, min(longest, _FIRST_PAUSE * 2.0 ** (min(failures, 30) - 1)))  # noqa: S311 - no secret


def _is_due(now: float) -> ColumnElement[bool]:
    return or_(deliveries.c.due <= now, deliveries.c.planned > now + _CLOCK_SLACK)


@dataclass(frozen=True, slots=True)
class Gathering:
    """When alerts become a digest: those of `levels` after `seconds`; any when more than `over` wait. 0: never."""

    seconds: float
    levels: Sequence[str]
    over: int


def due(
    connection: Connection, channel: str, now: float, quiet: Sequence[str], wanted: Gathering | None, limit: int
) -> list[Any]:
    """Return the messages of a channel that are to be sent now, the oldest first.

    `quiet` are levels that wait until the quiet hours are over; `wanted` says which alerts wait to become a digest.
    """
    columns = deliveries.c
    query = select(deliveries).where(
        columns.channel == channel,
        columns.status == WAITING,
        _is_due(now),
        or_(columns.level.not_in(quiet), columns.kind == HEARTBEAT),
    )
    if wanted is not None and wanted.seconds:
        ready = or_(columns.created <= now - wanted.seconds, columns.created > now + _CLOCK_SLACK)
        is_single = or_(columns.kind != ALERT, columns.attempts > 0, columns.level.not_in(wanted.levels))
        query = query.where(or_(is_single, ready))  # one that is ready and still here is alone
    return list(connection.execute(query.order_by(columns.due, columns.id).limit(limit)).all())


def ripe(
    connection: Connection, channel: str, now: float, quiet: Sequence[str], wanted: Gathering
) -> list[ColumnElement[bool]]:
    """Return which alerts of a channel it is time to make a digest of, as conditions; none where it is not."""
    columns = deliveries.c
    waiting = [
        columns.channel == channel, columns.status == WAITING, columns.kind == ALERT, columns.attempts == 0,
        _is_due(now), columns.level.not_in(quiet),
    ]  # fmt: skip
    if wanted.seconds:
        gathered = [*waiting, columns.level.in_(wanted.levels)]
        ends = select(func.min(columns.created), func.max(columns.created)).where(*gathered)
        oldest, latest = connection.execute(ends).one()
        if oldest is not None and (oldest <= now - wanted.seconds or latest > now + _CLOCK_SLACK):
            return gathered
    if wanted.over and (connection.scalar(select(func.count()).where(*waiting)) or 0) > wanted.over:
        return waiting
    return []


def join(connection: Connection, channel: str, now: float, which: Sequence[ColumnElement[bool]]) -> bool:
    """Make a digest of these messages of a channel, at most `MOST_OF_DIGEST`; False where it is only one."""
    query = select(deliveries.c.id, deliveries.c.level, deliveries.c.route).where(*which)
    parts = connection.execute(query.order_by(deliveries.c.created, deliveries.c.id).limit(MOST_OF_DIGEST)).all()
    if len(parts) < 2:
        return False
    identifier = message_id(DIGEST, channel, *(part.id for part in parts))
    level = max((part.level for part in parts), key=lambda level: LEVELS.index(level) if level in LEVELS else 99)
    row = new_row(identifier, DIGEST, channel, now, level=level, route=parts[0].route)
    insert_new(connection, deliveries, [row], key=["id"])
    joined = deliveries.c.id.in_([part.id for part in parts])
    connection.execute(update(deliveries).where(joined).values(status=JOINED, digest=identifier))
    return True


def parts_of(connection: Connection, digests: Sequence[str]) -> dict[str, list[str]]:
    """Return the alerts of each digest, in their order."""
    found: dict[str, list[str]] = {identifier: [] for identifier in digests}
    query = select(deliveries.c.digest, deliveries.c.alert).where(deliveries.c.digest.in_(digests))
    for digest, alert in connection.execute(query.order_by(deliveries.c.created, deliveries.c.id)):
        found[digest].append(alert)
    return found


def note(
    connection: Connection, outcomes: Sequence[tuple[Any, Outcome]], now: float, retry_seconds: float
) -> Counter[str]:
    """Write down what became of messages (rows of `due`); return how many ended how."""
    changed: list[dict[str, Any]] = []
    counted: Counter[str] = Counter()
    for row, outcome in outcomes:
        values = _after(row, outcome, now, retry_seconds)
        counted[values["to_status"]] += 1
        changed.append({"message": row.id, **values})
    if not changed:
        return counted
    columns: dict[str, Any] = {name: bindparam(f"to_{name}") for name in _CHANGED}
    connection.execute(update(deliveries).where(deliveries.c.id == bindparam("message")).values(columns), changed)
    digests = [
        each for each, (row, _) in zip(changed, outcomes, strict=True)
        if row.kind == DIGEST and each["to_status"] != WAITING
    ]  # fmt: skip
    if digests:
        ended: dict[str, Any] = {name: bindparam(f"to_{name}") for name in ("status", "ended", "answer", "tried")}
        connection.execute(update(deliveries).where(deliveries.c.digest == bindparam("message")).values(ended), digests)
    return counted


_CHANGED = ("status", "due", "planned", "attempts", "tried", "ended", "answer", "body")
_ENDS = {"sent": SENT, "refused": DEAD, "dropped": DROPPED}


def _after(row: Any, outcome: Outcome, now: float, retry_seconds: float) -> dict[str, Any]:
    attempts = row.attempts + (outcome.status != "dropped")
    status = _ENDS.get(outcome.status, WAITING)
    due = row.due
    if outcome.status == "failed":
        if now - row.created > retry_seconds and attempts >= _LEAST_ATTEMPTS:
            status = DEAD
        due = now + max(pause(attempts), min(outcome.again or 0.0, _LONGEST_PAUSE))
    return {
        "to_status": status, "to_due": due, "to_planned": now, "to_attempts": attempts,
        "to_tried": now if outcome.status != "dropped" else row.tried, "to_ended": 0.0 if status == WAITING else now,
        "to_answer": outcome.answer[:_LONGEST_ANSWER].replace("\0", " "),
        "to_body": {**row.body, **(outcome.left or {})},
    }  # fmt: skip


def note_channel(connection: Connection, name: str, **values: Any) -> None:
    """Write down how a channel fares."""
    row = {
        "name": name, "sent": 0, "succeeded": 0.0, "failed": 0.0, "failures": 0, "error": "", "paused_until": 0.0,
        "heartbeat": "",
    }  # fmt: skip
    insert_new(connection, channels, [row], key=["name"])
    if values:
        connection.execute(update(channels).where(channels.c.name == name).values(values))


def release(connection: Connection, channel: str, now: float) -> None:
    """Let what waited for a channel that answers again be tried at once."""
    waits = (deliveries.c.channel == channel, deliveries.c.status == WAITING, deliveries.c.attempts > 0)
    connection.execute(update(deliveries).where(*waits, deliveries.c.due > now).values(due=now, planned=now))


def expire(connection: Connection, channel: str, before: float, now: float, why: str) -> None:
    """Give up what has waited since before a moment for a channel that takes nothing."""
    old = (deliveries.c.channel == channel, deliveries.c.status == WAITING, deliveries.c.created < before)
    digests = select(deliveries.c.id).where(*old, deliveries.c.kind == DIGEST)
    ended = {"status": DEAD, "ended": now, "answer": why[:_LONGEST_ANSWER].replace("\0", " ")}
    connection.execute(update(deliveries).where(deliveries.c.digest.in_(digests)).values(ended))
    connection.execute(update(deliveries).where(*old).values(ended))


def standing(engine: Engine, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return how each channel fares: what waits and since when, what was sent and is dead, the last success and error.

    Channels that are set no more are there as long as something of theirs is not sent.
    """
    with engine.connect().execution_options(read_only=True) as connection:
        return _standing(connection, names)


def _standing(connection: Connection, names: Sequence[str]) -> list[dict[str, Any]]:
    columns = deliveries.c
    known = {row["name"]: _plain(row) for row in connection.execute(select(channels)).mappings()}
    found = []
    for name in [*names, *sorted(known.keys() - set(names))]:
        state = known.get(name, {})
        of_it = select(func.count(), func.min(columns.created)).where(columns.channel == name)
        waiting, oldest = connection.execute(of_it.where(columns.status == WAITING)).one()
        dead, _ = connection.execute(of_it.where(columns.status == DEAD, columns.digest == "")).one()
        if name in names or waiting or dead:
            found.append({
                "channel": name, "set": name in names, "waiting": waiting, "oldest": oldest,
                "sent": state.get("sent", 0), "dead": dead, "succeeded": state.get("succeeded") or None,
                "failed": state.get("failed") or None, "failures": state.get("failures", 0),
                "error": state.get("error", "") if state.get("failures") else "",
            })  # fmt: skip
    return found


def listed(
    engine: Engine,
    channel: str = "",
    status: str = "",
    alert: str = "",
    limit: int = 100,
    offset: int = 0,
    message: str = "",
) -> list[dict[str, Any]]:
    """Return receipts, the newest first."""
    columns = deliveries.c
    fits = _that_fit(channel, status, alert, message)
    query = select(deliveries).where(*fits).order_by(columns.created.desc(), columns.id).limit(limit).offset(offset)
    with engine.connect().execution_options(read_only=True) as connection:
        return [_plain(row) for row in connection.execute(query).mappings()]


def counted(engine: Engine, channel: str = "", status: str = "", alert: str = "", message: str = "") -> int:
    """Return how many receipts fit."""
    query = select(func.count()).select_from(deliveries).where(*_that_fit(channel, status, alert, message))
    with engine.connect().execution_options(read_only=True) as connection:
        return connection.scalar(query) or 0


def _that_fit(channel: str, status: str, alert: str, message: str) -> list[ColumnElement[bool]]:
    columns = deliveries.c
    asked = ((columns.channel, channel), (columns.status, status), (columns.alert, alert), (columns.id, message))
    return [column == value for column, value in asked if value]


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a row whose names are plain texts: SQLAlchemy's own kind of text is no key of JSON."""
    return {str(name): value for name, value in row.items()}


def resend(
    engine: Engine, names: Sequence[str], ids: Sequence[str], every: bool, channel: str, who: str, address: str
) -> int:
    """Let messages be sent again under their own id: those named, or all that are dead; return how many.

    `names` are the channels of the settings: what was for another one stays as it is.

    Raises:
        HaidangError: one of them is not there, has not ended yet, or is for a channel that is no more.
    """
    columns, now = deliveries.c, time.time()
    with engine.begin() as connection:
        if every:
            chosen = _dead(connection, channel, columns.channel.in_(names))
        else:
            rows = [_named(connection, identifier) for identifier in ids]
            for row in rows:
                if row.status in (WAITING, JOINED):
                    raise HaidangError("delivery.waits_already", id=row.id)
                if row.channel not in names:
                    raise HaidangError("delivery.of_gone_channel", id=row.id, channel=row.channel)
            chosen = list(dict.fromkeys(row.digest or row.id for row in rows))
        again = {"status": WAITING, "due": now, "planned": now, "attempts": 0, "ended": 0.0}
        _change(connection, chosen, again, {"status": JOINED, "ended": 0.0})
        if chosen:
            told = {"count": len(chosen), "messages": chosen[:100], "channel": channel}
            audit(connection, who, address, "messages_resent", **told)
    return len(chosen)


def drop(
    engine: Engine, names: Sequence[str], ids: Sequence[str], every: bool, channel: str, who: str, address: str
) -> int:
    """Give messages up: those named, or all that are dead, and all that wait for channels that are no more; return how
    many. `names` are the channels of the settings.

    Raises:
        HaidangError: one of them is not there, or is neither.
    """
    columns = deliveries.c
    with engine.begin() as connection:
        if every:
            waits = and_(columns.status == WAITING, columns.channel.not_in(names))
            chosen = _dead(connection, channel, or_(columns.status == DEAD, waits), (DEAD, WAITING))
        else:
            rows = [_named(connection, identifier) for identifier in ids]
            for row in rows:
                if row.status != DEAD and (row.channel in names or row.status not in (WAITING, JOINED)):
                    raise HaidangError("delivery.not_dead", id=row.id, status=row.status)
            chosen = list(dict.fromkeys(row.digest or row.id for row in rows))
        ended = {"status": DROPPED, "ended": time.time()}
        _change(connection, chosen, ended, ended)
        if chosen:
            told = {"count": len(chosen), "messages": chosen[:100], "channel": channel}
            audit(connection, who, address, "messages_dropped", **told)
    return len(chosen)


def known_channels(engine: Engine, names: Sequence[str]) -> list[str]:
    """Return the channels of the settings, then those that are no more but have messages."""
    with engine.connect().execution_options(read_only=True) as connection:
        return [*names, *sorted(set(connection.scalars(select(deliveries.c.channel).distinct())) - set(names))]


def _dead(
    connection: Connection, channel: str, fits: ColumnElement[bool], statuses: Sequence[str] = (DEAD,)
) -> list[str]:
    columns = deliveries.c
    of_it = [columns.channel == channel] if channel else []
    query = select(columns.id).where(columns.status.in_(statuses), columns.digest == "", fits, *of_it)
    return list(connection.scalars(query))


def _named(connection: Connection, identifier: str) -> Any:
    row = connection.execute(select(deliveries).where(deliveries.c.id == identifier)).first()
    if row is None:
        raise HaidangError("delivery.no_message", id=identifier[:100])
    return row


def _change(connection: Connection, ids: Sequence[str], values: dict[str, Any], of_parts: dict[str, Any]) -> None:
    """Change messages, and the parts of those that are digests."""
    for start in range(0, len(ids), _PART):
        part = ids[start : start + _PART]
        connection.execute(update(deliveries).where(deliveries.c.id.in_(part)).values(values))
        connection.execute(update(deliveries).where(deliveries.c.digest.in_(part)).values(of_parts))


def drop_of_others(connection: Connection, names: Sequence[str], before: float, why: str) -> None:
    """Wait no longer for channels that are in the settings no more, with messages of before a moment."""
    columns = deliveries.c
    left = (columns.channel.not_in(names), columns.status.in_((WAITING, JOINED, DEAD)), columns.created < before)
    connection.execute(update(deliveries).where(*left).values(status=DROPPED, ended=time.time(), answer=why))


def forget_old(connection: Connection, now: float, keep_seconds: float) -> None:
    """Delete receipts that have ended long ago; what was never sent stays."""
    ended = deliveries.c.status.in_((SENT, DROPPED))
    connection.execute(delete(deliveries).where(ended, deliveries.c.created < now - keep_seconds))


def put(connection: Connection, row: Mapping[str, Any]) -> None:
    """Put down a message that is about no alert; one that is there already changes nothing."""
    insert_new(connection, deliveries, [dict(row)], key=["id"])
