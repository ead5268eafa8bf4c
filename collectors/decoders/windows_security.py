"""The Security log: Winlogbeat's copies of users, groups, processes and addresses, and what the
event means.

Source: Winlogbeat's security module (event ids → category, type, action) and the audit event
pages of learn.microsoft.com.
"""

from collectors.decoders.address import as_ip, as_number
from collectors.decoders.contract import Fields

_EMPTY = frozenset(("", "-"))

_LOGON_TYPES = {
    "2": "Interactive",
    "3": "Network",
    "4": "Batch",
    "5": "Service",
    "7": "Unlock",
    "8": "NetworkCleartext",
    "9": "NewCredentials",
    "10": "RemoteInteractive",
    "11": "CachedInteractive",
}
_TRANSPORTS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "ipv6-icmp"}
_DIRECTIONS = {"%%14592": "inbound", "%%14593": "outbound"}

_Meaning = tuple[tuple[str, ...], tuple[str, ...], str]
"""event.category, event.type, event.action."""

_CONFIGURATION = ("configuration",)
_IAM_CONFIGURATION = ("iam", "configuration")
_LOGON = ("authentication",)
_ADMIN_CHANGE = ("admin", "change")

_MEANINGS: dict[str, _Meaning] = {
    "1100": (("process",), ("end",), "logging-service-shutdown"),
    "1102": (("iam",), _ADMIN_CHANGE, "audit-log-cleared"),
    "1104": (("iam",), ("admin",), "logging-full"),
    "1105": (("iam",), ("admin",), "auditlog-archieved"),  # Winlogbeat's spelling
    "1108": (("iam",), ("admin",), "logging-processing-error"),
    "4610": (_CONFIGURATION, ("access",), "authentication-package-loaded"),
    "4611": (_CONFIGURATION, ("change",), "trusted-logon-process-registered"),
    "4614": (_CONFIGURATION, ("access",), "notification-package-loaded"),
    "4616": (_CONFIGURATION, ("change",), "system-time-changed"),
    "4622": (_CONFIGURATION, ("access",), "security-package-loaded"),
    "4624": (_LOGON, ("start",), "logged-in"),
    "4625": (_LOGON, ("start",), "logon-failed"),
    "4634": (_LOGON, ("end",), "logged-out"),
    "4647": (_LOGON, ("end",), "logged-out"),
    "4648": (_LOGON, ("start",), "logged-in-explicit"),
    "4657": (("registry", "configuration"), ("change",), "registry-value-modified"),
    "4662": (_IAM_CONFIGURATION, _ADMIN_CHANGE, "object-operation-performed"),
    "4670": (_IAM_CONFIGURATION, _ADMIN_CHANGE, "permissions-changed"),
    "4672": (("iam",), ("admin",), "logged-in-special"),
    "4673": (("iam",), ("admin",), "privileged-service-called"),
    "4674": (("iam",), ("admin",), "privileged-operation"),
    "4688": (("process",), ("start",), "created-process"),
    "4689": (("process",), ("end",), "exited-process"),
    "4697": (_IAM_CONFIGURATION, _ADMIN_CHANGE, "service-installed"),
    "4698": (_IAM_CONFIGURATION, ("creation", "admin"), "scheduled-task-created"),
    "4699": (_IAM_CONFIGURATION, ("deletion", "admin"), "scheduled-task-deleted"),
    "4700": (_IAM_CONFIGURATION, ("change", "admin"), "scheduled-task-enabled"),
    "4701": (_IAM_CONFIGURATION, ("change", "admin"), "scheduled-task-disabled"),
    "4702": (_IAM_CONFIGURATION, ("change", "admin"), "scheduled-task-updated"),
    "4706": (_CONFIGURATION, ("creation",), "domain-trust-added"),
    "4707": (_CONFIGURATION, ("deletion",), "domain-trust-removed"),
    "4713": (_CONFIGURATION, ("change",), "kerberos-policy-changed"),
    "4714": (_CONFIGURATION, ("change",), "encrypted-data-recovery-policy-changed"),
    "4715": (_CONFIGURATION, ("change",), "object-audit-policy-changed"),
    "4716": (_CONFIGURATION, ("change",), "trusted-domain-information-changed"),
    "4717": (_IAM_CONFIGURATION, _ADMIN_CHANGE, "system-security-access-granted"),
    "4718": (_IAM_CONFIGURATION, ("admin", "deletion"), "system-security-access-removed"),
    "4719": (_IAM_CONFIGURATION, _ADMIN_CHANGE, "changed-audit-config"),
    "4720": (("iam",), ("user", "creation"), "added-user-account"),
    "4722": (("iam",), ("user", "change"), "enabled-user-account"),
    "4723": (("iam",), ("user", "change"), "changed-password"),
    "4724": (("iam",), ("user", "change"), "reset-password"),
    "4725": (("iam",), ("user", "deletion"), "disabled-user-account"),
    "4726": (("iam",), ("user", "deletion"), "deleted-user-account"),
    "4738": (("iam",), ("user", "change"), "modified-user-account"),
    "4739": (_CONFIGURATION, ("change",), "domain-policy-changed"),
    "4740": (("iam",), ("user", "change"), "locked-out-user-account"),
    "4741": (("iam",), ("creation", "admin"), "added-computer-account"),
    "4742": (("iam",), ("change", "admin"), "changed-computer-account"),
    "4743": (("iam",), ("deletion", "admin"), "deleted-computer-account"),
    "4764": (("iam",), ("group", "change"), "type-changed-group-account"),
    "4767": (("iam",), ("user", "change"), "unlocked-user-account"),
    "4768": (_LOGON, ("start",), "kerberos-authentication-ticket-requested"),
    "4769": (_LOGON, ("start",), "kerberos-service-ticket-requested"),
    "4770": (_LOGON, ("start",), "kerberos-service-ticket-renewed"),
    "4771": (_LOGON, ("start",), "kerberos-preauth-failed"),
    "4776": (_LOGON, ("start",), "credential-validated"),
    "4778": (("authentication", "session"), ("start",), "session-reconnected"),
    "4779": (("authentication", "session"), ("end",), "session-disconnected"),
    "4781": (("iam",), ("user", "change"), "renamed-user-account"),
    "4797": (("iam",), ("user", "info"), "query-existence-of-blank-password"),
    "4798": (("iam",), ("user", "info"), "group-membership-enumerated"),
    "4799": (("iam",), ("group", "info"), "user-member-enumerated"),
    "4817": (_IAM_CONFIGURATION, _ADMIN_CHANGE, "object-audit-changed"),
    "4902": (_IAM_CONFIGURATION, ("admin", "creation"), "user-audit-policy-created"),
    "4904": (_IAM_CONFIGURATION, _ADMIN_CHANGE, "security-event-source-added"),
    "4905": (_IAM_CONFIGURATION, ("admin", "deletion"), "security-event-source-removed"),
    "4906": (_IAM_CONFIGURATION, _ADMIN_CHANGE, "crash-on-audit-changed"),
    "4907": (_IAM_CONFIGURATION, _ADMIN_CHANGE, "audit-setting-changed"),
    "4908": (_IAM_CONFIGURATION, _ADMIN_CHANGE, "special-group-table-changed"),
    "4912": (_IAM_CONFIGURATION, _ADMIN_CHANGE, "per-user-audit-policy-changed"),
    "4950": (_CONFIGURATION, ("change",), "windows-firewall-setting-changed"),
    "4954": (_CONFIGURATION, ("change",), "windows-firewall-group-policy-changed"),
    "4964": (("iam",), ("admin", "group"), "logged-in-special"),
    "5024": (("process",), ("start",), "windows-firewall-service-started"),
    "5025": (("process",), ("end",), "windows-firewall-service-stopped"),
    "5033": (("driver",), ("start",), "windows-firewall-driver-started"),
    "5034": (("driver",), ("end",), "windows-firewall-driver-stopped"),
    "5037": (("driver",), ("end",), "windows-firewall-driver-error"),
    "5136": (_IAM_CONFIGURATION, _ADMIN_CHANGE, "directory-service-object-modified"),
    "5140": (("network", "file"), ("info", "access"), "network-share-object-accessed"),
    "5145": (("network", "file"), ("info", "access"), "network-share-object-access-checked"),
    "5152": (("network",), ("connection", "denied"), "windows-firewall-packet-block"),
    "5156": (("network",), ("connection", "start", "allowed"), "windows-firewall-connection"),
    "5157": (("network",), ("connection", "denied"), "windows-firewall-connection-block"),
}

