"""What people say of devices, and counts of contacts with C2 servers: on both states."""

import time
from contextlib import suppress
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, select, update

from detectors.devices.inventory import Inventory
from detectors.devices.keeping import Keeper
from detectors.devices.sightings import Sighting
from pipeline.devices import changes, counting
from pipeline.devices.book import Units, asset, kind_of, open_book
from pipeline.devices.contacts import contact_of
from pipeline.devices.lists import read_list
from pipeline.event import Event, encode, event_id, from_micros
from pipeline.messages import HaidangError
from pipeline.settings import Devices, Settings
from pipeline.state import upsert
from pipeline.state.tables import alerts, audit, c2_contacts, device_addresses, devices
from response.queue import row, save

HOUR = 3_600_000_000
DAY = 24 * HOUR
#: 2026-11-02T00:00:00Z, a Monday
START = 1_793_577_600_000_000
LAPTOP, SERVER = "F8-75-A4-00-00-01", "F8-75-A4-00-00-02"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, devices=Devices(units={"Phòng A": ["10.0.1.0/24"]}))


def seen(engine: Engine, *sightings: tuple[Sighting, int]) -> None:
    """Put sightings into the inventory."""
    made = Inventory(100)
    for sighting, at in sightings:
        made.take(sighting, at, "vn")
    rows, holdings = made.changes()
    with engine.begin() as connection:
        upsert(connection, devices, rows, key=["id"])
        held = [{"address": h.address, "since": h.since, "until": h.until, "device": h.device} for h in holdings]
        upsert(connection, device_addresses, held, key=["address", "since"])


def alert(at: int, rule: str = "indicator.c2", level: str = "high", **fields: Any) -> Event:
    """An alert as the detectors make it."""
    named = {name.replace("_", "."): value for name, value in fields.items()}
    return {
        "@timestamp": from_micros(at), "event.id": event_id("alert", rule, at, repr(sorted(named.items()))),
        "event.kind": "alert", "rule.id": rule, "rule.name": "Liên lạc với C2", "rule.level": level, "alert.count": 1,
        "tags": ["attack.command-and-control"], **named,
    }  # fmt: skip


def raised(engine: Engine, *found: Event) -> None:
    """Put alerts into the queue."""
    with engine.begin() as connection:
        save(connection, [row(each, "test") for each in found])


def by(engine: Engine, settings: Settings, group: str, zone: Any = UTC) -> dict[str, tuple[int, int]]:
    """Groups with their devices and contacts."""
    found = counting.contacts(engine, settings, START - DAY, START + 60 * DAY)
    return {each.name: (len(each.devices), each.contacts) for each in counting.grouped(found, group, zone)}


# Counting


def test_a_device_counts_once_whatever_address_dhcp_gave_it(engine: Engine, settings: Settings) -> None:
    laptop, server = ("LAPTOP-1", (("name", "LAPTOP-1"),)), ("SRV-01", (("name", "SRV-01"),))
    seen(
        engine,
        (Sighting(LAPTOP, "10.0.1.5", *laptop), START), (Sighting(SERVER, "10.0.1.6", *server), START),
        (Sighting(LAPTOP, "10.0.1.6"), START + 2 * DAY), (Sighting(SERVER, "10.0.1.5"), START + 2 * DAY),
    )  # fmt: skip
    raised(
        engine,
        alert(START + HOUR, source_ip="10.0.1.5", threat_software_name="AsyncRAT"),
        alert(START + 2 * DAY + HOUR, source_ip="10.0.1.6", threat_software_name="AsyncRAT"),
        alert(START + 8 * DAY, source_ip="10.0.1.6", threat_software_name="Emotet", alert_count=5),
    )
    assert by(engine, settings, "kind") == {"laptop": (1, 2), "unknown": (1, 5)}  # eight days on, nobody is known there
    seen(
        engine,
        (Sighting(LAPTOP, "10.0.1.6", *laptop), START + 2 * DAY),
        (Sighting(LAPTOP, "10.0.1.6"), START + 8 * DAY),
    )
    assert by(engine, settings, "kind") == {"laptop": (1, 7)}
    assert by(engine, settings, "family") == {"AsyncRAT": (1, 2), "Emotet": (1, 5)}
    assert by(engine, settings, "day") == {"2026-11-02": (1, 1), "2026-11-04": (1, 1), "2026-11-10": (1, 5)}
    assert by(engine, settings, "week") == {"2026-W45": (1, 2), "2026-W46": (1, 5)}
    assert by(engine, settings, "month") == {"2026-11": (1, 7)}
    assert by(engine, settings, "unit") == {"Phòng A": (1, 7)}


