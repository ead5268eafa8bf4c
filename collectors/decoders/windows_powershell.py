"""PowerShell's two logs: Winlogbeat's copies of commands, script blocks and engine state.

Source: Winlogbeat's powershell module. The classic log ("Windows PowerShell") and event 4103
carry their fields as lines "name=value" of one text; those are split off first and put beside
the other values of `winlog.event_data`.
"""

from collectors.decoders.address import as_number
from collectors.decoders.contract import Fields

_EMPTY = frozenset(("", "-"))

_DETAILS_OF = {"800": "param2", "4103": "ContextInfo"}
_CLASSIC = frozenset(("400", "403", "500", "501", "600", "800"))
_TYPES = {"400": "start", "403": "end", "4105": "start", "4106": "end"}

MAX_DETAIL_LINES = 200
"""Lines of such a text that are read; real ones have twenty."""

_TEXTS = {
    "CommandLine": "powershell.command.value",
    "CommandName": "powershell.command.name",
    "CommandPath": "powershell.command.path",
    "CommandType": "powershell.command.type",
    "EngineVersion": "powershell.engine.version",
    "HostApplication": "process.command_line",
    "HostID": "process.entity_id",
    "HostId": "process.entity_id",
    "HostName": "process.title",
    "HostVersion": "powershell.process.executable_version",
    "NewEngineState": "powershell.engine.new_state",
    "NewProviderState": "powershell.provider.new_state",
    "Path": "file.path",
    "Payload": "powershell.file.script_block_text",
    "PipelineID": "powershell.pipeline_id",
    "PipelineId": "powershell.pipeline_id",
    "PreviousEngineState": "powershell.engine.previous_state",
    "ProviderName": "powershell.provider.name",
    "RunspaceID": "powershell.runspace_id",
    "RunspaceId": "powershell.runspace_id",
    "ScriptBlockId": "powershell.file.script_block_id",
    "ScriptBlockText": "powershell.file.script_block_text",
    "ScriptName": "file.path",
    "ShellID": "powershell.id",
}
_NUMBERS = {
    "DetailSequence": "powershell.sequence",
    "DetailTotal": "powershell.total",
    "MessageNumber": "powershell.sequence",
    "MessageTotal": "powershell.total",
    "SequenceNumber": "event.sequence",
}


def powershell_fields(fields: Fields, data: dict[str, str]) -> None:
    """Adds the ECS fields of one PowerShell event to `fields`, and the values that were split
    off its details to `data`, beside them under `winlog.event_data`."""
    code = fields.get("event.code", "")
    fields["event.category"] = ["process"]
    fields["event.type"] = [_TYPES.get(code, "info")]
    details = _DETAILS_OF.get(code, "param3" if code in _CLASSIC else "")
    if details in data:
        for name, value in _split(data[details]).items():
            if name not in data:
                data[name] = value
                fields["winlog.event_data." + name] = value
    for name, text in data.items():
        key = _TEXTS.get(name)
        if key is not None:
            if text not in _EMPTY:
                fields.setdefault(key, text)
        elif name in _NUMBERS and (number := as_number(text)) is not None:
            fields.setdefault(_NUMBERS[name], number)
    _put_user(fields, data.get("UserId") or data.get("User") or "")
    sid = fields.get("winlog.user.identifier")
    if sid:
        fields.setdefault("user.id", sid)


def _split(text: str) -> dict[str, str]:
    """Lines "\\tHostName=ConsoleHost" or "  Host Name = ConsoleHost" → values by name without
    its spaces."""
    values: dict[str, str] = {}
    for line in text.split("\n", MAX_DETAIL_LINES)[:MAX_DETAIL_LINES]:
        name, equals, value = line.partition("=")
        name = name.strip().replace(" ", "")
        if equals and name.isalnum():
            values.setdefault(name, value.strip())
    return values


def _put_user(fields: Fields, account: str) -> None:
    domain, slash, name = account.partition("\\")
    if slash and name:
        fields.setdefault("user.domain", domain)
        fields.setdefault("user.name", name)
