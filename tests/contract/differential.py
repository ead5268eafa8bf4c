"""A store against the oracle (`naive.py`): random events, random conditions, the same hits. A subclass gives `reader`."""

import random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.event import Event, event_id
from pipeline.store import EVENTS, Reader
from pipeline.store import query as q
from pipeline.store.request import MAX_WINDOW
from tests.contract.naive import holds

_USERS = [
    "root",
    "ROOT",
    "Nguyễn Văn Đăng",
    "nguyen van dang",
    "admin",
    "a*b",
    "c?d",
    "back\\slash",
    "",
    "ad min",
    "443",
]
_PORTS = [22, 443, 8080, 65535, "443", "0x1bb", -1, 0]
_ADDRESSES = ["10.0.0.1", "10.0.1.7", "192.168.1.9", "2001:db8::5", "fe80::1", "not an address"]
_WORDS = ["failed", "Failed", "password", "Đăng", "nhập", "thất", "bại", "for", "root", "10.0.0.1", "a_b", "x-y"]
_TAGS = ["one", "Two", "three"]
_FIELDS = ["user.name", "source.port", "source.ip", "tags", "flag", "ratio", "host.name", "user", "nothing"]


def sample(count: int, seed: int = 20_261_124) -> list[Event]:
    """Return random events, the same for the same seed, over three days and a month of history."""
    chance = random.Random(seed)
    events = []
    for number in range(count):
        day = chance.choice(["2026-11-22", "2026-11-23", "2026-11-24", "2019-03-07"])
        event: Event = {
            "@timestamp": f"{day}T{chance.randrange(24):02}:{chance.randrange(60):02}:00.{chance.randrange(1000):03}Z",
            "event.id": event_id("differential", number),
        }
        choices: list[tuple[str, Any]] = [
            ("user.name", chance.choice(_USERS)), ("source.port", chance.choice(_PORTS)), ("source.ip", chance.choice(_ADDRESSES)),
            ("tags", chance.sample(_TAGS, chance.randrange(4))), ("flag", chance.choice([True, False])),
            ("ratio", chance.choice([0.5, 1.0, 2.25, -3.5])), ("host.name", chance.choice(["web", "db", "Máy chủ"])),
            ("message", " ".join(chance.choices(_WORDS, k=chance.randrange(1, 7)))),
            ("event.original", " ".join(chance.choices(_WORDS, k=chance.randrange(1, 7)))),
        ]  # fmt: skip
        event.update((name, value) for name, value in choices if chance.random() < 0.7)
        events.append(event)
    return events


_FIELD = st.sampled_from(_FIELDS)
_VALUE = st.sampled_from([*_USERS, *_PORTS, *_ADDRESSES, *_TAGS, True, False, 0.5, 1.0, 1, "web", "may chu", "true"])
_PATTERN = st.sampled_from(["*", "r*", "*N*", "?oot", "a\\*b", "*\\\\*", "nguyễn*", "*đăng", "10.*", "x", "T*"])
_LEAF = st.one_of(
    st.builds(lambda name, some: q.equals(name, tuple(some)), _FIELD, st.lists(_VALUE, min_size=1, max_size=3)),
    st.builds(q.Exists, _FIELD, st.booleans()),
    st.builds(q.Like, st.sampled_from(["user.name", "host.name", "source.ip", "tags"]) | st.none(), _PATTERN),
    st.builds(q.Phrase, st.lists(st.sampled_from(_WORDS), min_size=1, max_size=3).map(" ".join)),
    st.builds(
        lambda field, low, high, include: q.within(field, low, high, *include, "test"),
        st.sampled_from(["source.port", "ratio"]),
        st.sampled_from([None, -5, 0, 22, 443, 0.5]),
        st.sampled_from([None, 22, 443, 1.0, 65535]),
        st.tuples(st.booleans(), st.booleans()),
    ),
    st.builds(
        lambda low, high, include: q.within("user.name", low, high, *include, "test"),
        st.sampled_from(["a", "b", "n", "ROOT"]),
        st.sampled_from(["root", "z", "Nguyễn"]),
        st.tuples(st.booleans(), st.booleans()),
    ),
    st.builds(
        lambda low, high, include: q.within(q.TIME, low, high, *include, "test"),
        st.sampled_from([None, "2026-11-23T00:00:00Z", "2019-03-07T12:00:00Z", "2026-11-24T11:00:00Z"]),
        st.sampled_from([None, "2026-11-23T23:59:59Z", "2026-11-24T12:00:00Z"]),
        st.tuples(st.booleans(), st.booleans()),
    ),
    st.builds(
        q.InNetwork,
        st.just("source.ip"),
        st.sampled_from(["10.0.0.0/16", "10.0.0.0/24", "::/0", "0.0.0.0/0", "fe80::/10"]),
    ),
)
_PARTS = st.lists(_LEAF, max_size=3).map(tuple)
CONDITIONS = st.recursive(
    _LEAF,
    lambda inner: st.builds(
        lambda must, should, must_not, least: q.Combined(must, should, must_not, min(least, len(should))),
        st.lists(inner, max_size=2).map(tuple), st.lists(inner, max_size=3).map(tuple), st.lists(inner, max_size=2).map(tuple),
        st.integers(0, 2),
    ),
    max_leaves=6,
)  # fmt: skip


class DifferentialSuite:
    """The suite."""

    @settings(  # several stores in one session: the suite has an executor for each
        max_examples=400,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(condition=CONDITIONS)
    def test_a_store_finds_what_the_oracle_finds(
        self, reader_of_sample: tuple[Reader, list[Event]], condition: q.Condition
    ) -> None:
        reader, events = reader_of_sample
        expected = {event["event.id"] for event in events if holds(condition, event)}
        answer = reader.search(EVENTS, {"query": condition, "size": MAX_WINDOW})
        assert {hit["_id"] for hit in answer["hits"]["hits"]} == expected
        assert answer["hits"]["total"]["value"] == len(expected)
