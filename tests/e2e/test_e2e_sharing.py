"""A real infection goes over a wire; a minute later the authority has it, signed, and its receipt is here."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from pipeline.state.tables import share_messages
from tests.conftest import eventually, need
from tests.e2e.conftest import Site, is_ours
from tests.e2e.test_e2e_indicators import CAPTURE, SERVER
from tests.services.wire import Wire, laid
from tests.sharing.conftest import edited, signing_key

pytestmark = pytest.mark.slow

#: The machine in the capture that the malware runs on.
VICTIM = "192.168.100.20"

_SOURCE = """
[[sources]]
name = "mirror"
kind = "network"
interfaces = ["{interface}"]
[[sources]]
name = "windows"
kind = "files"
paths = ["{folder}/*.evtx"]
"""
#: Recorded by Windows Defender while tools of attackers were unpacked.
_DEFENDER = "evtx/EVTX-ATTACK-SAMPLES/AutomatedTestingTools/WinDefender_Events_1117_1116_AtomicRedTeam.evtx"
#: Sends the packets of a capture into an interface, one a millisecond.
_REPLAY = """
import socket, sys, time
from scapy.utils import RawPcapReader
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind((sys.argv[2], 0))
for data, _ in RawPcapReader(sys.argv[1]):
    if len(data) <= 1514:
        wire.send(data)
        time.sleep(0.001)
"""


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[httpx.Client]:
    """The simulated authority as its own process; a client that asks it what arrived."""
    folder = tmp_path / "authority"
    command = [sys.executable, "-c", "import sys; from pipeline.command import main; sys.exit(main())", "sharing"]
    process = subprocess.Popen(
        [*command, "simulator", "--folder", str(folder), "--port", "0"],
        env={**os.environ, "HAIDANG_LANGUAGE": "en"}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    url = process.stdout.readline().split()[3]
    import ssl

    context = ssl.create_default_context(cafile=str(folder / "certificate.pem"))
    with httpx.Client(base_url=url, verify=context, timeout=60) as client:
        yield client
    process.kill()
    process.communicate()


def _book(authority: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = authority.get("/simulator/book").json()["arrived"]
    return found


def _about(authority: httpx.Client, machine: str) -> list[dict[str, Any]]:
    """The messages that tell of a machine."""
    return [each for each in _book(authority) if any(name.startswith(f"{machine} ") for name in each["machines"])]


def test_from_a_contact_on_the_wire_to_a_receipt_in_less_than_a_minute(
    make_site: Callable[..., Site], shared_data: Path, tmp_path: Path, authority: httpx.Client
) -> None:
    capture, recorded = shared_data / CAPTURE, shared_data / _DEFENDER
    need(capture.is_file() and recorded.is_file(), f"{capture} {recorded}")
    (tmp_path / "windows").mkdir()
    with laid(Wire()) as wire:
        wire.plug()
        site = make_site(sources=_SOURCE.format(interface=wire.name, folder=tmp_path / "windows"))
        site.run("indicators", "add", SERVER, "--threat", "c2", "--family", "AsyncRAT", "--reason", "a report")
        (site.data_dir / "sharing").mkdir()
        certificate = signing_key(site.data_dir / "sharing")
        site.run("sharing", "add", "cv2290", "--as", "bo")
        (tmp_path / "authority" / "registered" / "site.pem").write_bytes(certificate.read_bytes())
        file = site.data_dir / "sharing" / "bo.toml"
        changes = {
            "organ__id": "G10.22", "organ__name": "Sở Nội vụ", "endpoint__url": str(authority.base_url), "schedule__every_minutes": 0.1,
            "endpoint__ca": str(tmp_path / "authority" / "certificate.pem"), "content__pseudonyms": [],
            "endpoint__allow_private": ["127.0.0.0/8"],
        }  # fmt: skip
        file.write_text(edited(file.read_text("utf-8"), changes), "utf-8")
        said = site.run("sharing", "confirm", "bo").stdout
        assert "✗" not in said and said.count("✓") == 4
        eventually(lambda: "sharing" in site.stages(), 30)  # the stage starts by itself: there is a profile now

        shutil.copy(recorded, tmp_path / "windows")
        begun = time.monotonic()
        subprocess.run([sys.executable, "-c", _REPLAY, str(capture), wire.name], check=True, timeout=60)
        pid = site.stages()["sharing"]["pid"]
        assert is_ours(pid, site.data_dir)
        os.kill(pid, signal.SIGKILL)  # whatever it was at
        arrived = eventually(lambda: _about(authority, VICTIM), 60)
        seconds = time.monotonic() - begun
        receipts = eventually(lambda: site.run("sharing", "receipts", "--json").stdout, 30)
    print(f"{seconds:.1f} s from the first packet to the authority's book")
    assert seconds < 60
    given = {json.loads(json.loads(line)["receipt"])["sha256"]: json.loads(line) for line in receipts.splitlines()}
    receipt = given[arrived[0]["sha256"]]
    assert receipt["code"] == 200
    told = json.loads(site.run("sharing", "show", str(receipt["number"])).stdout)
    (contact,) = [each for each in told["facts"] if each["kind"] == "connection"]
    assert contact["values"]["connection.target"] == SERVER
    alerts = {each["event.id"]: each for each in site.alerts()}
    assert "indicator.c2" in {alerts[each]["rule.id"] for each in contact["alerts"]}
    eventually(lambda: len(_malware(site)) >= 5, 60)
    found = {each["malware.name"]: each for each in _malware(site)}
    assert found["HackTool:JS/Jsprat"]["machine.name"] == "MSEDGEWIN10"
    assert (found["HackTool:JS/Jsprat"]["malware.type"], found["HackTool:JS/Jsprat"]["malware.files"]) == ("Tool", 1)


def _malware(site: Site) -> list[dict[str, Any]]:
    """What was told of malware, in all messages."""
    with site.engine.connect() as connection:
        messages = connection.scalars(select(share_messages.c.facts)).all()
    return [fact["values"] for facts in messages for fact in facts if fact["kind"] == "malware"]
