"""Backtests on the embedded store: what a rule says of stored events is what the engine says of each of them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from detectors.correlations import Correlations, Limits
from detectors.rulebook import backtest, vectors
from detectors.rulebook.backtest import Bounds, subject, subjects_of_file
from detectors.rulebook.book import Book, RuleException
from detectors.rulebook.loading import Loaded, load_book
from detectors.rulebook.revisions import Revision
from detectors.rulebook.stored import of_route, of_rule
from detectors.sigma import Correlation, Rule
from pipeline.event import Event, encode, event_id
from pipeline.settings import Store
from pipeline.shipped import shipped_rules
from pipeline.state import open_state
from pipeline.store import EVENTS, Reader, open_reader, open_writer
from pipeline.store.document import document
from tests.contract.naive import holds
from tests.rules.vectors import read_vectors

DOOR = """\
title: Door forced
id: 11111111-2222-4333-8444-555555555555
level: high
logsource: {product: door}
detection:
  selection: {event.action: forced, event.code: ['7', '8']}
  condition: selection
---
title: Doors forced one after the other
id: 21111111-2222-4333-8444-555555555555
correlation:
  type: event_count
  rules: [11111111-2222-4333-8444-555555555555]
  group-by: [host.name]
  timespan: 1m
  condition: {gte: 3}
  generate: true
level: high
"""
PACK_FILTER = """\
title: Not the cellar
logsource: {product: door}
filter:
  rules: [11111111-2222-4333-8444-555555555555]
  selection: {host.name: cellar}
  condition: not selection
"""
EXCEPTION = """\
title: The porter may
logsource: {product: door}
filter:
  rules: [11111111-2222-4333-8444-555555555555]
  selection: {user.name: porter}
  condition: not selection
