"""`haidang doctor`: this machine and this site are looked at; what is good, what is not, and what to do leaves."""

import argparse
import ctypes
import errno
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.command import show
from pipeline.disk import Disk
from pipeline.event import at_second
from pipeline.health import health
from pipeline.messages import HaidangError, choose_language, say, spoken
from pipeline.settings import (
    FilesSource,
    HttpSource,
    NetflowSource,
    Settings,
    SyslogSource,
    load_settings,
    settings_file,
)
from pipeline.settings.check import faults
from pipeline.stage import is_running
from pipeline.state import open_state
from pipeline.store.retention import days_of_level, is_too_short

GOOD, ATTENTION, FAULT = "good", "attention", "fault"
#: A receive buffer of the kernel smaller than this loses datagrams in bursts, in bytes.
_UDP_BUFFER_BYTES = 4_000_000
#: adjtimex(2): the clock is not synchronised.
_TIME_ERROR = 5
_EARLIEST_YEAR = 2026
_LISTED = 10
#: What correlations may have left out (docs/operations.md).
_LEFT_OUT = ("too_late", "too_far_ahead", "groups_evicted", "events_evicted")
#: What behaviours may have left out (docs/behaviours.md).
_BEHAVIOURS_LEFT_OUT = ("keys_evicted", "did_not_wait", "too_far_ahead", "failed")
#: What packet rules may have left out (docs/packet-rules.md).
_PACKET_RULES_LEFT_OUT = ("unheld", "unwaited", "counters_evicted")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `what` and `todo` are for people."""

    status: str
    part: str
    what: str
    todo: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def run(chosen: argparse.Namespace) -> int:
    """Look at everything; exit status 1 when there is a fault."""
    findings = list(_look())
    if chosen.json:
        for finding in findings:
            show.json_line({"status": finding.status, "part": finding.part, "what": finding.what, "todo": finding.todo})
    else:
        rows = [
            (say(f"doctor.{item.status}"), item.part, f"{item.what}\n→ {item.todo}" if item.todo else item.what)
            for item in findings
        ]
        show.table("", ["", say("doctor.part"), say("doctor.found")], rows)
        faults = sum(item.status == FAULT for item in findings)
        show.line(say("doctor.faults", count=faults) if faults else say("doctor.all_good"))
    return 1 if any(item.status == FAULT for item in findings) else 0


def _look() -> Iterator[Finding]:
    try:
        settings = load_settings()
    except HaidangError as error:
        yield Finding(FAULT, say("doctor.settings"), str(error), say("doctor.mend_settings"))
        return
    choose_language(settings.language)
    yield from _settings(settings)
    yield _python()
    yield from _disk(settings)
    yield from _retention(settings)
    yield _clock()
    running = is_running(settings.data_dir, "run")
    if running:
        yield from _services(settings)
    else:
        yield Finding(ATTENTION, say("doctor.services"), say("doctor.not_running"), say("doctor.start"))
        yield from _ports(settings)
    yield from _udp_buffer(settings)
    yield from _files(settings)


def _settings(settings: Settings) -> Iterator[Finding]:
    part = say("doctor.settings")
    found = faults(settings)
    for fault in found:
        yield Finding(FAULT, part, fault, say("doctor.mend_settings"))
    if not found:
        yield Finding(GOOD, part, str(settings_file()) if settings_file().is_file() else say("doctor.defaults"))


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(GOOD, "Python", version)


def _disk(settings: Settings) -> Iterator[Finding]:
    part, folder = say("doctor.disk"), settings.data_dir
    try:
        there = next(place for place in (folder, *folder.parents) if place.exists())  # what is not there, is not made
        with tempfile.TemporaryFile(dir=there) as probe:
            probe.write(b"x" * 4096)
    except OSError as error:
        yield Finding(
            FAULT,
            part,
            say("doctor.not_writable", folder=folder, fault=error.strerror or error),
            say("doctor.choose_folder"),
        )
        return
    usage = shutil.disk_usage(there)
    what = say(
        "doctor.free", folder=folder, free=show.number(round(usage.free / 1e9, 1)),
        total=show.number(round(usage.total / 1e9, 1)), reserve=show.number(settings.limits.disk_reserve_mb / 1000),
    )  # fmt: skip
    disk = Disk(usage.free, usage.total, settings.limits.disk_reserve_mb * 1_000_000)
    if disk.full():
        yield Finding(FAULT, part, what, say("doctor.free_disk"))
    elif disk.low or usage.free < usage.total / 10:
        yield Finding(ATTENTION, part, what, say("doctor.free_disk"))
    else:
        yield Finding(GOOD, part, what)


def _retention(settings: Settings) -> Iterator[Finding]:
    part, days = say("doctor.retention"), settings.store.retention_days
    what = say("doctor.kept", days=days, level=settings.level or "-", least=days_of_level(settings))
    if settings.level is None:
        yield Finding(ATTENTION, part, what, say("doctor.set_level"))
    elif is_too_short(settings):
        yield Finding(FAULT, part, what, say("doctor.keep_longer", days=days_of_level(settings)))
    else:
        yield Finding(GOOD, part, what)


def _clock() -> Finding:
    part = say("doctor.clock")
    now = time.strftime("%d/%m/%Y %H:%M:%S %z")
    if time.gmtime().tm_year < _EARLIEST_YEAR:
        return Finding(FAULT, part, say("doctor.clock_wrong", now=now), say("doctor.set_clock"))
    if clock_synchronised():
        return Finding(GOOD, part, say("doctor.clock_good", now=now))
    return Finding(ATTENTION, part, say("doctor.clock_alone", now=now), say("doctor.set_clock"))


def clock_synchronised() -> bool:
    """Say whether the kernel's clock is kept by NTP (adjtimex(2))."""
    buffer = ctypes.create_string_buffer(512)  # struct timex, all zero: only ask
    try:
        return int(ctypes.CDLL(None, use_errno=True).adjtimex(buffer)) not in (_TIME_ERROR, -1)
    except (OSError, AttributeError):
        return False


