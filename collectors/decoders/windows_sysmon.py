"""Sysmon's log: Winlogbeat's copies of processes, files, hashes, registry, network and DNS.

Source: Winlogbeat's sysmon module, and the event list of Sysmon's page at learn.microsoft.com.
"""

import re
from datetime import UTC

from collectors.decoders.address import as_ip
from collectors.decoders.contract import Fields
from collectors.decoders.timestamp import from_iso

_EMPTY = frozenset(("", "-"))

_MEANINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "1": (("process",), ("start",), "Process creation"),
    "2": (("file",), ("change",), "A process changed a file creation time"),
    "3": (("network",), ("start", "connection", "protocol"), "Network connection"),
    "4": (("process",), ("change",), "Sysmon service state changed"),
    "5": (("process",), ("end",), "Process terminated"),
    "6": (("driver",), ("start",), "Driver loaded"),
    "7": (("process",), ("change",), "Image loaded"),
    "8": (("process",), ("change",), "CreateRemoteThread"),
    "9": (("process",), ("access",), "RawAccessRead"),
    "10": (("process",), ("access",), "ProcessAccess"),
    "11": (("file",), ("creation",), "FileCreate"),
    "12": (
        ("configuration", "registry"),
        ("change",),
        "RegistryEvent (Object create and delete)",
    ),
    "13": (("configuration", "registry"), ("change",), "RegistryEvent (Value Set)"),
    "14": (("configuration", "registry"), ("change",), "RegistryEvent (Key and Value Rename)"),
    "15": (("file",), ("access",), "FileCreateStreamHash"),
    "16": (("configuration",), ("change",), "ServiceConfigurationChange"),
    "17": (("file",), ("creation",), "PipeEvent (Pipe Created)"),
    "18": (("file",), ("access",), "PipeEvent (Pipe Connected)"),
    "19": (("process",), ("info",), "WmiEvent (WmiEventFilter activity detected)"),
    "20": (("process",), ("change",), "WmiEvent (WmiEventConsumer activity detected)"),
    "21": (("process",), ("access",), "WmiEvent (WmiEventConsumerToFilter activity detected)"),
    "22": (("network",), ("connection", "protocol", "info"), "DNSEvent (DNS query)"),
    "23": (("file",), ("deletion",), "FileDelete (File Delete archived)"),
    "24": ((), ("change",), "ClipboardChange (New content in the clipboard)"),
    "25": (("process",), ("change",), "ProcessTampering (Process image change)"),
    "26": (("file",), ("deletion",), "FileDeleteDetected (File Delete logged)"),
    "27": (("file",), ("creation",), "FileBlockExecutable"),
    "28": (("file",), ("deletion",), "FileBlockShredding"),
    "29": (("file",), ("creation",), "FileExecutableDetected"),
    "255": (("process",), (), "Error"),
}
_FAILURES = frozenset(("27", "255"))

_PROCESS_HASHES = frozenset(("1", "23", "24", "25", "26"))
_FILE_HASHES = frozenset(("6", "7", "11", "15", "23", "26", "27", "28", "29"))
_HASH_KINDS = frozenset(("md5", "sha1", "sha256", "sha384", "sha512"))

