"""Real programs of the folder of scripts: what they get, what becomes of what they answer, and what they cannot do."""

import os
import pwd
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipeline.delivery import DEAD, SENT, WAITING
from tests.conftest import eventually, need
from tests.response.delivery.conftest import Corridor, alert


@pytest.fixture
def site(corridor: Callable[..., Corridor]) -> Callable[..., Corridor]:
    """What makes a corridor with one program, which is this text."""

    def make(text: str, folder: Path | None = None, **channel: Any) -> Corridor:
        base = {"name": "program", "kind": "script", "program": "run.sh"}
        made = corridor(folder, channels=[{**base, **channel}], routes=[{"channels": ["program"]}])
        program(made, text)
        return made

    return make


def program(made: Corridor, text: str, name: str = "run.sh") -> Path:
    """Put a program into the folder of scripts."""
    folder = made.settings.data_dir / "scripts"
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(text)
    file.chmod(0o755)
    return file


@pytest.fixture(autouse=True)
def _open_folders() -> Iterator[None]:
    """A command that ran in this process closes what is made after it to others (`umask`); other users run these."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_a_program_gets_the_alert_as_json_and_its_words_are_kept(site: Callable[..., Corridor], tmp_path: Path) -> None:
    made = site(f'#!/bin/sh\ncat > {tmp_path}/got; echo "ticket $MESSAGE_LEVEL"; echo more >&2; env > {tmp_path}/env\n')
    made.raise_alerts(alert(1, **{"user.name": "$(touch /tmp/x); `id`\n--help"}))
    made.run()
    (sent,) = made.ended()
    assert (sent["status"], sent["answer"]) == (SENT, "exit status 0. ticket high more")
    told = orjson.loads((tmp_path / "got").read_bytes())
    assert (told["id"], told["kind"], told["level"]) == (sent["id"], "alert", "high")
    assert told["alert"]["user.name"] == "$(touch /tmp/x); `id`\n--help"
    names = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert "MESSAGE_ID" in names
    assert not names & {"HAIDANG_DATA_DIR", "VIRTUAL_ENV", "USER"}


@pytest.mark.parametrize(("status", "becomes"), [(65, DEAD), (75, WAITING), (1, WAITING), ("0; kill -9 $$", WAITING)])
def test_the_exit_status_says_what_becomes_of_the_message(
    site: Callable[..., Corridor], status: Any, becomes: str
) -> None:
    made = site(f"#!/bin/sh\nexec 2>&1\necho no\n{'kill -9 $$' if isinstance(status, str) else f'exit {status}'}\n")
    made.raise_alerts(alert(1))
    made.run()
    (found,) = made.tried()
    assert found["status"] == becomes
    assert "no" in found["answer"]


def test_one_that_fails_costs_no_other(site: Callable[..., Corridor]) -> None:
    first = alert(1)["event.id"]
    made = site(f"#!/bin/sh\ngrep -q {first} && exit 1\nexit 0\n")
    made.raise_alerts(*(alert(number) for number in range(6)))
    made.run()
    eventually(lambda: len(made.receipts(status=SENT)) == 5)
    assert [each["alert"] for each in made.receipts(status=WAITING)] == [first]


def test_what_sleeps_is_killed_with_all_that_it_has_started(site: Callable[..., Corridor], tmp_path: Path) -> None:
    made = site(
        f"#!/bin/sh\nsleep 301 & echo $! > {tmp_path}/child\nsetsid sleep 302 & echo $! > {tmp_path}/away\nsleep 303\n",
        timeout_seconds=1,
    )
    made.raise_alerts(alert(1))
    made.run()
    (waits,) = made.tried()
    assert "longer than 1.0 seconds" in waits["answer"]
    for name in ("child", "away"):
        place = Path("/proc") / (tmp_path / name).read_text().strip()
        eventually(lambda place=place: not place.exists() or "Z" in (place / "stat").read_text().split())  # type: ignore[misc]


def test_what_eats_memory_ends(site: Callable[..., Corridor]) -> None:
    made = site("#!/usr/bin/env python3\nx = []\nwhile True: x.append(bytearray(10_000_000))\n", memory_mb=100)
    made.raise_alerts(alert(1))
    made.run()
    (waits,) = made.tried()
    assert waits["status"] == WAITING
    assert "MemoryError" in waits["answer"]


def test_what_writes_without_end_is_neither_kept_nor_waited_for(site: Callable[..., Corridor]) -> None:
    made = site("#!/bin/sh\nyes $(printf '\\033[31m%0100d' 1)\n", timeout_seconds=1)
    made.raise_alerts(alert(1))
    started = time.monotonic()
    made.run()
    (waits,) = made.tried()
    assert time.monotonic() - started < 20
    assert len(waits["answer"]) < 2200
    assert "\x1b" not in waits["answer"]


def test_what_forks_without_end_is_bounded(site: Callable[..., Corridor], services: Path) -> None:
    if os.geteuid() == 0:
        need("nobody" in {each.pw_name for each in pwd.getpwall()}, "the user nobody")
    user = "nobody" if os.geteuid() == 0 else ""
    made = site(
        "#!/bin/sh\ni=0\nwhile [ $i -lt 400 ]; do sleep 20 & i=$((i+1)); done\necho survived\n",
        services / "forking", user=user, processes=30, timeout_seconds=5,
    )  # fmt: skip
    made.settings.data_dir.chmod(0o755)
    made.raise_alerts(alert(1))
    made.run()
    (waits,) = made.tried()
    assert waits["status"] == WAITING
    assert "survived" not in waits["answer"]


def test_it_runs_as_another_user_where_we_are_root(site: Callable[..., Corridor], services: Path) -> None:
    need(os.geteuid() == 0, "the right to become another user (root)")
    made = site("#!/bin/sh\nid -un; id -gn; cat /etc/shadow\n", services / "another", user="nobody", processes=5000)
    made.settings.data_dir.chmod(0o755)
    made.raise_alerts(alert(1))
    made.run()
    (found,) = made.tried()
    assert "nobody nogroup" in found["answer"]
    assert "denied" in found["answer"]


def _link_out(file: Path) -> None:
    file.unlink()
    file.symlink_to("/bin/true")


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (_link_out, "leads out of the folder"),
        (lambda file: file.chmod(0o777), "nobody else can change"),
        (lambda file: file.chmod(0o644), "nobody else can change"),
        (lambda file: file.unlink(), "No such file"),
        (lambda file: file.write_text("no interpreter"), "Exec format error"),
    ],
)
def test_what_is_no_program_of_ours_is_not_run(
    site: Callable[..., Corridor], break_it: Callable[[Path], None], says: str
) -> None:
    made = site("#!/bin/sh\n")
    file = made.settings.data_dir / "scripts" / "run.sh"
    break_it(file)
    made.raise_alerts(alert(1))
    made.run()
    (waits,) = made.tried()
    assert waits["status"] == WAITING
    assert says in waits["answer"]
