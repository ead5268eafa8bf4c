"""Data views: which indices, sources and units somebody may see. Conditions for the store and the state leave.

A view that says nothing of a kind does not limit it. What belongs to no source or unit that is named is hidden: an
alert of events of several sources has no source of its own, so whoever may see one of them alone does not see it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_, true

from pipeline.event import Event
from pipeline.messages import HaidangError
from pipeline.state.tables import alert_groups, alerts
from pipeline.store import ALERTS, EVENTS, SearchError
from pipeline.store import query as q
from pipeline.store.query_dsl import parse_query

SOURCE, UNIT = "labels.source", "organization.id"
#: What may be named as an index.
INDICES = (EVENTS, ALERTS)
#: Why an alert fired: values of its evidence. Who does not see all evidence is not told (`Sight.alert`), and may not
#: find, count or sort alerts by it.
_MATCHES = "alert.matches"
_KINDS = ("indices", "sources", "units")
_MOST = 1000
_MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class View:
    """What may be seen; None is no limit of this kind."""

    indices: frozenset[str] | None = None
    sources: frozenset[str] | None = None
    units: frozenset[str] | None = None

    def holds(self, source: Any, unit: Any) -> bool:
        """Say whether what is of this source and unit is in view."""
        return (self.sources is None or source in self.sources) and (self.units is None or unit in self.units)

    def names(self, index: str) -> bool:
        """Say whether an index is in view."""
        return self.indices is None or index in self.indices

    def is_limited(self) -> bool:
        """Say whether it hides anything."""
        return not (self.indices is None and self.sources is None and self.units is None)


@dataclass(frozen=True, slots=True)
class Sight:
    """All views that hold for somebody: of each group of views one must show it (their own, their role's, any of their
    groups')."""

    views: tuple[tuple[View, ...], ...] = ()

    def is_limited(self) -> bool:
        """Say whether anything is hidden."""
        return bool(self.views)

    def holds(self, index: str, event: Mapping[str, Any]) -> bool:
        """Say whether an event or alert is in view."""
        return self.shows(index, event.get(SOURCE), event.get(UNIT))

    def shows(self, index: str, source: Any, unit: Any) -> bool:
        """Say whether what is of this source and unit is in view."""
        return all(any(view.names(index) and view.holds(source, unit) for view in any_of) for any_of in self.views)

    def condition(self, index: str) -> q.Condition:
        """Return it as a condition of the store."""
        parts = tuple(
            q.Combined(should=tuple(_condition(view) for view in any_of if view.names(index)), least=1)
            if any(view.names(index) for view in any_of)
            else q.Nothing()
            for any_of in self.views
        )
        return q.Combined(must=parts) if parts else q.All()

    def narrowed(self, index: str, query: Any) -> q.Condition:
        """Return a query of the DSL (None: everything) that finds only what is in view.

        `index` may be `BOTH` where the same of both is in view.

        Raises:
            SearchError: the query is none, or asks for what may come from evidence that is not in view.
        """
        asked = q.All() if query is None else parse_query(query)
        if self.views and index != EVENTS and (field := _hidden_in(asked)):
            raise SearchError("search.not_in_view", field=field[:200])
        return q.Combined(must=(asked, self.condition(index.partition(",")[0]))) if self.views else asked

    def check(self, index: str, body: Mapping[str, Any]) -> None:
        """Look at what a search asks for beside its query.

        Raises:
            SearchError: it counts or sorts by what may come from evidence that is not in view.
        """
        if self.views and index != EVENTS:
            asked = (text for name, each in body.items() if name != "query" for text in _strings(each))
            if any(_MATCHES in text.replace("\\", "") for text in asked):
                raise SearchError("search.not_in_view", field=_MATCHES)

    def of_alerts(self) -> list[ColumnElement[bool]]:
        """Return it as conditions on the table of alerts."""
        return [or_(false(), *(_of_alerts(view) for view in any_of if view.names(ALERTS))) for any_of in self.views]

    def of_groups(self) -> list[ColumnElement[bool]]:
        """Return it as conditions on the table of groups of alerts."""
        columns = alert_groups.c
        return [
            or_(false(), *(_of(view, columns.source, columns.unit) for view in any_of if view.names(ALERTS)))
            for any_of in self.views
        ]

    def alert(self, document: Event) -> Event:
        """Return an alert that is in view without the evidence that is not, nor reasons that may come from it."""
        if not self.views:
            return document
        evidence = document.get("alert.evidence") or []
        seen = [event for event in evidence if isinstance(event, dict) and self.holds(EVENTS, event)]
        if len(seen) == len(evidence):
            return document
        hidden = {"alert.evidence": seen, "alert.matches": [], "alert.hidden": len(evidence) - len(seen)}
        return {**document, **hidden}


EVERYTHING = Sight()


def sight(own: Sequence[Any], groups: Sequence[Any]) -> Sight:
    """Return what views, each as JSON or None, let somebody see: each of `own` holds, and one of the groups'."""
    found = [(view,) for each in own if (view := read(each)).is_limited()]
    of_groups = tuple(read(each) for each in groups)
    if of_groups and all(view.is_limited() for view in of_groups):
        found.append(of_groups)  # type: ignore[arg-type]  # as many as there are
    return Sight(tuple(found))


def read(view: Any) -> View:
    """Return a view of its JSON; one that cannot be read shows nothing."""
    if view is None:
        return View()
    if not isinstance(view, dict) or not view.keys() <= set(_KINDS):
        return View(frozenset(), frozenset(), frozenset())
    return View(**{kind: frozenset(view[kind]) for kind in _KINDS if view.get(kind) is not None})


def checked(view: Mapping[str, Iterable[str] | None]) -> dict[str, list[str]] | None:
    """Return a view as JSON, or None where it limits nothing.

    Raises:
        HaidangError: an index that is none, or too many or too long names.
    """
    made = {kind: sorted(set(names)) for kind in _KINDS if (names := view.get(kind)) is not None}
    for name in made.get("indices", ()):
        if name not in INDICES:
            raise HaidangError("rights.no_index", name=name[:100], known=", ".join(INDICES))
    for kind, names in made.items():
        if len(names) > _MOST or any(not 0 < len(name) <= _MAX_NAME for name in names):
            raise HaidangError("rights.bad_view", kind=kind, most=_MOST, longest=_MAX_NAME)
    return made or None


def _hidden_in(condition: q.Condition) -> str:
    """Return the field of a condition that may come from evidence which is not in view; "" where none does."""
    if isinstance(condition, q.Combined):
        parts = (*condition.must, *condition.should, *condition.must_not)
        return next((found for part in parts if (found := _hidden_in(part))), "")
    field = getattr(condition, "field", None)
    return field if isinstance(field, str) and f"{field}.".startswith(f"{_MATCHES}.") else ""


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield str(name)
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)


def _condition(view: View) -> q.Condition:
    limits = ((SOURCE, view.sources), (UNIT, view.units))
    parts = tuple(
        q.Equals(name, tuple(sorted(allowed))) if allowed else q.Nothing()
        for name, allowed in limits
        if allowed is not None
    )
    return q.Combined(must=parts) if parts else q.All()


def _of_alerts(view: View) -> ColumnElement[bool]:
    document = alerts.c.document
    return _of(view, document[SOURCE].as_string(), document[UNIT].as_string())


def _of(view: View, source: ColumnElement[str], unit: ColumnElement[str]) -> ColumnElement[bool]:
    limits = ((source, view.sources), (unit, view.units))
    return and_(true(), *(column.in_(sorted(allowed)) for column, allowed in limits if allowed is not None))
