"""Syslog to a real syslog-ng over TLS, TCP and UDP, and what it reads as JSON, CEF and text."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from collectors.decoders import Hints, decode
from pipeline.delivery import SENT, WAITING
from tests.conftest import eventually
from tests.response.delivery.conftest import Corridor, alert
from tests.services.siem import Siem, siem

pytestmark = pytest.mark.slow


def site(corridor: Callable[..., Corridor], other: Siem, **channel: Any) -> Corridor:
    """A corridor with a channel to it."""
    transport = channel.get("transport", "tls")
    base = {"name": "siem", "kind": "syslog", "host": "localhost", "port": other.ports[transport], "ca": other.ca}
    return corridor(channels=[{**base, **channel}], routes=[{"channels": ["siem"]}])


def test_every_alert_arrives_once_over_tls_and_again_after_it_was_away(
    corridor: Callable[..., Corridor], tmp_path: Path
) -> None:
    with siem(tmp_path / "siem") as other:
        made = site(corridor, other)
        made.raise_alerts(*(alert(number) for number in range(300)))
        made.run()
        assert {each["status"] for each in made.ended()} == {SENT}
        eventually(lambda: len(other.got()) == 300)
        first = other.got()[0]
        assert (first["program"], first["host"]) == ("haidang", "may-thu")
        assert int(first["pri"]) == 13 * 8 + 3
        sources = {json.loads(each["text"])["source.ip"] for each in other.got()}
        assert sources == {alert(number)["source.ip"] for number in range(300)}
        ports = other.ports
    made.raise_alerts(*(alert(number) for number in range(300, 340)))
    eventually(lambda: any(each["attempts"] for each in made.receipts(status=WAITING)))
    with siem(tmp_path / "siem", ports) as other:
        assert {each["status"] for each in made.ended(60)} == {SENT}
        wanted = {each["id"] for each in made.receipts()}
        eventually(lambda: {each["id"] for each in other.got()} == wanted)
        made.stop()
    assert len(wanted) == 340


@pytest.mark.parametrize("transport", ["tls", "tcp", "udp"])
@pytest.mark.parametrize("form", ["json", "cef", "text"])
def test_nothing_of_a_log_can_make_a_second_line_or_field(
    corridor: Callable[..., Corridor], tmp_path: Path, transport: str, form: str
) -> None:
    nasty = "a|b\\c=d\r\n<13>1 - evil evil - - - x \x00\u2028 Đặng " + "y" * 5000
    raised = alert(1, **{"rule.name": nasty, "user.name": nasty, "rule.description": nasty, "file.path": "/ok"})
    with siem(tmp_path / "siem") as other:
        made = site(corridor, other, transport=transport, format=form, max_bytes=4000)
        made.raise_alerts(raised)
        made.run()
        assert made.ended()[0]["status"] == SENT
        eventually(lambda: len(other.got()) == 1)
        time.sleep(0.2)
        (got,) = other.got()
        made.stop()
    text = got["text"].removeprefix("\ufeff")
    assert got["id"] == made.receipts()[0]["id"]
    assert len(text.encode()) < 4000
    if form == "json":
        document = json.loads(text)
        assert (document["event.id"], document["file.path"], document["labels.cut"]) == (
            raised["event.id"],
            "/ok",
            "true",
        )
    elif form == "cef":
        fields = decode(text, Hints(), datetime(2026, 11, 24, tzinfo=UTC))
        assert (fields["observer.vendor"], fields["event.code"]) == ("Hai Dang", "behaviour.port_scan")
        assert fields["cef.name"].startswith("a|b\\c=d  <13>1 - evil")
        assert fields["cef.extensions.suser"].startswith("a|b\\c=d  <13>1 - evil")
        assert (fields["source.ip"], fields["file.path"]) == ("10.0.5.20", "/ok")
    else:
        assert text.startswith("[HIGH] a|b")
        assert "file.path=/ok" in text


def test_a_receiver_whose_certificate_is_not_signed_gets_nothing(
    corridor: Callable[..., Corridor], tmp_path: Path
) -> None:
    with siem(tmp_path / "siem") as other:
        made = site(corridor, other, ca=None)
        made.raise_alerts(alert(1))
        made.run()
        assert "certificate" in made.tried()[0]["answer"].lower()
        assert other.got() == []
        made.stop()