def test_a_rule_that_stands_for_a_family_has_its_name_in_each_language(engine: Engine, settings: Settings) -> None:
    named = {"rule.name": "Contact with a C2 server", "rule.name_vi": "Liên lạc với máy chủ C2"}
    raised(
        engine,
        {**alert(START, source_ip="10.0.1.5"), **named},
        {**alert(START + 1, source_ip="10.0.1.5", threat_software_name="AsyncRAT"), **named},
    )
    found = counting.contacts(engine, settings, START, START + DAY)
    assert {each.name for each in counting.grouped(found, "family")} == {"Contact with a C2 server", "AsyncRAT"}
    assert counting.titles_vi(found) == {"Contact with a C2 server": "Liên lạc với máy chủ C2"}


def test_only_contacts_with_c2_count(engine: Engine, settings: Settings) -> None:
    raised(
        engine,
        alert(START, "behaviour.beacon", "medium", source_ip="10.0.1.5"),
        alert(START + 1, "indicator.scanner", tags=["attack.discovery"], source_ip="10.0.1.5"),
        {**alert(START + 2, source_ip="10.0.1.5"), "labels.source": "import"},
        alert(START + 3),
        alert(START + 4, "sigma-1", "critical", tags=["attack.command_and_control"], host_name="PC-9"),
        alert(START + 5, "indicator.c2", "low", source_ip="203.0.113.7", destination_ip="10.0.1.8", event_action="blocked"),
    )  # fmt: skip
    found = counting.contacts(engine, settings, START, START + DAY)
    assert [(each.device.id, each.blocked) for each in found] == [("name:pc-9", False), ("ip:10.0.1.8", True)]
    with engine.begin() as connection:
        connection.execute(update(alerts).where(alerts.c.rule_id == "sigma-1").values(status="false_positive"))
    assert [each.device.id for each in counting.contacts(engine, settings, START, START + DAY)] == ["ip:10.0.1.8"]


def test_a_resolver_asks_for_others(engine: Engine, settings: Settings) -> None:
    asked = [(Sighting(SERVER, "10.0.1.53"), START)]
    asked += [
        (Sighting(address="10.0.1.53", hints=(("serves", "udp/53"),), peer=f"10.0.1.{n}"), START) for n in range(3)
    ]
    seen(engine, *asked)
    for source in ("10.0.1.53", "10.0.1.8"):
        raised(engine, {**alert(START, source_ip=source), "alert.direction": "lookup"})
    raised(engine, {**alert(START, source_ip="10.0.1.9"), "alert.direction": "inbound"})
    assert [each.device.id for each in counting.contacts(engine, settings, START, START + DAY)] == ["ip:10.0.1.8"]


def test_an_alert_that_comes_again_is_one_contact(engine: Engine) -> None:
    one = alert(START, source_ip="10.0.1.5")
    for _ in range(3):
        raised(engine, one, one)
    with engine.connect() as connection:
        assert len(connection.execute(select(c2_contacts)).all()) == 1


def test_a_contact_just_before_the_device_is_known_is_that_devices(engine: Engine, settings: Settings) -> None:
    seen(engine, (Sighting(LAPTOP, "10.0.1.5"), START + 600_000_000))
    raised(engine, alert(START, source_ip="10.0.1.5"), alert(START - 2 * DAY, source_ip="10.0.1.5"))
    found = counting.contacts(engine, settings, START - 3 * DAY, START + DAY)
    assert [each.device.id for each in found] == ["ip:10.0.1.5", f"mac:{LAPTOP}"]


def test_days_begin_where_the_clock_says(engine: Engine, settings: Settings) -> None:
    from zoneinfo import ZoneInfo

    raised(engine, alert(START + 18 * HOUR, source_ip="10.0.1.5"))
    assert by(engine, settings, "day", ZoneInfo("Asia/Ho_Chi_Minh")) == {"2026-11-03": (1, 1)}


@given(
    st.dictionaries(
        st.text(max_size=12), st.none() | st.integers() | st.text(max_size=9) | st.lists(st.text(max_size=3))
    )
)
def test_no_alert_breaks_it(fields: dict[str, Any]) -> None:
    contact_of({**alert(START), **fields, "event.id": "x", "rule.id": "indicator.c2", "@timestamp": from_micros(START)})
    for name in ("source.ip", "tags", "alert.count", "threat.software.name", "organization.id"):
        contact_of({**alert(START, source_ip="10.0.0.1"), name: next(iter(fields.values()), None)})


# What people say


