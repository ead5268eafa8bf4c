"""Messages of systemd, cron, the kernel and some old network services in, process and service
fields out.

Sources: systemd's src/core messages, cronie's and Vixie cron's log lines, kernel ring buffer.
"""

import re

from collectors.decoders.address import put_host
from collectors.decoders.contract import Context, Fields
from collectors.decoders.netfilter import looks_like as looks_like_packet

_SYSTEMD_TEXT = """
systemd systemd-journald systemd-udevd systemd-networkd systemd-resolved systemd-timesyncd
systemd-sysctl systemd-modules-load systemd-tmpfiles systemd-coredump init
"""
SYSTEMD_PROGRAMS = frozenset(_SYSTEMD_TEXT.split())
CRON_PROGRAMS = frozenset(["cron", "crond", "CRON", "CROND", "crontab", "anacron", "atd"])
KERNEL_PROGRAMS = frozenset(("kernel",))
SERVICE_PROGRAMS = frozenset(["ftpd", "in.ftpd", "telnetd", "in.telnetd", "rshd", "xinetd"])

_UNIT = re.compile(
    r"(?:\[[^\]]{1,64}\] )?(Started|Starting|Stopped|Stopping|Reloaded|Reloading|Reached target|"
    r"Finished|Failed to start|Mounted|Mounting|Listening on|Closed|Created slice|Removed slice) "
    r"(.{1,512}?)\.*(?: -.*)?$",
    re.DOTALL,
)
_UNIT_STATE = re.compile(r"([\w@\\:.-]{1,255}\.(?:service|socket|timer|mount|scope|slice)): (.*)$", re.DOTALL)
_SERVICE_KINDS = {
    "Started": ("service_started", "start"),
    "Starting": ("service_starting", "info"),
    "Stopped": ("service_stopped", "end"),
    "Stopping": ("service_stopping", "info"),
    "Failed to start": ("service_failed", "error"),
    "Reloaded": ("service_reloaded", "change"),
    "Finished": ("service_finished", "end"),
}


def decode_systemd(message: str, _context: Context) -> Fields | None:
    """ "Started OpenSSH server daemon." """
    if message.startswith("pam_"):
        return None
    fields: Fields = {"event.dataset": "linux.systemd"}
    match = _UNIT.match(message)
    if match is not None:
        action, kind = _SERVICE_KINDS.get(match[1], ("unit_changed", "info"))
        fields["event.category"] = ["process"]
        fields["event.type"] = [kind]
        fields["event.action"] = action
        fields["service.name"] = match[2]
        if kind == "error":
            fields["event.outcome"] = "failure"
        return fields
    state = _UNIT_STATE.match(message)
    if state is not None:
        fields["systemd.unit"] = state[1]
        fields["service.name"] = state[1].rpartition(".")[0]
        if "Failed with result" in state[2] or "status=" in state[2]:
            fields["event.category"] = ["process"]
            fields["event.type"] = ["error"]
            fields["event.outcome"] = "failure"
            fields["event.reason"] = state[2]
    return fields


_CRON_JOB = re.compile(
    r"\(([^)\s]{1,256})\) (CMD|CMDOUT|CMDEND|LIST|BEGIN EDIT|END EDIT|REPLACE|DELETE|RELOAD|AUTH|"
    r"INFO|STARTUP|ORPHAN|WRONG FILE OWNER|MAIL) \((.*)\)\s*$",
    re.DOTALL,
)
_CRON_KINDS = {
    "CMD": ("cron_command", "process", "start"),
    "REPLACE": ("crontab_replaced", "configuration", "change"),
    "DELETE": ("crontab_deleted", "configuration", "deletion"),
    "BEGIN EDIT": ("crontab_edit_begun", "configuration", "access"),
    "END EDIT": ("crontab_edit_ended", "configuration", "change"),
    "LIST": ("crontab_listed", "configuration", "access"),
    "RELOAD": ("crontab_reloaded", "configuration", "change"),
}