_GROUP_ACTIONS = {
    "added-group-account": ("creation", ("4727", "4731", "4754")),
    "added-member-to-group": ("change", ("4728", "4732", "4756")),
    "removed-member-from-group": ("change", ("4729", "4733", "4757")),
    "deleted-group-account": ("deletion", ("4730", "4734", "4758")),
    "modified-group-account": ("change", ("4735", "4737", "4755")),
    "added-distribution-group-account": ("creation", ("4744", "4749", "4759")),
    "changed-distribution-group-account": ("change", ("4745", "4750", "4760")),
    "added-member-to-distribution-group": ("change", ("4746", "4751", "4761")),
    "removed-member-from-distribution-group": ("change", ("4747", "4752", "4762")),
    "deleted-distribution-group-account": ("deletion", ("4748", "4753", "4763")),
}
_GROUP_EVENTS = frozenset(code for change in _GROUP_ACTIONS.values() for code in change[1]) | {
    "4764",
    "4799",
}
_MEANINGS.update(
    (code, (("iam",), ("group", kind), action)) for action, (kind, codes) in _GROUP_ACTIONS.items() for code in codes
)

_BY_TARGET = frozenset(("4624", "4625", "4634", "4647", "4768", "4769", "4770", "4771", "4776", "4964"))
"""Events whose `user` is the one who logs on, not the process that reports it."""
_EFFECTIVE = frozenset(("4648", "4688"))
"""Events whose target is the identity that the subject takes on."""


