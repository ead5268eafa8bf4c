"""The ledger minute by minute on a running pipeline: what had come by the end of each minute is somewhere, also when stages hang."""

import json
import os
import signal
import socket
import urllib.request
from typing import Any

import pytest

from tests.conftest import eventually
from tests.e2e.conftest import Site

pytestmark = pytest.mark.slow


def _minutes(site: Site, source: str) -> list[dict[str, Any]]:
    told = site.run("sources", "--minutes", "10", "--source", source, "--json").stdout
    return [json.loads(line) for line in told.splitlines()]


def _check(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Check every line, and return the sums at the end."""
    sums = dict.fromkeys(("received", "stored", "already_stored", "dropped"), 0)
    for row in rows:
        sums = {name: so_far + row[name] for name, so_far in sums.items()}
        assert sums["received"] == sums["stored"] + sums["already_stored"] + row["held"] + sums["dropped"]
        assert row["held"] >= 0
        assert sum(row["reasons"].values()) == row["dropped"]
    return {**sums, "held": rows[-1]["held"]}


def _send(site: Site, count: int) -> None:
    with socket.create_connection(("127.0.0.1", site.port("tcp"))) as tcp:
        tcp.sendall(b"".join(b"<13>by the minute %d\n" % number for number in range(count)))


def _post(site: Site, token: str) -> None:
    body = b'{"@timestamp":"2026-11-24T05:17:44Z","message":"twice"}\nnot json {\n'
    request = urllib.request.Request(
        f"http://127.0.0.1:{site.port('http')}/v1/events", body, {"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["accepted"] == 2


def test_every_minute_adds_up_also_what_is_held(site: Site) -> None:
    _send(site, 1000)
    site.await_count("message:minute", 1000)
    rows = eventually(lambda: found if (found := _minutes(site, "syslog"))[-1]["held"] == 0 else None)
    assert _check(rows) == {"received": 1000, "stored": 1000, "already_stored": 0, "dropped": 0, "held": 0}
    store = site.stages()["store"]["pid"]
    os.kill(store, signal.SIGSTOP)
    try:
        _send(site, 300)
        rows = eventually(lambda: found if (found := _minutes(site, "syslog"))[-1]["held"] else None)
        assert _check(rows)["held"] == 300
        told = site.run("sources", "--check", "--json").stdout
        (account,) = [row for row in map(json.loads, told.splitlines()) if row["source"] == "syslog"]
        assert account["held"] == 300  # as the bus itself says
    finally:
        os.kill(store, signal.SIGCONT)
    token = site.token("gate")
    for _ in range(2):
        _post(site, token)
    rows = eventually(
        lambda: found if (found := _minutes(site, "gate"))[-1]["held"] == 0 and _check(found)["received"] == 4 else None
    )
    assert _check(rows)["already_stored"] >= 1
    assert (
        _check(eventually(lambda: found if (found := _minutes(site, "syslog"))[-1]["held"] == 0 else None))["stored"]
        == 1300
    )
