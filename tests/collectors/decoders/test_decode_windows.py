"""Windows records in the shape of .evtx JSON, and their copies for Winlogbeat's layout and ECS."""

from typing import Any

import pytest

from collectors.decoders import decode_windows

SYSMON = "Microsoft-Windows-Sysmon/Operational"
OPERATIONAL = "Microsoft-Windows-PowerShell/Operational"


def record(channel: str, code: int, data: dict[str, Any], **system: Any) -> dict[str, Any]:
    """One record as the evtx package gives it."""
    return {
        "Event": {
            "#attributes": {"xmlns": "http://schemas.microsoft.com/win/2004/08/events/event"},
            "System": {
                "Provider": {"#attributes": {"Name": "P", "Guid": "54849625-5478-4994-A5BA-3E3B"}},
                "EventID": code,
                "Level": 0,
                "Task": 12544,
                "Opcode": 0,
                "Keywords": "0x8010000000000000",
                "TimeCreated": {"#attributes": {"SystemTime": "2026-11-24T05:17:44.1234567Z"}},
                "EventRecordID": 42,
                "Execution": {"#attributes": {"ProcessID": 752, "ThreadID": 4068}},
                "Channel": channel,
                "Computer": "pc1.example.vn",
                "Security": {"#attributes": {"UserID": "S-1-5-18"}},
                **system,
            },
            "EventData": data,
        }
    }


def test_envelope_is_winlogbeat_s() -> None:
    fields = decode_windows(record("Security", 4625, {}))
    expected = {
        "event.dataset": "windows.security",
        "event.code": "4625",
        "winlog.event_id": "4625",
        "winlog.channel": "Security",
        "winlog.provider_name": "P",
        "winlog.computer_name": "pc1.example.vn",
        "winlog.record_id": "42",
        "winlog.task": "12544",
        "winlog.opcode": "Info",
        "winlog.level": "information",
        "log.level": "information",
        "winlog.keywords": ["Audit Failure"],
        "event.outcome": "failure",
        "winlog.process.pid": 752,
        "winlog.process.thread.id": 4068,
        "winlog.user.identifier": "S-1-5-18",
        "host.name": "pc1.example.vn",
        "@timestamp": "2026-11-24T05:17:44.1234567Z",
        "message": "4625 logon-failed",
    }
    assert {key: fields.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("channel", "dataset"),
    [
        ("Security", "windows.security"),
        ("System", "windows.system"),
        ("Application", "windows.application"),
        ("Windows PowerShell", "windows.powershell"),
        (OPERATIONAL, "windows.powershell"),
        (SYSMON, "windows.sysmon"),
        ("DNS Server", "windows.event"),
    ],
)
def test_channel_decides_the_data_set(channel: str, dataset: str) -> None:
    assert decode_windows(record(channel, 1, {}))["event.dataset"] == dataset


def test_values_are_text_as_windows_renders_them() -> None:
    data = {
        "Number": 3,
        "Hex": "0x3E7",
        "True": True,
        "False": False,
        "Guid": "365ABB72-7C01-5CC4-0000-00102B3E0C00",
        "TextGuid": "64821494-0737-4ce9-ad67-3ac0e50a81b8",
        "Empty": "",
        "None": None,
    }
    fields = decode_windows(record("X", 1, data))
    values = {key[18:]: value for key, value in fields.items() if key.startswith("winlog.event_d")}
    assert values == {
        "Number": "3",
        "Hex": "0x3E7",
        "True": "true",
        "False": "false",
        "Guid": "{365ABB72-7C01-5CC4-0000-00102B3E0C00}",
        "TextGuid": "64821494-0737-4ce9-ad67-3ac0e50a81b8",
        "Empty": "",
    }


@pytest.mark.parametrize("data", [{"Data": {"#text": ["a", "b"]}}, {"Data": ["a", "b"]}, {"#text": ["a", "b"]}])
def test_values_without_names_become_params(data: dict[str, Any]) -> None:
    fields = decode_windows(record("Application", 18456, data))
    assert fields["winlog.event_data.param1"] == "a"
    assert fields["winlog.event_data.param2"] == "b"


