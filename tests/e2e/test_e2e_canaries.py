"""Canaries go through every input of a running pipeline, are seen by nobody who does not ask for them, and are missed."""

import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.canaries import standing
from tests.conftest import eventually
from tests.e2e.conftest import Site

pytestmark = pytest.mark.slow

_QUICK = "[canary]\nminutes = 0.02\nlate_seconds = 6"
_SOURCES = """
[[sources]]
name = "secure"
kind = "http"
host = "127.0.0.1"
port = 0
tls = true
[[sources]]
name = "logs"
kind = "files"
paths = ["{folder}/*.log"]
poll_seconds = 0.2
"""
INPUTS = {
    ("syslog", "udp"),
    ("syslog", "tcp"),
    ("syslog", "tls"),
    ("http", "http"),
    ("secure", "https"),
    ("logs", "files"),
}


def _all_good(site: Site) -> dict[tuple[str, str], dict[str, Any]] | None:
    told = {(row["source"], row["kind"]): row for row in standing(site.engine)}
    return told if told.keys() == INPUTS and all(row["last_good"] for row in told.values()) else None


def _own_alerts(site: Site, rule: str, count: int) -> list[dict[str, Any]] | None:
    found = [alert for alert in site.alerts() if alert["rule.id"] == f"haidang.{rule}"]
    return found if len(found) == count else None


def test_canaries_go_through_every_input_unseen_and_are_missed_where_they_get_stuck(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    (tmp_path / "watched").mkdir()
    site = make_site(sources=_SOURCES.format(folder=tmp_path / "watched") + _QUICK)
    told = eventually(lambda: _all_good(site), 30)
    assert all(0 < row["seconds"] < 6 for row in told.values())
    shown = [json.loads(line) for line in site.run("canary", "--json").stdout.splitlines()]
    assert {(row["source"], row["kind"]) for row in shown} == INPUTS
    assert site.count("*") == 0
    assert site.alerts() == []
    assert site.sources() == {}
    assert list((site.data_dir / "index").glob("[ae]*/*")) == []

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:  # a false mark is an event like any other
        udp.sendto(b"<14>1 - haidang canary - - - haidang-canary %032x" % 7, ("127.0.0.1", site.port("udp")))
    site.await_count("haidang-canary", 1)
    assert site.search("haidang-canary")[0]["labels.source"] == "syslog"
    assert site.alerts() == []

    hanging = site.stages()["detectors"]["pid"]
    os.kill(hanging, signal.SIGSTOP)
    try:
        late = eventually(lambda: _own_alerts(site, "canary_late", len(INPUTS)), 30, 0.5)
        assert site.run("canary", check=False).returncode == 1
    finally:
        os.kill(hanging, signal.SIGCONT)
    assert all("Missing: examined" in alert["rule.description"] for alert in late)
    assert {alert["rule.level"] for alert in late} == {"high"}
    eventually(lambda: _own_alerts(site, "canary_back", len(INPUTS)), 30, 0.5)
    assert _own_alerts(site, "canary_late", len(INPUTS))
    assert site.count("*") == 1
    assert set(site.sources()) == {"syslog"}
