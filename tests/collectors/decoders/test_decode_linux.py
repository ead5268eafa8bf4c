"""sshd, sudo, su, login, PAM, account tools, systemd, cron, kernel, netfilter, auditd."""

from datetime import datetime

import pytest

from collectors.decoders import Hints, decode

SSHD = "Nov 24 05:17:44 web1 sshd[42]: "

AUTH = [
    (
        SSHD + "Failed password for invalid user web master from 203.0.113.7 port 50022 ssh2",
        {
            "event.action": "ssh_login",
            "event.outcome": "failure",
            "event.category": ["authentication"],
            "user.name": "web master",
            "source.ip": "203.0.113.7",
            "source.port": 50022,
            "event.reason": "invalid user",
        },
    ),
    (
        SSHD + "Failed password for x from 198.51.100.1 port 1 from 203.0.113.7 port 2 ssh2",
        {"source.ip": "203.0.113.7", "user.name": "x from 198.51.100.1 port 1"},
    ),
    (
        SSHD + "Accepted publickey for nam from 2001:db8::1 port 50022 ssh2: ED25519 SHA256:abc",
        {
            "event.outcome": "success",
            "user.name": "nam",
            "source.ip": "2001:db8::1",
            "system.auth.ssh.method": "publickey",
            "system.auth.ssh.signature": "ED25519 SHA256:abc",
        },
    ),
    (
        SSHD + "Invalid user admin from 203.0.113.7 port 4711",
        {"event.action": "ssh_invalid_user", "user.name": "admin", "source.port": 4711},
    ),
    (
        SSHD + "input_userauth_request: invalid user admin [preauth]",
        {"event.action": "ssh_invalid_user", "user.name": "admin"},
    ),
    (
        SSHD + "Connection closed by invalid user admin 203.0.113.7 port 55 [preauth]",
        {"event.action": "ssh_disconnect", "user.name": "admin", "source.ip": "203.0.113.7"},
    ),
    (
        SSHD + "Connection closed by 203.0.113.7 [preauth]",
        {"event.action": "ssh_disconnect", "source.ip": "203.0.113.7"},
    ),
    (
        SSHD + "Received disconnect from 203.0.113.7 port 55:11: Bye Bye [preauth]",
        {"event.action": "ssh_disconnect", "event.reason": "Bye Bye", "source.port": 55},
    ),
    (
        SSHD + "reverse mapping checking getaddrinfo for a.example [203.0.113.7] failed - POSSIBLE BREAK-IN ATTEMPT!",
        {
            "event.action": "ssh_reverse_mapping",
            "source.ip": "203.0.113.7",
            "source.domain": "a.example",
        },
    ),
    (
        SSHD + "error: maximum authentication attempts exceeded for invalid user a from "
        "203.0.113.7 port 55 ssh2 [preauth]",
        {"event.action": "ssh_login_refused", "user.name": "a", "source.ip": "203.0.113.7"},
    ),
    (
        SSHD + "User bin from 203.0.113.7 not allowed because not listed in AllowUsers",
        {"event.reason": "not listed in AllowUsers", "user.name": "bin"},
    ),
    (
        SSHD + "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh "
        "ruser= rhost=203.0.113.7  user=root",
        {
            "event.action": "pam_authentication",
            "event.outcome": "failure",
            "user.name": "root",
            "source.ip": "203.0.113.7",
            "process.tty.name": "ssh",
        },
    ),
    (
        SSHD + "PAM 5 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= "
        "rhost=gateway.example  user=root",
        {
            "event.action": "pam_authentication_repeated",
            "log.syslog.repeated": 5,
            "source.domain": "gateway.example",
            "user.name": "root",
        },
    ),
    (
        "Nov 24 05:17:44 h CRON[9]: pam_unix(cron:session): session opened for user root(uid=0) by nam(uid=1000)",
        {
            "event.dataset": "linux.auth",
            "event.action": "session_opened",
            "user.name": "root",
            "user.id": "0",
            "process.real_user.name": "nam",
        },
    ),
    (
        "Nov 24 05:17:44 h sudo:      nam : TTY=pts/0 ; PWD=/home/nam ; USER=root ; "
        "COMMAND=/bin/cat /etc/shadow ; echo",
        {
            "event.action": "sudo",
            "event.outcome": "success",
            "user.name": "nam",
            "user.effective.name": "root",
            "process.command_line": "/bin/cat /etc/shadow ; echo",
            "process.executable": "/bin/cat",
            "process.working_directory": "/home/nam",
        },
    ),
    (
        "Nov 24 05:17:44 h sudo:      nam : user NOT in sudoers ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/su",
        {"event.outcome": "failure", "event.reason": "user NOT in sudoers", "user.name": "nam"},
    ),
    (
        "Nov 24 05:17:44 h sudo: pam_unix(sudo:auth): authentication failure; logname=nam uid=1000 "
        "euid=0 tty=/dev/pts/0 ruser=nam rhost=  user=nam",
        {
            "event.action": "pam_authentication",
            "event.outcome": "failure",
            "user.name": "nam",
            "source.address": None,
        },
    ),
    (
        "Nov 24 05:17:44 h login[1]: ROOT LOGIN  on '/dev/tty1'",
        {"event.action": "login", "user.name": "root", "process.tty.name": "/dev/tty1"},
    ),
    (
        "Nov 24 05:17:44 h systemd-logind[1]: New session 5 of user nam.",
        {"event.action": "session_opened", "user.name": "nam"},
    ),
    (
        "Nov 24 05:17:44 h su[1]: FAILED SU (to root) nam on pts/1",
        {"event.outcome": "failure", "user.effective.name": "root", "user.name": "nam"},
    ),
    (
        "Nov 24 05:17:44 h su[1]: (to root) nam on pts/1",
        {"event.outcome": "success", "user.effective.name": "root", "user.name": "nam"},
    ),
    (
        "Nov 24 05:17:44 h login[1]: FAILED LOGIN (1) on '/dev/tty1' FOR 'root', Authentication failure",
        {"event.action": "login", "event.outcome": "failure", "user.name": "root"},
    ),
    (
        "Nov 24 05:17:44 h useradd[99]: new user: name=nam, UID=0, GID=0, home=/home/nam, "
        "shell=/bin/bash, from=/dev/pts/0",
        {"event.action": "added-user-account", "user.name": "nam", "user.id": "0"},
    ),
    (
        "Nov 24 05:17:44 h usermod[1]: add 'nam' to group 'sudo'",
        {"event.action": "added-member-to-group", "user.name": "nam", "group.name": "sudo"},
    ),
    (
        "Nov 24 05:17:44 h groupadd[1]: new group: name=ops, GID=1002",
        {"event.action": "added-group-account", "group.name": "ops", "group.id": "1002"},
    ),
    (
        "Nov 24 05:17:44 h passwd[1]: pam_unix(passwd:chauthtok): password changed for nam",
        {"event.category": ["iam"], "user.name": "nam"},
    ),
]


