"""Stored events are searched, in both stores: what is found is what would have been found as the events came."""

import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from detectors.indicators import kept, ready
from detectors.indicators.alerting import alerts_of
from detectors.indicators.allow import Allow
from detectors.indicators.index import Few
from detectors.indicators.indicator import Indicator
from detectors.indicators.matcher import FIELDS, Matcher
from detectors.indicators.retro import Retro
from pipeline.event import Event, encode, event_id
from pipeline.networks import Site
from pipeline.settings import Behaviours, Settings, Store
from pipeline.state import open_state
from pipeline.store import EVENTS, Reader, open_reader, open_writer
from pipeline.store.document import document

_PREFIXES = count()
SITE = Site(Behaviours().local_networks)
HASHES = {"md5": "ab" * 16, "sha1": "cd" * 20, "sha256": "ef" * 32}
LISTED = [
    Indicator("address", "45.9.148.3", "report", "c2", 90), Indicator("network", "46.8.0.0/16", "report", "malware", 90),
    Indicator("domain", "evil.example.com", "report", "c2", 90), Indicator("host", "only.example.org", "report", "tor", 90),
    Indicator("url", "bad.example.net:8080/x/a.exe", "report", "malware", 90), Indicator("email", "a@evil.com", "report"),
    Indicator("ja3", "11" * 16, "report", "c2", 90), Indicator("ja4", "t10i120400_9a86275ec70d_368bf2d64253", "report"),
    Indicator("certificate", "22" * 32, "report"), *(Indicator(kind, value, "report") for kind, value in HASHES.items()),
]  # fmt: skip
#: A value of each kind of field that is an indicator, and one that is near.
VALUES = {
    "address": ("45.9.148.3", "45.9.148.4"), "either": ("www.evil.example.com", "notevil.example.com"),
    "name": ("evil.example.com", "evil.example.com.vn"), "email": ("a@evil.com", "b@evil.com"),
    "url": ("https://Bad.example.net:8080/x/a.exe?y=1", "https://bad.example.net/x/a.exe"),
}  # fmt: skip


