"""Windows event records in (JSON of an .evtx file), Winlogbeat's layout and its ECS fields out.

Sources: the event schema (learn.microsoft.com, "Event schema elements"), Winlogbeat's exported
fields, and what pySigma's `ecs_windows` pipeline expects. The copies that belong to one log
lie in `windows_security`, `windows_sysmon` and `windows_powershell`.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC
from functools import lru_cache
from operator import add
from typing import Any, NamedTuple

from collectors.decoders.address import as_ip, as_number, as_port
from collectors.decoders.contract import Fields
from collectors.decoders.copies import Check, Copies
from collectors.decoders.json_text import to_json
from collectors.decoders.timestamp import from_iso
from collectors.decoders.windows_powershell import powershell_fields
from collectors.decoders.windows_security import security_fields
from collectors.decoders.windows_sysmon import sysmon_fields

EventData = dict[str, str]

MAX_NESTING = 8
"""Levels of UserData that are flattened; real ones have two."""

MAX_DATA = 900
"""Named values of one event: with the envelope and the copies it stays below 1,000 fields
(docs/events.md); real ones have at most some sixty."""

MAX_SHARED = 64
"""Named values up to which what their names decide is remembered for the next event."""

GUID_LENGTH = 36

_UNNAMED = frozenset(("Data", "#text", "#attributes"))

_CANONICAL = re.compile(
    r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])"
    r"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3,9}Z",
    re.ASCII,
)
"""A stamp that needs no change and whose day every month has."""

_LEVELS = {
    "0": "information",
    "1": "critical",
    "2": "error",
    "3": "warning",
    "4": "information",
    "5": "verbose",
}
_OPCODES = {
    "0": "Info",
    "1": "Start",
    "2": "Stop",
    "3": "DCStart",
    "4": "DCStop",
    "5": "Extension",
    "6": "Reply",
    "7": "Resume",
    "8": "Suspend",
    "9": "Send",
}
_KEYWORD_BITS = (
    (0x10000000000000, "Audit Failure"),
    (0x20000000000000, "Audit Success"),
    (0x80000000000000, "Classic"),
)
_KEYWORD_MASK = re.compile(r"0x[0-9a-fA-F]{1,16}")
_DATASETS = {
    "security": "windows.security",
    "system": "windows.system",
    "application": "windows.application",
    "windows powershell": "windows.powershell",
    "microsoft-windows-powershell/operational": "windows.powershell",
    "powershellcore/operational": "windows.powershell",
    "microsoft-windows-sysmon/operational": "windows.sysmon",
}
_OF_LOG: dict[str, Callable[[Fields, EventData], None]] = {
    "windows.security": security_fields,
    "windows.sysmon": sysmon_fields,
    "windows.powershell": powershell_fields,
}

_COPIES: Copies = {
    "AccountDomain": ("user.domain", None),
    "AccountName": ("user.name", None),
    "Application": ("process.executable", None),
    "ClientAddress": ("source.ip", as_ip),
    "ClientName": ("source.domain", None),
    "CommandLine": ("process.command_line", None),
    "CurrentDirectory": ("process.working_directory", None),
    "DestAddress": ("destination.ip", as_ip),
    "DestPort": ("destination.port", as_port),
    "DestinationHostname": ("destination.domain", None),
    "DestinationIp": ("destination.ip", as_ip),
    "DestinationPort": ("destination.port", as_port),
    "DestinationPortName": ("network.protocol", None),
    "Device": ("file.path", None),
    "FileName": ("file.path", None),
    "Image": ("process.executable", None),
    "ImageLoaded": ("file.path", None),
    "IpAddress": ("source.ip", as_ip),
    "IpPort": ("source.port", as_port),
    "NewProcessId": ("process.pid", as_number),
    "NewProcessName": ("process.executable", None),
    "ParentCommandLine": ("process.parent.command_line", None),
    "ParentImage": ("process.parent.executable", None),
    "ParentProcessGuid": ("process.parent.entity_id", None),
    "ParentProcessId": ("process.parent.pid", as_number),
    "ParentProcessName": ("process.parent.executable", None),
    "ProcessGuid": ("process.entity_id", None),
    "ProcessId": ("process.pid", as_number),
    "ProcessName": ("process.executable", None),
    "QueryName": ("dns.question.name", None),
    "ServiceName": ("service.name", None),
    "SourceAddress": ("source.ip", as_ip),
    "SourceHostname": ("source.domain", None),
    "SourceImage": ("process.executable", None),
    "SourceIp": ("source.ip", as_ip),
    "SourcePort": ("source.port", as_port),
    "SourceProcessGUID": ("process.entity_id", None),
    "SourceProcessGuid": ("process.entity_id", None),
    "SourceProcessId": ("process.pid", as_number),
    "SourceThreadId": ("process.thread.id", as_number),
    "SubjectDomainName": ("user.domain", None),
    "SubjectLogonId": ("winlog.logon.id", None),
    "SubjectUserName": ("user.name", None),
    "SubjectUserSid": ("user.id", None),
    "TargetDomainName": ("user.domain", None),
    "TargetFilename": ("file.path", None),
    "TargetLogonId": ("winlog.logon.id", None),
    "TargetObject": ("registry.path", None),
    "WorkstationName": ("source.domain", None),
}
"""The copies that every log gets."""
_SECURITY_COPIES = {name: copy for name, copy in _COPIES.items() if not copy[0].startswith("user.")}
"""In the Security log which of several accounts is the user depends on the event."""
_EMPTY = frozenset(("", "-"))
MAX_SPOKEN = 16_000
"""Characters of the values that stand in `message`; whole they are in winlog.event_data."""


def decode_windows(record: Mapping[str, Any]) -> Fields:
    """One record of the evtx package's `records_json()`, parsed: {"Event": {"System": …,
    "EventData": … | "UserData": …}} → fields. Never raises; what is missing stays out."""
    try:
        return _decode_windows(record)
    except Exception as error:  # a fault of ours costs this record's fields, never the record
        return {
            "event.dataset": "windows.event",
            "message": to_json(record),
            "error.message": f"decoder failed: {type(error).__name__}: {error}",
        }


def _decode_windows(record: Mapping[str, Any]) -> Fields:
    event = _mapping(record.get("Event", record))
    fields = _system(_mapping(event.get("System")))
    data: EventData = {}
    for name, value in _mapping(event.get("EventData")).items():
        if name in _UNNAMED:
            _event_data(data, name, value)
        elif type(value) is str and len(value) != GUID_LENGTH:
            data[name] = value
        elif type(value) is int:
            data[name] = str(value)
        else:
            _event_data(data, name, value)
    user_data: EventData = {}
    for name, value in _mapping(event.get("UserData")).items():
        fields["winlog.user_data.xml_name"] = name
        _flatten(user_data, "", value, MAX_NESTING)
    rendered = _mapping(event.get("RenderingInfo"))
    if isinstance(message := rendered.get("Message"), str):
        fields["message"] = message
    return complete(fields, data, user_data)


def complete(fields: Fields, data: EventData, user_data: EventData | None = None) -> Fields:
    """`winlog.*` fields of the envelope and the event's named values → the whole event.

    ECS fields that a sender filled already are kept."""
    channel = str(fields.get("winlog.channel", ""))
    dataset = _DATASETS.get(channel.lower(), "windows.event")
    fields["event.dataset"] = dataset
    if len(data) > MAX_DATA:
        _cut(fields, data)
    of_log = _OF_LOG.get(dataset)
    if user_data:
        for name, text in user_data.items():
            fields["winlog.user_data." + name] = text
        both = {**user_data, **data}
        if of_log is not None:
            of_log(fields, both)
        _put_copies(fields, user_data, _shape(user_data, dataset))
    elif of_log is not None:
        of_log(fields, data)
    shape = _shape(data, dataset)
    fields.update(zip(shape.keys, data.values(), strict=False))
    _put_copies(fields, data, shape)
    _put_names(fields, data)
    if "message" not in fields:
        title = fields.get("event.action") or fields.get("event.provider") or channel
        spoken = _spoken(data, shape)
        if user_data:
            spoken = _spoken(user_data, _shape(user_data, dataset)) + spoken
        fields["message"] = f"{fields.get('event.code', '?')} {title}{spoken}"
    return fields


class _Shape(NamedTuple):
    """What the names of an event's values decide; events of one kind share it."""

    keys: tuple[str, ...]
    """Of each value: its field."""
    labels: tuple[str, ...]
    """Of each value: what stands before it in `message`."""
    copies: tuple[tuple[str, str, Check | None], ...]
    """Of those that have a copy: name, field and check."""


