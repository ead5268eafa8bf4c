"""Permissions: their names, and the roles that come with us as sets of them. Routes ask for one by its name."""

from collections.abc import Iterable

from pipeline.messages import HaidangError

#: Those that show or change events, or what is made of events: a data view narrows what they reach.
OF_EVENTS = (
    "events.read", "events.export", "alerts.read", "alerts.change", "packets.read", "suppressions.read",
    "suppressions.change", "devices.read", "devices.change", "cases.read", "cases.change",
)  # fmt: skip
_OTHERS = (
    "site.read", "rules.read", "rules.change", "rules.manage", "indicators.read", "indicators.change",
    "delivery.read", "delivery.change", "settings.read", "settings.change", "users.manage", "tokens.manage",
    "audit.read", "saved.share", "saved.manage", "sharing.read", "sharing.approve", "sharing.change", "systems.change",
)  # fmt: skip
PERMISSIONS = (*OF_EVENTS, *_OTHERS)

_VIEWER = frozenset((
    "events.read", "alerts.read", "suppressions.read", "devices.read", "cases.read", "site.read", "rules.read",
    "indicators.read",
))  # fmt: skip
_ANALYST = _VIEWER | {
    "events.export", "packets.read", "alerts.change", "suppressions.change", "devices.change", "cases.change",
    "rules.change", "indicators.change", "delivery.read",
    "saved.share", "sharing.read",
}  # fmt: skip
_LEAD = _ANALYST | {"delivery.change", "settings.read", "saved.manage", "sharing.approve", "systems.change"}
#: The roles that are always there, from the least to the most but for the auditor: auditors read who did what and how
#: the site is set, and see no event, alert, packet or device: who watches the watchers needs none of it.
ROLES: dict[str, frozenset[str]] = {
    "viewer": _VIEWER,
    "analyst": _ANALYST,
    "lead": _LEAD,
    "admin": frozenset(PERMISSIONS),
    "auditor": frozenset(("audit.read", "settings.read", "site.read")),
}
#: What roles were called once; the old name still means the same.
FORMER = {"administrator": "admin"}


def role_named(name: str) -> str:
    """Return what a role is called now."""
    return FORMER.get(name, name)


def checked(names: Iterable[str]) -> list[str]:
    """Return permissions in order, each once.

    Raises:
        HaidangError: there is none of this name.
    """
    given = set(names)
    if unknown := sorted(given - set(PERMISSIONS)):
        raise HaidangError("rights.no_permission", name=unknown[0][:100], known=", ".join(PERMISSIONS))
    return [name for name in PERMISSIONS if name in given]