def _services(settings: Settings) -> Iterator[Finding]:
    engine = open_state(settings.data_dir, settings.state)
    now = health(engine, settings)
    for name, stage in now["stages"].items():
        part = say("doctor.stage", name=name)
        if not stage["up"]:
            yield Finding(
                FAULT,
                part,
                say("doctor.silent", seconds=stage["seen_seconds_ago"]),
                say("doctor.see_log", log=settings.data_dir / "logs" / f"{name}.log"),
            )
        else:
            yield Finding(
                GOOD, part, say("doctor.alive", pid=stage["pid"], waiting=show.number(stage["backlog_events"]))
            )
        yield from _stage_faults(part, stage)
    yield from _canaries(now["canaries"])
    yield from _channels(now["channels"])
    for each in now["advice"]:
        what = say("doctor.no_second_factor", names=each["names"])
        yield Finding(ATTENTION, say("doctor.accounts"), what, say("doctor.set_second_factor"))


def _channels(found: list[dict[str, Any]]) -> Iterator[Finding]:
    for row in found:
        if not row["set"]:
            continue
        part = say("doctor.channel", name=row["channel"])
        if row["failures"]:
            what = say("doctor.channel_failing", **{name: row[name] for name in ("failures", "waiting", "error")})
            yield Finding(FAULT, part, what, say("doctor.mend_channel", name=row["channel"]))
        else:
            yield Finding(GOOD, part, say("doctor.channel_good", sent=row["sent"], waiting=row["waiting"]))
        if row["dead"]:
            yield Finding(
                ATTENTION, part, say("doctor.channel_dead", dead=row["dead"]), say("doctor.resend", name=row["channel"])
            )


def _canaries(found: list[dict[str, Any]]) -> Iterator[Finding]:
    for row in found:
        part = say("doctor.canary", source=row["source"], kind=row["kind"])
        if row["state"] == "late":
            reached = ", ".join(("sent", *row["reached"]))
            what = say("doctor.canary_late", sent=show.local_time(row["sent"]), reached=reached, fault=row["fault"])
            yield Finding(FAULT, part, what, say("doctor.mend_canary"))
        elif row["state"] == "good":
            yield Finding(GOOD, part, say("doctor.canary_good", seconds=row["seconds"]))
        else:
            yield Finding(GOOD, part, say("doctor.canary_waiting"))


def _stage_faults(part: str, stage: dict[str, Any]) -> Iterator[Finding]:
    for place, why in stage.get("failures", {}).items():
        yield Finding(FAULT, part, f"{place}: {why}", say("doctor.mend_settings"))
    if stage.get("held_by_disk"):
        yield Finding(FAULT, part, say("doctor.held_by_disk"), say("doctor.free_disk"))
    elif stage.get("held"):
        yield Finding(FAULT, part, say("doctor.held", reason=stage["held"]), say("doctor.see_services"))
    elif stage.get("waits"):
        yield Finding(FAULT, part, say("doctor.waits", reason=stage["waits"]), say("doctor.see_services"))
    yield from _rules(stage)
    yield from _packet_rules(stage)


def _rules(stage: dict[str, Any]) -> Iterator[Finding]:
    """What the detectors say of their rules: how many do what, which cannot be loaded, what correlations left out."""
    part = say("doctor.rules")
    if modes := stage.get("modes"):
        yield Finding(GOOD, part, say("doctor.rule_modes", revision=stage["rulebook"], **modes))
    refused = stage.get("refused") or []
    for item in refused[:_LISTED]:
        yield Finding(FAULT, part, f"{item['path']}: {spoken(item, 'reason')}", say("doctor.mend_rule"))
    more = stage.get("refused_count", len(refused)) - min(len(refused), _LISTED)
    if more:
        yield Finding(FAULT, part, say("show.more", count=more), say("doctor.mend_rule"))
    left_out = {name: stage.get("correlations", {}).get(name, 0) for name in _LEFT_OUT}
    if any(left_out.values()):
        yield Finding(ATTENTION, part, say("doctor.left_out", **left_out), say("doctor.see_correlations"))
    left_out = {name: stage.get("behaviours", {}).get(name, 0) for name in _BEHAVIOURS_LEFT_OUT}
    if any(left_out.values()):
        yield Finding(ATTENTION, part, say("doctor.behaviours_left_out", **left_out), say("doctor.see_behaviours"))
    yield from _indicators(stage.get("indicators") or {})