"""


def forced(number: int, **more: Any) -> Event:
    """An event of a door, ten seconds after the one before, from 2026-11-23T23:00 on."""
    minute, second = divmod(number * 10, 60)
    return {
        "@timestamp": f"2026-11-2{3 + (23 + minute // 60) // 24}T{(23 + minute // 60) % 24:02}:{minute % 60:02}:{second:02}.000Z",
        "event.id": event_id("backtest", number), "event.dataset": "door", "event.action": "forced", "event.code": 7,
        "host.name": "gate", "user.name": "lan", "source.ip": ["10.0.0.1", "10.0.0.2"], **more,
    }  # fmt: skip


def site(folder: Path, *events: Event) -> Reader:
    """A store with these events."""
    settings = Store(memory_mb=20)
    writer = open_writer(folder, settings)
    writer.add(EVENTS, [document(event, encode(event)) for event in events])
    writer.close()
    return open_reader(folder, settings)


def book(folder: Path, *exceptions: str, **files: str) -> Loaded:
    """A rulebook of one folder with these files, and exceptions."""
    rules = folder / "rules"
    rules.mkdir()
    for name, text in files.items():
        (rules / f"{name}.yml").write_text(text, "utf-8")
    made = {
        f"{n}" * 8: RuleException(id=f"{n}" * 8, rules=(), text=text, author="a", reason="r", created=0.0)
        for n, text in enumerate(exceptions)
    }
    loaded = load_book(Revision(0, Book(exceptions=made)), [rules], {}, folder / "place")
    assert loaded.rules.refused == ()
    return loaded


def named(loaded: Loaded, title: str) -> Any:
    return next(rule for rule in loaded.every if rule.title == title)


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Reader]:
    """A day's end and the next one's beginning: 720 events, of which some are of other doors, codes, and sources."""
    events = []
    for number in range(720):
        more: dict[str, Any] = {}
        if number % 5 == 1:
            more = {"event.action": "opened"}
        elif number % 5 == 2:
            more = {"event.code": "9"}
        elif number % 5 == 3:
            more = {"event.dataset": "window"}
        elif number % 10 == 4:
            more = {"host.name": "cellar", "user.name": "porter" if number % 20 == 4 else "lan"}
        elif number % 10 == 5:
            more = {"user.name": "porter"}
        events.append(forced(number, **more))
    reader = site(tmp_path / "store", *events)
    yield reader
    reader.close()


def test_it_says_alerts_a_day_the_noisiest_and_a_sample_with_reasons(tmp_path: Path, doors: Reader) -> None:
    loaded = book(tmp_path, door=DOOR)
    made = backtest.run(doors, subject(loaded, named(loaded, "Door forced")), [], Limits())
    assert (made.events, made.examined) == (576, 432)  # all of its log source; those of another code are known without
    assert made.alerts == made.matches == 288
    assert dict(made.days) == {"2026-11-23": 144, "2026-11-24": 144}
    assert made.noisiest["hosts"].most_common() == [("gate", 216), ("cellar", 72)]
    assert made.noisiest["addresses"] == {"10.0.0.1": 288, "10.0.0.2": 288}
    assert (made.bounded, made.until, made.excepted, made.exceptions) == ("", "", 0, ())
    assert len(made.sample) == backtest.SAMPLE
    assert [each["@timestamp"] for each in made.sample] == sorted(each["@timestamp"] for each in made.sample)
    assert {"selection": "selection", "field": "event.action", "value": "forced"} in made.sample[0]["reasons"]
    assert made.as_json()["events_per_second"] > 0
    hanoi = backtest.run(
        doors, subject(loaded, named(loaded, "Door forced")), [], Limits(), zone=ZoneInfo("Asia/Ho_Chi_Minh")
    )
    assert dict(hanoi.days) == {"2026-11-24": 288}


def test_a_time_is_kept_to(tmp_path: Path, doors: Reader) -> None:
    loaded = book(tmp_path, door=DOOR)
    span = [{"range": {"@timestamp": {"gte": "2026-11-24T00:00:00Z", "lt": "2026-11-24T00:30:00Z"}}}]
    made = backtest.run(doors, subject(loaded, named(loaded, "Door forced")), span, Limits())
    assert (made.events, made.alerts) == (144, 72)


def test_exceptions_are_kept_to_and_counted_and_filters_of_packs_are_no_exceptions(
    tmp_path: Path, doors: Reader
) -> None:
    loaded = book(tmp_path, EXCEPTION, door=DOOR, cellar=PACK_FILTER)
    made = backtest.run(doors, subject(loaded, named(loaded, "Door forced")), [], Limits())
    assert (made.alerts, made.excepted, made.exceptions) == (144, 72, ("00000000",))
    assert "porter" not in made.noisiest["users"]
    of_correlation = backtest.run(
        doors, subject(loaded, named(loaded, "Doors forced one after the other")), [], Limits()
    )
    assert (of_correlation.matches, of_correlation.excepted) == (144, 72)


def test_a_bound_ends_it_and_it_says_where(tmp_path: Path, doors: Reader) -> None:
    loaded = book(tmp_path, door=DOOR)
    wanted = subject(loaded, named(loaded, "Door forced"))
    made = backtest.run(doors, wanted, [], Limits(), Bounds(events=100))
    assert (made.examined, made.bounded, made.events) == (100, "events", 576)
    assert made.until == "2026-11-23T23:27:30.000Z"
    assert max(each["@timestamp"] for each in made.sample) <= made.until
    assert backtest.run(doors, wanted, [], Limits(), Bounds(events=432)).bounded == ""
    assert backtest.run(doors, wanted, [], Limits(), Bounds(events=1000, seconds=1000)).bounded == ""


def test_a_time_bound_ends_it_too(tmp_path: Path, doors: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.store import tantivy_part

    monkeypatch.setattr(tantivy_part, "_LINES", 50)
    loaded = book(tmp_path, door=DOOR)
    made = backtest.run(doors, subject(loaded, named(loaded, "Door forced")), [], Limits(), Bounds(seconds=0))
    assert (made.bounded, made.examined) == ("seconds", 50)


def test_a_correlation_says_what_the_engine_says_in_order_of_time(tmp_path: Path) -> None:
    events = [forced(number, **{"host.name": f"h{number % 2}"}) for number in range(300)]
    imported = [
        {**event, "event.id": event_id("import", n), "labels.source": "import"} for n, event in enumerate(events[:40])
    ]
    loaded = book(tmp_path, door=DOOR)
    rule = named(loaded, "Doors forced one after the other")
    assert isinstance(rule, Correlation)
    reader = site(tmp_path / "store", *events, *imported)
    made = backtest.run(reader, subject(loaded, rule), [], Limits(), sample=1000)
    reader.close()
    expected = []
    for own in (events, imported):  # an import is correlated by itself
        engine = Correlations(loaded.rules.correlations, Limits(lateness=None))
        for event in own:
            engine.feed(event, [each.id for each in loaded.rules.evaluate(event)])
        expected += [alert["@timestamp"] for alert in engine.finish() if alert["rule.id"] == rule.id]
    assert made.matches == 340 and made.alerts == len(expected) > 10
    assert [each["@timestamp"] for each in made.sample] == sorted(expected)
    assert len(made.sample[0]["events"]) == 3
    assert made.sample[0]["reasons"][0]["selection"] == "correlation"
    assert sum(made.noisiest["hosts"].values()) == made.alerts


def test_a_file_that_is_not_in_the_rulebook_yet(tmp_path: Path, doors: Reader) -> None:
    loaded = book(tmp_path, EXCEPTION, door=DOOR)
    fresh = tmp_path / "fresh.yml"
    changed, _, late = DOOR.partition("---")
    fresh.write_text(changed.replace("['7', '8']", "'9'"), "utf-8")
    (made,), refused = subjects_of_file(loaded, fresh)
    assert refused == []
    found = backtest.run(doors, made, [], Limits())
    assert (found.alerts, found.events) == (144, 576)  # what the file says, not what the rulebook says of this id
    fresh.write_text(late.replace("21111111", "31111111"), "utf-8")
    (made,), refused = subjects_of_file(loaded, fresh)  # refers to a rule of the rulebook
    assert refused == [] and backtest.run(doors, made, [], Limits()).excepted == 108
    fresh.write_text(DOOR.replace("event.action: forced", "event.action|nope: forced"), "utf-8")
    made_none, refused = subjects_of_file(loaded, fresh)
    assert made_none == [] or all(isinstance(each.rule, Correlation) for each in made_none)
    assert any("nope" in each.reason for each in refused)
    in_folder = tmp_path / "rules" / "door.yml"
    both, refused = subjects_of_file(loaded, in_folder)
    assert (len(both), refused) == (2, [])


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return load_book(Revision(0, Book()), [shipped_rules()], {}, tmp_path_factory.mktemp("shipped"))


def test_the_store_is_asked_for_every_event_that_a_rule_may_match(shipped: Loaded) -> None:
    seen = 0
    for rule in shipped.rules.rules:
        if not Path(vectors.vector_path(rule.path)).is_file():
            continue
        found = read_vectors(Path(rule.path))
        for vector in (*found.hits, *found.misses) if not isinstance(found.hits[0], list) else ():
            event = {"event.id": "x", "@timestamp": "2026-11-24T00:00:00Z", **vector}
            if rule.applies(event):
                assert holds(of_route(rule.route), event), (rule.title, event)
                seen += 1
            if rule.matches(event):
                assert holds(of_rule(rule), event), (rule.title, event)
    assert seen > 300


@pytest.mark.parametrize(
    "event",
    [
        {"event.dataset": "LINUX.Auth"}, {"Channel": "security", "EventID": 4625},
        {"winlog.channel": "Security", "winlog.event_id": "4625"}, {"winlog.channel": "", "Channel": "SECURITY", "event.code": "4625"},
        {"event.dataset": "windows.foo"}, {"event.dataset": ["linux.auth"]}, {"event.dataset": 7}, {},
    ],
)  # fmt: skip
def test_routes_never_lose_an_event(shipped: Loaded, event: Event) -> None:
    event = {"event.id": "x", "@timestamp": "2026-11-24T00:00:00Z", **event}
    for rule in shipped.rules.rules:
        if rule.applies(event):
            assert holds(of_route(rule.route), event), rule.title


@pytest.fixture(scope="module")
def attacks(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Iterator[tuple[Reader, list[Event]]]:
    from tests.detectors.test_backtest_pysigma import recorded

    events = recorded(shared_data)
    reader = site(tmp_path_factory.mktemp("attacks"), *events)
    yield reader, events
    reader.close()


@pytest.mark.slow
def test_recorded_attacks_out_of_the_store_are_what_the_engine_finds_one_by_one(
    attacks: tuple[Reader, list[Event]], shipped: Loaded
) -> None:
    reader, events = attacks
    expected: dict[Rule, set[str]] = {}
    for event in events:
        for rule in shipped.rules.evaluate(event):
            expected.setdefault(rule, set()).add(event["event.id"])
    assert len(expected) > 25
    for rule in shipped.rules.rules[::3]:
        made = backtest.run(reader, subject(shipped, rule), [], Limits(), sample=len(events))
        assert {each["event.id"] for each in made.sample} == expected.get(rule, set()), rule.title


HAIDANG = str(Path(sys.executable).parent / "haidang")


def haidang(data_dir: Path, *arguments: str, language: str = "en") -> "subprocess.CompletedProcess[str]":
    """Run the command on a site whose rules are the folder `rules` beside its data."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HAIDANG_")}
    chosen = {
        "HAIDANG_DATA_DIR": str(data_dir), "HAIDANG_LANGUAGE": language,
        "HAIDANG_DETECTORS__RULES": json.dumps([str(data_dir.parent / "rules")]),
    }  # fmt: skip
    command = [HAIDANG, "rules", *arguments]
    return subprocess.run(command, env={**kept, **chosen}, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.slow
def test_the_command_prints_tables_or_json(tmp_path: Path, doors: Reader) -> None:
    book(tmp_path, door=DOOR)
    data = tmp_path / "store"
    open_state(data).dispose()
    (made,) = map(
        json.loads, haidang(data, "backtest", "Door forced", "--json", "--from", "2026-11-24").stdout.splitlines()
    )
    assert (made["alerts"], made["bounded"], made["mode"], made["from"]) == (144, None, "alert", "2026-11-24")
    text = haidang(data, "backtest", "Door forced", "--limit", "100")
    assert text.returncode == 0, text.stderr
    for part in ("examined one by one: 100", "Ended early", "gate", "event.action='forced'"):
        assert part in text.stdout
    fresh = tmp_path / "fresh.yml"
    fresh.write_text(DOOR.replace("level: high", "level: low"), "utf-8")
    vietnamese = haidang(data, "backtest", str(fresh), language="vi")
    assert vietnamese.stdout.count("sự kiện thuộc nguồn nhật ký") == 2
    assert haidang(data, "backtest", "no such rule").returncode == 2
    fields = haidang(data, "fields", "--all", "--days", "10000")
    assert fields.returncode == 0, fields.stderr
    assert "rules in use: 2; in the last 10000 days: nothing missing 2" in fields.stdout
    quiet = haidang(data, "fields", "--days", "0.001", language="vi")
    assert "product=door" in quiet.stdout and "nguồn nhật ký im lặng 2" in quiet.stdout
    assert [
        json.loads(line)["state"] for line in haidang(data, "fields", "--json", "--days", "0.001").stdout.splitlines()
    ] == ["silent"] * 2
    assert haidang(data, "backtest", "Door forced", "--from", "yesteryear").returncode == 2
