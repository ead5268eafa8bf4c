"""An alert enters, whom it is about leaves: a host, a user, an address, or a part of the pipeline itself.

An entity is a text of its kind and its name, `host:pc-07`: names without case, as their owners compare them.
"""

from ipaddress import ip_address
from typing import Any

from pipeline.event import Event

HOST, USER, ADDRESS, PART = KINDS = ("host", "user", "address", "part")
#: The field that shows an entity of each kind in events and alerts.
FIELDS = {HOST: "host.name", USER: "user.name", ADDRESS: "source.ip"}
#: Rules about traffic: the host that tells of it is a sensor, or a firewall.
_TRAFFIC = ("behaviour.", "indicator.", "packet.", "suricata.", "zeek.")
#: Accounts that every machine has: what one of them does says nothing of another.
_EVERYBODY = frozenset(("-", "n/a", "system", "local service", "network service", "anonymous logon"))
_MOST_CHARACTERS = 255


def entities_of(alert: Event) -> list[str]:
    """Return the entities of an alert, each once; the first is the one that it is grouped by. Never empty."""
    if alert["rule.id"].startswith("haidang.") and not any(name in alert for name in FIELDS.values()):
        return [_part(alert)]
    source, target = _text(alert, "source.ip"), _text(alert, "destination.ip")
    host, user = _host(alert), _user(alert)
    from_address = [f"{ADDRESS}:{source}"] if source else []
    known = [*from_address, *host] if _of_traffic(alert, source, target) else [*host, *from_address]
    found = [*known, *user, *([f"{ADDRESS}:{target}"] if target and (_is_private(target) or not known) else [])]
    return list(dict.fromkeys(found)) or [f"{PART}:{_text(alert, 'labels.source') or '-'}"]


def _of_traffic(alert: Event, source: str, target: str) -> bool:
    if alert["rule.id"].startswith(_TRAFFIC):
        return True
    return bool(source and target) and not any(name in alert for name in ("user.name", "process.name", "process.pid"))


def _part(alert: Event) -> str:
    matches = alert.get("alert.matches")
    about = matches[0].get("value") if isinstance(matches, list) and matches and isinstance(matches[0], dict) else None
    return f"{PART}:{str(about or '-')[:_MOST_CHARACTERS]}"


def _host(alert: Event) -> list[str]:
    name = _text(alert, "host.name").lower()
    return [f"{HOST}:{name}"] if name else []


def _user(alert: Event) -> list[str]:
    name = _text(alert, "user.name").lower()
    if not name or name in _EVERYBODY or name.endswith("$"):
        return []
    domain = _text(alert, "user.domain").lower()
    return [
        f"{USER}:{domain}\\{name}" if domain and domain not in _EVERYBODY and "\\" not in name else f"{USER}:{name}"
    ]


def _text(alert: Event, name: str) -> str:
    value: Any = alert.get(name)
    if isinstance(value, list) and value:
        value = value[0]
    return value.strip()[:_MOST_CHARACTERS] if isinstance(value, str) else ""


def _is_private(address: str) -> bool:
    try:
        return ip_address(address).is_private
    except ValueError:
        return False
