"""Marks of what changes: another one for each change of a part, the same for all others; on both states."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, update

from pipeline import bus
from pipeline.marks import look
from pipeline.settings import Settings, State
from pipeline.state import open_state
from pipeline.state.positions import save
from pipeline.state.tables import cases, channels, deliveries, group_history, share_messages, share_profiles, stages

_STAGE = {
    "stage": "store", "instance": "a", "pid": 1, "started": 0.0, "seen": time.time() + 3600, "backlog_events": 0,
    "detail": {"ready": True},
}  # fmt: skip
_CASE = {
    "title": "x", "status": "open", "level": "high", "tlp": "amber", "pap": "amber", "owner": "", "created": 1.0,
    "creator": "an", "detected": 1.0, "reportable": False, "verdict": "", "summary": "", "changed": 1.0,
}  # fmt: skip
_CHANNEL = {
    "name": "mail", "sent": 1, "succeeded": 1.0, "failed": 0.0, "failures": 0, "error": "", "paused_until": 0.0,
    "heartbeat": "",
}  # fmt: skip
_HISTORY = {
    "group_id": "g", "time": 1.0, "who": "an", "address": "", "action": "acknowledged", "rule_id": "r", "alerts": 1,
    "note": "",
}  # fmt: skip
_MESSAGE = {
    "id": "m", "channel": "mail", "kind": "alert", "status": "waiting", "level": "high", "alert": "", "thread": "",
    "digest": "", "route": "", "body": {}, "created": 5.0, "due": 5.0, "planned": 5.0, "attempts": 0, "tried": 0.0,
    "ended": 0.0, "answer": "",
}  # fmt: skip
_RECEIVER = {
    "name": "bo", "confirmed": "", "confirmed_by": "", "confirmed_at": 0.0, "pseudonym_key": b"k", "began": 1.0,
    "built_until": 1.0, "sent": 0, "succeeded": 0.0, "failed": 0.0, "failures": 0, "error": "", "position": "",
}  # fmt: skip
_SHARED = {
    "number": 1, "profile": "bo", "kind": "statistics", "key": "1", "status": "held", "since": 1.0, "until": 2.0,
    "facts": [], "content": b"x", "signed": b"", "digest": "", "approvals": [], "needed": 1, "created": 2.0,
    "queued": 0.0, "due": 2.0, "planned": 2.0, "attempts": 0, "tried": 0.0, "ended": 0.0, "code": 0, "answer": "", "receipt": {},
}  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """A site on each kind of state."""
    url = request.getfixturevalue("postgres").new_database() if request.param == "postgresql" else ""
    return Settings(data_dir=tmp_path, state=State(url=url))


@pytest.fixture
def state(settings: Settings) -> Iterator[Engine]:
    """Its state, with one of each."""
    engine = open_state(settings.data_dir, settings.state)
    with engine.begin() as connection:
        connection.execute(stages.insert(), _STAGE)
        connection.execute(cases.insert(), _CASE)
        connection.execute(channels.insert(), _CHANNEL)
        connection.execute(share_profiles.insert(), _RECEIVER)
        connection.execute(share_messages.insert(), _SHARED)
    yield engine
    engine.dispose()


#: What is done, and the parts whose marks are others then.
_CHANGES: list[tuple[str, Callable[[Connection], Any], set[str]]] = [
    ("alerts come", lambda c: save(c, "response", bus.ALERTS, {0: 7}), {"queue"}),
    ("somebody takes one", lambda c: c.execute(group_history.insert(), _HISTORY), {"queue"}),
    ("a case is opened", lambda c: c.execute(cases.insert(), _CASE), {"cases"}),
    ("a case is closed", lambda c: c.execute(update(cases).values(status="closed", changed=2.0)), {"cases"}),
    ("events come", lambda c: save(c, "store", bus.EVENTS, {0: 7}), {"events"}),
    ("a message is decided", lambda c: c.execute(deliveries.insert(), _MESSAGE), {"deliveries"}),
    ("one is sent", lambda c: c.execute(update(channels).values(sent=2, succeeded=2.0)), {"deliveries"}),
    ("a channel fails", lambda c: c.execute(update(channels).values(failures=1, failed=2.0)), {"deliveries", "health"}),
    (
        "a message is shared",
        lambda c: c.execute(share_messages.insert(), {**_SHARED, "number": 2, "key": "2"}),
        {"sharing"},
    ),
    ("people agree to one", lambda c: c.execute(update(share_messages).values(status="approved")), {"sharing"}),
    ("a receiver is confirmed", lambda c: c.execute(update(share_profiles).values(confirmed="x")), {"sharing"}),
    ("a stage waits", lambda c: c.execute(update(stages).values(detail={"ready": False, "waits": "x"})), {"health"}),
    ("a stage is silent", lambda c: c.execute(update(stages).values(seen=1.0)), {"health"}),
    ("a stage lives on", lambda c: c.execute(update(stages).values(seen=time.time() + 7200, backlog_events=9)), set()),
    ("detectors read", lambda c: save(c, "detectors", bus.EVENTS, {0: 7}), set()),
]


@pytest.mark.parametrize(("change", "parts"), [each[1:] for each in _CHANGES], ids=[each[0] for each in _CHANGES])
def test_a_change_gives_its_part_another_mark_and_no_other(
    settings: Settings, state: Engine, change: Callable[[Connection], Any], parts: set[str]
) -> None:
    before = look(state, settings)
    assert look(state, settings) == before
    with state.begin() as connection:
        change(connection)
    after = look(state, settings)
    assert {name for name in after if after[name] != before[name]} == parts
    assert set(after) == {"queue", "cases", "health", "events", "deliveries", "sharing"}
