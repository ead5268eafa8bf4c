"""`haidang import FILE…`: files enter; when it ends their events and alerts are in the store. With or without `run`."""

import argparse
import contextlib
import secrets
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from collectors.decoders import Hints
from collectors.envelope import Origin, encoding, zone
from collectors.network.rules.ruleset import RuleSet, load
from collectors.reading import Unreadable, files_in, read_file
from pipeline import bus
from pipeline.access import note
from pipeline.balance import balances
from pipeline.books import IMPORT, Books
from pipeline.bus import Bus, SlowDown, open_bus
from pipeline.command import show
from pipeline.command.person import person
from pipeline.disk import disk_of
from pipeline.event import decode
from pipeline.frame import pack
from pipeline.logs import start_log
from pipeline.messages import HaidangError, choose_language, say
from pipeline.settings import Settings, load_settings
from pipeline.stage import is_running, only_one
from pipeline.state import open_state, positions
from pipeline.state.tables import alerts, stages
from pipeline.supervisor import Supervisor

#: The source's name of everything that is imported: the same file gives the same ids, whoever imports it, whenever.
SOURCE = bus.IMPORT
#: What an import needs where no pipeline runs.
_STAGES = ("detectors", "response", "store")
_WAIT_SECONDS = 0.1
#: No progress for this long means that a stage is down for good, in seconds.
_STUCK_SECONDS = 120.0
#: How long an import waits for the lock, in seconds: whoever counts for one that was killed holds it for a moment.
_SETTLED_SECONDS = 5.0
_LISTED_REASONS = 20


