"""Guessed passwords: failed log-ins enter, alerts on sources that try many passwords or many accounts leave.

Log-ins that failed are those of any log (`event.category: authentication`), web answers 401, and SSH, SMB, Kerberos,
LDAP, FTP and mail as a sensor saw them. Where only flows are seen, many short connections to one host's log-in port are
a weaker sign, as are many forms that are sent to one page for logging in. The
thresholds of SSH are those of Zeek's policy/protocols/ssh/detect-bruteforcing.zeek (30 in 30 minutes), of FTP those of
policy/protocols/ftp/detect-bruteforcing.zeek (20 in 15 minutes); the others are our own.
"""

import re
from collections.abc import Iterable

from detectors.behaviour import MINUTE, SECOND, About, Behaviour, Recent, Seen, alert, listed, recents, text, whole
from pipeline.event import Event
from pipeline.networks import LOCAL, NOWHERE, Site
from pipeline.settings import Behaviours

_TAGS = ("attack.credential-access", "attack.t1110")
BRUTE_FORCE = About("brute_force", "medium", (*_TAGS, "attack.t1110.001"))
SPRAYING = About("password_spraying", "high", (*_TAGS, "attack.t1110.003"))
LOGIN_CONNECTIONS = About("login_connections", "low", _TAGS)
LOGIN_FORMS = About("login_forms", "medium", (*_TAGS, "attack.t1110.001"))

#: Ports that people log in to, of which flows alone are looked at.
_LOGIN_PORTS = {21: "ftp", 22: "ssh", 3389: "rdp"}
#: A connection with more is no log-in that failed, one with less only looks whether the port is open: bytes each way,
#: microseconds.
_SHORT_BYTES, _PROBE_BYTES, _SHORT_TIME = 8_000, 300, 30 * SECOND
#: What sshd says of a log-in that failed; its other lines (and PAM's) tell of the same one again.
_SSH_ACTIONS = frozenset(("ssh_login", "ssh_invalid_user", "pam_authentication"))
#: What PAM says besides of a log-in that failed.
_SAID_AGAIN = frozenset(("pam_check_password", "pam_authentication_repeated"))
#: Services that are logged in to over the network: a line without an address has another one with it beside it.
_FROM_ELSEWHERE = frozenset(("ssh", "ftp", "rlogin", "klogind", "telnet", "http", "kerberos"))
#: Kerberos answers that say that the password or the account is wrong.
_KERBEROS_ERRORS = frozenset((
    "KDC_ERR_PREAUTH_FAILED", "KDC_ERR_C_PRINCIPAL_UNKNOWN", "KDC_ERR_CLIENT_REVOKED", "KRB5KDC_ERR_PREAUTH_FAILED",
    "KRB5KDC_ERR_C_PRINCIPAL_UNKNOWN",
))  # fmt: skip
#: Answers of SMB that say the same, as our sensor and as Suricata name them.
_SMB_ERRORS = frozenset((
    "LOGON_FAILURE", "WRONG_PASSWORD", "NO_SUCH_USER", "ACCOUNT_LOCKED_OUT", "ACCOUNT_DISABLED", "PASSWORD_EXPIRED",
    "ACCOUNT_RESTRICTION",
))  # fmt: skip
#: What an event about FTP names as its command where it is about a log-in.
_FTP_CODES = frozenset(("", "USER", "PASS"))
#: What the path of a page for logging in has in it.
_LOGIN_PAGE = re.compile(r"log-?[io]n|sign-?in|auth|session|dang-?nhap|xmlrpc\.php", re.IGNORECASE)
#: Accounts of which a failed log-in says nothing, and what stands for no account.
_NO_ACCOUNTS = frozenset(("", "-"))
_NO_ADDRESSES = frozenset(("", "-", "::", "0.0.0.0", "127.0.0.1", "::1"))  # noqa: S104 - what logs write for none