def test_user_data_is_flattened_and_copied() -> None:
    event = record("Security", 1102, {})
    event["Event"]["UserData"] = {"LogFileCleared": {"#attributes": {"x": 1}, "SubjectUserName": "nam", "A": {"B": 2}}}
    fields = decode_windows(event)
    assert fields["winlog.user_data.xml_name"] == "LogFileCleared"
    assert fields["winlog.user_data.SubjectUserName"] == "nam"
    assert fields["winlog.user_data.A.B"] == "2"
    assert fields["user.name"] == "nam"
    assert fields["event.action"] == "audit-log-cleared"


LOGON = {
    "SubjectUserSid": "S-1-5-18",
    "SubjectUserName": "PC1$",
    "SubjectDomainName": "WORKGROUP",
    "SubjectLogonId": "0x3e7",
    "TargetUserSid": "S-1-5-21-1",
    "TargetUserName": "nam@EXAMPLE.VN",
    "TargetDomainName": "EXAMPLE",
    "TargetLogonId": "0x1414c8",
    "LogonType": 10,
    "WorkstationName": "-",
    "ProcessId": "0x704",
    "ProcessName": "C:\\Windows\\System32\\winlogon.exe",
    "IpAddress": "::ffff:10.0.0.9",
    "IpPort": "50249",
}


def test_logon_s_user_is_the_one_who_logs_on() -> None:
    fields = decode_windows(record("Security", 4624, LOGON, Keywords="0x8020000000000000"))
    expected = {
        "event.category": ["authentication"],
        "event.action": "logged-in",
        "event.outcome": "success",
        "user.name": "nam",
        "user.domain": "EXAMPLE",
        "user.id": "S-1-5-21-1",
        "winlog.logon.id": "0x1414c8",
        "winlog.logon.type": "RemoteInteractive",
        "source.ip": "10.0.0.9",
        "source.port": 50249,
        "source.domain": None,
        "process.pid": 0x704,
        "process.name": "winlogon.exe",
        "winlog.event_data.IpAddress": "::ffff:10.0.0.9",
        "winlog.event_data.WorkstationName": "-",
    }
    assert {key: fields.get(key) for key in expected} == expected


def test_logon_without_a_target_falls_back_to_the_subject_as_a_whole() -> None:
    data = {**LOGON, "TargetUserName": "-", "TargetUserSid": "S-1-0-0", "TargetDomainName": "-"}
    fields = decode_windows(record("Security", 4625, data))
    assert (fields["user.name"], fields["user.domain"], fields["user.id"]) == (
        "PC1$",
        "WORKGROUP",
        "S-1-5-18",
    )


def test_new_process_has_its_creator_as_parent() -> None:
    data = {
        "SubjectUserName": "nam",
        "NewProcessId": "0xea0",
        "NewProcessName": "C:\\Windows\\cmd.exe",
        "ProcessId": "0x1e8",
        "ParentProcessName": "C:\\Windows\\explorer.exe",
        "CommandLine": "cmd /c whoami",
        "TargetUserName": "root",
    }
    fields = decode_windows(record("Security", 4688, data))
    expected = {
        "process.pid": 0xEA0,
        "process.executable": "C:\\Windows\\cmd.exe",
        "process.name": "cmd.exe",
        "process.command_line": "cmd /c whoami",
        "process.parent.pid": 0x1E8,
        "process.parent.executable": "C:\\Windows\\explorer.exe",
        "process.parent.name": "explorer.exe",
        "user.name": "nam",
        "user.effective.name": "root",
    }
    assert {key: fields.get(key) for key in expected} == expected


def test_group_change_names_group_and_member() -> None:
    data = {
        "MemberName": "CN=Test,CN=Users,DC=e,DC=vn",
        "MemberSid": "S-1-5-21-2",
        "TargetUserName": "Domain Admins",
        "TargetSid": "S-1-5-21-512",
        "SubjectUserName": "nam",
    }
    fields = decode_windows(record("Security", 4728, data))
    assert fields["event.action"] == "added-member-to-group"
    assert fields["group.name"] == "Domain Admins"
    assert fields["user.target.name"] == "Test"
    assert fields["user.name"] == "nam"


HASHES = (
    "SHA1=B4E581F173F782A2F1DA5D29C95946EE500EB2D0,MD5=42893ADBC36605EC79B5BD610759947E,"
    "SHA256=1A061C74619DE6AF8C02CBA0FA00754BDD9E3515C0E08CAD6350C7ADFC8CDD5B,"
    "IMPHASH=00000000000000000000000000000000"
)


