"""JSON of any sender: ECS, Beats, .evtx JSON, flat Windows events, the journal, all else."""

from datetime import datetime
from typing import Any

import orjson
import pytest

from collectors.decoders import Hints, decode, decode_object

HINTS = Hints()


def test_flat_and_nested_ecs_are_the_same(received: datetime) -> None:
    nested = {"source": {"ip": "10.0.0.1", "port": 5}, "event": {"dataset": "app", "kind": "event"}}
    flat = {
        "source.ip": "10.0.0.1",
        "source.port": 5,
        "event.dataset": "app",
        "event.kind": "event",
    }
    first = decode_object(nested, HINTS, received)
    second = decode_object(flat, HINTS, received)
    first.pop("message")
    second.pop("message")
    assert first == second == flat


def test_text_line_keeps_itself_as_message(received: datetime) -> None:
    line = '{"a": 1, "b": [1, 2], "c": {"d": true}, "e": null, "f": {}}'
    fields = decode(line, HINTS, received)
    assert fields == {
        "event.dataset": "json",
        "message": line,
        "a": 1,
        "b": [1, 2],
        "c.d": True,
    }


@pytest.mark.parametrize("prefix", ["", "@cee: ", "<13>Nov 24 05:17:44 h app[1]: ", "  "])
def test_json_is_found_behind_headers(prefix: str, received: datetime) -> None:
    fields = decode(prefix + '{"msg":"hello","level":"info"}', HINTS, received)
    assert fields["event.dataset"] == "json"
    assert fields["message"] == "hello"


def test_broken_json_is_text_and_told_when_the_settings_say_json(received: datetime) -> None:
    assert decode('{"a":', HINTS, received)["event.dataset"] == "text"
    fields = decode('{"a":', Hints(dataset="json"), received)
    assert fields["error.message"] == "not a record of the kind json"
    assert fields["message"] == '{"a":'


TIMES = [
    ("2026-11-24T12:17:44.5+07:00", "2026-11-24T05:17:44.500Z"),
    ("2026-11-24 05:17:44", "2026-11-24T05:17:44.000Z"),
    (1795497464, "2026-11-24T05:17:44.000Z"),
    (1795497464.25, "2026-11-24T05:17:44.250Z"),
    (1795497464123, "2026-11-24T05:17:44.123Z"),
    ("1795497464123456789", "2026-11-24T05:17:44.123456Z"),
]


@pytest.mark.parametrize("name", ["@timestamp", "timestamp", "time", "ts"])
@pytest.mark.parametrize(("told", "expected"), TIMES)
def test_time_stamp_forms(name: str, told: object, expected: str, received: datetime) -> None:
    assert decode_object({name: told}, HINTS, received)["@timestamp"] == expected


def test_bad_time_stamp_is_told_and_kept(received: datetime) -> None:
    fields = decode_object({"@timestamp": "yesterday"}, HINTS, received)
    assert "@timestamp" not in fields
    assert fields["labels.timestamp"] == "yesterday"
    assert "yesterday" in fields["error.message"]


def test_list_of_objects_becomes_lists_of_members(received: datetime) -> None:
    fields = decode_object({"a": [{"b": 1, "c": "x"}, {"b": 2}]}, HINTS, received)
    assert fields["a.b"] == [1, 2]
    assert fields["a.c"] == ["x"]


def test_mixed_lists_stay_indexable(received: datetime) -> None:
    fields = decode_object({"a": [1, "x", None], "b": [[1], [2]]}, HINTS, received)
    assert fields["a"] == ["1", "x"]
    assert fields["b"] == "[[1],[2]]"


def test_plain_value_does_not_bar_an_ecs_group(received: datetime) -> None:
    fields = decode_object({"host": "web1", "process": "x", "a": 1, "a.b": 2}, HINTS, received)
    assert fields["host.name"] == "web1"
    assert fields["process.name"] == "x"
    assert fields["a.value"] == 1
    assert not {"host", "process", "a"} & fields.keys()


def test_common_names_are_copied(received: datetime) -> None:
    fields = decode_object({"src_ip": "10.0.0.1", "dest_port": 53, "srcip": "x"}, HINTS, received)
    assert fields["source.ip"] == "10.0.0.1"
    assert fields["destination.port"] == 53
    assert fields["src_ip"] == "10.0.0.1"


