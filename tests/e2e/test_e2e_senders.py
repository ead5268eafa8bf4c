"""Real senders send over every transport; every message arrives once, with its Vietnamese and its fields."""

import gzip
import json
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import eventually
from tests.e2e.conftest import Site
from tests.e2e.senders import log_through, program, rsyslog, syslog_ng

pytestmark = pytest.mark.slow
_VIETNAMESE = "Người dùng Nguyễn Văn Đức đăng nhập từ phường Đông Hà"


def _words(name: str, count: int = 5) -> list[str]:
    return [f"{name} số {number}: {_VIETNAMESE}" for number in range(count)]


def test_rsyslog_over_every_transport(site: Site, tmp_path: Path) -> None:
    tls = (
        f'target="localhost" port="{site.port("tls")}" protocol="tcp" StreamDriver="gtls" StreamDriverMode="1" '
        'StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="localhost"'
    )
    transports = {
        "rsudp": f'target="127.0.0.1" port="{site.port("udp")}" protocol="udp"',
        "rstcp": f'target="127.0.0.1" port="{site.port("tcp")}" protocol="tcp"',
        "rscounted": f'target="127.0.0.1" port="{site.port("tcp")}" protocol="tcp" TCP_Framing="octet-counted" '
        'template="RSYSLOG_SyslogProtocol23Format"',
        "rstls": tls,
        "rstlscounted": f'{tls} TCP_Framing="octet-counted" template="RSYSLOG_SyslogProtocol23Format"',
    }
    for name, action in transports.items():
        with rsyslog(tmp_path / name, site.certificate, action) as inbox:
            log_through(inbox, *_words(name))
            site.await_count(f'message:"{name} số"', 5)
    [event] = site.search('message:"rstlscounted số 3"')
    assert event["message"] == f"rstlscounted số 3: {_VIETNAMESE}"
    assert event["process.name"] == "thu"
    assert event["labels.source"] == "syslog"


def test_syslog_ng_over_every_transport(site: Site, tmp_path: Path) -> None:
    trusted = 'tls(ca-dir("CA_DIR") peer-verify(required-trusted))'
    destinations = {
        "ngudp": f'network("127.0.0.1" port({site.port("udp")}) transport("udp"));',
        "ngtcp": f'network("127.0.0.1" port({site.port("tcp")}) transport("tcp"));',
        "ngcounted": f'syslog("127.0.0.1" port({site.port("tcp")}) transport("tcp"));',
        "ngtls": f'network("localhost" port({site.port("tls")}) transport("tls") {trusted});',
        "ngtlscounted": f'syslog("localhost" port({site.port("tls")}) transport("tls") {trusted});',
    }
    for name, destination in destinations.items():
        with syslog_ng(tmp_path / name, site.certificate, destination) as inbox:
            log_through(inbox, *_words(name))
            site.await_count(f'message:"{name} số"', 5)
    assert site.search('message:"ngcounted số 3"')[0]["message"].endswith(_VIETNAMESE)


def test_logger_over_udp_and_tcp_in_both_formats(site: Site) -> None:
    for name, more in {
        "lgudp": ["-d", "-P", str(site.port("udp")), "--rfc3164"],
        "lgudpnew": ["-d", "-P", str(site.port("udp")), "--rfc5424"],
        "lgtcp": ["-T", "-P", str(site.port("tcp")), "--rfc5424"],
        "lgcounted": ["-T", "-P", str(site.port("tcp")), "--rfc5424", "--octet-count"],
    }.items():
        for words in _words(name):
            subprocess.run([program("logger"), "-n", "127.0.0.1", *more, "-t", "may", words], check=True, timeout=10)
        site.await_count(f'message:"{name} số"', 5)
    for event in site.search("message:lgudp OR message:lgcounted"):
        assert event["message"].endswith(_VIETNAMESE)


