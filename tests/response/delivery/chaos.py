"""Random kills of the stage that delivers: kills to make enter, a count of what was lost or came under two ids leaves.

Alerts enter all the while; an HTTPS receiver takes messages and then says nothing, answers with faults, and is away for
a while; a mail server and a program take the same alerts. `make chaosdelivery` makes 50 kills.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine, func, select

from pipeline.delivery import SENT
from pipeline.delivery.routing import Routing
from pipeline.settings import Settings, load_settings
from pipeline.state import open_state
from pipeline.state.tables import deliveries, stages
from response import queue
from tests.conftest import eventually
from tests.response.delivery.conftest import alert
from tests.services.mailbox import Mailbox, mailbox
from tests.services.receiver import Handler, Receiver, Request, receiving

_SETTINGS = """
language = "en"
observer = "may-thu"
sources = []
[[channels]]
name = "hook"
kind = "webhook"
url = "{url}"
ca = "{ca}"
allow_private = ["127.0.0.0/8", "::1/128"]
timeout_seconds = 1
[[channels]]
name = "mail"
kind = "email"
host = "127.0.0.1"
port = {mail}
security = "none"
sender = "a@example.vn"
to = ["b@example.vn"]
digest_over = 0
[[channels]]
name = "program"
kind = "script"
program = "keep.sh"
at_once = 4
[[routes]]
channels = ["hook", "mail", "program"]
each = "alert"
{state}
"""
#: Alerts that enter a second, and how many enter together.
_RATE, _TOGETHER = 40, 4
#: The share of kills that meet the stage at its work, and not at its start.
_AT_WORK = 0.8
_START_SECONDS, _END_SECONDS = 60.0, 240.0


@dataclass
class Result:
    """What was found in the end: of each channel, messages that never came and how often one came again."""

    alerts: int = 0
    kills: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    repeats: dict[str, int] = field(default_factory=dict)
    #: Alerts that came under more than one id.
    doubled: int = 0
    not_sent: int = 0

    @property
    def good(self) -> bool:
        """Whether nothing was lost, and nothing came under two ids."""
        return not any(self.lost.values()) and not self.doubled and not self.not_sent


def _moody(chance: random.Random) -> object:
    """Return what answers as a bad receiver does: it takes a message and says nothing, or says that it cannot."""

    def answer(handler: Handler, request: Request) -> None:
        mood = chance.random()
        if mood < 0.005:
            time.sleep(2)
        elif mood < 0.015:
            handler.say(503)
        elif mood < 0.02:
            handler.close_connection = True
        else:
            handler.say(204)

    return answer


def chaos(folder: Path, kills: int, seed: int, state: str = "", disturb: Callable[[], None] = lambda: None) -> Result:
    """Kill the stage so many times while alerts enter; wait until all is sent, and count.

    `disturb` is called in the end, while the stage runs and no alert enters any more.
    """
    chance = random.Random(seed)
    result, ended = Result(kills=kills), threading.Event()
    with ExitStack() as stack:
        receiver = stack.enter_context(receiving(folder / "receiver"))
        receiver.usual = _moody(chance)  # type: ignore[assignment]
        (folder / "mail").mkdir()
        box = stack.enter_context(mailbox(folder / "mail", "none"))
        settings = _site(folder / "site", receiver, box, state)
        engine = open_state(settings.data_dir, settings.state)
        stack.callback(engine.dispose)
        routing = Routing(settings)

        def enter() -> None:
            while not ended.wait(_TOGETHER / _RATE):
                rows = [queue.row(alert(result.alerts + number), "syslog") for number in range(_TOGETHER)]
                with engine.begin() as connection:
                    queue.save(connection, rows, settings.queue, "may-thu", routing)
                result.alerts += _TOGETHER

        entering = threading.Thread(target=enter)
        entering.start()
        try:
            for _ in range(kills):
                with _stage(settings.data_dir) as process:
                    if chance.random() < _AT_WORK:
                        eventually(lambda pid=process.pid: _is_ready(engine, pid), _START_SECONDS, 0.02)  # type: ignore[misc]
                    time.sleep(chance.uniform(0, 1.0))
                    process.send_signal(signal.SIGKILL)
        finally:
            ended.set()
            entering.join()
        with _stage(settings.data_dir) as process:
            # a stage that ends because its state is away while it starts is for the supervisor to start again
            eventually(lambda: _is_ready(engine, process.pid), _START_SECONDS)
            time.sleep(chance.uniform(0, 1.0))
            disturb()
            _wait_for_end(process, engine)
            result.not_sent = _left(engine)
        _count(result, settings, receiver, box)
    return result


def _wait_for_end(process: "subprocess.Popen[bytes]", engine: Engine) -> None:
    """Wait until all is sent; fail with what is left, and let the stage say where each of its threads is."""
    try:
        eventually(lambda: process.poll() is not None or not _left(engine), _END_SECONDS, 0.3)
    except AssertionError as error:
        process.send_signal(signal.SIGABRT)
        columns = deliveries.c
        which = (columns.channel, columns.kind, columns.status, columns.attempts, columns.answer)
        with engine.connect() as connection:
            left = connection.execute(select(*which, func.count()).where(columns.status != SENT).group_by(*which)).all()
        raise AssertionError(f"left after {_END_SECONDS} s: {left[:10]}") from error
    assert process.poll() is None, f"the stage ended by itself with {process.returncode}"


def _left(engine: Engine) -> int:
    with engine.connect() as connection:
        query = select(func.count()).select_from(deliveries).where(deliveries.c.status != SENT)
        return connection.scalar(query) or 0


def _is_ready(engine: Engine, pid: int) -> bool:
    with engine.connect() as connection:
        detail = connection.scalar(select(stages.c.detail).where(stages.c.stage == "delivery", stages.c.pid == pid))
    return bool(detail and detail.get("ready"))


def _count(result: Result, settings: Settings, receiver: Receiver, box: Mailbox) -> None:
    engine = open_state(settings.data_dir, settings.state)
    with engine.connect() as connection:
        rows = connection.execute(select(deliveries.c.channel, deliveries.c.id, deliveries.c.alert)).all()
    engine.dispose()
    by_hook = [(request.id, request.document["subject"]) for request in receiver.requests]
    kept = (settings.data_dir / "kept").read_text().split()
    came = {
        "hook": Counter(identifier for identifier, _ in by_hook),
        "mail": Counter(mail["Message-ID"].strip("<>").partition("@")[0] for _, mail in box.mails),
        "program": Counter(kept),
    }
    for channel, counted in came.items():
        wanted = {row.id for row in rows if row.channel == channel}
        assert set(counted) <= wanted, f"{channel}: ids that nobody made"
        result.lost[channel] = result.alerts - len(set(counted))
        result.repeats[channel] = sum(counted.values()) - len(counted)
    result.doubled = len(set(by_hook)) - len({subject for _, subject in by_hook})


def _site(folder: Path, receiver: Receiver, box: Mailbox, state: str) -> Settings:
    (folder / "scripts").mkdir(parents=True)
    program = folder / "scripts" / "keep.sh"
    program.write_text(f'#!/bin/sh\necho "$MESSAGE_ID" >> {folder}/kept\n')
    program.chmod(0o755)
    more = f'[state]\nurl = "{state}"' if state else ""
    text = _SETTINGS.format(url=receiver.url, ca=receiver.ca, mail=box.port, state=more)
    (folder / "haidang.toml").write_text(text)
    os.environ["HAIDANG_DATA_DIR"] = str(folder)
    return load_settings()


@contextmanager
def _stage(data_dir: Path) -> Iterator["subprocess.Popen[bytes]"]:
    environment = {**os.environ, "HAIDANG_DATA_DIR": str(data_dir)}
    process = subprocess.Popen([sys.executable, "-X", "faulthandler", "-m", "response.delivery"], env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def main() -> int:
    """Print what was found; 1 where something was lost."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(f"seed {chosen.seed}", flush=True)
        result = chaos(Path(folder), chosen.kills, chosen.seed)
    print(result)
    return 0 if result.good else 1


if __name__ == "__main__":
    sys.exit(main())