@pytest.mark.parametrize(("line", "expected"), AUTH, ids=[line[16:60] for line, _ in AUTH])
def test_auth_message(line: str, expected: dict[str, object], received: datetime) -> None:
    fields = decode(line, Hints(syslog=True), received)
    assert fields["event.dataset"] == "linux.auth"
    assert {key: fields.get(key) for key in expected} == expected


def test_unknown_sshd_message_is_still_linux_auth_with_its_address(received: datetime) -> None:
    fields = decode(SSHD + "something new from 203.0.113.7 port 5", Hints(), received)
    assert fields["event.dataset"] == "linux.auth"
    assert fields["source.ip"] == "203.0.113.7"
    assert "event.outcome" not in fields


def test_another_program_s_failed_password_is_no_ssh_login(received: datetime) -> None:
    line = "Nov 24 05:17:44 h myapp[1]: Failed password for root from 203.0.113.7 port 5"
    fields = decode(line, Hints(), received)
    assert fields["event.dataset"] == "linux.syslog"
    assert "event.action" not in fields


SYSTEM = [
    (
        "Nov 24 05:17:44 h systemd[1]: Started OpenSSH server daemon.",
        {
            "event.dataset": "linux.systemd",
            "event.action": "service_started",
            "service.name": "OpenSSH server daemon",
        },
    ),
    (
        "Nov 24 05:17:44 h systemd[1]: nginx.service: Failed with result 'exit-code'.",
        {"service.name": "nginx", "event.outcome": "failure", "systemd.unit": "nginx.service"},
    ),
    (
        "Nov 24 05:17:44 h CRON[1]: (root) CMD (/tmp/x (y))",
        {
            "event.dataset": "linux.cron",
            "user.name": "root",
            "process.command_line": "/tmp/x (y)",
        },
    ),
    (
        "Nov 24 05:17:44 h crontab[1]: (nam) REPLACE (nam)",
        {"event.action": "crontab_replaced", "user.target.name": "nam"},
    ),
    (
        "Nov 24 05:17:44 h kernel: [  12.345678] Out of memory: Killed process 77 (java) total-vm",
        {"event.action": "out_of_memory_kill", "process.pid": 77, "process.name": "java"},
    ),
    (
        "Nov 24 05:17:44 h kernel: device eth0 entered promiscuous mode",
        {"event.dataset": "linux.kernel", "event.action": "promiscuous_mode"},
    ),
    (
        "Nov 24 05:17:44 h ftpd[1]: connection from 203.0.113.7 (a.example) at Sun Jul 17 2005",
        {"source.ip": "203.0.113.7", "source.domain": "a.example", "event.action": "connection"},
    ),
    (
        "Nov 24 05:17:44 gw kernel: [1.123456] [UFW BLOCK] IN=eth0 OUT= MAC=aa:bb:cc:dd:ee:ff:11:"
        "22:33:44:55:66:08:00 SRC=203.0.113.5 DST=10.0.0.2 LEN=60 TTL=52 PROTO=TCP SPT=4711 "
        "DPT=22 WINDOW=1024 SYN URGP=0",
        {
            "event.dataset": "linux.netfilter",
            "event.action": "denied",
            "rule.name": "UFW BLOCK",
            "source.ip": "203.0.113.5",
            "source.port": 4711,
            "source.mac": "11-22-33-44-55-66",
            "destination.ip": "10.0.0.2",
            "destination.port": 22,
            "network.transport": "tcp",
            "network.direction": "inbound",
            "observer.ingress.interface.name": "eth0",
            "netfilter.tcp_flags": ["syn"],
        },
    ),
    (
        "IN= OUT=eth0 SRC=2001:db8::1 DST=2001:db8::2 LEN=64 PROTO=ICMPv6 TYPE=128 CODE=0",
        {
            "event.dataset": "linux.netfilter",
            "network.type": "ipv6",
            "network.transport": "ipv6-icmp",
            "network.direction": "outbound",
        },
    ),
    (
        'type=EXECVE msg=audit(1364481363.243:24287): argc=2 a0="ls" a1=2D6C6120C3A1',
        {
            "event.dataset": "linux.auditd",
            "process.args": ["ls", "-la á"],
            "process.command_line": "ls -la á",
            "@timestamp": "2013-03-28T14:36:03.243Z",
        },
    ),
    (
        "node=web1 type=USER_LOGIN msg=audit(1500000000.100:5): pid=1 uid=0 msg='op=login "
        'acct="root" exe="/usr/sbin/sshd" hostname=? addr=203.0.113.9 res=failed\'',
        {
            "host.name": "web1",
            "user.name": "root",
            "source.ip": "203.0.113.9",
            "event.outcome": "failure",
            "event.category": ["authentication"],
        },
    ),
]


@pytest.mark.parametrize(("line", "expected"), SYSTEM, ids=[line[:60] for line, _ in SYSTEM])
def test_system_message(line: str, expected: dict[str, object], received: datetime) -> None:
    fields = decode(line, Hints(), received)
    assert {key: fields.get(key) for key in expected} == expected


NEAR_MISSES = [
    ("Nov 24 05:17:44 h kernel: eth0: link is up IN=1", "linux.kernel"),
    ("Nov 24 05:17:44 h app: type=SYSCALL but no audit", "linux.syslog"),
    ("Nov 24 05:17:44 h CRON[1]: (CRON) error", "linux.cron"),
    ("IN=eth0 OUT= SRC=not-an-address DST=neither", "key_value"),
]


@pytest.mark.parametrize(("line", "dataset"), NEAR_MISSES)
def test_near_miss_keeps_the_plain_data_set(line: str, dataset: str, received: datetime) -> None:
    assert decode(line, Hints(), received)["event.dataset"] == dataset
