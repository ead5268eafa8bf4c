"""Trees of processes, on recorded attacks: each is held to the plainest reading of what Windows wrote."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.event import Event, encode, event_id
from pipeline.process_tree import MOST_DESCENDANTS, STARTS, Find, around, is_start
from pipeline.store import EVENTS
from pipeline.store import query as q
from pipeline.store.document import document
from pipeline.store.tantivy_reader import TantivyReader
from pipeline.store.tantivy_writer import TantivyWriter
from tests.detectors.sigma.recordings import windows_events

Finding = Callable[[list[Event]], Find]
_ATTACKS = "EVTX-ATTACK-SAMPLES"
_SERVICE = f"{_ATTACKS}/Privilege Escalation/privesc_unquoted_svc_sysmon_1_11.evtx"
_SHIM = f"{_ATTACKS}/Persistence/persistence_sysmon_11_13_1_shime_appfix.evtx"
_SECURITY = "DeepBlueCLI/psattack-security.evtx"


@pytest.fixture
def finding(tmp_path: Path) -> Iterator[Finding]:
    """A store that is filled with events, and asked."""
    readers = []

    def fill(events: list[Event]) -> Find:
        writer = TantivyWriter(tmp_path / "index", memory_bytes=20_000_000)
        writer.add(EVENTS, [document(each, encode(each)) for each in events])
        writer.close()
        reader = TantivyReader(tmp_path / "index")
        readers.append(reader)

        def find(condition: q.Condition, most: int, newest: bool) -> list[Event]:
            order = [{q.TIME: "desc" if newest else "asc"}]
            body: Any = {"query": q.Combined(must=(STARTS, condition)), "size": most, "sort": order}
            return [hit["_source"] for hit in reader.search(EVENTS, body)["hits"]["hits"]]

        return find

    yield fill
    for reader in readers:
        reader.close()


def _recorded(shared_data: Path, name: str) -> list[Event]:
    path = shared_data / "evtx" / name
    return [{**each, "event.id": event_id(name, number)} for number, each in enumerate(windows_events(path))]


def _edges(node: dict[str, Any]) -> set[tuple[Any, Any]]:
    """The pairs of parent and child in a tree, by the events of their starts."""
    found = set()
    for child in node["children"]:
        found |= {(node["event"], child["event"])} | _edges(child)
    return found


def _expected(focus: str, parents: dict[str, str]) -> set[tuple[Any, Any]]:
    """The pairs above and below a process, of a whole table of who is whose child."""
    above, child = set(), focus
    while child in parents and (parents[child], child) not in above:
        above.add((parents[child], child))
        child = parents[child]
    below, waiting = set(), [focus]
    while waiting:
        parent = waiting.pop()
        new = {(parent, each) for each, of in parents.items() if of == parent} - below
        below |= new
        waiting += [each for _, each in new]
    return above | below


def _by_guid(events: list[Event]) -> dict[str, str]:
    """Whose child each start is, by what Sysmon wrote."""
    starts = [each for each in events if each.get("event.code") == "1" and is_start(each)]
    of_guid = {each["winlog.event_data.ProcessGuid"]: each["event.id"] for each in reversed(starts)}
    pairs = ((each["event.id"], of_guid.get(each["winlog.event_data.ParentProcessGuid"])) for each in starts)
    return {child: parent for child, parent in pairs if parent is not None and parent != child}


@pytest.mark.parametrize("name", [_SERVICE, _SHIM])
def test_sysmons_ids_make_the_tree(finding: Finding, shared_data: Path, name: str) -> None:
    events = _recorded(shared_data, name)
    parents = _by_guid(events)
    assert len(parents) > 50
    find = finding(events)
    for event in [each for each in events if is_start(each)][::7]:
        told = around(event, find)
        assert told is not None
        assert told["focus"] == event["event.id"]
        known = {(parent, child) for parent, child in _edges(told["root"]) if parent is not None}
        assert known == _expected(event["event.id"], parents)


def test_numbers_make_the_same_tree_where_there_are_no_ids(finding: Finding, shared_data: Path) -> None:
    events = _recorded(shared_data, _SERVICE)
    parents = _by_guid(events)
    ids = ("process.entity_id", "process.parent.entity_id")
    bare = [{name: value for name, value in each.items() if name not in ids} for each in events]
    find = finding(bare)
    for event in [each for each in bare if is_start(each)][::5]:
        told = around(event, find)
        assert told is not None
        known = {(parent, child) for parent, child in _edges(told["root"]) if parent is not None}
        assert known == _expected(event["event.id"], parents)


def test_a_number_that_was_given_again_means_the_last_process_before(finding: Finding) -> None:
    def start(number: int, pid: int, parent: int, **more: Any) -> Event:
        return {
            "@timestamp": f"2026-11-24T12:00:{number:02}.000Z", "event.id": event_id("start", number), "host.name": "a",
            "event.category": ["process"], "event.type": ["start"], "event.dataset": "windows.security",
            "process.pid": pid, "process.parent.pid": parent, "process.name": f"p{number}", **more,
        }  # fmt: skip

    events = [
        start(1, 10, 4), start(2, 20, 10), start(3, 10, 4), start(4, 21, 10), start(5, 22, 10), start(6, 22, 21),
        start(7, 23, 10, **{"host.name": "b"}), start(8, 24, 10, **{"event.dataset": "windows.sysmon"}),
    ]  # fmt: skip
    find = finding(events)
    names = {each["event.id"]: each["process.name"] for each in events}

    def told(number: int) -> set[tuple[str | None, str]]:
        found = around(events[number - 1], find)
        assert found is not None
        return {(names.get(parent), names[child]) for parent, child in _edges(found["root"])}

    assert told(1) == {(None, "p1"), ("p1", "p2")}
    assert told(3) == {(None, "p3"), ("p3", "p4"), ("p3", "p5"), ("p4", "p6")}
    assert told(6) == {(None, "p3"), ("p3", "p4"), ("p4", "p6")}


def test_what_a_process_did_leads_to_its_tree_and_what_was_not_recorded_is_told_by_others(
    finding: Finding, shared_data: Path
) -> None:
    events = _recorded(shared_data, f"{_ATTACKS}/Execution/execution_evasion_visual_studio_prebuild_event.evtx")
    find = finding(events)
    started = {each["process.entity_id"]: each["event.id"] for each in events if is_start(each)}
    others = [each for each in events if not is_start(each) and each.get("process.entity_id") in started]
    assert others
    for event in others:
        told = around(event, find)
        assert told is not None
        assert told["focus"] == started[event["process.entity_id"]]
    first = next(each for each in events if is_start(each))
    told = around(first, find)
    assert told is not None
    root = told["root"]
    assert (root["event"], root["started"], root["name"]) == (None, None, first["process.parent.name"])
    assert root["command_line"] == first["process.parent.command_line"]
    child = root["children"][0]
    assert set(child["hashes"]) >= {"sha256"} or set(child["hashes"]) >= {"sha1"}
    assert child["executable"] == first["process.executable"]
    assert around({"@timestamp": first["@timestamp"], "event.id": "x", "source.ip": "10.0.0.1"}, find) is None


def test_windows_own_log_makes_a_tree_of_numbers(finding: Finding, shared_data: Path) -> None:
    events = [each for each in _recorded(shared_data, _SECURITY) if is_start(each)]
    parents: dict[str, str] = {}
    for number, each in enumerate(events):
        assert "process.entity_id" not in each
        earlier = [
            before for before in events[:number]
            if int(before["winlog.event_data.NewProcessId"], 16) == int(each["winlog.event_data.ProcessId"], 16)
        ]  # fmt: skip
        if earlier:
            parents[each["event.id"]] = earlier[-1]["event.id"]
    assert parents
    find = finding(events)
    for event in events:
        told = around(event, find)
        assert told is not None
        known = {(parent, child) for parent, child in _edges(told["root"]) if parent is not None}
        assert known == _expected(event["event.id"], parents)


def test_a_tree_is_bounded_and_says_so_and_a_circle_ends(finding: Finding) -> None:
    def start(name: str, parent: str, number: int) -> Event:
        return {
            "@timestamp": f"2026-11-24T12:{number // 60:02}:{number % 60:02}.000Z", "event.id": event_id(name), "host.name": "a",
            "event.category": ["process"], "event.type": ["start"], "process.pid": number, "process.parent.pid": 0,
            "process.entity_id": name, "process.parent.entity_id": parent,
        }  # fmt: skip

    many = [start("top", "none", 0), *(start(f"c{number}", "top", number) for number in range(1, 300))]
    circle = [start("one", "two", 1), start("two", "one", 2), start("self", "self", 3)]
    find = finding([*many, *circle])
    told = around(many[0], find)
    assert told is not None
    assert told["truncated"] is True
    assert len(_edges(told["root"])) == MOST_DESCENDANTS + 1  # the one that was not recorded above it
    for each in circle:
        told = around(each, find)
        assert told is not None
        assert told["truncated"] is False
        assert len(_edges(told["root"])) <= 2
