"""Saved things: searches, ranges of time, dashboards and maps that people keep, share and bring back.

`shapes.py` says what each may hold (`maps.py`: GeoJSON), `book.py` keeps them with their last revisions, `ready.py` has
the dashboards that come with us, `preferences.py` what the console remembers for a person.
"""

from dataclasses import dataclass

SEARCH, RANGE, DASHBOARD, MAP = "search", "range", "dashboard", "map"
KINDS = (SEARCH, RANGE, DASHBOARD, MAP)
#: With whom a thing is shared, beside lists of `role:NAME`.
PRIVATE, EVERYONE = "private", "everyone"
ROLE = "role:"
Shared = str | list[str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants kept."""

    name: str
    description: str
    body: dict[str, object]
    shared: Shared = PRIVATE
