"""JSON objects of any sender in, flat ECS fields out.

Known shapes: Suricata's EVE and Zeek's logs; ECS (flat or nested) and Beats documents; the JSON of .evtx files;
Windows events as NXLog, Windows Event Forwarding tools and others flatten them ("EventID", "Channel", "Image" …);
the systemd journal's export. All else keeps its names.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, tzinfo
from typing import Any

import orjson

from collectors.decoders import suricata, zeek
from collectors.decoders.address import as_ip, as_number, as_port
from collectors.decoders.contract import Context, Fields, Hints
from collectors.decoders.flattening import OVERFLOW, add_error, flat
from collectors.decoders.json_text import to_json
from collectors.decoders.timestamp import from_epoch, from_iso, from_month_first
from collectors.decoders.windows import (
    complete,
    decode_windows,
    put_code,
    put_keywords,
    put_level,
)
from collectors.decoders.zeek_layout import Layout

_TIME_NAMES = (
    "@timestamp",
    "timestamp",
    "time",
    "ts",
    "eventtime",
    "date",
    "datetime",
    "Timestamp",
)
_MESSAGE_NAMES = ("message", "msg", "Message", "log", "MESSAGE")

_ALIASES: dict[str, str] = {
    "src_ip": "source.ip",
    "srcip": "source.ip",
    "source_ip": "source.ip",
    "src_port": "source.port",
    "srcport": "source.port",
    "dest_ip": "destination.ip",
    "dst_ip": "destination.ip",
    "dstip": "destination.ip",
    "destination_ip": "destination.ip",
    "dest_port": "destination.port",
    "dst_port": "destination.port",
    "dstport": "destination.port",
    "id.orig_h": "source.ip",
    "id.orig_p": "source.port",
    "id.resp_h": "destination.ip",
    "id.resp_p": "destination.port",
    "hostname": "host.name",
    "username": "user.name",
}
"""Names that many senders use → the ECS field that is filled beside them."""


def decode_object(obj: Mapping[str, Any], hints: Hints, received: datetime) -> Fields:
    """One JSON object → fields; see the module for the shapes. Never raises."""
    try:
        found = _of_sensor(obj, hints.timezone, hints.layout, hints.dataset)
        if found is not None:
            found["message"] = to_json(obj)
            return found
        return _decode_object(obj, hints.timezone, received, None)
    except Exception as error:  # one bad record costs that record only
        return {
            "event.dataset": "json",
            "message": to_json(obj),
            "error.message": f"decoder failed: {type(error).__name__}: {error}",
        }


def looks_like(message: str) -> bool:
    return message[:1] == "{" or message.lstrip()[:1] == "{" or message.startswith("@cee:")


def decode(message: str, context: Context) -> Fields | None:
    """One line of JSON text ("@cee:" in front as rsyslog and lumberjack write it)."""
    try:
        obj = orjson.loads(message.removeprefix("@cee:"))
    except orjson.JSONDecodeError:
        return None
    if not isinstance(obj, dict):
        return None
    found = _of_sensor(obj, context.timezone, context.layout, context.dataset)
    if found is not None:
        found["message"] = message
        return found
    return _decode_object(obj, context.timezone, context.received, message)


def _of_sensor(obj: Mapping[str, Any], timezone: tzinfo, layout: Layout | None, dataset: str | None) -> Fields | None:
    """A record of Suricata's EVE or of a log of Zeek's; None for all other objects."""
    if "event_type" in obj and suricata.is_eve(obj):
        return suricata.decode(obj, timezone)
    if "ts" in obj or "_path" in obj:
        log = zeek.log_of(obj, layout, dataset)
        if log is not None:
            return zeek.decode_record(obj, log)
    return None


def _decode_object(obj: Mapping[str, Any], timezone: tzinfo, received: datetime, text: str | None) -> Fields:
    if isinstance(obj.get("Event"), Mapping) and "System" in obj["Event"]:
        return decode_windows(obj)
    if isinstance(obj.get("System"), Mapping) and ("EventData" in obj or "UserData" in obj):
        return decode_windows({"Event": obj})
    fields = flat(obj)
    if "winlog.channel" in fields or "winlog.provider_name" in fields:
        return _beats(fields, timezone, received)
    if _is_windows(fields):
        return _flattened_windows(fields, timezone, received)
    if "__REALTIME_TIMESTAMP" in fields:
        _journal(fields)
    _times(fields, timezone, received, _TIME_NAMES)
    _messages(fields, obj, text)
    for name, key in _ALIASES.items():
        if name in fields and key not in fields:
            _alias(fields, key, str(fields[name]))
    dataset = fields.get("event.dataset")
    if not isinstance(dataset, str) or not dataset:
        fields["event.dataset"] = "json"
    return fields


def _alias(fields: Fields, key: str, text: str) -> None:
    value: str | int | None = text
    if key.endswith(".ip"):
        value = as_ip(text)
    elif key.endswith(".port"):
        value = as_port(text)
    if value is not None and value != "":
        fields[key] = value


def _messages(fields: Fields, obj: Mapping[str, Any], text: str | None) -> None:
    for name in _MESSAGE_NAMES:
        value = fields.get(name)
        if isinstance(value, str) and value:
            fields["message"] = value
            return
    fields["message"] = text if text is not None else to_json(obj)


def _times(fields: Fields, timezone: tzinfo, received: datetime, names: Iterable[str]) -> None:
    """The first time stamp that can be read becomes `@timestamp`; a bad `@timestamp` is told."""
    told = fields.pop("@timestamp", None)
    if told is not None:
        stamp = _time(told, timezone, received)
        if stamp is not None:
            fields["@timestamp"] = stamp
            return
        fields["labels.timestamp"] = str(told)
    for name in names:
        value = fields.get(name)
        if value is not None:
            stamp = _time(value, timezone, received)
            if stamp is not None:
                fields["@timestamp"] = stamp
                break
    if told is not None:
        add_error(fields, f"time stamp not understood: {str(told)[:64]!r}")


def _time(value: object, timezone: tzinfo, received: datetime) -> str | None:
    if isinstance(value, int | float):
        return from_epoch(value) if abs(value) >= 1e8 else None
    if not isinstance(value, str):
        return None
    if value.isdigit() and len(value) < 9:
        return None
    if value.startswith("/Date("):  # .NET's JSON: milliseconds since 1970
        return from_epoch(value[6:].partition(")")[0].partition("+")[0])
    return from_iso(value, timezone) or from_epoch(value) or from_month_first(value, timezone, received)


# -- Windows events in other shapes ----------------------------------------------------------------

_DATA, _USER_DATA = "winlog.event_data.", "winlog.user_data."


def _beats(fields: Fields, timezone: tzinfo, received: datetime) -> Fields:
    """A Winlogbeat (or Elastic Agent) document: the fields that its modules would fill are
    filled where they are missing."""
    data = {key[len(_DATA) :]: _word(fields.pop(key)) for key in list(fields) if key[:18] == _DATA}
    user_data = {
        key[len(_USER_DATA) :]: _word(fields.pop(key))
        for key in list(fields)
        if key.startswith(_USER_DATA) and key != _USER_DATA + "xml_name"
    }
    _times(fields, timezone, received, ())
    for key in ("winlog.event_id", "winlog.record_id", "event.code"):
        if key in fields:
            fields[key] = _word(fields[key])
    if "event.code" not in fields:
        put_code(fields, fields.get("winlog.event_id"))
    elif "winlog.event_id" not in fields:
        fields["winlog.event_id"] = fields["event.code"]
    if "winlog.provider_name" in fields:
        fields.setdefault("event.provider", fields["winlog.provider_name"])
    if "log.level" not in fields:
        put_level(fields, fields.get("winlog.level"))
    keywords = fields.get("winlog.keywords")
    if "event.outcome" not in fields and isinstance(keywords, list) and len(keywords) == 1:
        put_keywords(fields, keywords[0])
        fields["winlog.keywords"] = keywords
    if "winlog.computer_name" in fields:
        fields.setdefault("host.name", fields["winlog.computer_name"])
    if "message" in fields:
        fields["message"] = _word(fields["message"])
    return complete(fields, data, user_data)


_ENVELOPE: dict[str, str] = {
    "Channel": "winlog.channel",
    "LogName": "winlog.channel",
    "SourceName": "winlog.provider_name",
    "ProviderName": "winlog.provider_name",
    "Provider_Name": "winlog.provider_name",
    "Provider": "winlog.provider_name",
    "ProviderGuid": "winlog.provider_guid",
    "Provider_Guid": "winlog.provider_guid",
    "Computer": "winlog.computer_name",
    "ComputerName": "winlog.computer_name",
    "MachineName": "winlog.computer_name",
    "RecordNumber": "winlog.record_id",
    "RecordID": "winlog.record_id",
    "RecordId": "winlog.record_id",
    "EventRecordID": "winlog.record_id",
    "Task": "winlog.task",
    "OpcodeValue": "winlog.opcode",
    "Opcode": "winlog.opcode",
    "ActivityID": "winlog.activity_id",
    "ExecutionProcessID": "winlog.process.pid",
    "Execution_ProcessID": "winlog.process.pid",
    "ExecutionThreadID": "winlog.process.thread.id",
    "Execution_ThreadID": "winlog.process.thread.id",
    "UserID": "winlog.user.identifier",
    "Security_UserID": "winlog.user.identifier",
}
"""Envelope names of NXLog's im_msvistalog, PowerShell's and other flat forms → winlog fields."""

_ENVELOPE_NUMBERS = ("winlog.process.pid", "winlog.process.thread.id")
_WINDOWS_TIMES = (
    "@timestamp",
    "SystemTime",
    "TimeCreated",
    "TimeCreated_SystemTime",
    "EventTime",
    "UtcTime",
    "timestamp",
    "time",
)
_NOT_DATA = frozenset(
    (
        *_ENVELOPE,
        *_WINDOWS_TIMES,
        "EventID",
        "EventId",
        "Id",
        "Level",
        "LevelDisplayName",
        "Severity",
        "SeverityValue",
        "EventType",
        "Keywords",
        "Hostname",
        "HostName",
        "Message",
        "message",
        "event.code",
        "host.name",
    )
)
_KEEP = frozenset((OVERFLOW, "error.message"))
_NESTED_DATA = ("EventData.", "Event.EventData.", "event_data.", "EventData_")


def _is_windows(fields: Fields) -> bool:
    """An event id with a channel or a provider, or Sysmon's own field names; PowerShell's
    `Get-WinEvent | ConvertTo-Json` calls them Id and LogName."""
    if "Id" in fields and "LogName" in fields and "ProviderName" in fields:
        return True
    if "EventID" not in fields and "EventId" not in fields:
        return False
    return any(name in fields for name in ("Channel", "SourceName", "ProviderName", "Provider_Name")) or any(
        name in fields for name in ("Image", "SourceImage", "ProcessGuid")
    )


def _flattened_windows(raw: Fields, timezone: tzinfo, received: datetime) -> Fields:
    """Envelope and event data side by side in one object → Winlogbeat's layout.

    NXLog's EventTime is local time of its machine; its `Keywords` is a signed number."""
    fields: Fields = {key: value for key, value in raw.items() if "." in key and key in _KEEP}
    put_code(fields, _word(raw.get("EventID", raw.get("EventId", raw.get("Id")))))
    sysmon = "Channel" not in raw and any(name in raw for name in ("ProcessGuid", "SourceImage"))
    for name, key in _ENVELOPE.items():
        value = raw.get(name)
        if value is None or (name == "ProviderName" and "SourceName" in raw):
            continue
        if key in _ENVELOPE_NUMBERS:
            number = as_number(_word(value))
            if number is not None:
                fields[key] = number
        else:
            fields.setdefault(key, _word(value))
    if sysmon:
        fields.setdefault("winlog.channel", "Microsoft-Windows-Sysmon/Operational")
        fields.setdefault("winlog.provider_name", "Microsoft-Windows-Sysmon")
    if "winlog.provider_name" in fields:
        fields["event.provider"] = fields["winlog.provider_name"]
    _level_and_keywords(fields, raw)
    host = raw.get("Hostname") or fields.get("winlog.computer_name") or raw.get("host.name")
    if host:
        fields["host.name"] = _word(host)
        fields.setdefault("winlog.computer_name", fields["host.name"])
    fields.update({name: raw[name] for name in _WINDOWS_TIMES if name in raw})
    _times(fields, timezone, received, _WINDOWS_TIMES)
    for name in _WINDOWS_TIMES[1:]:
        fields.pop(name, None)
    message = raw.get("Message", raw.get("message"))
    if message is not None:
        fields["message"] = _word(message)
    return complete(fields, _named_data(raw, fields))


