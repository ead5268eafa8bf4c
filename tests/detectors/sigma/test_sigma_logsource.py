"""Log sources and fields: which events a rule sees, and which keys of them it reads."""

from pathlib import Path
from typing import Any

import pytest

from detectors.sigma import RuleSet
from detectors.sigma.fields import FieldMap
from detectors.sigma.logsource import LogSources, Origin, origin

SYSMON = "Microsoft-Windows-Sysmon/Operational"
PROCESS = {"product": "windows", "category": "process_creation"}
SOURCES = LogSources.load()
FIELDS = FieldMap.load()


@pytest.mark.parametrize(
    ("logsource", "event", "expected"),
    [
        (PROCESS, {"winlog.channel": SYSMON, "event.code": "1"}, True),
        (PROCESS, {"winlog.channel": SYSMON.upper(), "event.code": 1}, True),
        (PROCESS, {"winlog.channel": SYSMON, "event.code": "3"}, False),
        (PROCESS, {"winlog.channel": "Security", "event.code": "4688"}, True),
        (PROCESS, {"Channel": "Security", "EventID": 4688}, True),
        (PROCESS, {"winlog.channel": "Security", "event.code": "4689"}, False),
        (PROCESS, {"event.dataset": "linux.auditd"}, False),
        ({**PROCESS, "service": "sysmon"}, {"winlog.channel": SYSMON, "event.code": "1"}, True),
        ({**PROCESS, "service": "security"}, {"winlog.channel": SYSMON, "event.code": "1"}, False),
        ({"product": "windows", "service": "security"}, {"winlog.channel": "Security"}, True),
        ({"product": "windows", "service": "system"}, {"winlog.channel": "Security"}, False),
        ({"product": "windows"}, {"winlog.channel": "Any/Thing"}, True),
        ({"product": "windows"}, {"event.dataset": "linux.auth"}, False),
        (
            {"product": "windows", "category": "ps_script"},
            {"winlog.channel": "PowerShellCore/Operational", "event.code": "4104"},
            True,
        ),
        (
            {"product": "windows", "category": "registry_set"},
            {"winlog.channel": SYSMON, "event.code": "12"},
            False,
        ),
        (
            {"product": "windows", "category": "registry_event"},
            {"winlog.channel": SYSMON, "event.code": "14"},
            True,
        ),
        ({"product": "linux"}, {"event.dataset": "linux.cron"}, True),
        ({"product": "linux", "service": "sshd"}, {"event.dataset": "linux.auth"}, True),
        ({"product": "linux", "service": "auditd"}, {"event.dataset": "linux.auth"}, False),
        ({"category": "webserver"}, {"event.dataset": "nginx.access"}, True),
        ({"category": "webserver"}, {"event.dataset": "nginx.error"}, False),
        ({"category": "firewall"}, {"event.dataset": "cef"}, True),
        ({"category": "process_creation"}, {"winlog.channel": SYSMON, "event.code": "1"}, True),
        ({"product": "aws", "service": "cloudtrail"}, {"event.dataset": "aws.cloudtrail"}, True),
        ({"product": "zeek", "service": "dns"}, {"event.dataset": "zeek.dns"}, True),
        ({"product": "zeek", "service": "dns"}, {"event.dataset": "zeek.http"}, False),
        # a log source that is not in the table, by name
        ({"product": "acme", "service": "door"}, {"event.dataset": "acme.door"}, True),
        ({"product": "acme", "service": "door"}, {"event.dataset": "door"}, True),
        ({"product": "acme", "service": "door"}, {"event.dataset": "acme"}, True),
        ({"product": "acme", "service": "door"}, {"event.dataset": "acme.window"}, False),
        ({"product": "acme", "service": "door"}, {}, False),
        ({"product": "windows", "service": "acme"}, {"winlog.channel": "Security"}, False),
    ],
)
def test_routing(logsource: dict[str, str], event: dict[str, Any], expected: bool) -> None:
    assert SOURCES.route(logsource).holds(origin(event)) is expected


