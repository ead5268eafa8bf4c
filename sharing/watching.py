"""The watch over sharing: profiles and messages enter, alerts of our own leave on what does not reach its receiver."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import Connection, func, select

from pipeline.event import Event
from pipeline.own_alerts import told_alert
from pipeline.settings import Settings
from pipeline.state.tables import share_messages, share_profiles
from sharing import EXPIRED, HELD, QUEUED, REFUSED
from sharing.book import is_confirmed
from sharing.keys import certificate_of
from sharing.profile import Fault, Named

#: A message that waits longer than this to be taken is an alert, in seconds.
_WAITING_SECONDS = 3600.0
#: So is one that waits longer for people, in seconds: notices have terms.
_HELD_SECONDS = 4 * 3600.0
#: Messages that ended within this time are told of, in seconds.
_ENDED_SECONDS = 86_400.0
#: A profile that cannot be used is an alert when nobody has changed it for so long, in seconds.
_EDITED_SECONDS = 900.0
#: A certificate that ends in less is an alert, in seconds: a new one takes weeks.
_ENDS_SECONDS = 30 * 86_400.0


def judge(
    connection: Connection, settings: Settings, good: Sequence[Named], bad: Sequence[Fault], now: float
) -> list[Event]:
    """Return alerts on profiles that cannot be used and messages that are refused, late, or wait for people.

    The same trouble is the same alert.
    """
    observer = settings.observer
    found = [
        told_alert("sharing.profile_refused", fault.name, fault.faults[0], observer, "high", name=fault.name,
                   fault=fault.faults[0])
        for fault in bad
        if now - _changed(fault.file) > _EDITED_SECONDS  # else somebody is filling it in
    ]  # fmt: skip
    rows = {row.name: row for row in connection.execute(select(share_profiles))}
    for named in good:
        if not named.profile.active:
            continue
        if (row := rows.get(named.name)) is not None and row.confirmed and not is_confirmed(row, named):
            told = {"profile": named.name, "who": row.confirmed_by}
            found.append(told_alert("sharing.changed", named.name, named.digest, observer, "high", **told))
        found += _of_messages(connection, named.name, observer, now)
        found += _of_certificate(named, observer, now)
    return found


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def _of_messages(connection: Connection, profile: str, observer: str, now: float) -> Iterator[Event]:
    columns = share_messages.c
    of_it = columns.profile == profile
    for row in connection.execute(
        select(columns.number, columns.status, columns.answer).where(
            of_it, columns.status.in_((REFUSED, EXPIRED)), columns.ended > now - _ENDED_SECONDS
        )
    ):
        told = {"profile": profile, "number": row.number, "answer": row.answer[:300] or "-"}
        yield told_alert(f"sharing.message_{row.status}", profile, str(row.number), observer, "high", **told)
    for status, seconds in ((QUEUED, _WAITING_SECONDS), (HELD, _HELD_SECONDS)):
        late = (of_it, columns.status == status, columns.created < now - seconds)
        count, oldest = connection.execute(select(func.count(), func.min(columns.number)).where(*late)).one()
        if count:
            answer = connection.scalar(select(columns.answer).where(columns.number == oldest))
            told = {"profile": profile, "count": count, "number": oldest, "answer": (answer or "-")[:300]}
            yield told_alert(f"sharing.message_{status}", profile, str(oldest), observer, "high", **told)


def _of_certificate(named: Named, observer: str, now: float) -> Iterator[Event]:
    if named.profile.signing.certificate is None:
        return
    try:
        ends = certificate_of(named.profile.signing).not_valid_after_utc
    except Exception as error:  # whatever is wrong with it: people must know
        day = time.strftime("%Y-%m-%d", time.localtime(now))
        told = {"profile": named.name, "fault": str(error)}
        yield told_alert("sharing.certificate_bad", named.name, day, observer, "high", **told)
        return
    if ends.timestamp() - now < _ENDS_SECONDS:
        told = {"profile": named.name, "date": f"{ends:%d/%m/%Y}"}
        yield told_alert("sharing.certificate_ends", named.name, str(ends), observer, "medium", **told)