def _shape(data: EventData, dataset: str) -> _Shape:
    names = tuple(data)
    return _shape_of(names, dataset) if len(names) <= MAX_SHARED else _shape_of.__wrapped__(names, dataset)


@lru_cache(maxsize=512)
def _shape_of(names: tuple[str, ...], dataset: str) -> _Shape:
    copies = _SECURITY_COPIES if dataset == "windows.security" else _COPIES
    return _Shape(
        tuple("winlog.event_data." + name for name in names),
        tuple(f"\n{name}: " for name in names),
        tuple((name, *copies[name]) for name in names if name in copies),
    )


def _spoken(data: EventData, shape: _Shape) -> str:
    """The named values as a person reads them, each value once: the words by which the event is found."""
    labels = dict(zip(data.values(), shape.labels, strict=False))
    for empty in _EMPTY:
        labels.pop(empty, None)
    return "".join(map(add, labels.values(), labels))[:MAX_SPOKEN]


def _cut(fields: Fields, data: EventData) -> None:
    """More named values than any real event has: the rest stays as one JSON text."""
    rest = {name: data.pop(name) for name in list(data)[MAX_DATA:]}
    fields["labels.overflow"] = to_json(rest)
    fields["error.message"] = f"more than {MAX_DATA} values: {len(rest)} kept as JSON text in labels.overflow"


