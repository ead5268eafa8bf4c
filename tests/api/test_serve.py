"""The API's process: it starts, says where it is, refuses an address in use, and stops."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from pipeline.state import open_state
from pipeline.state.tables import stages

_ROOT = Path(__file__).parents[2]


def _start(folder: Path, port: int) -> "subprocess.Popen[str]":
    environment = {
        **os.environ,
        "HAIDANG_DATA_DIR": str(folder),
        "HAIDANG_API__PORT": str(port),
        "HAIDANG_LANGUAGE": "en",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "api"], cwd=_ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture
def process(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    with _start(tmp_path, 0) as started:
        yield started
        started.kill()


def test_it_says_where_it_is_and_stops_when_told(tmp_path: Path, process: "subprocess.Popen[str]") -> None:
    engine = open_state(tmp_path)
    detail: dict[str, str] = {}
    deadline = time.monotonic() + 20
    while "address" not in detail and time.monotonic() < deadline:
        time.sleep(0.05)
        with engine.connect().execution_options(read_only=True) as connection:
            detail = connection.scalar(select(stages.c.detail).where(stages.c.stage == "api")) or {}
    engine.dispose()
    assert httpx.get(f"{detail['address']}/api/v1/me", timeout=60).status_code == 401
    assert httpx.get(detail["address"], timeout=60).status_code == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_a_port_in_use_is_named_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with _start(tmp_path, port) as process:
            assert process.wait(60) == 2
            assert process.stderr
            assert f"Cannot listen on 127.0.0.1:{port}" in process.stderr.read()
