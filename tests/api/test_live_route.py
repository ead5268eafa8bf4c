"""Live changes over a socket: the first marks at once, another with a change, an end with the session or the server."""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from sites import Site, day, serving
from sqlalchemy import select, update
from test_serve import _start

from api import live
from pipeline import bus
from pipeline.identity import users
from pipeline.settings import State
from pipeline.state import open_state
from pipeline.state.positions import save
from pipeline.state.tables import sessions, stages
from tests.conftest import eventually


@pytest.fixture(params=["sqlite", "postgresql"])
def watched(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site on each kind of state, that looks often."""
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(live, "CHECK_SECONDS", 0.1)
    url = request.getfixturevalue("postgres").new_database() if request.param == "postgresql" else ""
    with serving(tmp_path / "site", day, state=State(url=url)) as made:
        yield made


class Follower:
    """Somebody who follows the changes, in a thread of its own; `told` has what came, `over` that it ended."""

    def __init__(self, site: Site, secret: str) -> None:
        self.told: list[dict[str, str]] = []
        self.over = threading.Event()
        self._site, self._secret = site, secret
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        with self._site.client(self._secret) as client, client.stream("GET", "/api/v1/live") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            kinds = []
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    kinds.append(value)
                elif name == "data":
                    assert kinds.pop() == "changed"
                    self.told.append(json.loads(value))
        self.over.set()


def test_a_change_is_told_and_nothing_else(watched: Site) -> None:
    follower = Follower(watched, watched.token("follows", "lead"))
    eventually(lambda: follower.told)
    assert set(follower.told[0]) == {"queue", "cases", "health", "events", "deliveries", "sharing"}
    with watched.engine.begin() as connection:
        save(connection, "store", bus.EVENTS, {0: 1_000_000})
    eventually(lambda: len(follower.told) > 1)
    before, after = follower.told
    assert {name for name in after if after[name] != before[name]} == {"events"}


def test_a_stream_tells_of_what_one_may_read_alone(watched: Site) -> None:
    auditor, viewer = (Follower(watched, watched.token(f"of-{role}", role)) for role in ("auditor", "viewer"))
    eventually(lambda: auditor.told and viewer.told)
    assert set(auditor.told[0]) == {"health"}
    assert set(viewer.told[0]) == {"queue", "cases", "health", "events"}


def test_it_ends_with_the_session_and_with_other_rights_and_keeps_none_open(watched: Site) -> None:
    for name in ("an", "binh"):
        watched.user(name)
    secrets = {name: watched.log_in(name) for name in ("an", "binh")}
    long_ago = time.time() - 1800
    with watched.engine.begin() as connection:
        connection.execute(update(sessions).values(seen=long_ago))
    followers = {name: Follower(watched, secret) for name, secret in secrets.items()}
    eventually(lambda: all(each.told for each in followers.values()))
    time.sleep(0.5)  # some looks
    with watched.engine.begin() as connection:
        assert set(connection.scalars(select(sessions.c.seen))) == {long_ago}
        users.set_role(connection, "binh", "analyst")
    assert followers["binh"].over.wait(60)
    assert not followers["an"].over.is_set()
    with watched.client(secrets["an"]) as client:
        assert client.post("/api/v1/logout").status_code == 200
    assert followers["an"].over.wait(60)


def test_so_many_streams_and_no_more_and_a_place_comes_free(watched: Site) -> None:
    secret = watched.token("many", "viewer")
    with watched.client(secret) as client, ExitStack() as held:
        for _ in range(live.MOST_OF_ONE):
            assert held.enter_context(client.stream("GET", "/api/v1/live")).status_code == 200
        refused = client.get("/api/v1/live")
        assert (refused.status_code, "at most 8" in refused.json()["detail"]) == (429, True)
        with watched.client(watched.token("other", "viewer")) as other, other.stream("GET", "/api/v1/live") as answer:
            assert answer.status_code == 200
        held.close()

        def again() -> bool:
            with client.stream("GET", "/api/v1/live") as answer:
                return answer.status_code == 200

        eventually(again)


def test_nobody_who_is_not_logged_in_follows(site: Site) -> None:
    with site.client() as client:
        assert client.get("/api/v1/live").status_code == 401


def test_the_stage_stops_though_somebody_follows(tmp_path: Path) -> None:
    with _start(tmp_path, 0) as process:
        try:
            _stop_while_followed(tmp_path, process)
        finally:
            process.kill()


def _stop_while_followed(folder: Path, process: "subprocess.Popen[str]") -> None:
    engine = open_state(folder)

    def detail() -> Any:
        with engine.connect().execution_options(read_only=True) as connection:
            return (connection.scalar(select(stages.c.detail).where(stages.c.stage == "api")) or {}).get("address")

    address = eventually(detail, 30)
    from pipeline import access

    with engine.begin() as connection:
        secret = access.create_token(connection, "follows", access.API, "viewer")
    engine.dispose()
    headers = {"Authorization": f"Bearer {secret}"}
    with httpx.stream("GET", f"{address}/api/v1/live", headers=headers, timeout=30) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "event: changed"
        process.send_signal(signal.SIGTERM)
        list(lines)  # ends, and whole: else httpx raises
    assert process.wait(60) == 0
