"""Guessed passwords: from logs, from sensors, from flows alone."""

from pathlib import Path

import pytest

from collectors.decoders import Hints
from collectors.envelope import Origin
from detectors.sigma import RuleSet
from pipeline.event import Event
from pipeline.settings import Behaviours
from tests.detectors.traffic import event, flow, login, rules, run
from workbench.stream import Detection, File

OUTSIDE = "198.51.100.7"


def _windows(at: float, user: str, **fields: object) -> Event:
    values = {
        "event_category": ["authentication"], "event_code": "4625", "event_outcome": "failure", "user_name": user,
        "host_name": "DC1", "source_ip": OUTSIDE, "winlog_logon_type": "RemoteInteractive",
    }  # fmt: skip
    return event(at, "windows.security", **{**values, **fields})


def _web(at: float, user: str | None, status: int = 401) -> Event:
    named = {"user_name": user} if user else {}
    values = {"event_category": ["web"], "source_ip": OUTSIDE, "http_response_status__code": status}
    return event(at, "apache.access", **values, url_domain="portal.example.vn", **named)


def test_ssh_is_thirty_connections_in_thirty_minutes() -> None:
    found = run(login(n * 50, OUTSIDE, "root", source_port=1000 + n) for n in range(30))
    (alert,) = found
    assert (alert["rule.id"], alert["rule.level"], alert["alert.count"]) == ("behaviour.brute_force", "medium", 30)
    assert (
        "failed to log in 30 times within 24.2 minutes (ssh, last account root) at: may-chu"
        in (alert["rule.description"])
    )
    assert "attack.t1110.001" in alert["tags"]
    assert run(login(n * 50, OUTSIDE, "root", source_port=1000 + n) for n in range(29)) == []
    assert run(login(n * 70, OUTSIDE, "root", source_port=1000 + n) for n in range(200)) == []


def test_several_lines_on_one_connection_are_one_attempt() -> None:
    lines = []
    for n in range(29):
        lines += [login(n + k / 9, OUTSIDE, "admin", source_port=n + 1) for k in range(6)]
        lines.append(login(n, OUTSIDE, "admin", event_action="ssh_invalid_user", source_port=n + 1))
    assert run(lines) == []


def test_lines_of_one_process_are_one_attempt_and_a_line_without_an_address_is_none() -> None:
    lines = []
    for n in range(29):
        lines += [
            login(n, OUTSIDE, "admin", event_action=action, process_pid=n + 1, process_name="sshd")
            for action in ("ssh_invalid_user", "pam_check_password", "pam_authentication", "ssh_login")
        ]
        lines.append(login(n, "", "admin", event_action="ssh_invalid_user", process_pid=n + 1))
    assert run(lines) == []
    one_more = login(30, OUTSIDE, "admin", event_action="pam_authentication", process_pid=99, process_name="sshd")
    assert rules(run([*lines, one_more])) == ["brute_force"]


def test_a_source_that_is_told_of_by_name_and_one_that_sits_at_the_machine() -> None:
    named = [login(n, "", "root", process_pid=n + 1, source_domain="a.example.net") for n in range(30)]
    (alert,) = run(named)
    assert "a.example.net failed to log in 30 times" in alert["rule.description"]
    fields = {"process_name": "su", "network_protocol": "", "event_action": "pam_authentication"}
    (alert,) = run(login(n, "", "root", **fields) for n in range(20))
    assert "host may-chu failed to log in 20 times within 0.3 minutes (su," in alert["rule.description"]


def test_sshd_as_it_was_recorded(shared_data: Path) -> None:
    """2,000 lines of a server on the Internet: every address that is told of tried dozens of passwords."""
    detection = Detection(RuleSet.load(), Origin("x", "", "", Hints(), "utf-8"), print, behaviours=True)
    log = shared_data / "logs" / "OpenSSH" / "OpenSSH_2k.log"
    found = list(detection.findings([File("log", log)]))
    told = {match.value for each in found for match in each.matches if match.field == "source"}
    assert told == {"103.99.0.122", "187.141.143.180", "183.62.140.253"}


def test_a_source_of_ours_is_worse() -> None:
    (alert,) = run(login(n, "10.0.0.9", "root", source_port=1000 + n) for n in range(30))
    assert alert["rule.level"] == "high"


def test_spraying_is_ten_accounts() -> None:
    found = run(login(n * 30, OUTSIDE, f"user{n}", source_port=n + 1) for n in range(10))
    assert rules(found) == ["password_spraying"]
    assert "user0, user1" in found[0]["rule.description"]
    assert run(login(n * 70, OUTSIDE, f"user{n}", source_port=n + 1) for n in range(29)) == []


