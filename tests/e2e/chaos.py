"""Random kills under load: a seed enters, a count of what was lost or came twice leaves (`make chaos`).

Senders that are acknowledged (HTTP, files that are rotated) and one that is not (TCP) send numbered events, some of them
attacks. Meanwhile processes of the pipeline, its supervisor among them, are killed at random moments. With `--services`
all runs on a real Kafka, Elasticsearch and PostgreSQL in a network namespace of its own; each of the three is killed and
away for a while, and then each is cut off, with its packets going nowhere.

In the end: every acknowledged event is found once, none twice, each attack has made each of its alerts once, the ledger
adds up, and there is no dead letter.
"""

import argparse
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.conftest import eventually, free_port
from tests.e2e.conftest import Site, is_ours

_SOURCES = """
[[sources]]
name = "load"
kind = "http"
host = "127.0.0.1"
port = {http}
[[sources]]
name = "stream"
kind = "syslog"
host = "127.0.0.1"
tcp_port = {tcp}
[[sources]]
name = "logs"
kind = "files"
paths = ["{folder}/*.log"]
poll_seconds = 0.2
"""
#: Events of one search; numbers are looked up in parts of this size.
_PART = 5_000
#: Lines after which a file is rotated, and requests after which a file has one more attack.
_ROTATE = 4_000
_ATTACK_EVERY = 40
_LONGEST_PAUSE = 2.0
#: Of so many kills one meets the supervisor.
_SUPERVISOR = 7


class Load(threading.Thread):
    """One sender. `certain` numbers have been acknowledged; `sent` are all that may be there."""

    word = ""

    def __init__(self, rate: int) -> None:
        super().__init__(daemon=True)
        self._rate = rate
        self._enough = threading.Event()
        self.certain = self.sent = 0

    def end(self) -> None:
        """Bring what is under way to its end, and send no more."""
        self._enough.set()
        self.join(120)
        assert not self.is_alive(), f"{self.word} could not send on: is the pipeline up?"

    def _messages(self, count: int) -> list[str]:
        return [f"{self.word} part{n // _PART} n{n}" for n in range(self.sent, self.sent + count)]

    def _pause(self, count: int) -> None:
        time.sleep(count / self._rate)


class HttpLoad(Load):
    """Posts batches; one that was not acknowledged is posted again as it is."""

    word = "chaoshttp"

    def __init__(self, port: int, token: str, rate: int) -> None:
        super().__init__(rate)
        self._port, self._token = port, token

    def run(self) -> None:
        while not self._enough.is_set():
            events = [{"@timestamp": _now(), "message": text} for text in self._messages(100)]
            self.sent += len(events)
            body = "\n".join(json.dumps(event) for event in events)
            while not self._post(body):
                time.sleep(0.2)
            self.certain = self.sent
            self._pause(len(events))

    def _post(self, body: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=90)
        try:
            connection.request("POST", "/v1/events", body, {"Authorization": f"Bearer {self._token}"})
            return connection.getresponse().status < 300
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class FileLoad(Load):
    """Writes a log that is rotated, and now and then a log-in of root to another one."""

    word = "chaosfile"

    def __init__(self, folder: Path, rate: int) -> None:
        super().__init__(rate)
        self._folder = folder
        self.attacks = 0

    def run(self) -> None:
        batches = 0
        while not self._enough.is_set():
            texts = self._messages(20)
            with (self._folder / "app.log").open("a") as file:
                file.writelines(f"{_now()} {text}\n" for text in texts)
            self.sent = self.certain = self.sent + len(texts)
            batches += 1
            if batches % _ATTACK_EVERY == 0:
                self._attack()
            if self.sent % _ROTATE == 0:
                (self._folder / "app.log").rename(self._folder / f"app-{self.sent}.log")
            self._pause(len(texts))

    def _attack(self) -> None:
        address = f"203.0.{self.attacks // 250}.{self.attacks % 250}"
        with (self._folder / "auth.log").open("a") as file:
            file.write(f"{_now()} may sshd[7]: Accepted password for root from {address} port 5 ssh2\n")
        self.attacks += 1


class StreamLoad(Load):
    """Sends lines over TCP, which acknowledges nothing; a connection that breaks is made again."""

    word = "chaosstream"

    def __init__(self, port: int, rate: int) -> None:
        super().__init__(rate)
        self._port = port

    def run(self) -> None:
        while not self._enough.is_set():
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=90) as connection:
                while not self._enough.is_set():
                    texts = self._messages(20)
                    self.sent += len(texts)
                    connection.sendall("".join(f"<13>{text}\n" for text in texts).encode())
                    self._pause(len(texts))
            time.sleep(0.1)