def test_what_people_say_wins_and_is_in_the_audit(engine: Engine, settings: Settings) -> None:
    units = Units(settings.devices.units)
    seen(engine, (Sighting(LAPTOP, "10.0.1.5", "LAPTOP-1", (("name", "LAPTOP-1"),)), START))
    made = changes.change(engine, units, "10.0.1.5", {"kind": "máy chủ", "owner": "Lan"}, "an", "10.0.0.9")
    assert (made.kind, made.confidence, made.kind_seen, made.owner, made.unit) == (
        "server",
        1.0,
        "laptop",
        "Lan",
        "Phòng A",
    )
    made = changes.change(engine, units, "f8:75:a4:00:00:01", {"unit": "Phòng B"}, "an", "")
    assert (made.id, made.kind, made.unit, made.by_hand) == (
        f"mac:{LAPTOP}",
        "server",
        "Phòng B",
        ["kind", "unit", "owner"],
    )
    assert changes.change(engine, units, "laptop-1", {"kind": ""}, "an", "").kind == "laptop"
    changes.take_back(engine, units, LAPTOP, "an", "")
    assert open_book(engine, settings.devices.units).find("LAPTOP-1").by_hand == []  # type: ignore[union-attr]
    with pytest.raises(HaidangError, match=LAPTOP):
        changes.take_back(engine, units, LAPTOP, "an", "")
    with pytest.raises(HaidangError):
        changes.change(engine, units, LAPTOP, {}, "an", "")
    with pytest.raises(HaidangError, match="toaster"):
        changes.change(engine, units, LAPTOP, {"kind": "toaster"}, "an", "")
    with engine.connect() as connection:
        rows = connection.execute(select(audit.c.action, audit.c.detail)).all()
    assert [each.action for each in rows] == ["device_set"] * 3 + ["device_unset"]
    assert rows[0].detail == {"device": f"mac:{LAPTOP}", "kind": "máy chủ", "owner": "Lan"}


def test_a_device_that_was_never_seen_is_listed_and_found_later(engine: Engine, settings: Settings) -> None:
    said, wrong = read_list(
        "Tên máy;Địa chỉ MAC;Loại thiết bị;Đơn vị;Ghi chú\n"
        "KT-01;f8-75-a4-00-00-01;máy tính xách tay;Kế toán;\"mua 2024; còn bảo hành\"\n"
        "KT-02;;toaster;Kế toán;\n;;máy in;;\n\nSRV-9;;máy chủ;;\n".encode("utf-8-sig")
    )  # fmt: skip
    assert len(wrong) == 2
    changes.take_list(engine, said, "an", "")
    book = open_book(engine, {})
    assert {each.id: each.kind for each in book.listed()} == {f"mac:{LAPTOP}": "laptop", "name:srv-9": "server"}
    assert book.listed("bảo HÀNH kế")[0].name == "KT-01"
    seen(engine, (Sighting(LAPTOP, "10.0.1.7"), START), (Sighting(SERVER, "10.0.1.9", "SRV-9"), START))
    book = open_book(engine, {})
    assert {each.id: (each.kind, each.address) for each in book.listed()} == {
        f"mac:{LAPTOP}": ("laptop", "10.0.1.7"), f"mac:{SERVER}": ("server", "10.0.1.9"),
    }  # fmt: skip


NAMES_AND_ADDRESSES = (
    "Tên máy;Địa chỉ IP;Loại thiết bị\nSRV-9;10.0.1.9;máy chủ\nIN-1;10.0.1.8;máy in\nPC-7;10.0.1.999;máy tính\n"
).encode()


def test_a_list_of_names_and_addresses_finds_a_device_by_either(engine: Engine, settings: Settings) -> None:
    said, wrong = read_list(NAMES_AND_ADDRESSES)
    assert [("10.0.1.999" in each, each.split()[1]) for each in wrong] == [(True, "4:")]
    assert changes.take_list(engine, said, "an", "") == 2
    book = open_book(engine, {})
    assert {each.name: (each.id, each.address) for each in book.listed()} == {
        "SRV-9": ("name:srv-9", "10.0.1.9"), "IN-1": ("name:in-1", "10.0.1.8"),
    }  # fmt: skip
    assert book.find("10.0.1.9").id == "name:srv-9"  # type: ignore[union-attr]
    # one never says its name; the other one has got another address, and somebody else has its own
    seen(engine, (Sighting(SERVER, "10.0.1.9"), START), (Sighting(LAPTOP, "10.0.1.5", "IN-1"), START))
    seen(engine, (Sighting("F8-75-A4-00-00-03", "10.0.1.8"), START))
    raised(engine, alert(START + HOUR, source_ip="10.0.1.9"), alert(START + HOUR, source_ip="10.0.1.8"))
    assert {(each.name, each.kind, each.address) for each in open_book(engine, {}).listed()} == {
        ("SRV-9", "server", "10.0.1.9"), ("IN-1", "printer", "10.0.1.5"), ("", "unknown", "10.0.1.8"),
    }  # fmt: skip
    assert by(engine, settings, "kind") == {"server": (1, 1), "unknown": (1, 1)}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_is_read_as_excel_saves_it(encoding: str) -> None:
    text = NAMES_AND_ADDRESSES.decode().replace(";", "\t")
    assert read_list(text.encode(encoding)) == read_list(NAMES_AND_ADDRESSES)