def _put_copies(fields: Fields, data: EventData, shape: _Shape) -> None:
    """The copies that every log gets, where the log's own rules left the field free."""
    for name, key, check in shape.copies:
        if key not in fields and (text := data[name]) not in _EMPTY:
            value = text if check is None else check(text)
            if value is not None:
                fields[key] = value


def _put_names(fields: Fields, data: EventData) -> None:
    """Parts of names: DOMAIN\\user, and the last part of paths."""
    user = data.get("User")
    if user and "user.name" not in fields and user not in _EMPTY:
        domain, _, name = user.rpartition("\\")
        fields["user.name"] = name
        if domain:
            fields["user.domain"] = domain
    _base_name(fields, "process.executable", "process.name")
    _base_name(fields, "process.parent.executable", "process.parent.name")
    path = fields.get("file.path")
    if path and "file.name" not in fields:
        folder, slash, name = path.rpartition("\\")
        if slash:
            fields["file.name"] = name
            fields["file.directory"] = folder
            stem, dot, extension = name.rpartition(".")
            if dot and stem:
                fields["file.extension"] = extension


def _base_name(fields: Fields, path_key: str, name_key: str) -> None:
    path = fields.get(path_key)
    if path and name_key not in fields:
        fields[name_key] = path[path.rfind("\\") + 1 :]


def _system(system: Mapping[str, Any]) -> Fields:
    """The System element → winlog.* and the fields that every event has."""
    provider = _attributes(system, "Provider")
    kind = (
        provider.get("Name") or provider.get("EventSourceName"), provider.get("Guid"), _code(system.get("EventID")),
        system.get("Level"), system.get("Keywords"), system.get("Channel"), system.get("Task"), system.get("Opcode"),
    )  # fmt: skip
    try:
        fields = _kind(*kind).copy()
    except TypeError:  # lists or objects where texts and numbers belong
        fields = _kind.__wrapped__(*kind)
    computer = system.get("Computer")
    if computer is not None:
        fields["winlog.computer_name"] = str(computer)
    record = system.get("EventRecordID")
    if record is not None:
        fields["winlog.record_id"] = str(record)
    if computer:
        fields["host.name"] = str(computer)
    put_time(fields, _attributes(system, "TimeCreated").get("SystemTime"))
    execution = _attributes(system, "Execution")
    for name, key in _EXECUTION:
        number = execution.get(name)
        if type(number) is not int:
            number = as_number(str(number))
        if number is not None:
            fields[key] = number
    if sid := _attributes(system, "Security").get("UserID"):
        fields["winlog.user.identifier"] = str(sid)
    correlation = _attributes(system, "Correlation")
    if activity := correlation.get("ActivityID"):
        fields["winlog.activity_id"] = _text(activity)
    if related := correlation.get("RelatedActivityID"):
        fields["winlog.related_activity_id"] = _text(related)
    return fields


_EXECUTION = (("ProcessID", "winlog.process.pid"), ("ThreadID", "winlog.process.thread.id"))


@lru_cache(maxsize=1024, typed=True)
def _kind(
    provider: object, guid: object, code: object, level: object, keywords: object, channel: object, task: object,
    opcode: object,
) -> Fields:  # fmt: skip
    """What the System element says of the event's kind; to be copied, never changed."""
    fields: Fields = {}
    if provider:
        fields["winlog.provider_name"] = fields["event.provider"] = str(provider)
    if guid:
        fields["winlog.provider_guid"] = _text(guid)
    put_code(fields, code)
    put_level(fields, level)
    put_keywords(fields, keywords)
    if channel is not None:
        fields["winlog.channel"] = str(channel)
    if task is not None:
        fields["winlog.task"] = str(task)
    if opcode is not None:
        fields["winlog.opcode"] = _OPCODES.get(str(opcode), str(opcode))
    return fields