def test_unknown_log_source_is_a_warning(ruleset_of: Any) -> None:
    ruleset = ruleset_of(
        "title: T\nid: 22222222-2222-4222-8222-222222222222\nlogsource: {product: acme}\n"
        "detection: {s: {f: a}, condition: s}\n"
    )
    assert ruleset.refused == ()
    assert "unknown log source" in ruleset.warnings[0].text
    assert ruleset.evaluate({"event.dataset": "acme", "f": "a"})


@pytest.mark.parametrize("value", [None, [], {}, 4.5, ["4624"], "", 0])
def test_odd_origins_are_harmless(value: Any) -> None:
    at = origin({"event.dataset": value, "winlog.channel": value, "event.code": value})
    assert isinstance(at, Origin)
    assert all(isinstance(part, str) for part in at)


@pytest.mark.parametrize(
    ("logsource", "field", "event", "read"),
    [
        (PROCESS, "Image", {"winlog.event_data.Image": "raw", "process.executable": "ecs"}, "raw"),
        (PROCESS, "Image", {"winlog.event_data.NewProcessName": "4688", "Image": "x"}, "4688"),
        (PROCESS, "Image", {"process.executable": "ecs", "Image": "foreign"}, "ecs"),
        (PROCESS, "Image", {"Image": "foreign"}, "foreign"),
        (PROCESS, "CommandLine", {"CommandLine": "foreign"}, "foreign"),
        (PROCESS, "CommandLine", {"process.command_line": "ecs"}, "ecs"),
        (PROCESS, "ParentImage", {"winlog.event_data.ParentProcessName": "p"}, "p"),
        (PROCESS, "Hashes", {"winlog.event_data.Hashes": "MD5=1"}, "md5=1"),
        (PROCESS, "EventID", {"event.code": "1", "winlog.event_data.EventID": "x"}, "1"),
        (PROCESS, "Image", {"winlog.event_data.Image": None, "Image": "foreign"}, "foreign"),
        (
            {"product": "windows", "service": "security"},
            "SubjectUserName",
            {"winlog.user_data.SubjectUserName": "lan"},
            "lan",
        ),
        ({"product": "windows", "service": "application"}, "Odd", {"Odd": "o"}, "o"),
        (
            {"product": "linux", "category": "process_creation"},
            "Image",
            {"process.executable": "/bin/sh"},
            "/bin/sh",
        ),
        ({"product": "linux", "service": "auditd"}, "a0", {"auditd.log.a0": "wget"}, "wget"),
        ({"product": "linux", "service": "auditd"}, "exe", {"process.executable": "/x"}, "/x"),
        ({"category": "webserver"}, "cs-method", {"http.request.method": "GET"}, "get"),
        ({"category": "webserver"}, "sc-status", {"http.response.status_code": 404}, "404"),
        ({"category": "proxy"}, "c-useragent", {"user_agent.original": "x"}, "x"),
        ({"category": "dns"}, "query", {"dns.question.name": "a.vn"}, "a.vn"),
        ({"category": "firewall"}, "dst_port", {"destination.port": 22}, "22"),
        ({"product": "zeek", "service": "http"}, "id.resp_h", {"destination.ip": "::1"}, "::1"),
        ({"product": "app"}, "message", {"message": "m"}, "m"),
    ],
)
def test_fields(logsource: dict[str, str], field: str, event: dict[str, Any], read: str) -> None:
    from detectors.sigma.view import View

    assert View(event)[FIELDS.field(logsource, field, exact=False)] == (read,)


def test_fields_of_union_read_all_keys() -> None:
    from detectors.sigma.view import View

    windows = {"product": "windows", "service": "application"}
    event = {"winlog.event_data.param1": "A", "winlog.event_data.param2": "b"}
    assert View(event)[FIELDS.field(windows, "Data", exact=False)] == ("a", "b")


def test_equal_fields_are_one_object_so_that_rules_share_texts() -> None:
    windows = {"product": "windows", "service": "application"}
    first = FIELDS.field(windows, "Odd", exact=True)
    assert first is FIELDS.field({"product": "windows"}, "Odd", exact=True)
    assert first is not FIELDS.field(windows, "Odd", exact=False)