@dataclass
class Report:
    """What was done, and what was found; `good` says what must be zero."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    outages: list[str] = field(default_factory=list)
    acknowledged: int = 0
    attacks: int = 0
    seconds: float = 0
    lost: int = 0
    twice: int = 0
    alerts_lost: int = 0
    alerts_twice: int = 0
    alerts_in_no_group: int = 0
    dead_letters: int = 0
    ledger: str = ""
    stored: int = 0
    alerts: int = 0
    unacknowledged_lost: int = 0

    @property
    def good(self) -> bool:
        """Whether nothing was lost and nothing came twice."""
        bad = (
            self.lost
            or self.twice
            or self.alerts_lost
            or self.alerts_twice
            or self.alerts_in_no_group
            or self.dead_letters
        )
        return not bad and self.ledger == "adds up"


class Chaos:
    """A site under load, and what is done to it."""

    def __init__(self, site: Site, folder: Path, ports: tuple[int, int], seed: int, rate: int) -> None:
        self.report = Report(seed)
        self._site = site
        self._random = random.Random(seed)
        token = site.token("chaos")
        self._files = FileLoad(folder, rate)
        self._loads: list[Load] = [HttpLoad(ports[0], token, rate), self._files, StreamLoad(ports[1], rate // 2)]

    @contextmanager
    def load(self) -> Iterator[None]:
        """Send all the while; everything is acknowledged at the end."""
        for load in self._loads:
            load.start()
        yield
        for load in self._loads:
            load.end()

    def kill(self, kills: int) -> None:
        """Kill a random process at random moments."""
        done = 0
        while done < kills:
            time.sleep(self._random.uniform(0.05, _LONGEST_PAUSE))
            if self._random.randrange(_SUPERVISOR) == 0:
                self._kill_supervisor()
                done += 1
            elif victim := self._victim():
                with suppress(ProcessLookupError):
                    os.kill(victim[1], signal.SIGKILL)
                    self.report.kills[victim[0]] += 1
                    done += 1

    def check(self) -> Report:
        """Wait until all is through, and count."""
        report = self.report
        expected = sum(load.certain for load in self._loads)
        try:
            eventually(self._is_through, 240, 2)
        except AssertionError:
            raise AssertionError(f"not through: {self._site.sources()} {self._stages()}") from None
        for load in self._loads:
            found = self._found(load)
            numbers = set(range(load.certain))
            report.lost += len(numbers - found.keys())
            report.twice += sum(count - 1 for count in found.values())
            report.stored += len(found)
            report.unacknowledged_lost += load.sent - load.certain - len(found.keys() - numbers)
        report.acknowledged, report.attacks = expected, self._files.attacks
        self._check_alerts()
        checked = self._site.run("sources", "--check", "--json", check=False)
        report.ledger = "adds up" if checked.returncode == 0 else checked.stdout
        report.dead_letters = len(self._site.run("deadletter", "list", "--json").stdout.splitlines())
        return report

    def _kill_supervisor(self) -> None:
        assert self._site.process is not None
        pids = [row["pid"] for row in self._stages().values()]
        self._site.process.kill()
        self._site.process.wait()
        self.report.kills["supervisor"] += 1
        eventually(lambda: not any(is_ours(pid, self._site.data_dir) for pid in pids), 30)
        self._launch()

    def _launch(self) -> None:
        (self._site.data_dir / "run.out").unlink(missing_ok=True)
        self._site.launch()

    def _victim(self) -> tuple[str, int] | None:
        living = [
            (name, row["pid"])
            for name, row in sorted(self._stages().items())
            if ":" not in name and is_ours(row["pid"], self._site.data_dir)
        ]
        return self._random.choice(living) if living else None

    def _stages(self) -> dict[str, dict[str, Any]]:
        try:
            return self._site.stages()
        except Exception:  # the database is away
            return {}

    def _is_through(self) -> bool:
        """Say whether all stages run and have read everything."""
        rows = self._stages()
        up = rows and all(row["detail"].get("ready") and time.time() - row["seen"] < 5 for row in rows.values())
        if not up or any(row["backlog_events"] for row in rows.values()):
            return False
        logs = Counter(
            self._site.sources().get("logs", {})
        )  # what was read again after a kill counts as stored already
        return min(logs["received"], logs["examined"], logs["stored"] + logs["already_stored"]) >= self._files.certain

    def _found(self, load: Load) -> Counter[int]:
        """How often each number is there."""
        found: Counter[int] = Counter()
        for part in range(load.sent // _PART + 1):
            events = self._site.search(f'"{load.word} part{part}"', size=2 * _PART)
            found.update(int(event["message"].rpartition(" n")[2]) for event in events)
        return found

    def _check_alerts(self) -> None:
        """Each attack makes the same alerts, once each."""
        found = Counter(
            (alert["rule.id"], alert["source.ip"])
            for alert in _json_lines(self._site.run("alerts", "--json", "--limit", "10000").stdout)
            if str(alert.get("source.ip", "")).startswith("203.0.")
        )
        rules = {rule for rule, _ in found}
        self.report.alerts = len(found)
        groups = _json_lines(self._site.run("queue", "list", "--json", "--limit", "10000").stdout)
        in_groups = sum(group["count"] for group in groups if group["rule.id"] in rules)
        self.report.alerts_in_no_group = found.total() - in_groups
        self.report.alerts_twice = sum(count - 1 for count in found.values())
        self.report.alerts_lost = max(len(rules), 1) * self._files.attacks - len(found)


def run(kills: int, seed: int, rate: int = 300, services: bool = False, away: float = 60) -> Report:
    """Run a site in a folder of its own and kill what runs; see the module's text."""
    started = time.monotonic()
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="haidang-chaos-")))
        folder.chmod(0o711)
        watched = folder / "watched"
        watched.mkdir()
        ports = free_port(), free_port()
        sources = _SOURCES.format(http=ports[0], tcp=ports[1], folder=watched)
        outages: list[tuple[str, Callable[[], None], Callable[[], None]]] = []
        site = _site_on_services(held, folder, sources, outages) if services else Site(folder / "data", sources)
        held.callback(site.kill)
        site.start()
        chaos = Chaos(site, watched, ports, seed, rate)
        with chaos.load():
            killing = threading.Thread(target=chaos.kill, args=(kills,), daemon=True)
            killing.start()
            for name, stop, start in outages:
                time.sleep(5)
                stop()
                time.sleep(away)
                start()
                chaos.report.outages.append(f"{name} {away:g} s")
            killing.join()
        report = chaos.check()
    report.seconds = round(time.monotonic() - started)
    return report