def _code(value: object) -> object:
    return value.get("#text", value.get("Value")) if isinstance(value, dict) else value


def put_code(fields: Fields, value: object) -> None:
    value = _code(value)
    if value is not None:
        fields["event.code"] = fields["winlog.event_id"] = str(value)


def put_level(fields: Fields, value: object) -> None:
    """The level's number or name → Winlogbeat's lower-case name."""
    if value is not None and value != "":
        level = str(value)
        fields["winlog.level"] = fields["log.level"] = _LEVELS.get(level, level.lower())


def put_keywords(fields: Fields, value: object) -> None:
    """The keyword mask → Winlogbeat's names (the mask itself where it names none) and
    `event.outcome` of audits."""
    if value is None:
        return
    text = str(value)
    names, outcome = _keywords(text)
    fields["winlog.keywords"] = list(names) or text
    if outcome is not None:
        fields["event.outcome"] = outcome


@lru_cache(maxsize=1024)
def _keywords(text: str) -> tuple[tuple[str, ...], str | None]:
    mask = int(text, 16) if _KEYWORD_MASK.fullmatch(text) else 0
    names = tuple(name for bit, name in _KEYWORD_BITS if mask & bit)
    if "Audit Failure" in names or text == "Audit Failure":
        return names, "failure"
    return names, "success" if "Audit Success" in names or text == "Audit Success" else None


def put_time(fields: Fields, value: object) -> None:
    if value is None:
        return
    text = str(value)
    stamp = text if _CANONICAL.fullmatch(text) else from_iso(text, UTC)
    if stamp is None:
        fields["error.message"] = f"time stamp not understood: {str(value)[:64]!r}"
    else:
        fields["@timestamp"] = stamp


def _event_data(data: EventData, name: str, value: object) -> None:
    """One entry of EventData; values without a name become param1, param2 … as in Winlogbeat."""
    if name == "#attributes" or value is None:
        return
    if name in _UNNAMED:
        if isinstance(value, dict) and not {"Name", "@Name"} & value.keys():
            value = value.get("#text")
        for number, item in enumerate(value if isinstance(value, list) else [value], 1):
            _data_item(data, number, item)
        return
    if isinstance(value, dict):
        _flatten(data, name, value, MAX_NESTING)
    else:
        data[name] = _text(value)


def _data_item(data: EventData, number: int, item: object) -> None:
    """One <Data>: a bare value, or {"@Name": "x", "#text": "y"} of other converters."""
    if isinstance(item, dict):
        name = item.get("@Name", item.get("Name"))
        if isinstance(name, str):
            text = item.get("#text", item.get("Value"))
            data[name] = "" if text is None else _text(text)
            return
    if item is not None:
        data[f"param{number}"] = _text(item)


def _flatten(data: EventData, prefix: str, value: object, depth: int) -> None:
    if value is None:
        return
    if not isinstance(value, dict) or depth == 0:
        data[prefix or "value"] = _text(value)
        return
    for name, inner in value.items():
        if name == "#attributes":
            continue
        path = prefix if name == "#text" else f"{prefix}.{name}" if prefix else str(name)
        _flatten(data, path, inner, depth - 1)


def _text(value: object) -> str:
    """A value as Windows renders it: decimal numbers, "true", GUIDs in braces."""
    if isinstance(value, str):
        if len(value) == GUID_LENGTH and value[8] == value[13] == value[18] == value[23] == "-":
            return f"{{{value}}}" if _is_binary_guid(value) else value
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return to_json(value)


def _is_binary_guid(text: str) -> bool:
    """evtx writes values of the type GUID in capitals without the braces that Windows shows;
    a text that a program wrote is seldom in capitals and bare."""
    return text == text.upper() and _is_hex(text.replace("-", ""))


def _is_hex(text: str) -> bool:
    try:
        int(text, 16)
    except ValueError:
        return False
    return True


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else _NOTHING


def _attributes(element: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """<Provider Name="x"/> is {"Provider": {"#attributes": {"Name": "x"}}}; other converters of
    the event's XML write {"@Name": "x"} or {"Name": "x"}."""
    value = element.get(name)
    if not isinstance(value, dict):
        return _NOTHING
    inner = value.get("#attributes")
    if isinstance(inner, dict):
        return inner
    return {str(key).lstrip("@"): item for key, item in value.items()}


_NOTHING: Mapping[str, Any] = {}