class BruteForce(Behaviour):
    """Brute force, password spraying, and many connections to a log-in port."""

    name = "brute_force"
    kinds = frozenset(("login", "http", "ssh", "smb", "kerberos", "flow"))

    def __init__(self, settings: Behaviours, site: Site) -> None:
        super().__init__(settings, site)
        chosen = settings.brute_force
        other = (chosen.other, int(chosen.other_minutes * MINUTE))
        self._bounds = {
            "ssh": (chosen.ssh, int(chosen.ssh_minutes * MINUTE)),
            "ftp": (chosen.ftp, int(chosen.ftp_minutes * MINUTE)),
        }
        self._other = other
        self._flows = (chosen.connections, int(chosen.connections_minutes * MINUTE))
        self._accounts = (chosen.accounts, int(chosen.accounts_minutes * MINUTE))
        longest = max(span for _, span in (*self._bounds.values(), other))
        self._failures = recents(self.most, longest)
        self._names = recents(self.most, self._accounts[1])
        self._connections = recents(self.most, self._flows[1])
        self._forms = (chosen.forms, int(chosen.forms_minutes * MINUTE))
        self._sent = recents(self.most, self._forms[1])
        self.tables |= {
            "failures": self._failures, "names": self._names, "connections": self._connections, "sent": self._sent,
        }  # fmt: skip

    def take(self, seen: Seen) -> Iterable[Event]:
        if seen.kind == "flow":
            return self._connection(seen)
        failed = _failed(seen)
        if failed:
            return self._failure(seen, *failed)
        return self._form(seen) if seen.kind == "http" else ()

    def _failure(self, seen: Seen, service: str, attempt: str, account: str) -> Iterable[Event]:
        host = text(seen.event, "host.name")
        source = seen.source if seen.source not in _NO_ADDRESSES else text(seen.event, "source.domain")
        if not source and host and service not in _FROM_ELSEWHERE:
            source = f"host {host}"
        if not source:
            return
        at = seen.destination or host or text(seen.event, "url.domain")
        level = "high" if self.site.where(seen.source) == LOCAL else ""
        entities = {"source.ip": seen.source, "host.name": host, "destination.ip": seen.destination}
        most, span = self._bounds.get(service, self._other)
        failures = self._failures.touch((source, service, seen.kind), seen.time)
        if failures.add((attempt, at), seen.time, seen.id, span, most) >= most and self.is_news(
            ("failures", source, service), seen.time
        ):
            where = sorted({target for _, target in failures.values if target})
            if len(where) > 1:
                entities |= {"host.name": "", "destination.ip": ""}
            values = {
                "source": source, "service": service, "count": len(failures.values),
                "minutes": _minutes(failures, seen), "hosts": listed(where), "account": account or "?",
            }  # fmt: skip
            yield alert(BRUTE_FORCE, seen, (source, service), entities, values, failures, level)
        if account in _NO_ACCOUNTS:
            return
        most, span = self._accounts
        names = self._names.touch((source,), seen.time)
        if names.add(account.lower(), seen.time, seen.id, span, most) >= most and self.is_news(
            ("names", source), seen.time
        ):
            values = {
                "source": source, "count": len(names.values), "minutes": _minutes(names, seen), "service": service,
                "accounts": listed(sorted(names.values)),
            }  # fmt: skip
            yield alert(SPRAYING, seen, (source,), {"source.ip": seen.source}, values, names)

    def _connection(self, seen: Seen) -> Iterable[Event]:
        """Count short connections that were let in; those that were not are for `scan.py`."""
        service = _LOGIN_PORTS.get(seen.port)
        if service is None or seen.refused is not False or not seen.ended:
            return
        sent, answered = whole(seen.event, "source.bytes"), whole(seen.event, "destination.bytes")
        if not _PROBE_BYTES <= min(sent, answered) <= max(sent, answered) <= _SHORT_BYTES:
            return
        if seen.time - seen.start > _SHORT_TIME or self.site.where(seen.source) == NOWHERE:
            return
        if self.told.look(("failures", seen.source, service), seen.time):
            return
        most, span = self._other if service == "rdp" else self._flows  # nobody opens a desktop so often
        window = self._connections.touch((seen.source, seen.destination, seen.port), seen.time)
        if window.add(seen.id, seen.time, seen.id, span, most) >= most and self.is_news(
            ("connections", seen.source, seen.destination, seen.port), seen.time
        ):
            values = {
                "source": seen.source, "destination": seen.destination, "service": service,
                "count": len(window.values), "minutes": _minutes(window, seen),
            }  # fmt: skip
            entities = {"source.ip": seen.source, "destination.ip": seen.destination, "destination.port": seen.port}
            key = (seen.source, seen.destination, seen.port)
            level = "medium" if service == "rdp" else ""
            yield alert(LOGIN_CONNECTIONS, seen, key, entities, values, window, level)

    def _form(self, seen: Seen) -> Iterable[Event]:
        """Count the forms that are sent to a page for logging in: of what it answers nobody knows what it means."""
        event, page = seen.event, text(seen.event, "url.path") or text(seen.event, "url.original").partition("?")[0]
        if text(event, "http.request.method").upper() != "POST" or not _LOGIN_PAGE.search(page) or not seen.source:
            return
        most, span = self._forms
        site = text(event, "url.domain") or seen.destination
        window = self._sent.touch((seen.source, site, page), seen.time)
        if window.add(seen.id, seen.time, seen.id, span, most) >= most and self.is_news(
            ("forms", seen.source, site), seen.time
        ):
            values = {
                "source": seen.source, "site": site, "page": page, "count": len(window.values),
                "minutes": _minutes(window, seen),
            }  # fmt: skip
            entities = {"source.ip": seen.source, "destination.ip": seen.destination, "url.domain": site}
            yield alert(LOGIN_FORMS, seen, (seen.source, site), entities, values, window)