def test_openssl_as_a_sender_and_as_half_a_handshake(site: Site) -> None:
    command = [
        program("openssl"), "s_client", "-connect", f"localhost:{site.port('tls')}", "-CAfile", str(site.certificate),
        "-verify_return_error", "-verify_hostname", "localhost", "-quiet", "-no_ign_eof",
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as sender:
        assert sender.stdin is not None
        sender.stdin.write(f"<38>1 2026-11-24T05:17:44Z may openssl - - - opensslword {_VIETNAMESE}\n".encode())
        sender.stdin.flush()
        site.await_count("opensslword", 1)
        sender.stdin.close()
        sender.wait(60)
    wrong = subprocess.run(
        [program("openssl"), "s_client", "-connect", f"localhost:{site.port('tls')}", "-tls1_1"],
        stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=20,
    )  # fmt: skip
    assert wrong.returncode != 0


def test_curl_with_a_token_packed_and_plain(site: Site, tmp_path: Path) -> None:
    lines = [json.dumps({"@timestamp": "2026-11-24T05:17:44Z", "message": word}) for word in _words("curlword", 100)]
    plain, packed = tmp_path / "lines", tmp_path / "lines.gz"
    plain.write_text("\n".join(lines), "utf-8")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    address = f"http://127.0.0.1:{site.port('http')}/v1/events"

    def curl(*more: str) -> tuple[int, str]:
        done = subprocess.run(
            [program("curl"), "-sS", "-w", "\n%{http_code}", *more, address], capture_output=True, text=True, check=True
        )
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body

    token = f"Authorization: Bearer {site.token('curl-gate')}"
    assert curl("--data-binary", f"@{plain}")[0] == 401
    assert curl("-H", "Authorization: Bearer hd_wrong", "--data-binary", f"@{plain}")[0] == 401
    assert curl("-H", token, "--data-binary", f"@{plain}") == (200, '{"accepted":100,"unreadable":0}')
    assert curl("-H", token, "-H", "Content-Encoding: gzip", "--data-binary", f"@{packed}")[0] == 200
    site.await_count("curlword", 100)
    balance = eventually(lambda: (row := site.sources()["curl-gate"])["stored"] + row["already_stored"] == 200 and row)
    assert (balance["received"], balance["stored"], balance["already_stored"]) == (200, 100, 100)


def test_guessed_passwords_sent_by_rsyslog_raise_an_alert(site: Site, tmp_path: Path) -> None:
    before = len(site.alerts())
    words = [f"Failed password for invalid user admin{n} from 203.0.113.77 port {40000 + n} ssh2" for n in range(12)]
    action = f'target="127.0.0.1" port="{site.port("tcp")}" protocol="tcp" template="RSYSLOG_SyslogProtocol23Format"'
    with rsyslog(tmp_path / "rs", site.certificate, action) as inbox:
        for word in [*words, "Accepted password for root from 203.0.113.77 port 42001 ssh2"]:
            subprocess.run([program("logger"), "-u", str(inbox), "-p", "auth.info", "-t", "sshd", word], check=True)
        site.await_count("source.ip:203.0.113.77", 13)
    assert site.count("source.ip:203.0.113.77 AND event.outcome:failure AND event.action:ssh_login") == 12
    alerts = eventually(lambda: [alert for alert in site.alerts() if alert.get("source.ip") == "203.0.113.77"])
    assert len(site.alerts()) > before
    assert alerts[0]["rule.name"]


def test_bad_input_is_kept_or_refused_and_disturbs_nobody(site: Site, tmp_path: Path) -> None:
    wide = {"@timestamp": "2026-11-24T05:17:44Z", "message": "badinput wide", **{f"f{n}": n for n in range(100_000)}}
    times = [
        {"@timestamp": stamp, "message": "badinput time"}
        for stamp in ("1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z", "?")
    ]
    deep = '{"message": "badinput deep", "a":' + '{"a":' * 900 + "1" + "}" * 901
    names = [json.dumps({"message": "badinput names", f"name{n}": n}) for n in range(2000)]
    body = tmp_path / "body"
    body.write_text("\n".join([json.dumps(wide), *map(json.dumps, times), deep, *names]), "utf-8")
    address = f"http://127.0.0.1:{site.port('http')}/v1/events"
    token = f"Authorization: Bearer {site.token('bad-gate')}"
    done = subprocess.run(
        [program("curl"), "-sS", "-H", token, "--data-binary", f"@{body}", address],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert json.loads(done.stdout)["accepted"] == 2005
    bomb = tmp_path / "bomb"
    bomb.write_bytes(gzip.compress(bytes(300_000_000), 1))
    done = subprocess.run(
        [program("curl"), "-sS", "-H", token, "-H", "Content-Encoding: gzip",
         "--data-binary", f"@{bomb}", address], capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert "after unpacking" in json.loads(done.stdout)["error"]
    with socket.create_connection(("127.0.0.1", site.port("tcp"))) as tcp:
        block = b"a" * 1_000_000
        for _ in range(100):
            tcp.sendall(block)
        tcp.sendall(
            b"\n<38>badinput after the long line\n" + bytes(range(256)) * 4 + b"\n<38>badinput after the noise\n"
        )
    site.await_count('message:"badinput after"', 2)
    site.await_count('message:"badinput names"', 2000)
    site.await_count('message:"badinput time"', 3)
    assert site.count('message:"badinput deep"') == site.count('message:"badinput wide"') == 1
    for event in site.search('message:"badinput time"'):
        assert abs(time.time() - time.mktime(time.strptime(event["@timestamp"][:10], "%Y-%m-%d"))) < 3 * 86400
