"""Alerts enter, contacts with C2 servers leave: a row for each alert that says a machine spoke with one."""

from typing import Any

from sqlalchemy import Connection

from pipeline.bus import is_imported
from pipeline.event import Event, to_micros
from pipeline.state import insert_new
from pipeline.state.tables import c2_contacts

#: The tactic's names: Sigma 2.1 writes the first one, older rules the others.
TACTIC = frozenset(("attack.command-and-control", "attack.command_and_control", "attack.ta0011"))
#: An indicator of a C2 server is one whatever its level; of all else only what is this certain counts.
_INDICATOR = "indicator.c2"
_LEVELS = frozenset(("high", "critical"))
_TARGETS = ("threat.indicator.name", "dns.question.name", "tls.client.server_name", "url.domain", "destination.domain")
_BLOCKED = ("blocked", "denied", "dropped")
_FAMILIES = ("threat.software.name", "threat.software.family", "rule.name")


def contact_of(alert: Event) -> dict[str, Any] | None:
    """Return the row of an alert; None where it is no contact with a C2 server, or one of an imported file."""
    tags = alert.get("tags")
    is_c2 = isinstance(tags, list) and any(tag in TACTIC for tag in tags if isinstance(tag, str))
    if not (is_c2 and alert.get("rule.level") in _LEVELS) and not alert["rule.id"].startswith(_INDICATOR):
        return None
    if is_imported(alert) or alert.get("alert.direction") == "inbound":
        return None
    source, destination, host = (_text(alert, name) for name in ("source.ip", "destination.ip", "host.name"))
    if not source and not host:
        return None
    return {
        "alert": alert["event.id"], "time": to_micros(alert["@timestamp"]), "source": source[:45],
        "destination": destination[:45], "host": host[:255], "target": (_first(alert, _TARGETS) or destination)[:300],
        "family": _first(alert, _FAMILIES)[:200], "rule_id": alert["rule.id"][:200],
        "unit": _text(alert, "organization.id")[:200], "count": _count(alert),
        "blocked": alert.get("alert.refused") is True or alert.get("event.action") in _BLOCKED,
        "lookup": alert.get("alert.direction") == "lookup",
    }  # fmt: skip


def save(connection: Connection, alerts: list[Event]) -> None:
    """Note the contacts among these alerts; those that are noted change nothing."""
    rows = [row for row in map(contact_of, alerts) if row is not None]
    insert_new(connection, c2_contacts, rows, key=["alert"])


def _first(alert: Event, names: tuple[str, ...]) -> str:
    return next((found for name in names if (found := _text(alert, name))), "")


def _text(alert: Event, name: str) -> str:
    value = alert.get(name)
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, str) else ""


def _count(alert: Event) -> int:
    count = alert.get("alert.count")
    return count if type(count) is int and 0 < count < 2**62 else 1