def _deep(levels: int) -> dict[str, Any]:
    obj: dict[str, Any] = {"leaf": 1}
    for _ in range(levels - 1):
        obj = {"n": obj}
    return obj


def test_twenty_levels_become_dots(received: datetime) -> None:
    assert decode_object(_deep(20), HINTS, received)["n." * 19 + "leaf"] == 1


def test_deeper_levels_stay_one_text(received: datetime) -> None:
    fields = decode_object(_deep(23), HINTS, received)
    key = ".".join(["n"] * 20)
    assert orjson.loads(fields[key]) == _deep(3)


def test_very_deep_objects_never_raise(received: datetime) -> None:
    assert decode_object(_deep(900), HINTS, received)["event.dataset"] == "json"
    text = '{"a":' * 5000 + "1" + "}" * 5000
    assert decode(text, HINTS, received)["message"] == text


def test_overflow_is_kept_and_told(received: datetime) -> None:
    fields = decode_object({f"f{n}": n for n in range(1500)}, HINTS, received)
    kept = orjson.loads(fields["labels.overflow"])
    assert len(fields) <= 1000
    assert kept["f1499"] == 1499
    assert all(f"f{n}" in fields or f"f{n}" in kept for n in range(1500))
    assert "more than 1000 fields" in fields["error.message"]


# -- Windows events --------------------------------------------------------------------------------

EVTX = {
    "Event": {
        "System": {"EventID": 4625, "Channel": "Security", "Computer": "pc1"},
        "EventData": {"TargetUserName": "nam", "IpAddress": "10.0.0.9"},
    }
}
NXLOG = {
    "EventTime": "2026-11-24 05:17:44",
    "Hostname": "pc1",
    "Keywords": -9218868437227405312,
    "EventType": "AUDIT_FAILURE",
    "SeverityValue": 4,
    "Severity": "ERROR",
    "EventID": 4625,
    "SourceName": "Microsoft-Windows-Security-Auditing",
    "ProviderGuid": "{54849625-5478-4994-A5BA-3E3B0328C30D}",
    "RecordNumber": 42,
    "ProcessID": 752,
    "Channel": "Security",
    "Message": "An account failed to log on.",
    "TargetUserName": "nam",
    "IpAddress": "10.0.0.9",
}
WINLOGBEAT = {
    "@timestamp": "2026-11-24T05:17:44.000Z",
    "message": "An account failed to log on.",
    "agent": {"type": "winlogbeat"},
    "event": {"code": "4625", "provider": "Microsoft-Windows-Security-Auditing"},
    "host": {"name": "pc1"},
    "log": {"level": "information"},
    "winlog": {
        "channel": "Security",
        "event_id": "4625",
        "keywords": ["Audit Failure"],
        "event_data": {"TargetUserName": "nam", "IpAddress": "10.0.0.9"},
    },
}
XML_ATTRIBUTES = {
    "Event": {
        "System": {
            "Provider": {"@Name": "Microsoft-Windows-Security-Auditing"},
            "EventID": {"Value": "4625"},
            "TimeCreated": {"@SystemTime": "2026-11-24T05:17:44.000Z"},
            "Channel": "Security",
            "Computer": "pc1",
            "Keywords": "0x8010000000000000",
        },
        "EventData": {
            "Data": [
                {"@Name": "TargetUserName", "#text": "nam"},
                {"@Name": "IpAddress", "#text": "10.0.0.9"},
            ]
        },
    }
}
GET_WINEVENT = {
    "Id": 4625,
    "LogName": "Security",
    "ProviderName": "Microsoft-Windows-Security-Auditing",
    "TimeCreated": "/Date(1795497464000)/",
    "MachineName": "pc1",
    "Keywords": -9218868437227405312,
    "Message": "An account failed to log on.",
    "TargetUserName": "nam",
    "IpAddress": "10.0.0.9",
}
FLAT = {
    "EventID": "4625",
    "Channel": "Security",
    "Provider_Name": "Microsoft-Windows-Security-Auditing",
    "Computer": "pc1",
    "SystemTime": "2026-11-24T05:17:44.000Z",
    "Keywords": "0x8010000000000000",
    "EventData": {"TargetUserName": "nam", "IpAddress": "10.0.0.9"},
}


