"""What machines are like: only what a source has said of them, once a day, as the letter asks for it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from lxml import etree

from pipeline.event import Event, encode, event_id, format_time
from pipeline.store import EVENTS, open_writer
from pipeline.store.document import document
from sharing import book, conditions
from sharing.drafting import build
from tests.sharing.conftest import Party

NOW = datetime.now(UTC)


def said(number: int, host: str, code: str, provider: str, days: float, **more: Any) -> Event:
    return {
        "@timestamp": format_time(NOW - timedelta(days=days)), "event.id": event_id("c", number), "host.name": host,
        "event.dataset": "windows.event", "event.code": code, "winlog.provider_name": provider, **more,
    }  # fmt: skip


UPDATES, DEFENDER = "Microsoft-Windows-WindowsUpdateClient", "Microsoft-Windows-Windows Defender"
FIREWALL = {"winlog.channel": "Microsoft-Windows-Windows Firewall With Advanced Security/Firewall"}
SAID = [
    said(1, "PC-1", "19", UPDATES, 20), said(2, "PC-1", "19", UPDATES, 2), said(3, "PC-2", "19", UPDATES, 30),
    said(4, "PC-3", "44", UPDATES, 1), said(5, "PC-1", "5001", DEFENDER, 3), said(6, "PC-1", "5000", DEFENDER, 2),
    said(7, "PC-2", "5001", DEFENDER, 1),
    said(8, "PC-2", "2003", "x", 5, **FIREWALL, **{"winlog.event_data.SettingValueString": "No"}),
    said(9, "PC-2", "2003", "x", 1, **FIREWALL, **{"winlog.event_data.SettingValueString": "Yes"}),
    said(10, "PC-4", "1", "scanner", 1, **{"vulnerability.id": ["CVE-2026-1111", "CVE-2026-2222"]}),
]  # fmt: skip


def stored(party: Party) -> None:
    writer = open_writer(party.settings.data_dir, party.settings.store)
    writer.add(EVENTS, [document(each, encode(each)) for each in SAID])
    writer.commit()
    writer.close()


def test_what_records_say_becomes_facts_and_nothing_else(party: Party) -> None:
    stored(party)
    with party.engine.connect() as connection:
        facts = conditions.gather(connection, party.settings, NOW.timestamp())
    told: dict[str, list[dict[str, Any]]] = {}
    for fact in facts:
        told.setdefault(fact.kind, []).append(dict(fact.values))
    names = {each["machine.name"]: each["machine.last_update"] for each in told["system"]}
    assert names == {
        "PC-1": format_time(NOW - timedelta(days=2))[:10], "PC-2": format_time(NOW - timedelta(days=30))[:10],
    }  # fmt: skip
    assert told["update"] == [{"update.missing": 1}]
    assert {each["machine.name"]: (each["protection.auto_protect"], each["protection.firewall"]) for each in told["protection"]} == {
        "PC-1": ("1", ""), "PC-2": ("0", "1"),
    }  # fmt: skip
    assert sorted(each["vulnerability.name"] for each in told["vulnerability"]) == ["CVE-2026-1111", "CVE-2026-2222"]
    assert "PC-3" not in str(facts)  # that an update was begun says nothing


def test_they_are_told_when_a_day_has_begun_and_the_schema_has_a_place_for_each(party: Party) -> None:
    stored(party)
    named = party.profile(content__pseudonyms=[])
    yesterday = NOW.timestamp() - 86_400
    with party.engine.begin() as connection:
        book.known(connection, "bo", yesterday)
    (number,) = build(party.engine, party.settings, named)
    assert build(party.engine, party.settings, named) == []  # once a day
    report = etree.fromstring(book.bytes_of(party.engine, number)[0]).find(".//AVReport")
    assert [each.tag for each in report][1:] == ["Vulnerability", "OS", "Update", "QualityFeature"]
    assert report.findtext("Update/NumberMachineNotUpdateOn15Day") == "1"
    assert conditions.due(yesterday, NOW.timestamp(), ZoneInfo("Asia/Ho_Chi_Minh"))


def test_a_site_without_events_says_nothing(party: Party) -> None:
    with party.engine.connect() as connection:
        assert conditions.gather(connection, party.settings, NOW.timestamp()) == []
