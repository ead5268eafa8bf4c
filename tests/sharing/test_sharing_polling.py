"""Collections of TAXII become warnings: a partner's real server, our own `inbox`, each object once, kills in between."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from detectors.indicators import kept, warnings
from pipeline.state.tables import cases, share_received
from sharing import inbox, polling
from sharing.taxii import store
from tests.services import medallion
from tests.sharing.conftest import Party
from tests.sharing.taxii.test_taxii_client import PASSWORD, READ, indicator

REPORT = {
    "type": "report", "spec_version": "2.1", "id": "report--84e4d88f-44ea-4bcd-bbf3-b2c1c320bcb3",
    "created": "2026-11-29T01:00:00.000Z", "modified": "2026-11-29T01:00:00.000Z", "name": "Chiến dịch mới",
    "published": "2026-11-29T01:00:00Z", "object_refs": [indicator(1)["id"]],
}  # fmt: skip


def received(party: Party) -> list[Any]:
    with party.engine.connect() as connection:
        return list(connection.execute(select(share_received).order_by(share_received.c.received)).all())


@pytest.mark.slow
def test_a_partners_collection_is_read_on_from_where_it_was(party: Party, tmp_path: Path) -> None:
    held = [medallion.collection(READ, "many", [indicator(number) for number in range(120)])]
    (tmp_path / "medallion").mkdir()
    with medallion.running(tmp_path / "medallion", held, "us", PASSWORD, page_size=50) as server:
        party.folder.mkdir(exist_ok=True)
        (party.folder / "password").write_text(f"{PASSWORD}\n")
        named = party.profile(
            "doi-tac", "stix-taxii", endpoint__url=f"{server.address}/root/", endpoint__collection="",
            endpoint__ca=str(server.authority), endpoint__username="us", endpoint__password_file="password",
            endpoint__poll=[READ], signing__certificate=None, signing__key=None,
        )  # fmt: skip
        party.confirm(named)
        assert polling.poll(party.engine, named, 1000.0) == 120
        assert polling.poll(party.engine, named, 1001.0) == 0  # it is not time yet
        assert polling.poll(party.engine, named, 2000.0) == 0  # nothing is new
    (row,) = received(party)
    assert len(orjson.loads(row.data)["objects"]) == 120 and row.way == "taxii"
    warnings.take_over(party.engine, party.settings)
    feed = kept.feed(party.engine, inbox.feed_of(row.id))
    assert feed is not None and feed.count == 120
    inbox.work(party.engine, named.name, named, 3000.0)
    with party.engine.connect() as connection:  # a list of indicators alone is no case
        assert connection.execute(select(cases)).all() == []
    assert polling.poll(party.engine, named, 9000.0) == 0  # the server is gone now: told, and asked again
    assert [each.id for each in received(party)] == [row.id]


def test_our_own_inbox_is_read_each_object_once(parties: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    party = parties
    monkeypatch.setattr(polling, "_AT_ONCE", 4)

    def add(*objects: dict[str, Any]) -> None:
        collection = store.named(store.ensure(party.engine), "inbox")
        with party.engine.begin() as connection:
            store.put(connection, collection, objects)

    assert polling.read_own(party.engine, 1.0) == 0
    add(REPORT, *[indicator(number) for number in range(1, 6)])
    assert [polling.read_own(party.engine, 1.0) for _ in range(3)] == [4, 2, 0]
    add(indicator(7))
    assert polling.read_own(party.engine, 1.0) == 1
    told = [each["id"] for row in received(party) for each in orjson.loads(row.data)["objects"]]
    assert len(told) == len(set(told)) == 7
    for _ in range(3):
        inbox.work(party.engine, polling.OWN, None, 10.0)
    with party.engine.connect() as connection:
        assert [case.title.rpartition(": ")[2] for case in connection.execute(select(cases))] == ["Chiến dịch mới"]
