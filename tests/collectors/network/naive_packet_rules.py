"""A plain reading of what contents of a packet rule mean, to hold the fast one to: every place of every content is tried."""

from collections.abc import Sequence
from typing import NamedTuple


class Wanted(NamedTuple):
    """One content. Places that are None are not said."""

    needle: bytes
    negated: bool = False
    nocase: bool = False
    offset: int | None = None
    depth: int | None = None
    distance: int | None = None
    within: int | None = None
    starts: bool = False
    ends: bool = False

    def written(self) -> str:
        """Return it in the language of rules."""
        parts = [f'content:{"!" if self.negated else ""}"|{self.needle.hex(" ")}|"']
        parts += ["nocase"] * self.nocase + ["startswith"] * self.starts + ["endswith"] * self.ends
        for name in ("offset", "depth", "distance", "within"):
            if getattr(self, name) is not None:
                parts.append(f"{name}:{getattr(self, name)}")
        return "; ".join(parts) + ";"


def allowed(wanted: Wanted, data: bytes, at: int, last: int) -> bool:
    """Whether a content is at a place, and may be there."""
    end = at + len(wanted.needle)
    there = data[at:end]
    if (there.lower() != wanted.needle.lower()) if wanted.nocase else (there != wanted.needle):
        return False
    offset = wanted.offset or 0
    relative = wanted.distance is not None or wanted.within is not None
    begin = last + (wanted.distance or 0)
    return not (
        at < offset
        or (wanted.starts and at != offset)
        or (wanted.depth is not None and end > offset + wanted.depth)
        or (wanted.ends and end != len(data))
        or (relative and at < begin)
        or (wanted.within is not None and end > begin + wanted.within)
    )


def holds(wanted: Sequence[Wanted], data: bytes, last: int = 0) -> bool:
    """Whether there is a place for every content, one after the other."""
    if not wanted:
        return True
    first, rest = wanted[0], wanted[1:]
    places = [at for at in range(len(data)) if allowed(first, data, at, last)]
    if first.negated:
        return not places and holds(rest, data, last)
    return any(holds(rest, data, at + len(first.needle)) for at in places)