def test_windows_web_kerberos_and_the_sensor() -> None:
    assert rules(run(_windows(n, "admin") for n in range(20))) == ["brute_force"]
    assert rules(run(_windows(n, f"u{n}", source_ip="-") for n in range(10))) == ["password_spraying"]
    assert run(_windows(n, "admin", event_code="4776") for n in range(50)) == []
    assert rules(run(_web(n, "admin") for n in range(20))) == ["brute_force"]
    ssh = [
        event(n, "zeek.ssh", n, source_ip=OUTSIDE, destination_ip="10.0.0.1", ssh_auth_success=False) for n in range(30)
    ]
    assert rules(run(ssh)) == ["brute_force"]
    kerberos = {"source_ip": "10.0.0.1", "kerberos_error": "KDC_ERR_PREAUTH_FAILED"}
    asked = [event(n, "zeek.kerberos", **kerberos, kerberos_client=f"u{n}/EXAMPLE") for n in range(10)]
    assert rules(run(asked)) == ["password_spraying"]


def test_browsers_that_are_asked_for_a_password_are_silent() -> None:
    """The first answer to each question of an NTLM or Basic session is 401, without an account."""
    assert run(_web(n, None) for n in range(500)) == []
    assert run(_web(n, "an", 200) for n in range(500)) == []


@pytest.mark.parametrize(("port", "level"), [(21, "low"), (22, "low"), (3389, "medium")])
def test_short_connections_alone_are_a_weak_sign(port: int, level: str) -> None:
    tries = [flow(n * 5, OUTSIDE, "10.0.0.4", port, source_bytes=2400, destination_bytes=3100) for n in range(110)]
    found = run(tries)
    assert (rules(found), found[0]["rule.level"]) == (["login_connections"], level)
    assert rules(run(tries[:20])) == (["login_connections"] if port == 3389 else [])
    assert (
        run(flow(n * 5, OUTSIDE, "10.0.0.4", port, source_bytes=180, destination_bytes=120) for n in range(110)) == []
    )


@pytest.mark.parametrize(
    ("dataset", "fields"),
    [
        ("network.smb", {"smb_status": "LOGON_FAILURE", "smb_command": "SESSION_SETUP"}),
        ("suricata.smb", {"smb_status": "STATUS_LOGON_FAILURE"}),
        ("zeek.ntlm", {"event_outcome": "failure"}),
        ("network.ldap", {"event_outcome": "failure", "network_protocol": "ldap"}),
        ("network.ftp", {"event_outcome": "failure", "network_protocol": "ftp", "event_code": "PASS"}),
        ("network.imap", {"event_outcome": "failure", "network_protocol": "imap"}),
    ],
)
def test_log_ins_that_a_sensor_saw(dataset: str, fields: dict[str, str]) -> None:
    values = {"source_ip": "10.0.0.9", "destination_ip": "10.0.0.10", **fields}
    assert rules(run(event(n, dataset, n, **values, user_name=f"u{n}") for n in range(10))) == ["password_spraying"]
    assert rules(run(event(n, dataset, n, **values, user_name="an") for n in range(20))) == ["brute_force"]
    fine = {name: "success" if name == "event_outcome" else value for name, value in values.items()} | {
        "smb_status": "SUCCESS"
    }
    assert run(event(n, dataset, n, **fine, user_name=f"u{n}") for n in range(99)) == []


def test_files_that_ftp_does_not_have_are_no_log_ins() -> None:
    values = {"source_ip": "10.0.0.9", "event_outcome": "failure", "network_protocol": "ftp", "event_code": "RETR"}
    assert run(event(n, "zeek.ftp", n, **values, user_name=f"u{n}") for n in range(99)) == []


def test_forms_that_are_sent_to_a_log_in_page() -> None:
    def sent(number: int, path: str = "/wp-login.php", method: str = "POST") -> Event:
        return event(number, "network.http", number, source_ip=OUTSIDE, url_path=path, url_domain="an.example",
                     http_request_method=method, http_response_status__code=200)  # fmt: skip

    assert rules(run(sent(n) for n in range(60))) == ["login_forms"]
    assert run(sent(n) for n in range(59)) == []
    assert run(sent(n * 30) for n in range(99)) == []
    assert run(sent(n, "/upload") for n in range(99)) == []
    assert run(sent(n, method="GET") for n in range(99)) == []


def test_monitoring_each_minute_and_long_sessions_are_silent() -> None:
    assert run(flow(n * 60, "10.0.0.5", "10.0.0.4", 22) for n in range(600)) == []
    assert run(flow(n, "10.0.0.5", "10.0.0.4", 22, destination_bytes=500_000) for n in range(600)) == []


def test_a_source_is_excepted() -> None:
    settings = Behaviours.model_validate({"brute_force": {"except_sources": ["198.51.100.0/24"]}})
    assert run((login(n, OUTSIDE, "root", source_port=1000 + n) for n in range(30)), settings) == []
