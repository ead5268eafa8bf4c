"""A real exporter, softflowd, reads a capture and sends it in every version: the same connections come out of each."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from collectors.netflow.exporters import Exporters
from tests.conftest import need

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _sent(capture: Path, folder: Path, *options: str) -> tuple[list[dict[str, Any]], Exporters]:
    softflowd = shutil.which("softflowd", path=_PATH)
    need(softflowd is not None, "softflowd")
    exporters = Exporters(3600, 60, 5, 1, 0.0)
    ready = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
        port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_000_000)
        port.bind(("127.0.0.1", 0))
        command = [
            str(softflowd), "-r", str(capture), "-n", f"127.0.0.1:{port.getsockname()[1]}", "-d", "-p", str(folder / "pid"),
            "-c", "none", *options,
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=20)
        port.setblocking(False)
        while True:
            try:
                ready += exporters.feed("127.0.0.1", port.recv(65_535), time.time_ns(), 0.0)
            except BlockingIOError:
                break
    ready += exporters.finish()
    return [each.fields for each in ready if each.fields["event.dataset"] == "netflow"], exporters


@pytest.mark.parametrize("options", [("-v", "9"), ("-v", "10"), ("-v", "10", "-b")], ids=" ".join)
def test_every_version_tells_the_same_connections(shared_data: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    capture = shared_data / "pcap" / "ndpi" / "starcraft_battle.pcap"
    expected, _ = _sent(capture, tmp_path, "-v", "5")
    found, exporters = _sent(capture, tmp_path, *options)
    assert not exporters.lost
    assert len(found) == len(expected) > 40
    names = ("network.community_id", "network.transport", "network.bytes", "network.packets")
    for fields in (found, expected):
        fields.sort(key=lambda each: tuple(str(each.get(name)) for name in names))
    assert [[each.get(name) for name in names] for each in found] == [
        [each.get(name) for name in names] for each in expected
    ]
    whole = [each for each in expected if each.get("flow.state") in ("SF", "S1", "S0")]
    sides = {each["network.community_id"]: each["source.ip"] for each in found}
    assert len(whole) > 15
    assert all(sides[each["network.community_id"]] == each["source.ip"] for each in whole)  # who began