_PE = {
    "OriginalFileName": "original_file_name",
    "Company": "company",
    "Description": "description",
    "FileVersion": "file_version",
    "Product": "product",
}
_HIVES = {
    "HKEY_CLASSES_ROOT": "HKCR",
    "HKEY_CURRENT_CONFIG": "HKCC",
    "HKEY_CURRENT_USER": "HKCU",
    "HKEY_DYN_DATA": "HKDD",
    "HKEY_LOCAL_MACHINE": "HKLM",
    "HKEY_PERFORMANCE_DATA": "HKPD",
    "HKEY_USERS": "HKU",
}
_HIVE_NAMES = frozenset(_HIVES.values())
_DNS_STATUS = {
    "0": "SUCCESS",
    "5": "ERROR_ACCESS_DENIED",
    "123": "ERROR_INVALID_NAME",
    "1214": "ERROR_INVALID_NETNAME",
    "1223": "ERROR_CANCELLED",
    "1460": "ERROR_TIMEOUT",
    "9001": "DNS_ERROR_RCODE_FORMAT_ERROR",
    "9002": "DNS_ERROR_RCODE_SERVER_FAILURE",
    "9003": "DNS_ERROR_RCODE_NAME_ERROR",
    "9004": "DNS_ERROR_RCODE_NOT_IMPLEMENTED",
    "9005": "DNS_ERROR_RCODE_REFUSED",
    "9501": "DNS_INFO_NO_RECORDS",
    "9502": "DNS_ERROR_BAD_PACKET",
    "9506": "DNS_REQUEST_PENDING",
    "9560": "DNS_ERROR_INVALID_NAME_CHAR",
    "9701": "DNS_ERROR_RECORD_DOES_NOT_EXIST",
    "9714": "DNS_ERROR_NAME_DOES_NOT_EXIST",
    "9851": "DNS_ERROR_NO_TCPIP",
    "9852": "DNS_ERROR_NO_DNS_SERVERS",
    "10054": "WSAECONNRESET",
    "10055": "WSAENOBUFS",
    "10060": "WSAETIMEDOUT",
}
MAX_ANSWERS = 64
"""Answers of one DNS query that are kept; a reply over UDP has no room for more."""

_DWORD = re.compile(r"DWORD \(0x([0-9a-f]{8})\)", re.ASCII | re.IGNORECASE)
_QWORD = re.compile(r"QWORD \(0x([0-9a-f]{8})-0x([0-9a-f]{8})\)", re.ASCII | re.IGNORECASE)


def sysmon_fields(fields: Fields, data: dict[str, str]) -> None:
    """Adds the ECS fields of one Sysmon event to `fields`."""
    code = fields.get("event.code", "")
    meaning = _MEANINGS.get(code)
    if meaning is not None:
        if meaning[0]:
            fields["event.category"] = list(meaning[0])
        if meaning[1]:
            fields["event.type"] = list(meaning[1])
        fields["event.action"] = meaning[2]
    if code in _FAILURES:
        fields["event.outcome"] = "failure"
    stamp = from_iso(data.get("UtcTime", "") + "Z", UTC)
    if stamp is not None:
        if "@timestamp" in fields:
            fields["event.created"] = fields["@timestamp"]
        fields["@timestamp"] = stamp
    rule = data.get("RuleName", "")
    if rule not in _EMPTY:
        fields["rule.name"] = rule
    sid = fields.get("winlog.user.identifier")
    if sid and "user.id" not in fields:
        fields["user.id"] = sid
    hashes = data.get("Hashes") or data.get("Hash")
    if hashes:
        _put_hashes(fields, code, hashes)
    _put_file_info(fields, data, code)
    writer = _BY_CODE.get(code)
    if writer is not None:
        writer(fields, data)


def _put_file_info(fields: Fields, data: dict[str, str], code: str) -> None:
    """What the image's version resource says of it."""
    if code in ("1", "7", "6"):
        group = "process.pe." if code == "1" else "file.pe."
        for name, part in _PE.items():
            text = data.get(name, "")
            if text not in _EMPTY:
                fields[group + part] = text


def _put_hashes(fields: Fields, code: str, text: str) -> None:
    """ "SHA1=B4E5…,MD5=4289…,IMPHASH=40BE…" → lower-case hash fields of the right object.

    pySigma's `ecs_windows` looks for every Imphash in `file.pe.imphash`, a process's too."""
    groups = [group for group, codes in (("process", _PROCESS_HASHES), ("file", _FILE_HASHES)) if code in codes]
    if code == "7":
        groups.append("dll")
    for part in text.split(","):
        name, equals, value = part.partition("=")
        kind, value = name.strip().lower(), value.strip().lower()
        if not equals or not value.strip("0"):
            continue
        for group in groups:
            if kind == "imphash":
                fields[f"{group}.pe.imphash"] = fields["file.pe.imphash"] = value
            elif kind in _HASH_KINDS:
                fields[f"{group}.hash.{kind}"] = value