@pytest.mark.parametrize(
    "obj",
    [EVTX, EVTX["Event"], NXLOG, WINLOGBEAT, FLAT, XML_ATTRIBUTES, GET_WINEVENT],
    ids=["evtx", "bare", "nxlog", "beat", "flat", "xml", "get-winevent"],
)
def test_windows_shapes_become_one_event(obj: dict[str, Any], received: datetime) -> None:
    fields = decode_object(obj, HINTS, received)
    expected = {
        "event.dataset": "windows.security",
        "event.code": "4625",
        "winlog.event_id": "4625",
        "winlog.channel": "Security",
        "winlog.event_data.TargetUserName": "nam",
        "winlog.event_data.IpAddress": "10.0.0.9",
        "event.action": "logon-failed",
        "user.name": "nam",
        "source.ip": "10.0.0.9",
        "host.name": "pc1",
    }
    assert {key: fields.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    "obj",
    [NXLOG, WINLOGBEAT, FLAT, XML_ATTRIBUTES, GET_WINEVENT],
    ids=["nxlog", "beat", "flat", "xml", "get-winevent"],
)
def test_windows_shapes_keep_outcome_and_time(obj: dict[str, Any], received: datetime) -> None:
    fields = decode_object(obj, HINTS, received)
    assert fields["event.outcome"] == "failure"
    assert fields["@timestamp"] == "2026-11-24T05:17:44.000Z"
    assert fields["event.provider"] == "Microsoft-Windows-Security-Auditing"


def test_fields_that_the_beat_filled_are_kept(received: datetime) -> None:
    beat = {**WINLOGBEAT, "user": {"name": "already there"}}
    assert decode_object(beat, HINTS, received)["user.name"] == "already there"


def test_raw_sysmon_names_without_a_channel(received: datetime) -> None:
    raw = {
        "EventID": 1,
        "UtcTime": "2026-11-24 05:17:44.123",
        "ProcessGuid": "{365ABB72-7C01-5CC4-0000-00102B3E0C00}",
        "ProcessId": "2680",
        "Image": "C:\\a\\b.exe",
        "CommandLine": "b.exe x",
        "User": "EXAMPLE\\nam",
        "ParentImage": "C:\\Windows\\explorer.exe",
    }
    fields = decode_object(raw, HINTS, received)
    expected = {
        "event.dataset": "windows.sysmon",
        "winlog.channel": "Microsoft-Windows-Sysmon/Operational",
        "process.executable": "C:\\a\\b.exe",
        "process.command_line": "b.exe x",
        "process.pid": 2680,
        "user.name": "nam",
        "winlog.event_data.Image": "C:\\a\\b.exe",
        "@timestamp": "2026-11-24T05:17:44.123Z",
    }
    assert {key: fields.get(key) for key in expected} == expected


def test_event_id_alone_is_no_windows_event(received: datetime) -> None:
    assert decode_object({"EventID": 5, "x": 1}, HINTS, received)["event.dataset"] == "json"


def test_journal_export(received: datetime) -> None:
    entry = {
        "__REALTIME_TIMESTAMP": "1795497464123456",
        "MESSAGE": "Started x",
        "_HOSTNAME": "web1",
        "SYSLOG_IDENTIFIER": "systemd",
        "_PID": "1",
    }
    fields = decode_object(entry, HINTS, received)
    assert fields["@timestamp"] == "2026-11-24T05:17:44.123456Z"
    assert fields["message"] == "Started x"
    assert fields["host.name"] == "web1"
    assert fields["process.pid"] == 1


def test_numbers_that_the_wire_cannot_hold_become_text(received: datetime) -> None:
    obj = {"big": 2**70, "nan": float("inf"), "list": [1, 2**70], "ok": 2**63 - 1}
    fields = decode_object(obj, HINTS, received)
    assert fields["big"] == str(2**70)
    assert fields["nan"] == "inf"
    assert fields["list"] == ["1", str(2**70)]
    assert fields["ok"] == 2**63 - 1
    assert orjson.dumps(fields)


def test_zeek_s_connection_names_are_copied(received: datetime) -> None:
    line = '{"ts":1795497464.5,"id.orig_h":"10.0.0.1","id.orig_p":5,"id.resp_h":"10.0.0.2"}'
    fields = decode(line, HINTS, received)
    assert fields["source.ip"] == "10.0.0.1"
    assert fields["destination.ip"] == "10.0.0.2"
    assert fields["source.port"] == 5
    assert fields["@timestamp"] == "2026-11-24T05:17:44.500Z"