def _site_on_services(
    held: ExitStack, folder: Path, sources: str, outages: list[tuple[str, Callable[[], None], Callable[[], None]]]
) -> Site:
    from tests.e2e.test_e2e_services import make_site
    from tests.services import elasticsearch, kafka, postgres

    _own_routes()
    broker = held.enter_context(kafka.running(folder / "kafka"))
    node = held.enter_context(elasticsearch.running(folder / "elasticsearch"))
    database = held.enter_context(postgres.running(folder / "postgres"))
    ports = {
        "kafka": int(broker.servers[0].rpartition(":")[2]), "elasticsearch": node.port, "postgres": database.port,
    }  # fmt: skip
    for name, service in (("kafka", broker), ("elasticsearch", node), ("postgres", database)):
        outages.append((f"{name} killed", service.stop, service.start))
    for name, port in ports.items():
        outages.append((f"{name} cut off", lambda port=port: _cut("add", port), lambda port=port: _cut("del", port)))
    return make_site(folder / "data", broker, node, database.new_database(), sources)


def _own_routes() -> None:
    """Make this namespace's loopback obey rules, so that `_cut` works."""
    for words in (
        ["link", "set", "lo", "up"],
        ["rule", "add", "pref", "10", "lookup", "local"],
        ["rule", "del", "pref", "0"],
    ):
        subprocess.run(["ip", *words], check=True)


def _cut(change: str, port: int) -> None:
    """Let packets from and to a port go nowhere, or no longer: as when a cable is pulled, nobody is told."""
    for side in ("sport", "dport"):
        rule = ["pref", "1", "to", "127.0.0.1", "ipproto", "tcp", side, str(port), "blackhole"]
        subprocess.run(["ip", "rule", change, *rule], check=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line]


def main() -> int:
    """Run by `make chaos`; exit status 1 when something was lost or came twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--rate", type=int, default=300, help="events a second of each sender")
    parser.add_argument("--services", action="store_true", help="on Kafka, Elasticsearch and PostgreSQL (as root)")
    parser.add_argument("--away", type=float, default=60, help="how long each service is away, in seconds")
    chosen = parser.parse_args()
    if chosen.services and "HAIDANG_CHAOS_NAMESPACE" not in os.environ:
        os.environ["HAIDANG_CHAOS_NAMESPACE"] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, "-m", "tests.e2e.chaos", *sys.argv[1:]])
    report = run(chosen.kills, chosen.seed, chosen.rate, chosen.services, chosen.away)
    sys.stdout.write(json.dumps(vars(report), indent=1) + "\n" + ("good\n" if report.good else "FAILED\n"))
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
