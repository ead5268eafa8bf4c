"""Messages of sshd, sudo, su, login, PAM and the account tools in, authentication fields out.

Sources: OpenSSH's auth.c, auth2.c, packet.c and sshd.c; Linux-PAM's pam_unix; sudo's logging.c;
shadow-utils' useradd, usermod, groupadd, passwd; the field names of Filebeat's system module.
"""

import re
from collections.abc import Callable

from collectors.decoders.address import MAX_PORT, as_number, put_host
from collectors.decoders.contract import Context, Fields

DATASET = "linux.auth"

_PROGRAM_TEXT = """
sshd sshd-session sshd-auth sudo sudo-rs su su-l login runuser gdm-password systemd-logind
polkitd pkexec useradd userdel usermod groupadd groupdel groupmod newusers passwd chage chpasswd
gpasswd chsh chfn klogind vsftpd dropbear
"""
PROGRAMS = frozenset(_PROGRAM_TEXT.split())

MAX_PORT_DIGITS = 5

_Reader = Callable[[re.Match[str]], Fields]


def looks_like(message: str) -> bool:
    """PAM messages of whatever program."""
    return message.startswith("pam_") and ("(" in message[:24])


def decode(message: str, context: Context) -> Fields | None:
    """The message behind the syslog tag → fields, always of the data set linux.auth."""
    text = message.removesuffix(" [preauth]")
    for pattern, read in _BY_FIRST_WORD.get(text.partition(" ")[0], ()):
        match = pattern.match(text)
        if match is not None:
            fields = read(match)
            fields["event.dataset"] = DATASET
            return fields
    program = context.program or ""
    is_sudo = program in ("sudo", "sudo-rs") and not looks_like(text)
    fields = _sudo(text) if is_sudo else _by_search(text, program)
    fields["event.dataset"] = DATASET
    return fields


def _event(action: str, outcome: str | None, category: str = "authentication", kind: str = "start") -> Fields:
    fields: Fields = {
        "event.category": [category],
        "event.type": [kind],
        "event.action": action,
    }
    if outcome is not None:
        fields["event.outcome"] = outcome
    return fields


def _put_source(fields: Fields, host: str | None, port: str | None = None) -> None:
    if host:
        put_host(fields, "source", host)
    if port and len(port) <= MAX_PORT_DIGITS and (number := int(port)) <= MAX_PORT:
        fields["source.port"] = number


# -- sshd ------------------------------------------------------------------------------------------


_SSH_OUTCOMES = {"Accepted": "success", "Failed": "failure"}


def _ssh_result(match: re.Match[str]) -> Fields:
    word, method, invalid, user, host, port, signature = match.groups()
    outcome = _SSH_OUTCOMES.get(word)
    fields = _event("ssh_login" if outcome else "ssh_login_step", outcome)
    fields["user.name"] = user
    fields["system.auth.ssh.method"] = method
    fields["network.protocol"] = "ssh"
    _put_source(fields, host, port)
    if invalid:
        fields["event.reason"] = "invalid user"
    if signature:
        fields["system.auth.ssh.signature"] = signature
    return fields


def _ssh_invalid(match: re.Match[str]) -> Fields:
    user, host, port = match.groups()
    fields = _event("ssh_invalid_user", "failure", kind="info")
    fields["user.name"] = user
    fields["event.reason"] = "invalid user"
    fields["network.protocol"] = "ssh"
    _put_source(fields, host, port)
    return fields


def _ssh_connection(action: str, kind: str, outcome: str | None = None) -> _Reader:
    def read(match: re.Match[str]) -> Fields:
        parts = match.groupdict()
        fields = _event(action, outcome, "network", kind)
        fields["event.type"] = ["connection", kind]
        fields["network.protocol"] = "ssh"
        if user := parts.get("user"):
            fields["user.name"] = user
        if parts.get("who") == "invalid":
            fields["event.reason"] = "invalid user"
        if reason := parts.get("reason"):
            fields["event.reason"] = reason
        _put_source(fields, parts.get("host"), parts.get("port"))
        return fields

    return read