def test_sysmon_process_start() -> None:
    data = {
        "UtcTime": "2026-11-24 05:17:43.368",
        "ProcessGuid": "365ABB72-7C01-5CC4-0000-00102B3E0C00",
        "ProcessId": 2680,
        "Image": "C:\\a\\b.exe",
        "OriginalFileName": "B.EXE",
        "User": "EXAMPLE\\nam",
        "Hashes": HASHES,
        "RuleName": "-",
        "ParentImage": "C:\\Windows\\explorer.exe",
        "ParentCommandLine": "explorer",
    }
    fields = decode_windows(record(SYSMON, 1, data))
    expected = {
        "@timestamp": "2026-11-24T05:17:43.368Z",
        "event.created": "2026-11-24T05:17:44.1234567Z",
        "event.category": ["process"],
        "event.type": ["start"],
        "process.entity_id": "{365ABB72-7C01-5CC4-0000-00102B3E0C00}",
        "process.pid": 2680,
        "process.name": "b.exe",
        "process.pe.original_file_name": "B.EXE",
        "process.hash.md5": "42893adbc36605ec79b5bd610759947e",
        "process.pe.imphash": None,
        "rule.name": None,
        "user.name": "nam",
        "user.domain": "EXAMPLE",
        "process.parent.name": "explorer.exe",
        "winlog.event_data.Hashes": HASHES,
    }
    assert {key: fields.get(key) for key in expected} == expected


def test_sysmon_network_connection() -> None:
    data = {
        "Protocol": "TCP",
        "Initiated": True,
        "SourceIsIpv6": False,
        "SourceIp": "10.0.0.1",
        "SourcePort": 50000,
        "DestinationIp": "203.0.113.9",
        "DestinationHostname": "a.example",
        "DestinationPort": 443,
        "DestinationPortName": "https",
    }
    fields = decode_windows(record(SYSMON, 3, data))
    expected = {
        "network.transport": "tcp",
        "network.direction": "egress",
        "network.type": "ipv4",
        "network.protocol": "https",
        "source.ip": "10.0.0.1",
        "source.port": 50000,
        "destination.ip": "203.0.113.9",
        "destination.domain": "a.example",
        "destination.port": 443,
        "winlog.event_data.Initiated": "true",
    }
    assert {key: fields.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("details", "strings", "kind"),
    [
        ("DWORD (0x0000000a)", ["10"], "SZ_DWORD"),
        ("QWORD (0x00000001-0x00000000)", ["4294967296"], "SZ_QWORD"),
        ("Binary Data", ["Binary Data"], "REG_BINARY"),
        ("C:\\x.exe", ["C:\\x.exe"], "REG_SZ"),
    ],
)
def test_sysmon_registry_value(details: str, strings: list[str], kind: str) -> None:
    path = "HKLM\\SOFTWARE\\Microsoft\\Run\\x"
    fields = decode_windows(record(SYSMON, 13, {"TargetObject": path, "Details": details}))
    assert fields["registry.path"] == path
    assert fields["registry.hive"] == "HKLM"
    assert fields["registry.key"] == "SOFTWARE\\Microsoft\\Run\\x"
    assert fields["registry.value"] == "x"
    assert fields["registry.data.strings"] == strings
    assert fields["registry.data.type"] == kind


def test_sysmon_dns_answers_are_split() -> None:
    data = {
        "QueryName": "a.example",
        "QueryStatus": "9003",
        "QueryResults": "type:  5 cdn.example;::ffff:203.0.113.9;2001:db8::1;nonsense;",
    }
    fields = decode_windows(record(SYSMON, 22, data))
    assert fields["dns.question.name"] == "a.example"
    assert fields["dns.resolved_ip"] == ["203.0.113.9", "2001:db8::1"]
    assert fields["dns.answers.data"] == ["cdn.example"]
    assert fields["sysmon.dns.status"] == "DNS_ERROR_RCODE_NAME_ERROR"


def test_sysmon_image_load_fills_file_and_dll() -> None:
    data = {"ImageLoaded": "C:\\Windows\\winmm.dll", "Hashes": HASHES, "Signed": "true"}
    fields = decode_windows(record(SYSMON, 7, data))
    assert fields["file.path"] == fields["dll.path"] == "C:\\Windows\\winmm.dll"
    assert fields["file.hash.sha1"] == fields["dll.hash.sha1"]
    assert fields["file.extension"] == "dll"
    assert fields["file.code_signature.signed"] is True


