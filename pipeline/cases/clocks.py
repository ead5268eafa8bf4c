"""The law's clocks: an open case enters, when notice and report are due and how late it is leaves.

The first notice within 24 hours of the detection, cause, scope and remedy within 72 (Nghị định 331/2026/NĐ-CP,
article 31); both are settings, for terms change.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from pipeline.cases import OPEN
from pipeline.event import Event, from_micros
from pipeline.own_alerts import told_alert
from pipeline.settings import Cases
from pipeline.state.tables import cases

NOTICE, REPORT = "notice", "report"
RUNNING, SOON, LATE, DONE, DONE_LATE = "running", "soon", "late", "done", "done_late"
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Clock:
    """One term of a case; times are seconds since 1970."""

    name: str
    due: float
    done: float | None
    state: str

    def shown(self) -> dict[str, Any]:
        """Return it as answers have it."""
        return {
            "clock": self.name, "due": from_micros(round(self.due * 1e6)), "state": self.state,
            "done": from_micros(round(self.done * 1e6)) if self.done is not None else None,
        }  # fmt: skip


def clocks_of(case: Any, now: float, settings: Cases) -> list[Clock]:
    """Return the clocks of a case; none where the law does not ask for a report of it."""
    if not case.reportable:
        return []
    return [
        _clock(NOTICE, case.detected + settings.notice_hours * _HOUR, case.notified, now, settings),
        _clock(REPORT, case.detected + settings.report_hours * _HOUR, case.reported, now, settings),
    ]


def judge(connection: Connection, now: float, settings: Cases, observer: str) -> Iterator[Event]:
    """Yield the alerts on terms that are near, or over: the same one again and again, with the same id."""
    for case in connection.execute(select(cases).where(cases.c.status == OPEN, cases.c.reportable)):
        for clock in clocks_of(case, now, settings):
            if clock.state in (SOON, LATE):
                due = from_micros(round(clock.due * 1e6))
                values = {"case": case.id, "title": case.title, "due": due, "owner": case.owner}
                level = "critical" if clock.state == LATE else "high"
                occasion = f"{clock.name} {due}"
                key = f"cases.{clock.name}_{clock.state}"
                made = told_alert(key, f"#{case.id}", occasion, observer, level, **values)
                yield {**made, "alert.case": case.id}


class Late(NamedTuple):
    """How many cases are open, and of how many of them a term is over."""

    cases: int
    late: int


def late(connection: Connection, now: float, settings: Cases) -> Late:
    """Count open cases."""
    rows = connection.execute(select(cases).where(cases.c.status == OPEN)).all()
    over = [row for row in rows if any(clock.state == LATE for clock in clocks_of(row, now, settings))]
    return Late(len(rows), len(over))


def _clock(name: str, due: float, done: float | None, now: float, settings: Cases) -> Clock:
    if done is not None:
        return Clock(name, due, done, DONE if done <= due else DONE_LATE)
    if now > due:
        return Clock(name, due, None, LATE)
    return Clock(name, due, None, SOON if now > due - settings.warn_hours * _HOUR else RUNNING)
