"""The register of systems and the law's shares: files as people make them, hosts that are heard of, days that are kept."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine

from pipeline.command import main
from pipeline.event import encode, event_id, format_time
from pipeline.messages import HaidangError, choose_language, speaking
from pipeline.settings import Store
from pipeline.state import open_state
from pipeline.state.tables import systems
from pipeline.store import EVENTS, open_reader, open_writer
from pipeline.store.document import document
from pipeline.systems import register, shares
from pipeline.systems.register import Owners, System

TODAY = date(2026, 11, 30)
_HEAD = "Mã;Tên hệ thống;Cấp độ;Đơn vị;Ngày phê duyệt;Cổng thông tin;Giám sát;Máy chủ\n"
_FILE = _HEAD + (
    "HT-01;Cổng dịch vụ công;3;Văn phòng;15/03/2026;có;;10.0.0.0/24, WEB-01\n"
    "HT-02;Quản lý văn bản;Cấp 4;Sở Nội vụ;;;có;\n"
    "HT-03;Thư viện ảnh;2;Sở Nội vụ;;có;;\n"
)


def test_files_of_any_separator_and_head_are_read_and_each_fault_is_named() -> None:
    found, faults = register.read(_FILE.encode("utf-8-sig"), TODAY)
    assert faults == [] and found[0] == System(
        "HT-01", "Cổng dịch vụ công", 3, "Văn phòng", plan_approved="2026-03-15", portal=True,
        hosts=["10.0.0.0/24", "web-01"],
    )  # fmt: skip
    assert (found[1].level, found[1].declared) == (4, True)
    english = (
        "code,name,level,portal\nA,Portal,3,yes\nA,Twice,3,no\nB,,3,no\nC,No level,6,no\nD,No portal,3,maybe\n,,,\n"
    )
    found, faults = register.read(english.encode(), TODAY)
    assert [each.code for each in found] == ["A"]
    assert [fault.partition(":")[0] for fault in faults] == ["line 3", "line 4", "line 5", "line 6"]


def test_what_is_wrong_with_a_file_is_said_in_the_words_of_its_reader() -> None:
    later = _HEAD + "HT-01;Cổng;3;;01/12/2026;có;;\nHT-02;Kho;3;;30/11/2026;maybe;;\nHT-03;Kho;3;;30/11/2026;;;\n"
    with speaking("vi"):
        found, faults = register.read(later.encode(), TODAY)
        with pytest.raises(HaidangError) as missing:
            register.read("đơn vị;cổng thông tin\nA;B\n".encode(), TODAY)
        assert "mã (code), tên (name), cấp độ (level)" in str(missing.value)
        with pytest.raises(HaidangError, match="dòng 2"):
            register.read(b"code;name;level\nA;C\xf4ng;3\n", TODAY)
    assert [each.code for each in found] == ["HT-03"]
    assert faults[0].startswith("dòng 2: ") and "01/12/2026" in faults[0] and "30/11/2026" in faults[0]
    assert faults[1].startswith("dòng 3: cổng thông tin")


@pytest.mark.parametrize(
    "data", [b"", b"code;name\nA;B\n", b"\xff\xfe\x00", b'code,name,level\n"' + b"x" * 200_000, b"x" * 6_000_000]
)
def test_what_is_no_register_is_refused(data: bytes) -> None:
    with pytest.raises(HaidangError):
        register.read(data, TODAY)


def test_shares_count_what_is_heard_of_and_keep_each_day(engine: Engine, tmp_path: Path) -> None:
    register.put(engine, register.read(_FILE.encode(), TODAY)[0], "an", "test")
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
    imported = event | {"event.id": event_id("s", 2), "source.ip": "10.0.0.77", "labels.source": "import"}
    writer.add(EVENTS, [document(imported, encode(imported))])
    writer.commit()
    reader = open_reader(tmp_path / "store", Store())
    shares.listen(engine, reader, now)
    with engine.connect() as connection:
        assert shares.standing(connection, now)["all"]["both"] == 0  # a recording says nothing of now
    reader.close()
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
    register.put(engine, register.read(_FILE.encode(), TODAY)[0], "an", "test")
    changed = [System("HT-02", "Quản lý văn bản", 3)]
    assert register.put(engine, changed, "an", "test") == 0
    assert register.put(engine, changed, "an", "test", only=True) == 2
    with engine.connect() as connection:
        assert [(each.code, each.level) for each in register.listed(connection)] == [("HT-02", 3)]
    register.remove(engine, "HT-02", "an", "test")
    with pytest.raises(HaidangError):
        register.remove(engine, "HT-02", "an", "test")


def test_what_was_heard_of_other_hosts_is_forgotten(engine: Engine) -> None:
    register.put(engine, [System("A", "a", 3, hosts=["10.0.0.1"])], "an", "test")
    with engine.begin() as connection:
        connection.execute(systems.update().values(heard=5.0))
    register.put(engine, [System("A", "new name", 3, hosts=["10.0.0.1"])], "an", "test")
    with engine.connect() as connection:
        assert register.listed(connection)[0].heard == 5.0
    register.put(engine, [System("A", "new name", 3, hosts=["10.0.0.2"])], "an", "test")
    with engine.connect() as connection:
        assert register.listed(connection)[0].heard == 0.0


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str]]]:
    """`haidang systems …` in Vietnamese on a site of its own; its exit status, and all that it said."""
    (tmp_path / "haidang.toml").write_text('language = "vi"\nsources = []\n', "utf-8")
    open_state(tmp_path).dispose()
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HAIDANG_LANGUAGE", "vi")
    monkeypatch.delenv("HAIDANG_CONFIG", raising=False)

    def run(*arguments: str) -> tuple[int, str]:
        status = main(["systems", *arguments])
        out, err = capfd.readouterr()
        return status, out + err

    yield run
    choose_language("en")


def test_an_import_knows_at_once_what_is_monitored(command: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    moment = format_time(_utc(time.time()))
    event = {"@timestamp": moment, "event.ingested": moment, "event.id": event_id("s", 1), "source.ip": "10.0.0.77"}
    writer = open_writer(tmp_path, Store())
    writer.add(EVENTS, [document(event, encode(event))])
    writer.commit()
    writer.close()
    file = tmp_path / "he-thong.csv"
    rows = "HT-01;Cổng;3;Văn phòng;15/03/2020;có;;10.0.0.0/24\nHT-04;Kho;3;Văn phòng;;;;\nHT-05;Họp;3;Văn phòng;;;;\n"
    file.write_text(_HEAD + rows, "utf-8")
    assert command("import", str(file))[0] == 0
    told = {row["code"]: row["monitored"] for row in map(json.loads, command("list", "--json")[1].splitlines())}
    assert told == {"HT-01": True, "HT-04": False, "HT-05": False}
    assert "15/03/2020" in command("list")[1]
    assert "33,3" in command("shares")[1]


def test_a_host_belongs_to_the_system_that_names_it() -> None:
    web, all_of_it = System("A", "a", 3, hosts=["web-01", "10.0.0.5"]), System("B", "b", 3, hosts=["10.0.0.0/24"])
    owners = Owners([web, all_of_it])
    assert owners.of("WEB-01") is web and owners.of("10.0.0.5") is web and owners.of("10.0.0.6") is all_of_it
    assert owners.of("10.0.1.1") is None and owners.of("elsewhere") is None
