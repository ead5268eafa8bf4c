"""What saved things may hold, who sees and changes them, and the dashboards that come with us; on both states."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select

from pipeline.event import event_id
from pipeline.identity import permissions
from pipeline.identity.users import User
from pipeline.messages import HaidangError, speaking
from pipeline.saved import KINDS, Wanted, book, ready, shapes
from pipeline.settings import State
from pipeline.shipped import shipped_dashboards
from pipeline.state import open_state
from pipeline.state.tables import audit, saved_revisions

#: The examples of RFC 7946, appendix A, each as a feature.
_RFC = [
    {"type": "Point", "coordinates": [100.0, 0.0]},
    {"type": "LineString", "coordinates": [[100.0, 0.0], [101.0, 1.0]]},
    {"type": "Polygon", "coordinates": [
        [[100.0, 0.0], [101.0, 0.0], [101.0, 1.0], [100.0, 1.0], [100.0, 0.0]],
        [[100.8, 0.8], [100.8, 0.2], [100.2, 0.2], [100.2, 0.8], [100.8, 0.8]],
    ]},
    {"type": "MultiPoint", "coordinates": [[100.0, 0.0], [101.0, 1.0]]},
    {"type": "MultiLineString", "coordinates": [[[100.0, 0.0], [101.0, 1.0]], [[102.0, 2.0], [103.0, 3.0]]]},
    {"type": "MultiPolygon", "coordinates": [
        [[[102.0, 2.0], [103.0, 2.0], [103.0, 3.0], [102.0, 3.0], [102.0, 2.0]]],
        [[[100.0, 0.0], [101.0, 0.0], [101.0, 1.0], [100.0, 1.0], [100.0, 0.0]],
         [[100.2, 0.2], [100.2, 0.8], [100.8, 0.8], [100.8, 0.2], [100.2, 0.2]]],
    ]},
    {"type": "GeometryCollection", "geometries": [
        {"type": "Point", "coordinates": [100.0, 0.0]}, {"type": "LineString", "coordinates": [[101.0, 0.0], [102.0, 1.0]]},
    ]},
]  # fmt: skip
_PANEL = {"id": "a", "title": "Sự kiện", "kind": "area", "x": 0, "y": 0, "w": 4, "h": 2}


def _map(*geometries: Any) -> dict[str, Any]:
    return {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "properties": None, "geometry": each} for each in geometries],
    }


def _someone(name: str, role: str = "analyst") -> User:
    return User(name, role, permissions.ROLES[role])


@pytest.fixture(params=["sqlite", "postgresql"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A state of each kind."""
    url = request.getfixturevalue("postgres").new_database() if request.param == "postgresql" else ""
    engine = open_state(tmp_path, State(url=url))
    yield engine
    engine.dispose()


def test_every_geometry_of_the_rfc_is_a_map() -> None:
    whole = _map(*_RFC, None)
    assert json.loads(shapes.checked("map", whole)) == whole


@pytest.mark.parametrize(
    ("geometry", "place"),
    [
        ({"type": "Point", "coordinates": [181, 0]}, "features[0].geometry.coordinates"),
        ({"type": "Point", "coordinates": [0, "0"]}, "features[0].geometry.coordinates"),
        ({"type": "Point", "coordinates": [True, 0]}, "features[0].geometry.coordinates"),
        ({"type": "Point"}, "features[0].geometry.coordinates"),
        ({"type": "LineString", "coordinates": [[0, 0]]}, "features[0].geometry.coordinates"),
        ({"type": "LineString", "coordinates": [[0, 0], [0, 91]]}, "features[0].geometry.coordinates[1]"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}, "features[0].geometry.coordinates[0]"),
        ({"type": "MultiPolygon", "coordinates": [[[0, 0]]]}, "features[0].geometry.coordinates[0][0][0]"),
        ({"type": "Circle", "coordinates": [0, 0]}, "features[0].geometry"),
        ({"type": "GeometryCollection", "geometries": [_RFC[6]]}, "features[0].geometry.geometries[0]"),
        ([], "features[0].geometry"),
    ],
)
def test_what_is_wrong_in_a_map_is_told_with_its_place(geometry: Any, place: str) -> None:
    with pytest.raises(HaidangError) as caught:
        shapes.checked("map", _map(geometry))
    assert str(caught.value).startswith(f"{place}: ")


