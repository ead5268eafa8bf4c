"""A whole site with channels, through the commands that people have: a test, a real alert, dead letters sent again."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import eventually
from tests.e2e.conftest import Site

pytestmark = pytest.mark.slow
_TOP = """
[delivery]
scripts = "{folder}"
[[channels]]
name = "good"
kind = "script"
program = "good.sh"
heartbeat = "00:00"
[[channels]]
name = "bad"
kind = "script"
program = "bad.sh"
[[routes]]
channels = ["good", "bad"]
"""


def _program(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def _receipts(site: Site, *arguments: str) -> list[dict[str, Any]]:
    said = site.run("notify", "list", "--json", *arguments).stdout
    return [json.loads(line) for line in said.splitlines()]


def test_from_an_attack_to_a_receipt_and_from_a_dead_letter_to_another_try(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    folder, got = tmp_path / "scripts", tmp_path / "got"
    _program(folder / "good.sh", f"cat >> {got}; echo taken")
    _program(folder / "bad.sh", "echo never; exit 65")
    site = make_site(top=_TOP.format(folder=folder))
    said = site.run("notify", "test", "good").stdout
    assert "exit status 0. taken" in said
    failed = site.run("notify", "test", "bad", check=False)
    assert (failed.returncode, "never" in failed.stdout) == (1, True)
    assert site.run("notify", "test", "gone", check=False).stderr.startswith("There is no channel 'gone'")
    for asked in (("list",), ("dead",), ("resend", "--all"), ("drop", "--all")):
        unknown = site.run("notify", *asked, "--channel", "gone", check=False)
        assert (unknown.returncode, "There is no channel 'gone'" in unknown.stderr) == (2, True)
    report = eventually(lambda: [each for each in _receipts(site, "--status", "sent") if each["kind"] == "heartbeat"])
    assert report[0]["body"]["observer"] == "may-thu"

    line = "<38>Nov 24 05:17:44 may sshd[7]: Accepted password for root from 203.0.113.9 port 5 ssh2\n"
    with socket.create_connection(("127.0.0.1", site.port("tcp"))) as sender:
        sender.sendall(line.encode())
    raised = eventually(lambda: [each for each in site.alerts() if each.get("source.ip") == "203.0.113.9"], 30)
    identifier = raised[0]["event.id"]

    def ended() -> dict[str, str]:
        found = {each["channel"]: each["status"] for each in _receipts(site, "--alert", identifier)}
        return found if "waiting" not in found.values() else {}

    assert eventually(ended) == {"good": "sent", "bad": "dead"}
    assert identifier in got.read_text()

    dead = [json.loads(line) for line in site.run("notify", "dead", "--json", check=False).stdout.splitlines()]
    assert {each["channel"] for each in dead} == {"bad"}
    status = site.run("notify", "status", check=False)
    assert status.returncode == 1
    assert (
        "messages_dead" in site.api("/health", site.run("token", "create", "p", "--api", "viewer").stdout.strip()).text
    )
    _program(folder / "bad.sh", "echo mended")
    site.run("notify", "resend", "--all")
    eventually(lambda: not site.run("notify", "dead", "--json", check=False).stdout)
    again = [each for each in _receipts(site, "--channel", "bad") if each["id"] == dead[0]["id"]]
    assert again[0]["answer"] == "exit status 0. mended"
    site.run("notify", "status")