def decode_cron(message: str, _context: Context) -> Fields | None:
    """ "(root) CMD (/usr/bin/run-parts /etc/cron.hourly)" """
    if message.startswith("pam_"):
        return None
    fields: Fields = {"event.dataset": "linux.cron"}
    match = _CRON_JOB.match(message)
    if match is None:
        return fields
    user, word, text = match.groups()
    action, category, kind = _CRON_KINDS.get(word, ("cron_message", "process", "info"))
    fields["event.category"] = [category]
    fields["event.type"] = [kind]
    fields["event.action"] = action
    fields["user.name"] = user
    if word == "CMD":
        fields["process.command_line"] = text.strip()
    elif category == "configuration":
        fields["user.target.name"] = text
    return fields


_UPTIME = re.compile(r"\[ *\d{1,9}\.\d{6}\] ?")
_KERNEL_RULES = (
    (
        re.compile(
            r"(?:Out of memory|Memory cgroup out of memory): Kill(?:ed)? process (\d+) "
            r"\(([^)]{1,64})\)"
        ),
        "out_of_memory_kill",
        "process",
        "end",
    ),
    (
        re.compile(r"([\w.:-]{1,64})\[(\d+)\]: segfault at "),
        "segmentation_fault",
        "process",
        "error",
    ),
    (
        re.compile(r"device (\S{1,64}) entered promiscuous mode"),
        "promiscuous_mode",
        "network",
        "start",
    ),
    (
        re.compile(r"device (\S{1,64}) left promiscuous mode"),
        "promiscuous_mode_left",
        "network",
        "end",
    ),
    (
        re.compile(r"usb \S{1,64}: New USB device found, (.{1,256})"),
        "usb_device_found",
        "host",
        "info",
    ),
    (
        re.compile(r"(\w{1,64}): (?:loading out-of-tree module|module verification failed)"),
        "unsigned_module_loaded",
        "driver",
        "start",
    ),
)


def decode_kernel(message: str, _context: Context) -> Fields | None:
    """Kernel lines but packet-filter ones (see `netfilter`)."""
    if looks_like_packet(message):
        return None
    fields: Fields = {"event.dataset": "linux.kernel"}
    uptime = _UPTIME.match(message)
    text = message[uptime.end() :] if uptime else message
    for pattern, action, category, kind in _KERNEL_RULES:
        match = pattern.match(text)
        if match is None:
            continue
        fields["event.action"] = action
        fields["event.category"] = [category]
        fields["event.type"] = [kind]
        if action == "out_of_memory_kill":
            fields["process.pid"], fields["process.name"] = int(match[1]), match[2]
        elif action == "segmentation_fault":
            fields["process.name"], fields["process.pid"] = match[1], int(match[2])
        elif "promiscuous" in action:
            fields["observer.ingress.interface.name"] = match[1]
        else:
            fields["event.reason"] = match[1]
        break
    return fields


_CONNECTION = re.compile(r"connect(?:ion)? from (\S{1,255})(?: \(([^)\s]{0,255})\))?")
_XINETD = re.compile(r"START: (\S{1,64}) .{0,128}from=(\S{1,64})")


def decode_service(message: str, _context: Context) -> Fields | None:
    """ "connection from 203.0.113.5 (host.example) at Sun Jul 17 …" of ftpd and its like."""
    match = _CONNECTION.match(message) or _XINETD.match(message)
    if match is None:
        return None
    fields: Fields = {
        "event.dataset": "linux.syslog",
        "event.category": ["network"],
        "event.type": ["connection", "start"],
        "event.action": "connection",
    }
    if match.re is _XINETD:
        fields["service.name"] = match[1]
        put_host(fields, "source", match[2])
    else:
        put_host(fields, "source", match[1])
        if match[2]:
            fields["source.domain"] = match[2]
    return fields