def test_a_map_has_no_crs_no_missing_geometry_and_not_too_many_positions() -> None:
    for bad, told in (
        ({**_map(), "crs": {}}, "WGS 84"),
        ({"type": "FeatureCollection"}, "features: expected a list"),
        ({"type": "Feature"}, "FeatureCollection"),
        ({"type": "FeatureCollection", "features": [{"type": "Feature"}]}, "features[0].geometry"),
        (_map({"type": "MultiPoint", "coordinates": [[1, 1]] * 50_001}), "at most 50000"),
        (_map(*[{"type": "MultiPoint", "coordinates": [[1, 1]] * 26_000}] * 2), "at most 50000"),
    ):
        with pytest.raises(HaidangError) as caught:
            shapes.checked("map", bad)
        assert told in str(caught.value)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({}, ("version",)),
        ({"version": 2, "panels": []}, ("version",)),
        ({"version": 1, "panels": [{**_PANEL, "kind": "pancake"}]}, ("panels", 0, "kind")),
        ({"version": 1, "panels": [{**_PANEL, "x": -1}]}, ("panels", 0, "x")),
        ({"version": 1, "panels": [{**_PANEL, "script": "x"}]}, ("panels", 0, "script")),
        ({"version": 1, "panels": [_PANEL] * 61}, ("panels",)),
        ({"version": 1, "panels": [], "variables": [{"name": "a b"}]}, ("variables", 0, "name")),
        ({"version": 1, "panels": [], "refresh": 1.5}, ("refresh",)),
    ],
)
def test_what_is_wrong_in_a_dashboard_is_told_with_its_place(body: Any, place: tuple[Any, ...]) -> None:
    with pytest.raises(shapes.BadShape) as caught:
        shapes.checked("dashboard", body)
    assert caught.value.faults[0]["loc"] == place


def test_bodies_are_bounded_in_size_depth_and_what_json_keeps() -> None:
    deep: Any = {}
    for _ in range(10_000):
        deep = {"a": [deep]}
    for kind, body, key in (
        ("search", {"query": "", "more": "x" * 64_000}, "saved.too_large"),
        ("search", {"more": deep}, "saved.too_deep"),
        ("search", {"more": 2**70}, "saved.no_number"),
        ("search", {"more": float("nan")}, "saved.no_number"),
        ("search", {"a\0": 1}, "saved.no_text"),
        ("range", {"from": "now-1h", "to": "\ud800"}, "saved.no_text"),
        ("dashboard", {"version": 1, "panels": [_PANEL, _PANEL]}, "saved.panel_twice"),
    ):
        with pytest.raises(HaidangError) as caught:
            shapes.checked(kind, body)
        assert caught.value.key == key


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(kind=st.sampled_from(KINDS), body=st.dictionaries(st.text(), _JSON) | _JSON)
def test_whatever_comes_is_kept_as_it_is_or_refused(kind: str, body: Any) -> None:
    try:
        kept = shapes.checked(kind, body)
    except (HaidangError, shapes.BadShape) as error:
        assert str(error)
    else:
        assert json.loads(kept) == body


def test_the_dashboards_that_come_with_us_are_good_in_both_languages() -> None:
    files = sorted(shipped_dashboards().glob("*.json"))
    assert files
    for tongue in ("vi", "en"):
        with speaking(tongue):
            things = ready.all_of_them()
            assert [each["id"] for each in things] == [f"ready-{file.stem}" for file in files]
            for thing in things:
                shapes.checked(thing["kind"], thing["body"])
                assert isinstance(thing["name"], str)
                assert thing["name"].strip()
                assert ready.named(thing["id"]) == thing
    with speaking("vi"):
        vietnamese = ready.named("ready-overview")
    with speaking("en"):
        english = ready.named("ready-overview")
    assert vietnamese and english and vietnamese["name"] != english["name"]


