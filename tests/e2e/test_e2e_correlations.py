"""Lines of a guessed password come in over syslog, the pipeline is killed in the middle: one alert, with its evidence."""

import os
import signal
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import eventually
from tests.e2e.conftest import Site

pytestmark = pytest.mark.slow

_TITLE = "Password guessed over SSH"


def send(site: Site, lines: list[str]) -> None:
    """Send lines of sshd over TCP."""
    with socket.create_connection(("127.0.0.1", site.port("tcp"))) as tcp:
        for line in lines:
            tcp.sendall(f"{line}\n".encode())


def sshd(second: int, text: str) -> str:
    """A line of sshd, so many seconds after a minute ago."""
    moment = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=60 - second)
    return f"<38>1 {moment.isoformat()} may-chu sshd 7 - - {text}"


def test_a_guessed_password_is_one_alert_over_a_kill(make_site: Callable[..., Site]) -> None:
    site = make_site()
    failed = [sshd(n, f"Failed password for lan from 203.0.113.9 port {5000 + n} ssh2") for n in range(8)]
    send(site, failed[:5])
    site.await_count("Failed password", 5)
    os.kill(site.stages()["detectors"]["pid"], signal.SIGKILL)
    send(site, failed[5:][::-1])
    send(site, [sshd(20, "Accepted password for lan from 203.0.113.9 port 6000 ssh2")])
    (alert,) = eventually(lambda: [found for found in site.alerts() if found["rule.name"] == _TITLE], 60, 1)
    assert (alert["user.name"], alert["source.ip"], alert["rule.level"]) == ("lan", "203.0.113.9", "high")
    assert len(alert["alert.evidence"]) == 9
    assert not [found for found in site.alerts() if found["rule.name"].startswith("Failed SSH")]
    eventually(lambda: site.stages()["detectors"]["detail"]["correlations"]["events"] >= 9)
    assert site.run("sources", "--check").returncode == 0