def _ssh_refused(match: re.Match[str]) -> Fields:
    parts = match.groupdict()
    fields = _event("ssh_login_refused", "failure", kind="denied")
    fields["network.protocol"] = "ssh"
    if parts.get("user"):
        fields["user.name"] = parts["user"]
    if parts.get("reason"):
        fields["event.reason"] = parts["reason"]
    _put_source(fields, parts.get("host"), parts.get("port"))
    return fields


def _ssh_reverse(match: re.Match[str]) -> Fields:
    parts = match.groupdict()
    fields = _event("ssh_reverse_mapping", "failure", "network", "info")
    fields["event.reason"] = "reverse mapping does not match"
    fields["network.protocol"] = "ssh"
    _put_source(fields, parts["host"])
    fields["source.domain"] = parts["name"]
    return fields


def _ssh_session(match: re.Match[str]) -> Fields:
    parts = match.groupdict()
    start = parts["word"] == "Starting"
    fields = _event(
        "ssh_session_start" if start else "ssh_session_end",
        None,
        "session",
        "start" if start else "end",
    )
    fields["user.name"] = parts["user"]
    _put_source(fields, parts["host"], parts["port"])
    return fields


def _ssh_subsystem(match: re.Match[str]) -> Fields:
    fields = _event("ssh_subsystem", None, "session", "start")
    fields["network.application"] = match[1]
    if match[2]:
        fields["user.name"] = match[2]
    return fields


def _ssh_server(match: re.Match[str]) -> Fields:
    fields = _event("ssh_server", None, "process", "info")
    fields["event.reason"] = match[0]
    return fields


# -- PAM -------------------------------------------------------------------------------------------

_PAM_FAILURE = re.compile(
    r"authentication failures?; logname=\S* uid=\S* euid=\S* tty=(\S*) ruser=(\S*) rhost=(\S*)"
    r"(?: +user=(\S+))?",
    re.ASCII,
)
_SESSION = re.compile(
    r"session (opened|closed) for user ([^\s(]{1,256})(?:\(uid=(\d+)\))?"
    r"(?: by ([^\s(]{1,256})?\(uid=(\d+)\))?",
    re.ASCII,
)
_PAM_FOR_USER = re.compile(
    r"(password changed|account .{1,64}|auth could not identify password) for \[?([^\s\]]{1,256})",
    re.ASCII,
)


def _pam(match: re.Match[str]) -> Fields:
    module, service, text = match["module"], match["service"], match["text"]
    fields = _pam_text(text)
    fields["system.auth.pam.module"] = module
    if service:
        fields["system.auth.pam.service"] = service
    return fields


def _pam_text(text: str) -> Fields:
    if text.startswith("authentication failure"):
        return _pam_failure(text)
    session = _SESSION.match(text)
    if session is not None:
        opened, user, uid, by, by_uid = session.groups()
        start = opened == "opened"
        fields = _event(
            "session_opened" if start else "session_closed",
            "success" if start else None,
            "session",
            "start" if start else "end",
        )
        fields["user.name"] = user
        if uid:
            fields["user.id"] = uid
        if by:
            fields["process.real_user.name"] = by
        if by_uid:
            fields["process.real_user.id"] = by_uid
        return fields
    if text.startswith("check pass; user unknown"):
        fields = _event("pam_check_password", "failure", kind="info")
        fields["event.reason"] = "user unknown"
        return fields
    other = _PAM_FOR_USER.match(text)
    if other is not None:
        changed = other[1] == "password changed"
        fields = (
            _event("password_changed", "success", "iam", "change")
            if changed
            else _event("pam_message", None, kind="info")
        )
        fields["user.name"] = other[2]
        return fields
    return _event("pam_message", None, kind="info")


