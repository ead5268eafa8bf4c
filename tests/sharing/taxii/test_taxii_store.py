"""Collections on SQLite and on PostgreSQL: order, versions, limits, what several writers do at once."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from pipeline.messages import HaidangError
from pipeline.settings import State
from pipeline.state import open_state
from pipeline.state.tables import audit, taxii_clients, taxii_collections, taxii_objects
from sharing.taxii import adding, clients, store
from sharing.taxii.store import ALL, FIRST, LAST, Collection, Wanted

WHO = ("test", "here")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    url = request.getfixturevalue("postgres").new_database() if request.param == "postgresql" else ""
    made = open_state(tmp_path, State(url=url))
    yield made
    made.dispose()


def indicator(number: int, month: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "type": "indicator", "spec_version": "2.1", "id": f"indicator--00000000-0000-4000-8000-{number:012x}",
        "created": "2026-01-01T00:00:00.000Z", "modified": f"2026-{month:02}-01T00:00:00.000Z", "pattern_type": "stix",
        "pattern": "[domain-name:value = 'a.example']", "valid_from": "2026-01-01T00:00:00Z", **more,
    }  # fmt: skip


def green(engine: Engine) -> Collection:
    return store.named(store.ensure(engine), "tlp-green")


def put(engine: Engine, objects: list[dict[str, Any]], most: int | None = None) -> list[str]:
    with engine.begin() as connection:
        return [
            each.state
            for each in store.put(connection, store.named(store.collections(connection), "tlp-green"), objects, most)
        ]


def page(engine: Engine, **wanted: Any) -> list[tuple[int, str]]:
    with engine.connect().execution_options(read_only=True) as connection:
        rows = store.page(connection, green(engine), Wanted(**wanted)).rows
    return [(int(row.id[-12:], 16), row.version[5:7]) for row in rows]


def test_collections_are_made_once_whoever_asks_first(engine: Engine) -> None:
    found: list[Any] = []
    asking = [threading.Thread(target=lambda: found.append(store.ensure(engine))) for _ in range(4)]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    assert [each.alias for each in found[0]] == list(store.ALIASES)
    assert all(each == found[0] for each in found) and len(found) == 4
    with pytest.raises(HaidangError, match=r"no collection 'none'.*tlp-green"):
        store.named(found[0], "none")


def test_versions_are_marked_whatever_their_order(engine: Engine) -> None:
    assert put(engine, [indicator(1, 5), indicator(1, 3), indicator(2)]) == ["added"] * 3
    assert put(engine, [indicator(1, 9), indicator(1, 1), indicator(1, 5)]) == ["added", "added", "known"]
    assert page(engine) == [(2, "01"), (1, "09")]
    assert page(engine, versions=(FIRST,)) == [(2, "01"), (1, "01")]
    assert page(engine, versions=(ALL,)) == [(1, "05"), (1, "03"), (2, "01"), (1, "09"), (1, "01")]
    with engine.begin() as connection:
        assert store.remove(connection, green(engine), indicator(1)["id"], (LAST,)) == 1
    assert page(engine, ids=(indicator(1)["id"],)) == [(1, "05")]
    with engine.begin() as connection:
        assert store.remove(connection, green(engine), indicator(1)["id"], (ALL,)) == 3
        assert store.remove(connection, green(engine), indicator(1)["id"], (ALL,)) == 0
    assert page(engine, versions=(ALL,)) == [(2, "01")]
    assert green(engine).count == 1


def test_what_has_no_version_is_kept_anew_only_where_it_differs(engine: Engine) -> None:
    address = {"type": "ipv4-addr", "id": f"ipv4-addr--{'0' * 8}-0000-4000-8000-{'0' * 12}", "value": "1.2.3.4"}
    assert put(engine, [address, address]) == ["added", "known"]
    assert put(engine, [{**address, "defanged": True}, address]) == ["added", "added"]
    with engine.connect().execution_options(read_only=True) as connection:
        rows = store.page(connection, green(engine), Wanted(versions=(ALL,))).rows
    assert [row.version for row in rows] == [store.from_added(row.added) for row in rows]
    assert len(page(engine)) == 1


def test_another_object_of_the_same_version_is_not_put_in_its_place(engine: Engine) -> None:
    put(engine, [indicator(1)])
    assert put(engine, [indicator(1, name="other"), indicator(2), indicator(2, name="other")]) == [
        "differs",
        "added",
        "differs",
    ]


def test_a_full_collection_still_knows_what_it_has(engine: Engine) -> None:
    assert put(engine, [indicator(number) for number in range(5)], 3) == ["added"] * 3 + ["full"] * 2
    assert put(engine, [indicator(0), indicator(7)], 3) == ["known", "full"]


def test_an_object_has_so_many_versions_and_no_more(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_OF_OBJECT", 3)
    assert put(engine, [indicator(1, month) for month in (1, 2, 3, 4)]) == ["added"] * 3 + ["crowded"]
    assert put(engine, [indicator(1, 5), indicator(1, 2), indicator(2)]) == ["crowded", "known", "added"]
    status = adding.add(engine, green(engine), [indicator(1, 6)], "x", 100, 400)
    assert "3 versions" in status["failures"][0]["message"]


def test_a_page_of_large_objects_has_fewer_and_says_that_there_are_more(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_MOST_BYTES", 5_000)
    put(engine, [indicator(number, x_large="x" * (10_000 if number == 2 else 1_500)) for number in range(5)])
    found: list[list[int]] = []
    after, more = -1, True
    while more:
        with engine.connect().execution_options(read_only=True) as connection:
            rows, more = store.page(connection, green(engine), Wanted(after=after))
        found.append([int(row.id[-12:], 16) for row in rows])
        after = rows[-1].added
    assert found == [[0, 1], [2], [3, 4]]
    with engine.connect().execution_options(read_only=True) as connection:
        assert len(store.page(connection, green(engine), Wanted(), bodies=False).rows) == 5


def test_what_is_old_is_forgotten_and_the_rest_marked_anew(engine: Engine) -> None:
    put(engine, [indicator(1, 1), indicator(2)])
    time.sleep(0.002)
    between = time.time_ns() // 1000
    put(engine, [indicator(1, 2)])
    with engine.begin() as connection:
        assert store.forget(connection, green(engine), between) == 2
        assert store.forget(connection, green(engine), between) == 0
    assert page(engine, versions=(FIRST,)) == page(engine, versions=(ALL,)) == [(1, "02")]
    assert green(engine).count == 1


def test_moments_grow_also_where_the_clock_went_back(engine: Engine) -> None:
    store.ensure(engine)
    ahead = time.time_ns() // 1000 + 3_600_000_000
    with engine.begin() as connection:
        connection.execute(update(taxii_collections).values(last=ahead))
    put(engine, [indicator(1), indicator(2)])
    with engine.connect().execution_options(read_only=True) as connection:
        added = list(connection.scalars(select(taxii_objects.c.added).order_by(taxii_objects.c.added)))
    assert added == [ahead + 1, ahead + 2]


def test_whoever_follows_misses_nothing_of_writers_at_the_same_time(engine: Engine) -> None:
    """Four writers, each in small transactions, and a reader that goes on from the last moment it has seen."""
    store.ensure(engine)
    ended = threading.Event()

    def write(writer: int) -> None:
        for start in range(0, 60, 3):
            put(engine, [indicator(writer * 1000 + start + each) for each in range(3)])

    seen: list[int] = []

    def follow() -> None:
        after = -1
        while True:
            last_look = ended.is_set()
            with engine.connect().execution_options(read_only=True) as connection:
                rows = store.page(connection, green(engine), Wanted(after=after, limit=7)).rows
            seen.extend(int(row.id[-12:], 16) for row in rows)
            after = rows[-1].added if rows else after
            if last_look and not rows:
                return

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    reader = threading.Thread(target=follow)
    for each in (*writers, reader):
        each.start()
    for each in writers:
        each.join()
    ended.set()
    reader.join()
    assert len(seen) == len(set(seen)) == 240


def test_writers_of_the_same_object_put_it_there_once(engine: Engine) -> None:
    store.ensure(engine)
    states: list[str] = []
    writers = [threading.Thread(target=lambda: states.extend(put(engine, [indicator(1)]))) for _ in range(6)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert sorted(states) == ["added"] + ["known"] * 5


def test_what_is_marked_for_fewer_is_refused_where_more_may_read(engine: Engine) -> None:
    red, clear = (
        f"marking-definition--{each}"
        for each in ("e828b379-4e03-4974-9ac4-e53a884c97c1", "94868c89-83c2-464b-929b-a1a8aa3c8487")
    )
    objects = [indicator(1, object_marking_refs=[clear, red]), indicator(2, object_marking_refs=[clear]), indicator(3)]
    status = adding.add(engine, green(engine), objects, "x", 100, 400)
    assert (status["success_count"], status["failure_count"]) == (2, 1)
    assert "TLP:red" in status["failures"][0]["message"]
    inbox = store.named(store.ensure(engine), store.INBOX)
    assert adding.add(engine, inbox, objects, "x", 100, 400)["failure_count"] == 0


def test_clients_are_added_revoked_and_end(engine: Engine) -> None:
    with engine.begin() as connection:
        secret = clients.add(connection, "doi-tac", {"tlp-green": "r", "inbox": "w"}, 1, WHO)
    client = clients.client_of(engine, secret, "doi-tac")
    assert client is not None and client.may("tlp-green", "r") and not client.may("tlp-green", "w")
    assert not client.may("tlp-red", "r") and client.may("inbox", "w")
    assert clients.client_of(engine, secret, "other") is None
    assert clients.client_of(engine, secret + "x") is None
    (listed,) = clients.listed(engine)
    assert listed["used"] is not None and secret not in str(listed) and "digest" not in listed
    with engine.connect().execution_options(read_only=True) as connection:
        assert secret not in str(connection.execute(select(taxii_clients)).all())
    for rights, told in (
        ({"x": "r"}, "no collection"),
        ({"inbox": "x"}, "no right"),
        ({}, "can do nothing"),
        ({"inbox": "r"}, "already"),
    ):
        with engine.begin() as connection, pytest.raises(HaidangError, match=told):
            clients.add(connection, "doi-tac", rights, 1, WHO)
    with engine.begin() as connection:
        connection.execute(update(taxii_clients).values(expires=time.time() - 1))
    assert clients.client_of(engine, secret) is None
    with engine.begin() as connection:
        clients.revoke(connection, "doi-tac", WHO)
        again = clients.add(connection, "doi-tac", {"inbox": "rw"}, 1, WHO)
    assert clients.client_of(engine, secret) is None and clients.client_of(engine, again) is not None
    with engine.begin() as connection:
        clients.revoke(connection, "doi-tac", WHO)
    assert clients.client_of(engine, again) is None
    with engine.begin() as connection, pytest.raises(HaidangError, match="no client"):
        clients.revoke(connection, "nobody", WHO)
    with engine.connect().execution_options(read_only=True) as connection:
        actions = list(connection.scalars(select(audit.c.action).order_by(audit.c.id)))
    assert actions == ["taxii_client_added", "taxii_client_revoked", "taxii_client_added", "taxii_client_revoked"]