def test_what_is_said_of_a_listed_device_holds_for_its_name_and_its_address(engine: Engine) -> None:
    changes.take_list(engine, read_list(NAMES_AND_ADDRESSES)[0], "an", "")
    changes.change(engine, Units({}), "srv-9", {"kind": "laptop"}, "an", "")
    assert [each.kind for each in open_book(engine, {}).listed("srv-9")] == ["laptop"]
    seen(engine, (Sighting(SERVER, "10.0.1.9"), START))
    assert open_book(engine, {}).find(SERVER).kind == "laptop"  # type: ignore[union-attr]
    changes.take_back(engine, Units({}), SERVER, "an", "")
    assert [each.id for each in open_book(engine, {}).listed()] == [f"mac:{SERVER}", "name:in-1"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "mac"), (b"\xff\xfe\x00", "UTF-8"), (b"a,b\n1,2\n", "a,b"), (b"ip,kind\n" + b'"\x00' * 9, "ip"),
        (b"x" * 20_000_001, "20"), (b"PK\x03\x04\x14\x00", "Excel"), (b"\xd0\xcf\x11\xe0\xa1\xb1", "Excel"),
    ],
    ids=["empty", "utf16", "no-key", "nul", "large", "xlsx", "xls"],
)  # fmt: skip
def test_what_is_no_list_is_refused_with_the_reason(data: bytes, said: str) -> None:
    try:
        found, wrong = read_list(data)
    except HaidangError as error:
        assert said in str(error)
    else:
        assert not found
        assert wrong


@given(st.binary(max_size=300))
def test_any_bytes_are_a_list_or_refused(data: bytes) -> None:
    for text in (data, b"ip,mac,name,kind\n" + data):
        with suppress(HaidangError):
            read_list(text)


def test_kinds_have_vietnamese_names() -> None:
    assert [kind_of(word) for word in ("Máy  chủ", "PC", "", "may in", "tablet")] == [
        "server",
        "computer",
        "",
        "printer",
        "tablet",
    ]
    assert asset("ip:10.0.0.1", note="x" * 9999).note == "x" * 2000


# Keeping


def test_what_was_not_seen_for_long_is_forgotten(engine: Engine, settings: Settings) -> None:
    keeper = Keeper(settings, engine)

    def arp(address: str, at: float) -> None:
        keeper.take(
            {
                "@timestamp": from_micros(round(at * 1e6)), "event.id": "x", "event.dataset": "network.arp",
                "event.category": ["network"], "source.ip": address, "source.mac": LAPTOP if "5" in address else SERVER,
            }
        )  # fmt: skip

    now = time.time()
    arp("10.0.1.5", now - 500 * 86_400)
    with engine.begin() as connection:
        keeper.save(connection)
    arp("10.0.1.6", now)
    with engine.begin() as connection:
        keeper.save(connection)
    assert [each.address for each in open_book(engine, {}).listed()] == ["10.0.1.6"]
    again = Keeper(settings, engine)
    assert again.detail()["known"] == 1


def test_a_broken_event_costs_no_other(engine: Engine, settings: Settings) -> None:
    keeper = Keeper(settings, engine)
    for broken in ({}, {"@timestamp": 5}, {"@timestamp": from_micros(START), "host.ip": {"a": 1}, "event.category": 5}):
        keeper.take(broken)
    good = {"@timestamp": from_micros(START), "host.ip": ["10.0.1.5", "fe80::1"], "host.mac": ["f8-75-a4-00-00-01"] * 2,
            "host.name": "MAY-1", "host.os.name": "Windows 11 Pro", "organization.id": "xã X"}  # fmt: skip
    keeper.take(good)
    with engine.begin() as connection:
        keeper.save(connection)
    (known,) = open_book(engine, {}).listed()
    assert (known.name, known.address, known.os, known.kind, known.unit) == (
        "MAY-1",
        "10.0.1.5",
        "Windows",
        "computer",
        "xã X",
    )
    assert encode(known.plain())