def _pam_failure(text: str) -> Fields:
    """ "…; logname= uid=0 euid=0 tty=ssh ruser= rhost=10.0.0.1  user=root"."""
    fields = _event("pam_authentication", "failure")
    match = _PAM_FAILURE.match(text)
    if match is None:
        return fields
    tty, remote_user, host, user = match.groups()
    if user:
        fields["user.name"] = user
    if remote_user:
        fields["process.real_user.name"] = remote_user
    if tty:
        fields["process.tty.name"] = tty
    _put_source(fields, host)
    return fields


def _pam_more(match: re.Match[str]) -> Fields:
    fields = _pam_failure(match["text"])
    fields["event.action"] = "pam_authentication_repeated"
    fields["log.syslog.repeated"] = int(match["count"])
    return fields


# -- sudo, su, login -------------------------------------------------------------------------------

_SUDO = re.compile(r"\s*(\S{1,256}) : ", re.ASCII)
_SUDO_PART = re.compile(r"(TTY|PWD|USER|GROUP|TSID|ENV|CHROOT|RUNCHROOT)=(.*)", re.DOTALL)
_SUDO_KEYS = {
    "TTY": "process.tty.name",
    "PWD": "process.working_directory",
    "USER": "user.effective.name",
    "GROUP": "user.effective.group.name",
}
_ATTEMPTS = re.compile(r"(\d{1,9}) incorrect password attempts?", re.ASCII)


def _sudo(text: str) -> Fields:
    """ "nam : TTY=pts/0 ; PWD=/home/nam ; USER=root ; COMMAND=/bin/ls", a reason in front of the
    parts when it was refused."""
    match = _SUDO.match(text)
    if match is None:
        return _event("sudo_message", None, kind="info")
    head, separator, command = text[match.end() :].partition("COMMAND=")
    fields = _event("sudo", "success", "process", "start")
    fields["user.name"] = match[1]
    if separator:
        fields["process.command_line"] = command
        fields["process.executable"] = command.split(" ", 1)[0]
    for part in head.split(" ; "):
        known = _SUDO_PART.match(part)
        if known is not None:
            key = _SUDO_KEYS.get(known[1])
            if key:
                fields[key] = known[2].rstrip(" ;")
        elif part.strip(" ;"):
            fields["event.outcome"] = "failure"
            fields["event.type"] = ["start", "denied"]
            fields["event.reason"] = part.strip(" ;")
    attempts = _ATTEMPTS.match(fields.get("event.reason", ""))
    if attempts is not None:
        fields["log.syslog.repeated"] = int(attempts[1])
        fields["event.category"] = ["authentication"]
    return fields


def _su(match: re.Match[str]) -> Fields:
    parts = match.groupdict()
    failed = bool(parts.get("failed")) or match[0][:1] == "-" or match[0][:6] == "FAILED"
    fields = _event("su", "failure" if failed else "success")
    fields["user.effective.name"] = parts["target"]
    if parts.get("user"):
        fields["user.name"] = parts["user"]
    if parts.get("tty"):
        fields["process.tty.name"] = parts["tty"]
    return fields


def _login(match: re.Match[str]) -> Fields:
    parts = match.groupdict()
    failed = match[0].startswith("FAILED")
    fields = _event("login", "failure" if failed else "success")
    user = parts.get("user") or ("root" if match[0].startswith("ROOT") else None)
    if user:
        fields["user.name"] = user.strip("'`")
    if parts.get("tty"):
        fields["process.tty.name"] = parts["tty"].strip("'`")
    if parts.get("host") and parts["host"] != "(null)":
        _put_source(fields, parts["host"].strip("'"))
    return fields


def _logind(match: re.Match[str]) -> Fields:
    parts = match.groupdict()
    start = match[0].startswith("New")
    fields = _event(
        "session_opened" if start else "session_closed",
        None,
        "session",
        "start" if start else "end",
    )
    if parts.get("user"):
        fields["user.name"] = parts["user"]
    fields["system.auth.session"] = parts["session"]
    return fields