def _indicators(said: dict[str, Any]) -> Iterator[Finding]:
    """What the detectors say of the indicators that they look for."""
    if not said:
        return
    part = say("doctor.indicators")
    if said["fault"]:
        yield Finding(FAULT, part, said["fault"], say("doctor.mend_settings"))
    counts = {name: show.number(said[name]) for name in ("count", "alerts", "repeated")}
    yield Finding(GOOD, part, say("doctor.indicators_count", **counts))
    for feed in said["feeds"]:
        part = say("doctor.indicator_list", name=feed["name"])
        refreshed = show.local_time(at_second(feed["refreshed"])) if feed["refreshed"] else ""
        named = {"count": show.number(feed["count"]), "refused": show.number(feed["refused"]), "refreshed": refreshed}
        what = say("doctor.indicator_list_good", **named) if refreshed else say("doctor.indicator_list_never")
        if feed["error"] or feed["stale"]:
            yield Finding(
                FAULT if feed["stale"] else ATTENTION, part, f"{what}\n{feed['error']}", say("doctor.mend_list")
            )
        else:
            yield Finding(GOOD, part, what)


def _packet_rules(stage: dict[str, Any]) -> Iterator[Finding]:
    """What network sensors say of their packet rules."""
    for source, said in (stage.get("packet_rules") or {}).items():
        part = say("doctor.packet_rules", source=source)
        what = say(
            "command.packet_rules.loaded", loaded=show.number(said["loaded"]), refused=show.number(said["refused"])
        )
        if said["refused"]:
            first = "\n".join(said["first"][:_LISTED])
            yield Finding(ATTENTION, part, f"{what}\n{first}", say("doctor.mend_packet_rules"))
        else:
            yield Finding(GOOD, part, what)
        left_out = {name: said.get(name, 0) for name in _PACKET_RULES_LEFT_OUT}
        if any(left_out.values()):
            yield Finding(
                ATTENTION, part, say("doctor.packet_rules_left_out", **left_out), say("doctor.smaller_mirror")
            )


def _ports(settings: Settings) -> Iterator[Finding]:
    for kind, host, port in _wanted_ports(settings):
        part = say("doctor.port", kind=kind, port=port)
        fault = _try_port(kind, host, port)
        if fault is None:
            yield Finding(GOOD, part, say("doctor.port_free"))
        elif fault == errno.EACCES:
            yield Finding(FAULT, part, say("collectors.port_not_allowed"), say("doctor.mend_settings"))
        else:
            yield Finding(FAULT, part, say("collectors.port_in_use"), say("doctor.mend_settings"))


def _wanted_ports(settings: Settings) -> Iterator[tuple[str, str, int]]:
    yield "http", settings.api.host, settings.api.port
    for source in settings.sources:
        match source:
            case SyslogSource():
                for kind, port in (("udp", source.udp_port), ("tcp", source.tcp_port), ("tls", source.tls_port)):
                    if port is not None:
                        yield kind, source.host, port
            case HttpSource():
                yield "http", source.host, source.port
            case NetflowSource():
                yield "udp", source.host, source.port


def _try_port(kind: str, host: str, port: int) -> int | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as probe:
        if kind != "udp":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.errno
    return None


def _udp_buffer(settings: Settings) -> Iterator[Finding]:
    if not any(kind == "udp" for kind, _, _ in _wanted_ports(settings)):
        return
    try:
        size = int(Path("/proc/sys/net/core/rmem_max").read_text())
    except (OSError, ValueError):
        return
    if size < _UDP_BUFFER_BYTES:
        yield Finding(
            ATTENTION,
            "UDP",
            say("doctor.small_buffer", size=show.number(size)),
            say("doctor.larger_buffer", size=16_777_216),
        )


def _files(settings: Settings) -> Iterator[Finding]:
    for source in settings.sources:
        if isinstance(source, FilesSource):
            for pattern in source.paths:
                found = (
                    [path for path in Path("/").glob(pattern.lstrip("/")) if path.is_file()]
                    if pattern.startswith("/")
                    else []
                )
                denied = [path for path in found if not _readable(path)]
                part = say("doctor.source", name=source.name)
                if denied:
                    yield Finding(FAULT, part, say("doctor.denied", path=denied[0]), say("doctor.grant"))
                elif not found:
                    yield Finding(ATTENTION, part, say("doctor.no_files", pattern=pattern), say("doctor.mend_settings"))
                else:
                    yield Finding(GOOD, part, say("doctor.files", pattern=pattern, count=len(found)))


def _readable(path: Path) -> bool:
    try:
        with path.open("rb"):
            return True
    except OSError:
        return False
