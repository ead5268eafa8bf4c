"""Where the events of a rule lie in the store: a rule's route enters, a condition of the store's queries leaves.

The condition only ever weakens: it finds every event that the route holds for, and the engine says of each whether it
does.
"""

from collections.abc import Iterable

from detectors.sigma import Rule
from detectors.sigma.logsource import Place, Route
from detectors.sigma.nodes import necessary_texts
from pipeline.store import query as q

#: The event keys that an origin is read from (`detectors.sigma.logsource.origin`).
_KEYS = {
    "datasets": ("event.dataset",),
    "channels": ("winlog.channel", "Channel"),
    "codes": ("event.code", "winlog.event_id", "EventID"),
    "providers": ("winlog.provider_name", "Provider_Name"),
}
_CODE = "event.code"


def of_route(route: Route) -> q.Condition:
    """Return the condition that an event comes from one place of each group."""
    return q.Combined(must=tuple(_any(_of_place(place) for place in group) for group in route.groups))


def of_rule(rule: Rule) -> q.Condition:
    """Return the condition that a rule may match an event: its log source, and the event codes that it asks for."""
    codes = necessary_texts(rule.node, _CODE)
    if codes is None:
        return of_route(rule.route)
    return q.Combined(must=(of_route(rule.route), of_codes(codes)))


def of_codes(codes: frozenset[str]) -> q.Condition:
    """Return the condition that an event has one of these codes, or none."""
    without = q.Combined(must_not=(q.Exists(_CODE),))
    return _any((q.Equals(_CODE, tuple(sorted(codes))), without) if codes else (without,))


def any_rule(conditions: Iterable[q.Condition]) -> q.Condition:
    """Return the condition that one of these holds, each once."""
    return _any(dict.fromkeys(conditions))


def _of_place(place: Place) -> q.Condition:
    given = ((keys, getattr(place, name)) for name, keys in _KEYS.items())
    return q.Combined(must=tuple(_among(keys, names) for keys, names in given if names))


def _among(keys: tuple[str, ...], names: tuple[str, ...]) -> q.Condition:
    whole = tuple(name for name in names if not name.endswith("*"))
    parts: list[q.Condition] = [q.Equals(key, whole) for key in keys if whole]
    for prefix in (name[:-1] for name in names if name.endswith("*")):
        # A pattern is of texts only, and what begins so may be a number.
        parts += [q.Like(key, q.escape(prefix) + "*") if prefix[:1].isalpha() else q.Exists(key) for key in keys]
    return _any(parts)


def _any(parts: Iterable[q.Condition]) -> q.Condition:
    found = tuple(parts)
    return found[0] if len(found) == 1 else q.Combined(should=found, least=1)