# -- account tools ---------------------------------------------------------------------------------


def _account(action: str, kind: str, what: str = "user") -> _Reader:
    def read(match: re.Match[str]) -> Fields:
        parts = match.groupdict()
        fields = _event(action, "success", "iam", kind)
        fields["event.type"] = [what, kind]
        if parts.get("user"):
            fields["user.name" if what == "user" and kind != "change" else "user.target.name"] = parts["user"]
            fields.setdefault("user.name", parts["user"])
        for name, key in (
            ("uid", "user.id"),
            ("group", "group.name"),
            ("gid", "group.id"),
            ("home", "system.auth.useradd.home"),
            ("shell", "system.auth.useradd.shell"),
            ("by", "user.name"),
        ):
            if parts.get(name):
                fields[key] = parts[name]
        return fields

    return read


def _rlogin_failure(match: re.Match[str]) -> Fields:
    fields = _event("rlogin", "failure")
    parts = match.groupdict()
    _put_source(fields, parts.get("host"))
    if parts.get("reason"):
        fields["event.reason"] = parts["reason"]
    return fields


# -- what is tried, by the first word of the message -----------------------------------------------


def _rule(pattern: str, read: _Reader) -> tuple[re.Pattern[str], _Reader]:
    return re.compile(pattern, re.ASCII | re.DOTALL), read


_RESULT = _rule(
    r"(Failed|Accepted|Postponed|Partial) (\S+) for (invalid user )?(.*) from (\S+) port (\d+)"
    r"(?: ssh\d?)?(?:: (.*))?$",
    _ssh_result,
)
_RECEIVED = _rule(
    r"(?:error: )?Received disconnect from (?P<host>\S+?)(?: port (?P<port>\d+))?: ?"
    r"(?P<code>\d+): ?(?P<reason>.*)$",
    _ssh_connection("ssh_disconnect", "end"),
)
_WHO = r"(?:(?:(?P<who>invalid|authenticating) )?user (?P<user>.*) )?"
_PAM_MODULE = _rule(r"(?P<module>pam_\w+)(?:\((?P<service>[^):]*):?\w*\))?(?:\[\d+\])?: (?P<text>.*)$", _pam)
_ACCOUNT_NAME = r"['`\"]?(?P<user>[^\s'`\",]{1,256})['`\",]?"

