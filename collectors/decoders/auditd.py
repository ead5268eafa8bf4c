"""Lines of the Linux audit daemon in, process, user and file fields out.

Source: linux-audit's field dictionary and "RHEL Security Guide: Understanding audit log files";
names of Filebeat's auditd module (`auditd.log.*`).
"""

import re

from collectors.decoders.address import as_number, put_host
from collectors.decoders.contract import Context, Fields
from collectors.decoders.timestamp import from_epoch

_HEAD = re.compile(
    r"(?:node=(\S{1,255}) )?type=(\S{1,64}) msg=audit\((\d{1,12}\.\d{1,6}):(\d{1,12})\): ?",
    re.ASCII,
)
_PAIR = re.compile(r"([A-Za-z_][\w-]{0,63})=(\"[^\"]*\"|'[^']*'|[^\s'\x1d]*)", re.ASCII)

MAX_PAIRS = 300
"""Fields of one line; an EXECVE record may have hundreds of arguments."""

_TEXTS = {
    "acct": "user.name",
    "auid": "user.audit.id",
    "comm": "process.name",
    "cwd": "process.working_directory",
    "egid": "user.effective.group.id",
    "euid": "user.effective.id",
    "exe": "process.executable",
    "gid": "user.group.id",
    "grp": "group.name",
    "name": "file.path",
    "terminal": "process.tty.name",
    "uid": "user.id",
    "unit": "systemd.unit",
}
_NUMBERS = {"pid": "process.pid", "ppid": "process.parent.pid"}
_HEX_ENCODED = frozenset(("proctitle", "cmd", "name", "comm", "exe", "cwd", "acct", "data", "path"))
_RESULTS = {"success": "success", "yes": "success", "1": "success"}
_FAILURES = {"failed": "failure", "no": "failure", "0": "failure"}
_CATEGORIES = {
    "USER_AUTH": ("authentication", "start"),
    "USER_LOGIN": ("authentication", "start"),
    "USER_START": ("session", "start"),
    "USER_END": ("session", "end"),
    "USER_CMD": ("process", "start"),
    "ADD_USER": ("iam", "creation"),
    "DEL_USER": ("iam", "deletion"),
    "ADD_GROUP": ("iam", "creation"),
    "USER_CHAUTHTOK": ("iam", "change"),
    "EXECVE": ("process", "start"),
    "CONFIG_CHANGE": ("configuration", "change"),
    "SERVICE_START": ("process", "start"),
    "SERVICE_STOP": ("process", "end"),
}


def looks_like(message: str) -> bool:
    return message.startswith(("type=", "node=", "audit: type=")) and "audit(" in message[:400]


def decode(message: str, _context: Context) -> Fields | None:
    """ "type=SYSCALL msg=audit(1364481363.243:24287): arch=c000003e syscall=2 …" """
    match = _HEAD.match(message.removeprefix("audit: "))
    if match is None:
        return None
    node, kind, seconds, sequence = match.groups()
    fields: Fields = {
        "event.dataset": "linux.auditd",
        "event.action": kind.lower(),
        "auditd.log.record_type": kind,
        "event.sequence": int(sequence),
    }
    if node:
        fields["host.name"] = node
    stamp = from_epoch(seconds)
    if stamp:
        fields["@timestamp"] = stamp
    category = _CATEGORIES.get(kind)
    if category is not None:
        fields["event.category"], fields["event.type"] = [category[0]], [category[1]]
    values = _values(message)
    for name, text in values.items():
        fields["auditd.log." + name] = text
    _put_copies(fields, values, kind)
    return fields


def _values(message: str) -> dict[str, str]:
    """All pairs, those inside msg='…' too; hexadecimal texts are read."""
    values: dict[str, str] = {}
    body = message.partition("): ")[2]
    for count, (name, raw) in enumerate(_PAIR.findall(body)):
        if count >= MAX_PAIRS:
            break
        if name == "msg" and raw[:1] == "'":
            for inner, value in _PAIR.findall(raw[1:-1]):
                values.setdefault(inner, _unquote(inner, value))
        else:
            values.setdefault(name, _unquote(name, raw))
    return values


def _unquote(name: str, raw: str) -> str:
    if raw[:1] in ('"', "'"):
        return raw[1:-1]
    is_argument = name[:1] == "a" and name[1:].isdigit()
    if (name in _HEX_ENCODED or (is_argument and len(raw) > 2)) and len(raw) % 2 == 0:
        try:
            return bytes.fromhex(raw).replace(b"\x00", b" ").decode("utf-8") or raw
        except ValueError:
            return raw
    return raw


def _put_copies(fields: Fields, values: dict[str, str], kind: str) -> None:
    for name, key in _TEXTS.items():
        text = values.get(name)
        if text and text not in ("?", "(null)", "(none)", "unset", "4294967295"):
            fields[key] = text
    for name, key in _NUMBERS.items():
        number = as_number(values.get(name, ""))
        if number is not None:
            fields[key] = number
    result = values.get("res") or values.get("success") or values.get("result") or ""
    outcome = _RESULTS.get(result) or _FAILURES.get(result)
    if outcome:
        fields["event.outcome"] = outcome
    for name in ("addr", "hostname"):
        if values.get(name, "?") != "?" and "source.address" not in fields:
            put_host(fields, "source", values[name])
    if kind == "EXECVE":
        _put_arguments(fields, values)
    elif kind == "PROCTITLE" and "proctitle" in values:
        fields["process.title"] = fields["process.command_line"] = values["proctitle"]
    elif kind == "USER_CMD" and "cmd" in values:
        fields["process.command_line"] = values["cmd"]


def _put_arguments(fields: Fields, values: dict[str, str]) -> None:
    arguments: list[str] = []
    while f"a{len(arguments)}" in values:
        arguments.append(values[f"a{len(arguments)}"])
    if arguments:
        fields["process.args"] = arguments
        fields["process.command_line"] = " ".join(arguments)