def _level_and_keywords(fields: Fields, raw: Fields) -> None:
    kind = raw.get("EventType")  # NXLog: AUDIT_SUCCESS …; Sysmon has a value of this name too
    if kind in ("AUDIT_SUCCESS", "AUDIT_FAILURE"):
        fields["event.outcome"] = "success" if kind == "AUDIT_SUCCESS" else "failure"
    put_level(fields, raw.get("LevelDisplayName", raw.get("Level", raw.get("Severity"))))
    keywords = raw.get("Keywords")
    if isinstance(keywords, int):
        keywords = f"0x{keywords & 0xFFFFFFFFFFFFFFFF:016x}"
    elif isinstance(keywords, str) and keywords.lstrip("-").isdigit() and len(keywords) <= 20:
        keywords = f"0x{int(keywords) & 0xFFFFFFFFFFFFFFFF:016x}"
    if isinstance(keywords, str):
        outcome = fields.get("event.outcome")
        put_keywords(fields, keywords)
        if outcome:
            fields["event.outcome"] = outcome


def _named_data(raw: Fields, fields: Fields) -> dict[str, str]:
    """All that is no envelope is the event's own data."""
    data: dict[str, str] = {}
    sysmon = fields.get("winlog.provider_name") == "Microsoft-Windows-Sysmon"
    for key, value in raw.items():
        name = key
        for prefix in _NESTED_DATA:
            if key.startswith(prefix):
                name = key[len(prefix) :]
                break
        else:
            if key in _NOT_DATA and not (sysmon and key in ("EventType", "UtcTime")):
                continue
            if key in _KEEP:
                continue
        data.setdefault(name, _word(value))
    return data


def _word(value: object) -> str:
    """A plain value as text, as Windows renders it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return to_json(value)


# -- systemd journal -------------------------------------------------------------------------------

_JOURNAL = {
    "_HOSTNAME": "host.name",
    "SYSLOG_IDENTIFIER": "process.name",
    "_CMDLINE": "process.command_line",
    "_EXE": "process.executable",
    "_SYSTEMD_UNIT": "systemd.unit",
    "_UID": "user.id",
}


def _journal(fields: Fields) -> None:
    """`journalctl -o json`: systemd.journal-fields(7)."""
    stamp = from_epoch(_word(fields["__REALTIME_TIMESTAMP"]))
    if stamp:
        fields.setdefault("@timestamp", stamp)
    for name, key in _JOURNAL.items():
        if name in fields:
            fields.setdefault(key, _word(fields[name]))
    pid = as_number(_word(fields.get("_PID", "")))
    if pid is not None:
        fields.setdefault("process.pid", pid)
