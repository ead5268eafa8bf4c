"""Random kills of the stage that shares: kills to make enter, a count of what was lost or came twice leaves.

Alerts enter all the while, each about another machine; the simulated authority answers well, with faults, slowly, cuts
off before and after it has taken a message, and is killed as well. `make chaossharing` makes 50 kills.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from pipeline.settings import load_settings
from pipeline.state import open_state
from response import queue
from sharing import QUEUED, book
from sharing.profile import load, shipped
from sharing.simulator import MODES, Book
from tests.conftest import eventually
from tests.sharing.conftest import c2_alert, edited, signing_key

_RATE, _TOGETHER = 20, 2
_START_SECONDS, _END_SECONDS = 30.0, 180.0


@dataclass
class Result:
    """What was found in the end; `repeats`: messages that came more than once, as the same bytes."""

    alerts: int = 0
    kills: int = 0
    messages: int = 0
    repeats: int = 0
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0

    @property
    def good(self) -> bool:
        """Whether each machine stands in the authority's book once, in the order in which it was seen."""
        return not (self.lost or self.doubled or self.out_of_order)


def chaos(folder: Path, kills: int, seed: int, port: int) -> Result:
    """Kill the stage so many times while alerts enter; wait until all is sent, and count."""
    chance, result, ended = random.Random(seed), Result(kills=kills), threading.Event()
    authority, site = folder / "authority", folder / "site"
    (authority / "registered").mkdir(parents=True)
    with ExitStack() as stack:
        receiver = _Receiver(authority, port)
        stack.callback(receiver.kill)
        receiver.start()
        _site(site, receiver)
        os.environ["HAIDANG_DATA_DIR"] = str(site)
        settings = load_settings()
        engine = open_state(site, settings.state)
        stack.callback(engine.dispose)
        named = load(site / "sharing" / "bo.toml")
        with engine.begin() as connection:
            book.known(connection, "bo", time.time())
        book.confirm(engine, named, "an", "test")

        def enter() -> None:
            while not ended.wait(_TOGETHER / _RATE):
                rows = [queue.row(c2_alert(result.alerts + number), "syslog") for number in range(_TOGETHER)]
                with engine.begin() as connection:
                    queue.save(connection, rows, settings.queue, "may-thu")
                result.alerts += _TOGETHER

        entering = threading.Thread(target=enter)
        entering.start()
        try:
            for _ in range(kills):
                receiver.behave(chance.choice(MODES), chance.randrange(1, 4))
                if chance.random() < 0.2:
                    receiver.kill()
                    receiver.start()
                with _stage(site) as process:
                    time.sleep(chance.uniform(0.5, 4.0))
                    process.send_signal(signal.SIGKILL)
        finally:
            ended.set()
            entering.join()
        receiver.behave("ok", 0)
        with _stage(site):

            def all_sent() -> bool:
                counts = book.standing(engine, ["bo"])["bo"]["messages"]
                told = {name for each in Book(authority).arrived() for name in each["machines"]}
                return not counts.get(QUEUED) and len(told) >= result.alerts

            with suppress(AssertionError):
                eventually(all_sent, _END_SECONDS, 0.5)
    return _counted(result, authority)


def _counted(result: Result, authority: Path) -> Result:
    kept = Book(authority)
    arrived = kept.arrived()
    kept.close()
    seen = [int(name.rpartition("PC-")[2]) for each in arrived for name in each["machines"]]
    times = Counter(seen)
    result.messages, result.repeats = len(arrived), sum(each["times"] > 1 for each in arrived)
    result.lost = sum(number not in times for number in range(result.alerts))
    result.doubled = sum(count > 1 for count in times.values())
    firsts = [max(int(name.rpartition("PC-")[2]) for name in each["machines"]) for each in arrived]
    result.out_of_order = sum(one > other for one, other in pairwise(firsts))
    return result


class _Receiver:
    """The simulator as its own process."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.url = folder, f"https://127.0.0.1:{port}"
        self._command = [
            sys.executable, "-c", "import sys; from pipeline.command import main; sys.exit(main())", "sharing",
            "simulator", "--folder", str(folder), "--port", str(port),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        eventually(self._answers, _START_SECONDS)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def behave(self, mode: str, count: int) -> None:
        """Answer so, this often."""
        request = urllib.request.Request(f"{self.url}/simulator/mode", f"mode={mode}&count={count}&seconds=3".encode())
        with suppress(urllib.error.HTTPError), urllib.request.urlopen(request, context=self._trusting(), timeout=10):
            pass

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/simulator/book", context=self._trusting(), timeout=2) as answer:
                return bool(json.load(answer))
        except OSError:
            return False

    def _trusting(self):  # type: ignore[no-untyped-def]
        import ssl

        return ssl.create_default_context(cafile=str(self.folder / "certificate.pem"))


def _site(folder: Path, receiver: _Receiver) -> None:
    profiles = folder / "sharing"
    certificate = signing_key(profiles)
    (receiver.folder / "registered" / "site.pem").write_bytes(certificate.read_bytes())
    (folder / "haidang.toml").write_text('language = "en"\nobserver = "may-thu"\nsources = []\n')
    changes = {
        "organ__id": "G10.22", "organ__name": "Sở Nội vụ", "endpoint__url": f"{receiver.url}/", "endpoint__timeout_seconds": 1.5,
        "endpoint__ca": str(receiver.folder / "certificate.pem"), "endpoint__allow_private": ["127.0.0.0/8"],
        "schedule__every_minutes": 0.1, "schedule__most_facts": 25, "content__pseudonyms": [],
    }  # fmt: skip
    (profiles / "bo.toml").write_text(edited(shipped()["cv2290"].read_text("utf-8"), changes), "utf-8")


@contextmanager
def _stage(data_dir: Path) -> Iterator["subprocess.Popen[bytes]"]:
    environment = {**os.environ, "HAIDANG_DATA_DIR": str(data_dir)}
    with (data_dir / "stage.out").open("ab") as out:
        process = subprocess.Popen([sys.executable, "-m", "sharing"], env=environment, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def main() -> int:
    """Kill as often as the command line says; 1 where something was lost or came twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--port", type=int, default=8843)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = chaos(Path(folder), chosen.kills, chosen.seed, chosen.port)
    print(f"seed {chosen.seed}: {result}")
    return 0 if result.good else 1


if __name__ == "__main__":
    sys.exit(main())