def _failed(seen: Seen) -> tuple[str, str, str] | None:
    """Say of which service a log-in failed, what makes the attempt one of its own, and of which account."""
    event = seen.event
    if seen.kind == "http":
        return _web(seen)
    if seen.kind == "ssh":
        is_failure = event.get("ssh.auth.success") is False
        return ("ssh", text(event, "flow.id") or seen.id, "") if is_failure else None
    if seen.kind == "smb":
        is_failure = text(event, "smb.status").removeprefix("STATUS_") in _SMB_ERRORS
        return ("smb", seen.id, text(event, "user.name")) if is_failure else None
    if seen.kind == "kerberos":
        error = text(event, "kerberos.error").upper()
        account = text(event, "kerberos.client").partition("/")[0]
        return ("kerberos", seen.id, account) if error in _KERBEROS_ERRORS else None
    if text(event, "event.outcome") != "failure":
        return None
    account = text(event, "user.name")
    dataset = text(event, "event.dataset")
    if dataset == "linux.auth":
        return _linux(seen, account)
    if dataset.startswith("windows."):
        if text(event, "event.code") != "4625":
            return None
        return ("rdp" if text(event, "winlog.logon.type") == "RemoteInteractive" else "windows"), seen.id, account
    if seen.protocol == "ftp" and text(event, "event.code") not in _FTP_CODES:
        return None  # of a sensor, about files
    return seen.protocol or "log-in", seen.id, account


def _linux(seen: Seen, account: str) -> tuple[str, str, str] | None:
    event = seen.event
    action, program = text(event, "event.action"), text(event, "process.name").lower()
    service = text(event, "system.auth.pam.service").lower() or program
    if seen.protocol == "ssh" or service.startswith("sshd"):
        # One connection tries up to six passwords, and says so in several lines; as Zeek, this counts connections.
        process = whole(event, "process.pid")
        attempt = f"process {process}" if process > 0 else str(seen.source_port) if seen.source_port > 0 else seen.id
        return ("ssh", attempt, account) if action in _SSH_ACTIONS else None
    if action in _SAID_AGAIN:
        return None
    return ("ftp" if "ftp" in service else service or "log-in"), seen.id, account


def _web(seen: Seen) -> tuple[str, str, str] | None:
    """A 401 is a log-in that failed only if somebody tried: a browser's first question gets one, too."""
    account = text(seen.event, "user.name")
    if whole(seen.event, "http.response.status_code") != 401 or account in _NO_ACCOUNTS:
        return None
    return "http", seen.id, account


def _minutes(window: Recent, seen: Seen) -> float:
    return round((seen.time - window.since) / MINUTE, 1)