_BY_FIRST_WORD: dict[str, tuple[tuple[re.Pattern[str], _Reader], ...]] = {
    "Failed": (_RESULT,),
    "Accepted": (_RESULT,),
    "Postponed": (_RESULT,),
    "Partial": (_RESULT,),
    "Invalid": (_rule(r"Invalid user (.*) from (\S+)(?: port (\d+))?$", _ssh_invalid),),
    "input_userauth_request:": (_rule(r"input_userauth_request: invalid user (.*)()()$", _ssh_invalid),),
    "Illegal": (_rule(r"Illegal user (.*) from (\S+)(?: port (\d+))?$", _ssh_invalid),),
    "Received": (
        _RECEIVED,
        _rule(r"Received (?:signal|SIGHUP).*", _ssh_server),
    ),
    "error:": (
        _RECEIVED,
        _rule(
            r"error: maximum authentication attempts exceeded for (?:invalid user )?(?P<user>.*)"
            r" from (?P<host>\S+) port (?P<port>\d+)(?P<reason>)",
            _ssh_refused,
        ),
        _rule(
            r"error: PAM: (?P<reason>[^:]{1,128}?) for (?:illegal user |invalid user )?"
            r"(?P<user>.*) from (?P<host>\S+)$",
            _ssh_refused,
        ),
        _rule(
            r"error: (?P<reason>kex_exchange_identification: .*|kex protocol error.*"
            r"|Could not .*|connect_to .*|Bind to port .*)$",
            _ssh_connection("ssh_error", "error"),
        ),
    ),
    "fatal:": (
        _rule(
            r"fatal: (?P<reason>Timeout before authentication) for (?P<host>\S+)"
            r"(?: port (?P<port>\d+))?",
            _ssh_connection("ssh_timeout", "end"),
        ),
        _rule(
            r"fatal: (?P<reason>Unable to negotiate with) (?P<host>\S+) port (?P<port>\d+)",
            _ssh_connection("ssh_no_agreement", "denied", "failure"),
        ),
        _rule(r"fatal: (?P<reason>.*)$", _ssh_connection("ssh_fatal", "error")),
    ),
    "Timeout": (
        _rule(
            r"(?P<reason>Timeout before authentication) for (?:connection from )?(?P<host>\S+)"
            r"(?: port (?P<port>\d+))?",
            _ssh_connection("ssh_timeout", "end"),
        ),
    ),
    "Disconnected": (
        _rule(
            r"Disconnected from " + _WHO + r"(?P<host>\S+) port (?P<port>\d+)$",
            _ssh_connection("ssh_disconnect", "end"),
        ),
    ),
    "Disconnecting": (
        _rule(
            r"Disconnecting " + _WHO + r"(?P<host>\S+) port (?P<port>\d+): (?P<reason>.*)$",
            _ssh_connection("ssh_disconnect", "end"),
        ),
    ),
    "Disconnecting:": (
        _rule(
            r"Disconnecting: (?P<reason>Too many authentication failures)(?: for (?:invalid user )?"
            r"(?P<user>.*))?$",
            _ssh_refused,
        ),
        _rule(r"Disconnecting: (?P<reason>.*)$", _ssh_connection("ssh_disconnect", "end")),
    ),
    "Connection": (
        _rule(
            r"Connection from (?P<host>\S+) port (?P<port>\d+)",
            _ssh_connection("ssh_connect", "start"),
        ),
        _rule(
            r"Connection (?P<reason>closed|reset) by " + _WHO + r"(?P<host>\S+) port (?P<port>\d+)$",
            _ssh_connection("ssh_disconnect", "end"),
        ),
        _rule(
            r"Connection (?P<reason>closed|reset) by (?P<host>\S+)$",
            _ssh_connection("ssh_disconnect", "end"),
        ),
    ),
    "Did": (
        _rule(
            r"(?P<reason>Did not receive identification string) from (?P<host>\S+?)"
            r"(?: port (?P<port>\d+))?$",
            _ssh_connection("ssh_no_identification", "end"),
        ),
    ),
    "Bad": (
        _rule(
            r"(?P<reason>Bad protocol version identification) .* from (?P<host>\S+?)"
            r"(?: port (?P<port>\d+))?$",
            _ssh_connection("ssh_bad_identification", "denied", "failure"),
        ),
        _rule(r"(?P<reason>Bad packet length .*)$", _ssh_connection("ssh_bad_packet", "error")),
    ),
    "Unable": (
        _rule(
            r"(?P<reason>Unable to negotiate) with (?P<host>\S+) port (?P<port>\d+)",
            _ssh_connection("ssh_no_agreement", "denied", "failure"),
        ),
    ),
    "banner": (
        _rule(
            r"banner exchange: Connection from (?P<host>\S+) port (?P<port>\d+): (?P<reason>.*)$",
            _ssh_connection("ssh_bad_identification", "denied", "failure"),
        ),
    ),
    "kex_exchange_identification:": (
        _rule(
            r"kex_exchange_identification: (?P<reason>.*)$",
            _ssh_connection("ssh_bad_identification", "error"),
        ),
    ),
    "drop": (
        _rule(
            r"drop connection #\d+ from \[(?P<host>[^\]]{1,64})\]:(?P<port>\d+)",
            _ssh_connection("ssh_dropped", "denied"),
        ),
    ),
    "reverse": (
        _rule(
            r"reverse mapping checking getaddrinfo for (?P<name>\S+) \[(?P<host>[^\]]{1,64})\]",
            _ssh_reverse,
        ),
    ),
    "Address": (_rule(r"Address (?P<host>\S+) maps to (?P<name>\S+), but this does not map", _ssh_reverse),),
    "User": (
        _rule(
            r"User (?P<user>.*) from (?P<host>\S+) not allowed because (?P<reason>.*)$",
            _ssh_refused,
        ),
    ),
    "ROOT": (
        _rule(
            r"(?P<reason>ROOT LOGIN REFUSED) FROM (?P<host>\S+)(?: port (?P<port>\d+))?(?P<user>)",
            _ssh_refused,
        ),
        _rule(r"ROOT LOGIN\s+(?:ON|on) (?P<tty>\S+)(?: FROM (?P<host>\S+))?", _login),
    ),
    "Starting": (
        _rule(
            r"(?P<word>Starting) session: .* for (?P<user>\S+) from (?P<host>\S+)"
            r" port (?P<port>\d+)",
            _ssh_session,
        ),
    ),
    "Close": (
        _rule(
            r"(?P<word>Close) session: user (?P<user>\S+) from (?P<host>\S+) port (?P<port>\d+)",
            _ssh_session,
        ),
    ),
    "subsystem": (_rule(r"subsystem request for (\S+)(?: by user (\S+))?", _ssh_subsystem),),
    "Server": (_rule(r"Server listening on .*", _ssh_server),),
    "PAM": (
        _rule(r"PAM (?P<count>\d+) more (?P<text>authentication failures?; .*)$", _pam_more),
        _rule(r"(?P<module>PAM) (?P<service>)(?P<text>service\(\w+\) ignoring max retries.*)$", _pam),
    ),
    "FAILED": (
        _rule(
            r"FAILED (?:SU|su) \(to (?P<target>\S+)\) (?P<user>\S+) on (?P<tty>\S+)",
            _su,
        ),
        _rule(r"FAILED su for (?P<target>\S+) by (?P<user>\S+)", _su),
        _rule(
            r"FAILED LOGIN(?: SESSION)? \(?\d+\)? (?:on (?P<tty>\S+) )?(?:FROM (?P<host>\S+) )?"
            r"FOR (?P<user>[^,]{0,256}),",
            _login,
        ),
    ),
    "Successful": (_rule(r"Successful su for (?P<target>\S+) by (?P<user>\S+)", _su),),
    "'su": (_rule(r"'su (?P<target>[^']+)' (?P<failed>failed) for (?P<user>\S+) on (?P<tty>\S+)", _su),),
    "BAD": (_rule(r"(?P<failed>BAD) SU (?P<user>\S+) to (?P<target>\S+) on (?P<tty>\S+)", _su),),
    "(to": (_rule(r"\(to (?P<target>\S+)\) (?P<user>\S+) on (?P<tty>\S+)", _su),),
    "+": (_rule(r"\+ (?P<tty>\S+) (?P<user>[^\s:]+):(?P<target>\S+)", _su),),
    "-": (_rule(r"- (?P<tty>\S+) (?P<user>[^\s:]+):(?P<target>\S+)", _su),),
    "LOGIN": (_rule(r"LOGIN ON (?P<tty>\S+) BY (?P<user>\S+)(?: FROM (?P<host>\S+))?", _login),),
    "login": (_rule(r"login on (?P<tty>\S+) by (?P<user>\S+)", _login),),
    "New": (
        _rule(r"New session '?(?P<session>\w+)'? of user '?(?P<user>[^\s']+?)'?[. ]", _logind),
        _rule(r"New session '?(?P<session>\w+)'? of user '?(?P<user>[^\s']+?)'?\.?$", _logind),
    ),
    "Removed": (_rule(r"Removed session (?P<session>\w+)\.", _logind),),
    "Session": (_rule(r"Session (?P<session>\w+) logged out", _logind),),
    "new": (
        _rule(
            r"new user: name=(?P<user>[^,]+), UID=(?P<uid>\d+), GID=(?P<gid>\d+), "
            r"home=(?P<home>[^,]*), shell=(?P<shell>[^,]*)",
            _account("added-user-account", "creation"),
        ),
        _rule(
            r"new group: name=(?P<group>[^,]+), GID=(?P<gid>\d+)",
            _account("added-group-account", "creation", "group"),
        ),
    ),
    "group": (
        _rule(
            r"group added to \S+: name=(?P<group>[^,]+)(?:, GID=(?P<gid>\d+))?",
            _account("added-group-account", "creation", "group"),
        ),
        _rule(
            r"group '(?P<group>[^']+)' removed",
            _account("deleted-group-account", "deletion", "group"),
        ),
    ),
    "removed": (
        _rule(
            r"removed (?:shadow )?group '(?P<group>[^']+)'",
            _account("deleted-group-account", "deletion", "group"),
        ),
    ),
    "delete": (
        _rule(
            r"delete '(?P<user>[^']+)' from (?:shadow )?group '(?P<group>[^']+)'",
            _account("removed-member-from-group", "change", "group"),
        ),
        _rule(
            rf"delete user {_ACCOUNT_NAME}",
            _account("deleted-user-account", "deletion"),
        ),
    ),
    "add": (
        _rule(
            r"add '(?P<user>[^']+)' to (?:shadow )?group '(?P<group>[^']+)'",
            _account("added-member-to-group", "change", "group"),
        ),
    ),
    "user": (
        _rule(
            r"user (?P<user>\S+) (?P<what>added) by (?P<by>\S+) to group (?P<group>\S+)",
            _account("added-member-to-group", "change", "group"),
        ),
        _rule(
            r"user (?P<user>\S+) (?P<what>removed) by (?P<by>\S+) from group (?P<group>\S+)",
            _account("removed-member-from-group", "change", "group"),
        ),
    ),
    "change": (
        _rule(
            rf"change user {_ACCOUNT_NAME} ",
            _account("modified-user-account", "change"),
        ),
    ),
    "changed": (
        _rule(
            r"changed password expiry for (?P<user>\S+)",
            _account("modified-user-account", "change"),
        ),
        _rule(r"changed user ['`](?P<user>[^']+)'", _account("modified-user-account", "change")),
    ),
    "password": (
        _rule(
            r"password (?:for ['`]?\S+?'? )?changed (?:for|by) ['`]?(?P<user>[^\s'`]+)",
            _account("changed-password", "change"),
        ),
    ),
    "Authentication": (
        _rule(
            r"Authentication failed from (?P<host>\S+) \([^)]{0,255}\): (?P<reason>.*)$",
            _rlogin_failure,
        ),
    ),
    "Kerberos": (_rule(r"(?P<reason>Kerberos authentication failed)", _rlogin_failure),),
}

# -- what is looked for when no first word is known ------------------------------------------------

_FROM = re.compile(r" from (\S{2,255})(?: port (\d{1,5}))?", re.ASCII)
_FOR_USER = re.compile(r"\buser[ =]'?([^\s;:,']{1,256})", re.ASCII)
_PAM_OF_OTHERS = _PAM_MODULE[0]


def _by_search(text: str, program: str) -> Fields:
    """PAM in its old and new forms, then any address and user that the message names."""
    pam = _PAM_OF_OTHERS.match(text)
    if pam is not None:
        return _pam(pam)
    if text.startswith(("authentication failure;", "session ", "check pass;")):
        return _pam_text(text)
    fields = _event(f"{program or 'auth'}_message", None, kind="info")
    source = _FROM.search(text)
    if source is not None and (as_number(source[1][:1]) is not None or ":" in source[1]):
        _put_source(fields, source[1].rstrip(".,;:"), source[2])
    user = _FOR_USER.search(text)
    if user is not None:
        fields["user.name"] = user[1]
    return fields