@dataclass(slots=True)
class Result:
    """What became of an import."""

    files: int = 0
    failed: int = 0
    rules: int = 0
    packet_rules: int = 0
    packet_refused: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    read: int = 0
    stored: int = 0
    already_stored: int = 0
    unreadable: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    retimed: Counter[str] = field(default_factory=Counter)  # by file: events whose own times could not be meant
    alerts: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: float = 0.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help=say("command.import.files"))
    parser.add_argument("--rules", type=Path, action="append", help=say("command.import.rules"))
    parser.add_argument("--packet-rules", type=Path, nargs="+", help=say("command.import.packet_rules"))
    parser.add_argument("--dataset", help=say("command.import.dataset"))
    parser.add_argument("--timezone", default="local", help=say("command.import.timezone"))
    parser.add_argument("--encoding", default="auto", help=say("command.import.encoding"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def run(chosen: argparse.Namespace) -> int:
    """Import; exit status 1 when a file could not be read."""
    settings = load_settings()
    choose_language(settings.language)
    paths = list(_expand(chosen.files))
    for folder in chosen.rules or []:
        if not folder.is_dir():
            raise HaidangError("command.import.no_rules", folder=folder)
    hints = Hints(dataset=chosen.dataset, timezone=zone(chosen.timezone))
    origin = Origin(SOURCE, settings.observer, settings.organization, hints, encoding(chosen.encoding))
    packet_rules = RuleSet(load(chosen.packet_rules)) if chosen.packet_rules else None
    engine = open_state(settings.data_dir, settings.state)
    queue = open_bus(settings.data_dir, settings.bus)
    started = time.monotonic()
    with engine.begin() as connection:
        note(
            connection,
            person(),
            "command",
            "import",
            files=[str(path) for path in paths[:100]],
            count=len(paths),
        )
    with only_one(settings.data_dir, IMPORT.name, wait_seconds=_SETTLED_SECONDS):
        try:
            result = _import(settings, engine, queue, origin, paths, chosen.rules, packet_rules)
        except (sqlite3.Error, SQLAlchemyError, OSError) as error:
            raise HaidangError("command.import.cannot_write", data_dir=settings.data_dir, fault=error) from error
    result.seconds = round(time.monotonic() - started, 2)
    if chosen.json:
        show.json_line(_as_json(result))
    else:
        _print(result)
    return 1 if result.failed else 0


def _import(
    settings: Settings,
    engine: Engine,
    queue: Bus,
    origin: Origin,
    paths: list[Path],
    rules: list[Path] | None,
    packet_rules: RuleSet | None,
) -> Result:
    starts = queue.ends(bus.EVENTS)
    source = bus.OWN_RULES if rules else SOURCE
    with _pipeline(settings, engine, rules, starts) as running:
        _wait_for(queue, engine, bus.EVENTS, ["store"], running)  # what an earlier import left is not this one's
        before = _balance(engine, source)
        with Books(IMPORT, settings, engine, queue) as books:
            result = _read_all(settings, books, origin, paths, running, source, packet_rules)
        _wait(queue, engine, running)
        result.rules, result.refused = running.rules, running.refused
    if packet_rules is not None:
        result.packet_rules = len(packet_rules.rules)
        result.packet_refused = [item.text for item in packet_rules.loading.refused]
    after = _balance(engine, source)
    result.stored = after["stored"] - before["stored"]
    result.already_stored = after["already_stored"] - before["already_stored"]
    result.alerts = _alerts_of(engine, {str(path) for path in paths})
    return result


@dataclass(slots=True)
class _Running:
    """The processes that an import waits for. `detectors` are the consumers that read what it imports."""

    settings: Settings
    supervisor: Supervisor
    detectors: list[str]
    rules: int = 0
    refused: list[str] = field(default_factory=list)

    def check(self) -> None:
        for child in self.supervisor.check():
            if child.restarts > 3:
                raise HaidangError("command.import.stage_fails", stage=child.name, words=child.last_words[-500:])


@contextlib.contextmanager
def _pipeline(
    settings: Settings, engine: Engine, rules: list[Path] | None, starts: dict[int, int]
) -> Iterator[_Running]:
    """Start what does not run yet: the whole corridor behind the collectors, and detectors with rules of their own."""
    alone = not is_running(settings.data_dir, "run")
    names = [name for name in _STAGES if not (rules and name == "detectors")] if alone else []
    supervisor = Supervisor(settings.data_dir, names)
    start_log(settings.data_dir, "import", settings.log_level)
    running = _Running(settings, supervisor, [] if rules else ["detectors"])
    supervisor.start()
    name = f"detectors:{secrets.token_hex(4)}"
    try:
        if rules:
            arguments = ["detectors", "--name", name, "--source", bus.OWN_RULES]
            for partition, offset in starts.items():
                arguments += ["--start", f"{partition}:{offset}"]
            for folder in rules:
                arguments += ["--rules", str(folder.resolve())]
            supervisor.add(name, arguments)
            running.detectors.append(name)
            _load_rules(engine, name, running, rules)
        yield running
    finally:
        supervisor.stop()
        _forget(settings, engine, name)


def _forget(settings: Settings, engine: Engine, name: str) -> None:
    """Delete what the detectors of this import have left."""
    with engine.begin() as connection:
        positions.forget(connection, name)
    for file in (f"logs/{name}.log", f"logs/{name}.stderr", f"run/{name}.lock"):
        (settings.data_dir / file).unlink(missing_ok=True)


def _load_rules(engine: Engine, name: str, running: _Running, folders: list[Path]) -> None:
    """Wait until the rules are loaded, and note what was refused; none at all is a fault."""
    deadline = time.monotonic() + _STUCK_SECONDS
    query = select(stages.c.detail).where(stages.c.stage == name)
    while time.monotonic() < deadline:
        with engine.connect().execution_options(read_only=True) as connection:
            detail: dict[str, Any] = connection.scalar(query) or {}
        if detail.get("ready"):
            running.rules = detail["rules"]
            running.refused = [f"{item['path']}: {item['reason']}" for item in detail["refused"]]
            if not running.rules:
                why = "\n".join(running.refused[:_LISTED_REASONS])
                raise HaidangError("command.import.no_rules_loaded", folders=", ".join(map(str, folders)), why=why)
            return
        running.check()
        time.sleep(_WAIT_SECONDS)
    raise HaidangError("command.import.stuck", consumers=name, seconds=int(_STUCK_SECONDS))


def _read_all(
    settings: Settings,
    books: Books,
    origin: Origin,
    paths: list[Path],
    running: _Running,
    source: str,
    packet_rules: RuleSet | None,
) -> Result:
    result = Result(files=len(paths))
    with _progress(sum(path.stat().st_size for path in paths if path.exists())) as advance:
        for path in paths:
            size = path.stat().st_size if path.exists() else 0
            advanced = 0
            try:
                for lines, used in read_file(path, origin, settings.limits.decode_bytes, packet_rules):
                    _publish(books, source, lines, running)
                    result.read += len(lines)
                    _look_at(lines, path, result)
                    advanced += min(used, size - advanced)
                    advance(min(used, size))
            except Unreadable as error:
                result.failed += 1
                result.unreadable += 1
                result.reasons[f"{path}: {error}"] += 1
    return result


def _publish(books: Books, source: str, lines: list[bytes], running: _Running) -> None:
    frames = list(pack(source, lines))
    if disk_of(running.settings).full():
        raise HaidangError("command.import.disk_full", data_dir=running.settings.data_dir)
    while frames:
        try:
            books.publish(bus.EVENTS, frames)
            return
        except SlowDown:
            running.check()
            time.sleep(_WAIT_SECONDS)


def _look_at(lines: list[bytes], path: Path, result: Result) -> None:
    """Count what could not be read, and what stands at the time of the import."""
    for line in lines:
        if b'"labels.claimed_time"' in line:
            result.retimed[str(path)] += 1
        if b'"pipeline_error"' in line:
            event = decode(line)
            if event.get("event.kind") == "pipeline_error":
                result.unreadable += 1
                result.reasons[f"{path}: {event.get('error.message', '')}"] += 1


def _wait(queue: Bus, engine: Engine, running: _Running) -> None:
    """Wait until what was imported is searchable, examined, and its alerts are queued and searchable."""
    _wait_for(queue, engine, bus.EVENTS, ["store", *running.detectors], running)
    _wait_for(queue, engine, bus.ALERTS, ["response"], running)
    _wait_for(queue, engine, bus.ALERT_UPDATES, ["store"], running)


def _wait_for(queue: Bus, engine: Engine, topic: str, consumers: list[str], running: _Running) -> None:
    ends = queue.ends(topic)
    moved, last = time.monotonic(), -1
    while True:
        places = [positions.load(engine, consumer, topic) for consumer in consumers]
        if all(_is_past(queue, topic, place, ends) for place in places):
            return
        now = sum(sum(place.values()) for place in places)
        if now != last:
            moved, last = time.monotonic(), now
        if time.monotonic() - moved > _STUCK_SECONDS:
            raise HaidangError("command.import.stuck", consumers=", ".join(consumers), seconds=int(_STUCK_SECONDS))
        running.check()
        time.sleep(_WAIT_SECONDS)


def _is_past(queue: Bus, topic: str, place: bus.Positions, ends: bus.Positions) -> bool:
    """Say whether a consumer has read up to the ends; of a partition that it never read, whether nothing is in it."""
    return all(
        place[partition] >= end if partition in place else not queue.backlog(topic, {}, [partition])[0]
        for partition, end in ends.items()
    )


def _balance(engine: Engine, source: str) -> dict[str, Any]:
    rows = [row for row in balances(engine) if row["source"] == source]
    return rows[0] if rows else {"stored": 0, "already_stored": 0}


def _alerts_of(engine: Engine, paths: set[str]) -> Counter[tuple[str, str]]:
    fields = ("log.file.path", "rule.level", "rule.name", "rule.name_vi")
    query = select(*(alerts.c.document[name].as_string() for name in fields)).where(
        alerts.c.source.in_((SOURCE, bus.OWN_RULES))
    )
    found: Counter[tuple[str, str]] = Counter()
    with engine.connect().execution_options(read_only=True) as connection:
        for row in connection.execute(query):
            alert = dict(zip(fields, row, strict=True))
            if alert["log.file.path"] in paths:
                found[alert["rule.level"], show.rule_name(alert)] += 1
    return found


def _expand(given: list[Path]) -> Iterator[Path]:
    for path in given:
        if path.is_dir():
            yield from files_in(path)
        elif path.exists():
            yield path
        else:
            raise HaidangError("command.import.no_file", path=path)


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Any]:
    if not sys.stderr.isatty():
        yield lambda _bytes: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(say("command.import.reading"), total=total)
        yield lambda size: bar.advance(task, size)


def _as_json(result: Result) -> dict[str, Any]:
    rules = [{"rule": name, "level": level, "alerts": count} for (level, name), count in result.alerts.most_common()]
    reasons = [{"reason": reason, "records": count} for reason, count in result.reasons.items()]
    return {
        "files": result.files, "read": result.read, "stored": result.stored, "already_stored": result.already_stored,
        "failed": result.failed, "unreadable": result.unreadable, "reasons": reasons,
        "times_replaced": [{"file": file, "records": count} for file, count in result.retimed.items()],
        "alerts": sum(result.alerts.values()), "alerts_by_rule": rules, "seconds": result.seconds,
        "rules": result.rules, "rules_refused": result.refused,
        "packet_rules": result.packet_rules, "packet_rules_refused": result.packet_refused,
    }  # fmt: skip


def _print(result: Result) -> None:
    rows = [
        (say(f"show.{name}"), show.number(getattr(result, name)))
        for name in ("files", "read", "stored", "already_stored", "unreadable")
    ]
    rows.append((say("show.alerts"), show.number(sum(result.alerts.values()))))
    show.table(say("command.import.done", seconds=result.seconds), ["", say("show.count")], rows, right=[1])
    reasons = [(reason, show.number(count)) for reason, count in result.reasons.most_common()]
    if reasons:
        show.table(
            say("show.unreadable"), [say("show.reason"), say("show.count")], reasons[:_LISTED_REASONS], right=[1]
        )
        if len(reasons) > _LISTED_REASONS:
            show.line(say("show.more", count=len(reasons) - _LISTED_REASONS))
    if result.retimed:
        files = [(file, show.number(count)) for file, count in result.retimed.most_common(_LISTED_REASONS)]
        show.table(say("command.import.retimed"), [say("show.file"), say("show.count")], files, right=[1])
        show.line(say("command.import.retimed_why", count=show.number(result.retimed.total())))
    if result.alerts:
        found = [(show.number(count), show.level(level), name) for (level, name), count in result.alerts.most_common()]
        show.table(
            say("command.import.alerts"), [say("show.alerts"), say("show.level"), say("show.rule")], found, right=[0]
        )
    if result.rules:
        show.line(say("command.import.loaded", rules=show.number(result.rules), refused=len(result.refused)))
        for reason in result.refused[:_LISTED_REASONS]:
            show.line(f"  {reason}")
    if result.packet_rules or result.packet_refused:
        count = show.number(result.packet_rules)
        show.line(say("command.packet_rules.loaded", loaded=count, refused=show.number(len(result.packet_refused))))
        for reason in result.packet_refused[:_LISTED_REASONS]:
            show.line(f"  {reason}")
    if result.stored:
        show.line(say("command.import.behaviours"))
    show.line(say("command.import.next"))