def _image_loaded(fields: Fields, data: dict[str, str]) -> None:
    signature, status = data.get("Signature", ""), data.get("SignatureStatus", "")
    if signature not in _EMPTY:
        fields["file.code_signature.subject_name"] = signature
    if status not in _EMPTY:
        fields["file.code_signature.status"] = status
        fields["file.code_signature.valid"] = status == "Valid"
    signed = data.get("Signed")
    if signed in ("true", "false"):
        fields["file.code_signature.signed"] = signed == "true"
    loaded = data.get("ImageLoaded", "")
    if fields.get("event.code") == "7" and loaded not in _EMPTY:
        fields["dll.path"] = loaded
        fields["dll.name"] = loaded[loaded.rfind("\\") + 1 :]


def _network(fields: Fields, data: dict[str, str]) -> None:
    protocol = data.get("Protocol", "")
    if protocol not in _EMPTY:
        fields["network.transport"] = protocol.lower()
    for name in ("DestinationPortName", "SourcePortName"):
        port_name = data.get(name, "")
        if port_name not in _EMPTY:
            fields["network.protocol"] = port_name
            break
    initiated = data.get("Initiated")
    if initiated in ("true", "false"):
        fields["network.direction"] = "egress" if initiated == "true" else "ingress"
    six = data.get("SourceIsIpv6")
    if six in ("true", "false"):
        fields["network.type"] = "ipv6" if six == "true" else "ipv4"


def _registry(fields: Fields, data: dict[str, str]) -> None:
    path = data.get("TargetObject", "")
    if path in _EMPTY:
        return
    fields["registry.path"] = path
    root, _, key = path.partition("\\")
    hive = _HIVES.get(root, root)
    if hive in _HIVE_NAMES:
        fields["registry.hive"] = hive
        if key:
            fields["registry.key"] = key
    fields["registry.value"] = path[path.rfind("\\") + 1 :]
    details = data.get("Details", "")
    if details not in _EMPTY:
        fields["registry.data.strings"], fields["registry.data.type"] = _registry_data(details)


def _registry_data(details: str) -> tuple[list[str], str]:
    if found := _DWORD.fullmatch(details):
        return [str(int(found[1], 16))], "SZ_DWORD"  # Winlogbeat's name of the type
    if found := _QWORD.fullmatch(details):
        return [str((int(found[1], 16) << 32) + int(found[2], 16))], "SZ_QWORD"
    return [details], "REG_BINARY" if details == "Binary Data" else "REG_SZ"


def _pipe(fields: Fields, data: dict[str, str]) -> None:
    name = data.get("PipeName", "")
    if name not in _EMPTY:
        fields["file.name"] = name


def _wmi(fields: Fields, data: dict[str, str]) -> None:
    destination = data.get("Destination", "")
    if destination not in _EMPTY:
        fields["process.executable"] = destination


def _dns(fields: Fields, data: dict[str, str]) -> None:
    fields["network.protocol"] = "dns"
    name = data.get("QueryName", "")
    if name not in _EMPTY:
        fields["dns.question.name"] = name
    status = data.get("QueryStatus", "")
    if status not in _EMPTY:
        fields["sysmon.dns.status"] = _DNS_STATUS.get(status, status)
    addresses, names = [], []
    for answer in data.get("QueryResults", "").split(";", MAX_ANSWERS)[:MAX_ANSWERS]:
        if answer.startswith("type:"):
            names.append(answer.split()[-1])
        elif address := as_ip(answer.strip()):
            addresses.append(address)
    if addresses:
        fields["dns.resolved_ip"] = addresses
    if names:
        fields["dns.answers.data"] = names


def _file_deleted(fields: Fields, data: dict[str, str]) -> None:
    for name, key in (
        ("Archived", "sysmon.file.archived"),
        ("IsExecutable", "sysmon.file.is_executable"),
    ):
        text = data.get(name, "")
        if text.lower() in ("true", "false"):
            fields[key] = text.lower() == "true"


def _error(fields: Fields, data: dict[str, str]) -> None:
    if data.get("ID", "") not in _EMPTY:
        fields["error.code"] = data["ID"]


_BY_CODE = {
    "3": _network,
    "6": _image_loaded,
    "7": _image_loaded,
    "12": _registry,
    "13": _registry,
    "14": _registry,
    "17": _pipe,
    "18": _pipe,
    "20": _wmi,
    "21": _wmi,
    "22": _dns,
    "23": _file_deleted,
    "26": _file_deleted,
    "255": _error,
}