def test_who_sees_and_changes_what(state: Engine) -> None:
    an, binh, viewer, lead = _someone("an"), _someone("bình"), _someone("v", "viewer"), _someone("chi", "lead")
    everyone = (an, binh, viewer, lead)
    things = {
        shared if isinstance(shared, str) else "role": book.make(
            state, an, "", "search", Wanted("Đăng nhập", "", {"query": "x"}, shared)
        )
        for shared in ("private", "everyone", ["role:lead", "role:viewer"])
    }
    seen = {who.name: {each["id"] for each in book.listed(state, who, "search")} for who in everyone}
    ids = {name: thing["id"] for name, thing in things.items()}
    assert seen["an"] == set(ids.values())
    assert seen["bình"] == {ids["everyone"]}
    assert seen["v"] == seen["chi"] == {ids["everyone"], ids["role"]}
    again = Wanted("Khác", "", {"query": "y"}, "everyone")
    for who, name, key in (
        (binh, "private", "saved.none"), (binh, "everyone", "saved.not_yours"), (viewer, "role", "saved.not_yours"),
        (lead, "private", "saved.none"),
    ):  # fmt: skip
        with pytest.raises(HaidangError) as caught:
            book.change(state, who, "", ids[name], 1, again)
        assert caught.value.key == key
        with pytest.raises(HaidangError):
            book.remove(state, who, "", ids[name])
    changed = book.change(state, lead, "", ids["role"], 1, again)
    assert (changed["owner"], changed["changed_by"], changed["revision"]) == ("an", "chi", 2)
    with pytest.raises(HaidangError) as caught:
        book.make(state, viewer, "", "search", again)
    assert caught.value.key == "saved.may_not_share"
    own = book.make(state, viewer, "", "search", Wanted("Riêng", "", {"query": "y"}))
    assert book.one(state, viewer, own["id"])["body"] == {"query": "y"}
    for bad in ("nobody", ["analyst"], ["role:none-such"], []):
        with pytest.raises(HaidangError):
            book.make(state, an, "", "search", Wanted("x", "", {}, bad))


def test_a_change_is_in_the_history_and_an_old_body_comes_back(state: Engine) -> None:
    an = _someone("an")
    made = book.make(state, an, "10.0.0.1", "range", Wanted("Đêm", "", {"from": "0", "to": "1"}))
    for number in range(1, 25):
        wanted = Wanted("Đêm", "", {"from": "0", "to": str(number + 1)})
        assert book.change(state, an, "10.0.0.1", made["id"], number, wanted)["revision"] == number + 1
    with pytest.raises(HaidangError) as caught:
        book.change(state, an, "", made["id"], 24, Wanted("x", "", {"from": "0", "to": "0"}))
    assert caught.value.key == "saved.changed_meanwhile"
    kept = book.history(state, an, made["id"])
    assert [each["revision"] for each in kept] == list(range(25, 5, -1))
    back = book.change(state, an, "", made["id"], 25, Wanted("Đêm", "", kept[-1]["body"]))
    assert (back["body"], back["revision"]) == ({"from": "0", "to": "6"}, 26)
    book.remove(state, an, "", made["id"])
    with state.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(saved_revisions)) == 0
        actions = connection.scalars(select(audit.c.action).order_by(audit.c.id)).all()
    assert actions == ["saved_made", *["saved_changed"] * 25, "saved_removed"]


def test_one_may_own_so_much_and_no_more(state: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "MOST_THINGS", 2)
    an = _someone("an")
    for number in range(2):
        made = book.make(state, an, "", "search", Wanted(str(number), "", {}))
    with pytest.raises(HaidangError) as caught:
        book.make(state, an, "", "search", Wanted("3", "", {}))
    assert caught.value.key == "saved.no_room"
    assert book.change(state, an, "", made["id"], 1, Wanted("2", "", {"query": "y"}))["revision"] == 2
    with pytest.raises(HaidangError) as caught:
        book.one(state, an, event_id("saved", "none"))
    assert caught.value.key == "saved.none"
