"""What is kept out of the queue: a rule, and fields that an alert must have, with a reason and an end.

Nothing is lost by it: the alert is stored and searched, has the status `suppressed`, and each suppression counts.
"""

import time
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from typing import Any

from sqlalchemy import Connection, Engine, delete, select, update

from pipeline.access import note as audit
from pipeline.event import Event, event_id
from pipeline.messages import HaidangError
from pipeline.networks import is_address, is_network
from pipeline.state.tables import alerts, suppressions

#: Days until one ends: by default, and at the most.
DAYS, MOST_DAYS = 90, 400
_MOST = 1000
_MOST_FIELDS = 20
_MAX_TEXT = 300
_DAY = 86_400.0
#: The last alerts on which a new suppression is tried: one that fits none of them may be misspelt.
_LOOK_BACK = 2000


def add(engine: Engine, rule: str, where: Mapping[str, str], reason: str, days: float, who: str, address: str) -> str:
    """Keep alerts out of the queue; return the suppression's id. `rule` may end in `*`; values may have `*`, or be a
    network for fields of addresses.

    Raises:
        HaidangError: no rule, no reason, neither a whole rule nor a field, an end that is none, or too many of them.
    """
    rule, reason = rule.strip()[:200], reason.strip()[:2000]
    wanted = {str(name).strip()[:_MAX_TEXT]: str(value).strip()[:_MAX_TEXT] for name, value in where.items()}
    if not rule or (not wanted and "*" in rule):
        raise HaidangError("suppressions.too_wide", rule=rule or "-")
    if not reason:
        raise HaidangError("suppressions.no_reason")
    if not 0 < days <= MOST_DAYS:
        raise HaidangError("suppressions.no_end", value=days, limit=MOST_DAYS)
    if len(wanted) > _MOST_FIELDS or not all(wanted) or not all(wanted.values()):
        raise HaidangError("suppressions.no_field", limit=_MOST_FIELDS)
    for name, value in wanted.items():
        if name.endswith(".ip") and "*" not in value and not (is_address(value) or is_network(value)):
            raise HaidangError("suppressions.no_address", name=name, value=value)
    now = time.time()
    identifier = event_id("suppression", rule, repr(sorted(wanted.items())), repr(now))
    made = {
        "id": identifier, "rule": rule, "where": wanted, "reason": reason, "who": who, "created": now,
        "expires": now + days * _DAY, "count": 0, "last": None,
    }  # fmt: skip
    with engine.begin() as connection:
        if len(current(connection)) >= _MOST:
            raise HaidangError("suppressions.too_many", limit=_MOST)
        connection.execute(suppressions.insert(), made)
        audit(
            connection,
            who,
            address,
            "suppression_made",
            id=identifier,
            rule=rule,
            where=wanted,
            reason=reason,
            days=days,
        )
    return identifier


def would_have(engine: Engine, identifier: str) -> tuple[int, int]:
    """Return how many of the last alerts a suppression would have kept out, and of how many."""
    with engine.connect().execution_options(read_only=True) as connection:
        held = connection.execute(select(suppressions).where(suppressions.c.id == identifier)).all()
        query = select(alerts.c.document).order_by(alerts.c.time.desc()).limit(_LOOK_BACK)
        documents = connection.scalars(query).all()
    return sum(1 for document in documents if which(held, document)), len(documents)


def remove(engine: Engine, identifier: str, who: str, address: str) -> None:
    """End a suppression now; what it kept out stays as it is.

    Raises:
        HaidangError: there is none.
    """
    with engine.begin() as connection:
        if not connection.execute(delete(suppressions).where(suppressions.c.id == identifier)).rowcount:
            raise HaidangError("suppressions.none", id=identifier[:100])
        audit(connection, who, address, "suppression_removed", id=identifier)


def listed(engine: Engine) -> list[dict[str, Any]]:
    """Return all suppressions, those that hold first, the newest first."""
    with engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(select(suppressions).order_by(suppressions.c.created.desc())).mappings().all()
    now = time.time()
    return sorted(({**row, "holds": row["expires"] > now} for row in rows), key=lambda row: not row["holds"])


def current(connection: Connection) -> Sequence[Any]:
    """Return the suppressions that hold now."""
    return connection.execute(select(suppressions).where(suppressions.c.expires > time.time())).all()


def which(held: Sequence[Any], alert: Event) -> str:
    """Return the id of the suppression that keeps an alert out; "" where none does."""
    return next((each.id for each in held if _fits(each, alert)), "")


def count(connection: Connection, hits: Mapping[str, int]) -> None:
    """Note how many alerts each suppression has kept out."""
    for identifier, number in hits.items():
        changed = {"count": suppressions.c.count + number, "last": time.time()}
        connection.execute(update(suppressions).where(suppressions.c.id == identifier).values(changed))


def _fits(suppression: Any, alert: Event) -> bool:
    if not of_rule(alert, suppression.rule):
        return False
    return all(has(alert.get(name), wanted) for name, wanted in suppression.where.items())


def of_rule(alert: Event, rule: str) -> bool:
    """Say whether an alert is of a rule: its id, `*` for any rest, or its whole name."""
    return fnmatchcase(alert["rule.id"], rule) or alert.get("rule.name") == rule


def has(value: Any, wanted: str) -> bool:
    """Say whether a field's value, or one of its values, is what is wanted: a text with `*`, or a network."""
    if isinstance(value, list):
        return any(has(each, wanted) for each in value)
    if value is None or isinstance(value, dict):
        return False
    text = str(value).lower()
    if "/" in wanted:
        try:
            return ip_address(text) in ip_network(wanted, strict=False)
        except ValueError:
            pass
    return fnmatchcase(text, wanted.lower())