def test_explanation_names_the_key_that_was_read(ruleset_of: Any) -> None:
    ruleset = ruleset_of(
        "title: T\nid: 22222222-2222-4222-8222-222222222222\n"
        "logsource: {product: windows, category: process_creation}\n"
        "detection: {s: {Image|endswith: cmd.exe}, condition: s}\n"
    )
    (rule,) = ruleset.rules
    base = {"winlog.channel": "Security", "event.code": "4688"}
    for key in ("winlog.event_data.NewProcessName", "process.executable", "Image"):
        assert [reason.field for reason in rule.explain({**base, key: "C:\\CMD.exe"})] == [key]


RULE = """\
title: T
id: 22222222-2222-4222-8222-222222222222
logsource: {product: door}
detection: {s: {Badge: 7}, condition: s}
"""


def test_a_rule_directory_can_bring_fields_and_log_sources(tmp_path: Path) -> None:
    (tmp_path / "rule.yml").write_text(RULE)
    (tmp_path / "fields.toml").write_text('[[map]]\nproduct = "door"\n[map.fields]\nBadge = ["rfid.tag"]\n')
    (tmp_path / "logsources.toml").write_text('[[source]]\nproduct = "door"\ndatasets = ["rfid.gate*"]\n')
    ruleset = RuleSet.load(tmp_path)
    assert ruleset.refused == ruleset.warnings == ()
    assert ruleset.evaluate({"event.dataset": "rfid.gate-2", "rfid.tag": "7"})
    assert not ruleset.evaluate({"event.dataset": "rfid.read", "rfid.tag": "7"})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("fields.toml", "[[map"),
        ("fields.toml", "[[map]]\n[map.fields]\nA = [1]\n"),
        ("fields.toml", "map = 5\n"),
        ("logsources.toml", '[[source]]\nproduct = "x"\n'),
        ("logsources.toml", '[[source]]\nproduct = "x"\ndatasets = "y"\n'),
    ],
)
def test_a_broken_table_is_refused_and_the_rules_stay(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "rule.yml").write_text(RULE)
    (tmp_path / name).write_text(text)
    ruleset = RuleSet.load(tmp_path)
    assert [Path(refused.path).name for refused in ruleset.refused] == [name]
    assert len(ruleset.rules) == 1


def test_remembered_origins_are_bounded(ruleset_of: Any) -> None:
    from detectors.sigma import ruleset as module

    ruleset = ruleset_of(RULE)
    for number in range(module.MAX_ORIGINS + 10):
        ruleset.evaluate({"event.dataset": f"x{number}"})
    assert len(ruleset._by_origin) <= module.MAX_ORIGINS
    assert ruleset.evaluate({"event.dataset": "door", "Badge": 7})


@pytest.mark.parametrize(
    ("detection", "codes"),
    [
        ("{s: {EventID: 5}, condition: s}", {"5"}),
        ("{s: {EventID: [5, 6]}, condition: s}", {"5", "6"}),
        ("{s: {EventID: 5}, t: {EventID: 6}, condition: s or t}", {"5", "6"}),
        ("{s: {EventID: 5}, t: {EventID: [5, 6]}, condition: s and t}", {"5"}),
        ("{s: {EventID: 5}, t: {a: b}, condition: s or t}", None),
        ("{s: {EventID: 5}, condition: not s}", None),
        ("{s: {EventID|contains: 5}, condition: s}", None),
        ("{s: {EventID: [5, null]}, condition: s}", None),
        ("{s: {EventID|cased: '5'}, condition: s}", None),
        ("{s: {EventID: 5}, t: {EventID: 6}, condition: s and not t}", {"5"}),
    ],
)
def test_routing_by_event_code_only_narrows_what_is_certain(
    ruleset_of: Any, detection: str, codes: set[str] | None
) -> None:
    ruleset = ruleset_of(
        RULE.replace("product: door", "product: windows").replace("{s: {Badge: 7}, condition: s}", detection)
    )
    (rule,) = ruleset.rules
    for code in ("5", 6, "7", None):
        for extra in ({}, {"a": "b"}):
            event = {"winlog.channel": "System", "event.code": code, **extra}
            assert (rule in ruleset.evaluate(event)) is rule.matches(event)
    kept = [c for c in ("5", "6", "7") if ruleset.candidates({"winlog.channel": "System", "event.code": c})]
    assert set(kept) == (codes if codes is not None else {"5", "6", "7"})