def test_powershell_script_block() -> None:
    data = {
        "MessageNumber": 1,
        "MessageTotal": 2,
        "ScriptBlockText": "iex $x",
        "ScriptBlockId": "u",
    }
    fields = decode_windows(record(OPERATIONAL, 4104, data))
    assert fields["powershell.file.script_block_text"] == "iex $x"
    assert fields["powershell.sequence"] == 1
    assert fields["powershell.total"] == 2


def test_classic_powershell_details_are_split() -> None:
    details = "\tNewEngineState=Available\r\n\r\n\tHostApplication=powershell -enc a=b\r\n\tUserId=A\\b"
    data = {"Data": {"#text": ["Available", "None", details]}}
    fields = decode_windows(record("Windows PowerShell", 400, data))
    assert fields["powershell.engine.new_state"] == "Available"
    assert fields["process.command_line"] == "powershell -enc a=b"
    assert fields["winlog.event_data.HostApplication"] == "powershell -enc a=b"
    assert fields["winlog.event_data.param3"] == details
    assert (fields["user.domain"], fields["user.name"]) == ("A", "b")


def test_bad_time_is_told() -> None:
    event = record("X", 1, {}, TimeCreated={"#attributes": {"SystemTime": "2026-02-30T00:00:00Z"}})
    fields = decode_windows(event)
    assert "@timestamp" not in fields
    assert "not understood" in fields["error.message"]


def test_too_many_values_are_kept_as_one_text() -> None:
    fields = decode_windows(record("X", 1, {f"v{number}": "x" for number in range(2000)}))
    assert len(fields) <= 1000
    assert '"v1999":"x"' in fields["labels.overflow"]


@pytest.mark.parametrize(
    "event",
    [{}, {"Event": None}, {"Event": {"System": []}}, {"Event": {"System": {"EventID": {}}}}],
)
def test_records_without_a_shape_are_still_events(event: dict[str, Any]) -> None:
    fields = decode_windows(event)
    assert fields["event.dataset"] == "windows.event"
    assert isinstance(fields["message"], str)


# pySigma's pipeline for Winlogbeat: where it looks for a field, the field must be.

CHANNELS = {
    "powershell": ("Windows PowerShell", 400),
    "sysmon.dns": (SYSMON, 22),
    "sysmon.file": (SYSMON, 23),
    "file.name": (SYSMON, 17),
    "file.code_signature": (SYSMON, 7),
    "network.protocol": (SYSMON, 3),
}
POWERSHELL_ONLY = (
    "HostApplication",
    "HostId",
    "HostName",
    "ScriptName",
    "SequenceNumber",
    "Payload",
)
VALUES = {
    "Archived": "true",
    "IsExecutable": "true",
    "Signed": "true",
    "User": "A\\nam",
    "ProcessId": 42,
    "MessageNumber": 1,
}


def _sigma_mappings() -> list[tuple[str, str]]:
    from sigma.pipelines.elasticsearch.windows import ecs_windows

    item = next(i for i in ecs_windows().items if i.identifier == "ecs_windows_field_mapping")
    return sorted(
        (name, target)
        for name, target in item.transformation.mapping.items()
        if not target.startswith("winlog.") and name not in ("EventID", "Channel")
    )


def _value(name: str, target: str) -> Any:
    if name in VALUES:
        return VALUES[name]
    if target.endswith(".ip"):
        return "203.0.113.9"
    numeric = (".pid", ".port", ".id", "sequence", "total")
    return "42" if target.endswith(numeric) else f"C:\\value\\{name}.exe"


@pytest.mark.parametrize(("name", "target"), _sigma_mappings())
def test_every_field_of_pysigma_s_mapping_is_filled(name: str, target: str) -> None:
    if name == "Imphash":
        fields = decode_windows(record(SYSMON, 1, {"Hashes": "IMPHASH=0a"}))
    else:
        channel, code = next((where for start, where in CHANNELS.items() if target.startswith(start)), ("X", 1))
        if name in POWERSHELL_ONLY:
            channel, code = "Windows PowerShell", 400
        if name == "Destination":
            channel, code = SYSMON, 20
        fields = decode_windows(record(channel, code, {name: _value(name, target)}))
    assert fields.get(target.removesuffix(".caseless")) not in (None, "")
