"""The register of systems and the law's shares: files as people make them, hosts that are heard of, days that are kept."""

import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine

from pipeline.event import encode, event_id, format_time
from pipeline.messages import HaidangError
from pipeline.settings import Store
from pipeline.store import EVENTS, open_reader, open_writer
from pipeline.store.document import document
from pipeline.systems import register, shares
from pipeline.systems.register import Owners, System

_HEAD = "Mã;Tên hệ thống;Cấp độ;Đơn vị;Ngày phê duyệt;Cổng thông tin;Giám sát;Máy chủ\n"
_FILE = _HEAD + (
    "HT-01;Cổng dịch vụ công;3;Văn phòng;15/03/2026;có;;10.0.0.0/24, WEB-01\n"
    "HT-02;Quản lý văn bản;Cấp 4;Sở Nội vụ;;;có;\n"
    "HT-03;Thư viện ảnh;2;Sở Nội vụ;;có;;\n"
)


def test_files_of_any_separator_and_head_are_read_and_each_fault_is_named() -> None:
    found, faults = register.read(_FILE.encode("utf-8-sig"))
    assert faults == [] and found[0] == System(
        "HT-01", "Cổng dịch vụ công", 3, "Văn phòng", plan_approved="2026-03-15", portal=True,
        hosts=["10.0.0.0/24", "web-01"],
    )  # fmt: skip
    assert (found[1].level, found[1].declared) == (4, True)
    english = (
        "code,name,level,portal\nA,Portal,3,yes\nA,Twice,3,no\nB,,3,no\nC,No level,6,no\nD,No portal,3,maybe\n,,,\n"
    )
    found, faults = register.read(english.encode())
    assert [each.code for each in found] == ["A"]
    assert [fault.partition(":")[0] for fault in faults] == ["line 3", "line 4", "line 5", "line 6"]


@pytest.mark.parametrize(
    "data", [b"", b"code;name\nA;B\n", b"\xff\xfe\x00", b'code,name,level\n"' + b"x" * 200_000, b"x" * 6_000_000]
)
def test_what_is_no_register_is_refused(data: bytes) -> None:
    with pytest.raises(HaidangError):
        register.read(data)


def test_shares_count_what_is_heard_of_and_keep_each_day(engine: Engine, tmp_path: Path) -> None:
    register.put(engine, register.read(_FILE.encode())[0], "an", "test")
    now = time.time()
    with engine.connect() as connection:
        told = shares.standing(connection, now)
    assert told["all"] == {
        "systems": 2, "approved": 1, "monitored": 1, "both": 0, "portals": 2, "portals_monitored": 0,
        "both_percent": 0.0, "portals_percent": 0.0,
    }  # fmt: skip
    writer = open_writer(tmp_path / "store", Store())
    moment = format_time(_utc(now))
    event = {"@timestamp": moment, "event.ingested": moment, "event.id": event_id("s", 1), "source.ip": "10.0.0.77"}
    writer.add(EVENTS, [document(event, encode(event))])
    writer.commit()
    reader = open_reader(tmp_path / "store", Store())
    shares.listen(engine, reader, now)
    reader.close()
    writer.close()
    zone = ZoneInfo("Asia/Ho_Chi_Minh")
    with engine.begin() as connection:
        told = shares.standing(connection, now)
        shares.note_day(connection, now, zone)
        shares.note_day(connection, now, zone)
        later = shares.standing(connection, now + 2 * 86_400)
        days = shares.days(connection, "", "2026-01-01")
    assert (told["all"]["both"], told["all"]["both_percent"], told["all"]["portals_percent"]) == (1, 50.0, 50.0)
    assert [each["unit"] for each in told["units"]] == ["Sở Nội vụ", "Văn phòng"]
    assert later["all"]["both"] == 0  # nothing was heard for a day
    assert len(days) == 1 and days[0]["both"] == 1
    assert told["systems"][0]["code"] == "HT-02"  # what is missing stands first


def _utc(seconds: float):  # type: ignore[no-untyped-def]
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC)


def test_a_file_replaces_what_it_names_and_with_only_all_else_goes(engine: Engine) -> None:
    register.put(engine, register.read(_FILE.encode())[0], "an", "test")
    changed = [System("HT-02", "Quản lý văn bản", 3)]
    assert register.put(engine, changed, "an", "test") == 0
    assert register.put(engine, changed, "an", "test", only=True) == 2
    with engine.connect() as connection:
        assert [(each.code, each.level) for each in register.listed(connection)] == [("HT-02", 3)]
    register.remove(engine, "HT-02", "an", "test")
    with pytest.raises(HaidangError):
        register.remove(engine, "HT-02", "an", "test")


def test_a_host_belongs_to_the_system_that_names_it() -> None:
    web, all_of_it = System("A", "a", 3, hosts=["web-01", "10.0.0.5"]), System("B", "b", 3, hosts=["10.0.0.0/24"])
    owners = Owners([web, all_of_it])
    assert owners.of("WEB-01") is web and owners.of("10.0.0.5") is web and owners.of("10.0.0.6") is all_of_it
    assert owners.of("10.0.1.1") is None and owners.of("elsewhere") is None