def _events() -> list[Event]:
    made: list[dict[str, Any]] = []
    for field, (way, _, kinds) in FIELDS.items():
        hit, near = VALUES.get(way, ("", ""))
        if way == "hash":
            hit = (
                "11" * 16
                if "ja3" in kinds
                else "t10i120400_9a86275ec70d_368bf2d64253"
                if "ja4" in kinds
                else ("22" * 32 if "certificate" in kinds else HASHES[next(iter(kinds))])
            )
            near = "99" * (len(hit) // 2)
        made += [{field: hit}, {field: near}]
    made += [
        {"destination.ip": "46.8.77.1"}, {"destination.ip": "46.9.0.1"}, {"dns.question.name": "only.example.org"},
        {"dns.question.name": "www.only.example.org"}, {"dns.resolved_ip": ["1.2.3.4", "45.9.148.3"]},
        {"url.domain": "bad.example.net", "url.original": "/x/a.exe?z=2", "destination.port": 8080},
        {"url.domain": "bad.example.net", "url.original": "/x/a.exe", "destination.port": 80},
    ]  # fmt: skip
    return [
        {"@timestamp": f"2026-11-24T{number // 60:02}:{number % 60:02}:44.000Z", "event.id": event_id("retro", number),
         "source.port": 40_000, "host.name": f"may-{number}", **fields}
        for number, fields in enumerate(made)
    ]  # fmt: skip


@pytest.fixture(params=["tantivy", "elasticsearch"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """A site with events in its store."""
    store = Store()
    if request.param == "elasticsearch":
        node = request.getfixturevalue("elasticsearch")
        store = Store(kind="elasticsearch", urls=[node.url], index_prefix=f"retro{next(_PREFIXES)}-", replicas=0)
    settings = Settings(data_dir=tmp_path / "data", store=store, indicators={"retro_days": 36_000})  # type: ignore[arg-type]
    writer = open_writer(settings.data_dir, store)
    added = writer.add(EVENTS, [document(each, encode(each)) for each in _events()])
    assert added.refused == ()
    writer.close()
    return settings


class Run:
    """Searches of a site, with what they have told."""

    def __init__(self, settings: Settings) -> None:
        self.told: list[Event] = []
        self.engine: Engine = open_state(settings.data_dir, settings.state)
        self.reader: Reader = open_reader(settings.data_dir, settings.store)
        self.stops_after = 10**9
        self._settings = settings

    def __call__(self) -> kept.Search:
        """Run what waits, and return the last search."""
        everything = ready.current(self.engine, self._settings)
        retro = Retro(self.engine, self.reader, self._settings, Allow(()), self._publish)
        for each in kept.searches(self.engine, waiting=True):
            retro.run(each, everything)
        return kept.searches(self.engine)[0]

    def _publish(self, alerts: list[Event]) -> bool:
        if self.stops_after <= 0:
            return False
        self.stops_after -= 1
        self.told += alerts
        return True


@pytest.fixture
def run(site: Settings) -> Iterator[Run]:
    made = Run(site)
    yield made
    made.reader.close()
    made.engine.dispose()


def _as_they_came() -> set[str]:
    """The ids of the alerts that there would have been."""
    matcher = Matcher([Few(LISTED)], Allow(()))
    return {
        alert["event.id"] for each in _events() if (hits := matcher.hits(each)) for alert in alerts_of(each, hits, SITE)
    }


@pytest.mark.slow
def test_the_store_is_asked_for_new_indicators(run: Run) -> None:
    kept.add_live(run.engine, LISTED, ("an", ""), "a report", 36_000)
    done = run()
    assert (done.state, done.kind, done.done) == (kept.DONE, kept.VALUES, len(LISTED))
    expected = _as_they_came()
    assert len(expected) > len(FIELDS)
    assert {each["event.id"] for each in run.told} == expected
    assert done.found == len(run.told) == len(expected)
    assert done.examined < 2 * len(_events())
    assert all(each["alert.found_afterwards"] for each in run.told)


@pytest.mark.slow
def test_stored_events_are_read_through_for_many(run: Run) -> None:
    kept.add_live(run.engine, LISTED, ("an", ""), "a report", 0)
    kept.add_search(run.engine, kept.new_search("report", [], 36_000, 1_000_000))
    done = run()
    assert (done.state, done.kind) == (kept.DONE, kept.READING)
    assert {each["event.id"] for each in run.told} == _as_they_came()
    assert done.examined == len(_events())


@pytest.mark.slow
@pytest.mark.parametrize("site", ["tantivy"], indirect=True)
def test_a_search_that_was_stopped_goes_on_where_it_was(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detectors.indicators.retro._BATCH", 2)
    kept.add_live(run.engine, LISTED, ("an", ""), "a report", 36_000)
    run.stops_after = 2
    stopped = run()
    assert stopped.state == kept.WAITING
    assert 0 < stopped.done < len(LISTED)
    before = len(run.told)
    run.stops_after = 10**9
    done = run()
    assert done.state == kept.DONE
    assert {each["event.id"] for each in run.told} == _as_they_came()
    assert len(run.told) == done.found > before


@pytest.mark.slow
@pytest.mark.parametrize("site", ["tantivy"], indirect=True)
def test_what_is_bounded_says_so(run: Run, site: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detectors.indicators.retro._MOST_ALERTS", 3)
    monkeypatch.setattr("detectors.indicators.retro._BATCH", 2)
    kept.add_live(run.engine, LISTED, ("an", ""), "a report", 36_000)
    assert run().state == kept.BOUNDED
    few = site.model_copy(update={"indicators": site.indicators.model_copy(update={"retro_events": 5})})
    short = Run(few)
    kept.add_search(short.engine, kept.new_search("report", [], 36_000, 1_000_000))
    done = short()
    short.reader.close()
    assert done.state == kept.BOUNDED
    assert 5 <= done.examined < len(_events())
    assert done.done > done.since


@pytest.mark.slow
@pytest.mark.parametrize("site", ["tantivy"], indirect=True)
def test_a_search_that_fails_says_why_and_stops_no_other(run: Run) -> None:
    row = kept.new_search("report", [LISTED[0].line()], 36_000)
    kept.add_search(run.engine, {**row, "lines": b"damaged"})
    kept.add_live(run.engine, LISTED[:1], ("an", ""), "a report", 36_000)
    good = run()
    assert (good.state, good.found > 0) == (kept.DONE, True)
    bad = kept.searches(run.engine)[1]
    assert bad.state == kept.FAILED
    assert "ZstdError" in bad.error
    assert time.time() - bad.ended < 600
