"""The tree of processes around an event: an event and a way to find others enter, ancestors and descendants leave.

A process is known by `process.entity_id` (Sysmon's ProcessGuid) where its sensor gives one. Else it is a number on a
host, and numbers are used again: the process that a number means is the one that last started with it before.
What finds is passed in, so this decides and asks nobody by itself.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.event import Event, to_micros
from pipeline.store import query as q

#: So many descendants and ancestors are shown.
MOST_DESCENDANTS, MOST_ANCESTORS = 200, 50
#: How far back the start of a process without an entity id is looked for, in microseconds: 30 days.
_LOOK_BACK = 30 * 86_400_000_000
#: As many as one question names.
_TOGETHER = 50
#: Events that say that a process started.
STARTS = q.Combined(must=(q.Equals("event.category", ("process",)), q.Equals("event.type", ("start",))))
#: Finds starts: a condition, how many at most, and whether the newest come first (else the oldest).
Find = Callable[[q.Condition, int, bool], list[Event]]


@dataclass
class Process:
    """A process: what its start says of it, or, of one whose start was not recorded, what others say (`event` is
    empty). Moments are microseconds since 1970."""

    event: str
    fields: Event
    started: int
    parent: "Process | None" = None
    children: list["Process"] = field(default_factory=list)

    @property
    def entity(self) -> str:
        """Its entity id, or ""."""
        return _text(self.fields.get("process.entity_id"))

    @property
    def key(self) -> tuple[Any, ...]:
        """What no other process has."""
        if self.entity:
            return (self.entity,)
        return (self.fields.get("host.name"), self.fields.get("process.pid"), self.started)

    def shown(self) -> dict[str, Any]:
        """Return it and all below it as JSON."""
        top = self._shape()
        waiting = [(self, top)]
        while waiting:
            process, shape = waiting.pop()
            for child in sorted(process.children, key=lambda each: (each.started, each.event)):
                below = child._shape()
                shape["children"].append(below)
                waiting.append((child, below))
        return top

    def _shape(self) -> dict[str, Any]:
        fields = self.fields
        start = "process.hash."
        hashes = {name.removeprefix(start): value for name, value in fields.items() if name.startswith(start)}
        return {
            "event": self.event or None, "name": fields.get("process.name"), "pid": fields.get("process.pid"),
            "command_line": fields.get("process.command_line"), "executable": fields.get("process.executable"),
            "user": fields.get("user.name"), "started": fields.get("@timestamp") if self.event else None,
            **({"hashes": hashes} if hashes else {}), "children": [],
        }  # fmt: skip


def around(event: Event, find: Find) -> dict[str, Any] | None:
    """Return `{"root", "focus", "truncated"}`, or None where the event tells of no process. `focus` is the event that
    started the process that this one is of; None where that was not recorded."""
    focus = _focus(event, find)
    if focus is None:
        return None
    root, cut_above = _up(focus, find)
    cut_below = _down(focus, find)
    return {"root": root.shown(), "focus": focus.event or None, "truncated": cut_above or cut_below}


def is_start(event: Event) -> bool:
    """Say whether an event tells that a process started."""
    return "process" in _list(event.get("event.category")) and "start" in _list(event.get("event.type"))


def _focus(event: Event, find: Find) -> Process | None:
    """Return the process that an event is of."""
    if is_start(event) and "process.pid" in event:
        return _process(event)
    own = _without_start(event, "process.")
    if own is None:
        return None
    condition = _is_this(own.fields, to_micros(event["@timestamp"]))
    found = find(condition, 1, True) if condition is not None else []
    return _process(found[0]) if found else own


def _up(focus: Process, find: Find) -> tuple[Process, bool]:
    """Put the ancestors above a process; return the first one, and whether there may be more."""
    seen = {focus.key}
    top = focus
    for _ in range(MOST_ANCESTORS):
        parent = _parent(top, find)
        if parent is None or parent.key in seen:
            return top, False
        seen.add(parent.key)
        parent.children.append(top)
        top.parent, top = parent, parent
    return top, True


def _parent(child: Process, find: Find) -> Process | None:
    """Return the process that started another: its start, or what the child says of it."""
    told = _without_start(child.fields, "process.parent.")
    if told is None or not child.event:
        return None
    condition = _is_this(told.fields, child.started)
    found = find(condition, 2, True) if condition is not None else []
    return next((_process(each) for each in found if each["event.id"] != child.event), told)


def _down(focus: Process, find: Find) -> bool:
    """Put the descendants below a process; say whether there are more than are shown."""
    seen = {focus.key}
    waiting = deque([focus])
    left = MOST_DESCENDANTS
    while waiting:
        together = [waiting.popleft() for _ in range(min(len(waiting), _TOGETHER))]
        for parent, event in _children(together, find, left + 1):
            child = _process(event)
            if child.key in seen:
                continue
            if not left:
                return True
            left -= 1
            seen.add(child.key)
            child.parent = parent
            parent.children.append(child)
            waiting.append(child)
    return False


def _children(parents: Iterable[Process], find: Find, most: int) -> Iterator[tuple[Process, Event]]:
    """Yield the starts of children, each with its parent."""
    by_entity = {parent.entity: parent for parent in parents if parent.entity}
    if by_entity:
        named = q.Equals("process.parent.entity_id", tuple(by_entity))
        for event in find(named, most, False):
            yield by_entity[_text(event.get("process.parent.entity_id"))], event
    for parent in parents:
        condition = None if parent.entity else _by_number(parent.fields, "process.parent.pid")
        if condition is None or not parent.event:
            continue
        until = _next_of_number(parent, find)
        for event in find(_between(condition, parent.started, until), most, False):
            if event["event.id"] != parent.event:
                yield parent, event


def _next_of_number(process: Process, find: Find) -> int | None:
    """Return when the number of a process was given to another one, or None."""
    same = _by_number(process.fields, "process.pid")
    if same is None:
        return None
    later = find(_between(same, process.started + 1, None), 1, False)
    return to_micros(later[0]["@timestamp"]) if later else None


def _is_this(fields: Event, before: int) -> q.Condition | None:
    """Return the condition that a start is that of a process that ran at a moment."""
    if entity := _text(fields.get("process.entity_id")):
        return q.Equals("process.entity_id", (entity,))
    numbered = _by_number(fields, "process.pid")
    return None if numbered is None else _between(numbered, before - _LOOK_BACK, before)


def _by_number(fields: Event, name: str) -> q.Condition | None:
    """Return the condition that `name` is the number of a process, on its host, by the same sensor."""
    pid, host = fields.get("process.pid"), _text(fields.get("host.name"))
    if not isinstance(pid, int) or not host:
        return None
    same = [q.Equals("host.name", (host,)), q.Equals(name, (pid,))]
    if dataset := _text(fields.get("event.dataset")):
        same.append(q.Equals("event.dataset", (dataset,)))
    return q.Combined(must=tuple(same))


def _between(condition: q.Condition, low: int, high: int | None) -> q.Condition:
    return q.Combined(must=(condition, q.Within(q.TIME, low, high)))


def _process(event: Event) -> Process:
    return Process(event["event.id"], event, to_micros(event["@timestamp"]))


def _without_start(event: Event, prefix: str) -> Process | None:
    """Return a process as another event tells of it, or None where it says neither number nor entity id."""
    told: Event = {
        f"process.{name.removeprefix(prefix)}": value
        for name, value in event.items()
        if name.startswith(prefix) and (prefix != "process." or not name.startswith("process.parent."))
    }
    if not told.keys() & {"process.pid", "process.entity_id"}:
        return None
    of_both = ("host.name", "event.dataset", *(("user.name",) if prefix == "process." else ()))
    told |= {name: event[name] for name in of_both if name in event}
    return Process("", told, to_micros(event["@timestamp"]))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
