"""`bench overload`: ten times the load that the pipeline can follow enters, what is lost and how it recovers leaves.

First it is measured how much the pipeline can follow. Then TCP and HTTP are offered ten times as much for minutes
(their senders are held), a file grows, and datagrams flood; memory is watched. When the senders stop it is waited until
all is searchable.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from pipeline import ledger
from pipeline.balance import Account, accounts
from pipeline.bus import EVENTS, open_bus
from pipeline.command.bench.samples import syslog_lines, windows_records
from pipeline.command.bench.site import LIMIT_SECONDS, Site, Usage, prepared, running_site, send, sent_by
from pipeline.messages import HaidangError
from pipeline.settings import Bus as BusSettings
from pipeline.state import positions

_SECONDS = 300.0
_TIMES = 10
#: Events of the run that measures what the pipeline can follow.
_EVENTS = 300_000
_FILES = '[[sources]]\nname = "logs"\nkind = "files"\npaths = ["{folder}/*.log"]\n'
#: A part of the load that can be followed comes from a file.
_FILE_SHARE = 10
_LOOK_SECONDS = 0.5


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the figures; `lost` counts events of TCP, HTTP and the file, and must be 0."""
    lines, _ = syslog_lines(chosen.logs)
    records, _ = windows_records(chosen.evtx)
    with prepared(lines, records) as (line_file, record_file), tempfile.TemporaryDirectory() as watched:
        sources = _FILES.format(folder=watched)
        with running_site(sources) as site:
            rate = _sustained(site, line_file, record_file)
        with running_site(sources) as site:
            return _overload(site, rate, chosen.seconds or _SECONDS, Path(watched), line_file, record_file)


def _sustained(site: Site, lines: Path, records: Path) -> int:
    started = time.monotonic()
    sender = send(site, lines, records, _EVENTS)
    _wait_until_through(site, _EVENTS)
    sent_by(sender)
    return round(_EVENTS / (time.monotonic() - started))


def _overload(site: Site, rate: int, seconds: float, watched: Path, lines: Path, records: Path) -> dict[str, Any]:
    usage = Usage(site.supervisor)
    started = time.monotonic()
    writer = _FileWriter(watched / "app.log", rate // _FILE_SHARE, seconds)
    writer.start()
    flood = _flood(site, rate, seconds)
    sender = send(site, lines, records, sys.maxsize, rate=rate * _TIMES, seconds=seconds)
    sent = sent_by(sender)["sent"][-1][1]
    writer.join()
    datagrams = int(flood.communicate()[0])
    overload = time.monotonic() - started
    in_time = site.searchable()
    found = _wait_until_through(site, sent + writer.written)
    recovery = time.monotonic() - started - overload
    usage.stop()
    losses = _losses(site)
    taken = sum(account.received for account in _accounts(site))
    return {
        "sustained_events_per_second": rate, "offered_events_per_second": rate * _TIMES,
        "overload_seconds": round(overload, 1), "recovery_seconds": round(recovery, 1),
        "sent": sent, "written": writer.written, "datagrams": datagrams,
        "searchable_at_the_end_of_the_overload": in_time, "searchable": found, "datagrams_lost": sum(losses.values()),
        **{f"lost_{reason}": count for reason, count in losses.items()},
        "lost": sent + writer.written + datagrams - sum(losses.values()) - found,
        "uncounted": sent + writer.written + datagrams - taken,
        "memory_mb": usage.peak_mb,
    }  # fmt: skip


def _flood(site: Site, rate: int, seconds: float) -> "subprocess.Popen[bytes]":
    arguments = [sys.executable, "-P", "-m", __name__, str(site.ports["udp"]), str(rate), str(seconds)]
    return subprocess.Popen(arguments, env=os.environ, stdout=subprocess.PIPE)  # noqa: S603 - our own module


def _losses(site: Site) -> dict[str, int]:
    dropped = [line for line in ledger.sums(site.engine) if line.outcome == ledger.DROPPED]
    return {line.reason: line.events for line in dropped}


def _accounts(site: Site) -> list[Account]:
    queue = open_bus(site.data_dir, BusSettings())
    found = accounts(site.engine, queue)
    queue.close()
    return found


def _wait_until_through(site: Site, least: int) -> int:
    """Wait until nothing waits on disk or bus and at least so many events are searchable; return how many are."""
    deadline = time.monotonic() + LIMIT_SECONDS
    queue = open_bus(site.data_dir, BusSettings())
    last = -1
    while time.monotonic() < deadline:
        site.supervisor.check()
        found = site.searchable()
        places = positions.slowest(site.engine, EVENTS, ["store", "detectors"])
        waiting = queue.backlog(EVENTS, places)[0] + sum(account.buffered for account in accounts(site.engine, queue))
        if found >= least and not waiting and found == last:
            queue.close()
            return found
        last = found
        time.sleep(_LOOK_SECONDS)
    raise HaidangError("command.bench.too_slow", seconds=int(LIMIT_SECONDS))


class _FileWriter(threading.Thread):
    """A program that writes a log, and waits for nobody."""

    def __init__(self, path: Path, rate: int, seconds: float) -> None:
        super().__init__(daemon=True)
        self._path, self._rate, self._seconds = path, rate, seconds
        self.written = 0

    def run(self) -> None:
        started = time.monotonic()
        with self._path.open("a") as file:
            while (passed := time.monotonic() - started) < self._seconds:
                due = int(passed * self._rate)
                file.writelines(f"2026-11-24T05:17:44Z app[7]: written line {n}\n" for n in range(self.written, due))
                file.flush()
                self.written = due
                time.sleep(0.05)


def _send_datagrams(port: int, rate: int, seconds: float) -> int:
    """Send datagrams at a rate; return how many."""
    sent, started = 0, time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect(("127.0.0.1", port))
        while (passed := time.monotonic() - started) < seconds:
            while sent < passed * rate:
                udp.send(b"<13>Nov 24 05:17:44 may app[7]: datagram %d of a flood" % sent)
                sent += 1
            time.sleep(0.002)
    return sent


if __name__ == "__main__":
    sys.stdout.write(str(_send_datagrams(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))
