"""The collectors' stage as a process: what one source cannot do is told in health and touches no other."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import select

from collectors.datagram_buffer import Datagram, DatagramBuffer
from pipeline import canaries
from pipeline.state import open_state
from pipeline.state.tables import stages
from pipeline.tls import own_certificate
from tests.conftest import eventually

_SOURCES = """
[tls]
certificate = "/nowhere/certificate.pem"
key = "/nowhere/key.pem"
[[sources]]
name = "good"
kind = "syslog"
host = "127.0.0.1"
tcp_port = 0
tls_port = 0
[[sources]]
name = "port-taken"
kind = "http"
host = "127.0.0.1"
port = {taken}
[[sources]]
name = "no-such-host"
kind = "syslog"
host = "192.0.2.1"
udp_port = 0
tcp_port = 0
[[sources]]
name = "no-such-zone"
kind = "syslog"
host = "127.0.0.1"
tcp_port = 0
timezone = "Asia/Dong_Ha"
[[sources]]
name = "no-certificate"
kind = "http"
host = "127.0.0.1"
port = 0
tls = true
[[sources]]
name = "bad-pattern"
kind = "files"
paths = ["/var/log/*.nothing"]
multiline = "("
[[sources]]
name = "logs"
kind = "files"
paths = ["{logs}/*.log"]
"""


def test_each_faulty_source_is_told_and_the_good_ones_listen(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = _SOURCES.format(taken=port, logs=tmp_path) + "[canary]\nminutes = 0.05\n"
        left = DatagramBuffer(tmp_path / "datagrams", "taken-out", 1_000_000)
        left.put(1, [Datagram(1, 1, "192.0.2.1", 514, b"x")])
        left.close()
        (tmp_path / "haidang.toml").write_text(settings, "utf-8")
        environment = {**os.environ, "HAIDANG_DATA_DIR": str(tmp_path), "HAIDANG_LANGUAGE": "en"}
        process = subprocess.Popen([sys.executable, "-m", "collectors"], env=environment)
        try:
            detail = eventually(lambda: _detail(tmp_path))
            eventually(lambda: ("good", "tcp") in _canaries(tmp_path))
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    assert [place.split()[0] for place in detail["listening"]["good"]] == ["tcp"]
    assert detail["listening"]["logs"] == [f"files {tmp_path}/*.log"]
    failures = detail["failures"]
    assert "certificate.pem" in failures["tls 127.0.0.1:0"]
    assert "in use" in failures[f"http 127.0.0.1:{port}"]
    assert set(failures) >= {"udp 192.0.2.1:0", "tcp 192.0.2.1:0", "no-certificate", "bad-pattern"}
    assert "Asia/Dong_Ha" in failures["no-such-zone"]
    assert "datagrams/taken-out.db" in failures["udp taken-out"]


def _canaries(data_dir: Path) -> set[tuple[str, str]]:
    """The inputs by which a canary came in."""
    engine = open_state(data_dir)
    with engine.connect().execution_options(read_only=True) as connection:
        found = {(row["source"], row["kind"]) for row in canaries.rows(connection) if row["received"] is not None}
    engine.dispose()
    return found


def _detail(data_dir: Path) -> dict[str, Any]:
    engine = open_state(data_dir)
    with engine.connect().execution_options(read_only=True) as connection:
        detail = connection.scalar(select(stages.c.detail).where(stages.c.stage == "collectors")) or {}
    engine.dispose()
    return detail if detail.get("ready") else {}


def test_a_certificate_is_made_once_and_made_anew_when_its_pair_is_broken(tmp_path: Path) -> None:
    certificate, key = own_certificate(tmp_path, "may-thu")
    first = certificate.read_bytes()
    assert own_certificate(tmp_path, "may-thu") == (certificate, key)
    assert certificate.read_bytes() == first
    assert key.stat().st_mode & 0o777 == 0o600
    own_certificate(tmp_path / "other", "may-thu")
    key.write_bytes((tmp_path / "other" / "key.pem").read_bytes())
    own_certificate(tmp_path, "may-thu")
    assert certificate.read_bytes() != first


def test_an_observer_that_is_no_host_name_gets_a_certificate_too(tmp_path: Path) -> None:
    own_certificate(tmp_path, "UBND xã Đông Hà, phòng máy chủ số 1, tầng 2, đường Hùng Vương, phường 1")
    own_certificate(tmp_path / "empty", "")