def security_fields(fields: Fields, data: dict[str, str]) -> None:
    """Adds the ECS fields of one Security event to `fields`."""
    code = fields.get("event.code", "")
    meaning = _MEANINGS.get(code)
    if meaning is not None:
        fields["event.category"] = list(meaning[0])
        fields["event.type"] = list(meaning[1])
        fields["event.action"] = meaning[2]
    if code in _BY_TARGET:
        known = data.get("TargetUserName", "") not in _EMPTY
        _put_user(fields, data, "user", "Target" if known else "Subject")
        _put_text(fields, "winlog.logon.id", data.get("TargetLogonId"))
    elif "AccountName" in data:
        _put_text(fields, "user.name", data["AccountName"])
        _put_text(fields, "user.domain", data.get("AccountDomain"))
    else:
        _put_user(fields, data, "user", "Subject")
        if code in _GROUP_EVENTS:
            _put_group(fields, data)
        elif code in _EFFECTIVE:
            _put_user(fields, data, "user.effective", "Target")
        elif "TargetUserName" in data and "user.name" in fields:
            _put_user(fields, data, "user.target", "Target")
    _put_special(fields, data, code)


def _put_special(fields: Fields, data: dict[str, str], code: str) -> None:
    logon_type = _LOGON_TYPES.get(data.get("LogonType", ""))
    if logon_type is not None:
        fields["winlog.logon.type"] = logon_type
    if code == "4688":
        _put_parent(fields, data)
    elif code == "4657":
        _put_registry(fields, data)
    elif code == "4781":
        _put_text(fields, "user.target.name", data.get("OldTargetUserName"))
        _put_text(fields, "user.changes.name", data.get("NewTargetUserName"))
    elif code[:2] == "51" and "Direction" in data:
        _put_connection(fields, data)
    if "Workstation" in data:
        _put_text(fields, "source.domain", data["Workstation"])


def _put_text(fields: Fields, key: str, text: str | None) -> None:
    if text is not None and text not in _EMPTY and key not in fields:
        fields[key] = text


def _put_user(fields: Fields, data: dict[str, str], group: str, role: str) -> None:
    name = data.get(role + "UserName", "")
    if "@" in name:
        name = name.partition("@")[0]
    _put_text(fields, group + ".name", name)
    _put_text(fields, group + ".domain", data.get(role + "DomainName"))
    _put_text(fields, group + ".id", data.get(role + "UserSid") or data.get(role + "Sid"))


def _put_group(fields: Fields, data: dict[str, str]) -> None:
    """In group events the target is the group, the member is the user that was changed."""
    _put_text(fields, "group.name", data.get("TargetUserName"))
    _put_text(fields, "group.domain", data.get("TargetDomainName"))
    _put_text(fields, "group.id", data.get("TargetSid") or data.get("TargetUserSid"))
    member = data.get("MemberName", "").partition(",")[0]
    _put_text(fields, "user.target.name", member[3:] if member[:3].upper() == "CN=" else member)
    _put_text(fields, "user.target.id", data.get("MemberSid"))


def _put_parent(fields: Fields, data: dict[str, str]) -> None:
    """4688: ProcessId is the creator, NewProcessId the new process."""
    for name, key in (("NewProcessId", "process.pid"), ("ProcessId", "process.parent.pid")):
        number = as_number(data.get(name, ""))
        if number is not None:
            fields[key] = number


def _put_registry(fields: Fields, data: dict[str, str]) -> None:
    name, value = data.get("ObjectName"), data.get("ObjectValueName")
    if name:
        _put_text(fields, "registry.path", f"{name}\\{value}" if value else name)
        _put_text(fields, "registry.value", value)


def _put_connection(fields: Fields, data: dict[str, str]) -> None:
    """Windows Filtering Platform: "Source" is the local side in both directions, as in the log."""
    _put_text(fields, "network.direction", _DIRECTIONS.get(data["Direction"]))
    protocol = data.get("Protocol", "")
    _put_text(fields, "network.transport", _TRANSPORTS.get(protocol))
    _put_text(fields, "network.iana_number", protocol)
    address = as_ip(data.get("SourceAddress", ""))
    if address:
        fields["network.type"] = "ipv6" if ":" in address else "ipv4"
    number = as_number(data.get("ProcessID", data.get("ProcessId", "")))
    if number is not None:
        fields["process.pid"] = number
