"""Reports and notices that people sign: their numbers are those of a search, and what is not known is listed so."""

import io
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import docx
import pytest
from pypdf import PdfReader
from sqlalchemy import Engine, select

from pipeline.cases import entries, life
from pipeline.cases.entries import By
from pipeline.command import main
from pipeline.event import Event, encode, event_id, format_time
from pipeline.messages import HaidangError, choose_language, say, speaking
from pipeline.settings import Settings
from pipeline.state import open_state
from pipeline.state.tables import cases, incident_fields, reports
from pipeline.store import ALERTS, EVENTS, open_reader, open_writer
from pipeline.store.document import document
from pipeline.systems import register
from pipeline.systems.register import System
from response.queue import row, save
from sharing import book, incidents
from sharing.documents import Chart, Document, Fields, Paragraph, Table
from sharing.documents.docx import write
from sharing.documents.pdf import pdf
from sharing.profile import load, shipped
from sharing.reports import DAILY, HALF_YEARLY, WEEKLY
from sharing.reports.book import make, make_due, one
from sharing.reports.figures import QUERY, figures
from sharing.reports.period import last, wanted
from tests.sharing.conftest import edited

AN = By("an", "10.0.0.9")
HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
NOW = datetime(2026, 11, 30, 8, 0, tzinfo=HANOI)


def alert(number: int, when: datetime, **fields: Any) -> Event:
    return {
        "@timestamp": format_time(when.astimezone(UTC)), "event.id": event_id("r", number), "event.kind": "alert",
        "event.dataset": "haidang.alerts", "rule.id": f"r{number % 3}", "rule.name": f"Rule {number % 3}",
        "rule.name_vi": f"Luật số {number % 3}", "rule.level": ("high", "medium", "low")[number % 3],
        "alert.status": "new", "host.name": f"PC-{number % 4}", "source.ip": f"203.0.113.{number % 5}",
        "destination.ip": f"10.0.0.{number % 4}", "destination.port": (22, 443)[number % 2],
        "tags": ["attack.t1110", "attack.credential-access"], "organization.id": "G10.22", "labels.source": "syslog",
        **fields,
    }  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    told = {
        "data_dir": tmp_path, "sources": [], "delivery": {"timezone": "Asia/Ho_Chi_Minh"},
        "sharing": {"organ": "Sở Nội vụ", "place": "Đông Hà", "contact_name": "Nguyễn Văn An", "reports": ["daily"]},
    }  # fmt: skip
    return Settings.model_validate(told)


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    made = open_state(settings.data_dir)
    yield made
    made.dispose()


def store(settings: Settings, *found: Event) -> None:
    writer = open_writer(settings.data_dir, settings.store)
    writer.add(ALERTS, [document(each, encode(each)) for each in found])
    event = {**found[0], "event.id": event_id("e", 1), "event.kind": "event"}
    writer.add(EVENTS, [document(event, encode(event))])
    writer.commit()
    writer.close()


def test_every_number_of_a_report_is_one_that_a_search_gives(settings: Settings, engine: Engine) -> None:
    day = datetime(2026, 11, 29, tzinfo=HANOI)
    inside = [alert(n, day + timedelta(minutes=n * 13)) for n in range(110)]
    outside = [alert(1000 + n, day + timedelta(hours=moved)) for n, moved in enumerate((-1, -25, 24, 30))]
    own = alert(2000, day + timedelta(hours=1), **{"labels.source": "haidang"})
    store(settings, *inside, *outside, own)
    period = last(DAILY, NOW)
    reader = open_reader(settings.data_dir, settings.store)
    try:
        told = figures(engine, reader, settings, period)

        def found(text: str) -> int:
            query = {"bool": {"filter": [period.range, {"query_string": {"query": f"({QUERY}) AND {text}"}}]}}
            body = {"size": 0, "track_total_hits": True, "query": query}
            return int(reader.search(ALERTS, body)["hits"]["total"]["value"])

        of_it = told["alerts"]
        assert (of_it["total"], told["before"]["total"], told["events"]) == (110, 1, 1)
        assert of_it["levels"] == {level: found(f"rule.level:{level}") for level in ("high", "medium", "low")}
        assert sum(count for _, count in of_it["days"]) == 110
        for rule in of_it["rules"]:
            assert rule["count"] == found(f"rule.id:{rule['id']}") and rule["name"].startswith("Luật số")
        for field, name in (("host.name", "hosts"), ("destination.ip", "targets"), ("source.ip", "attackers")):
            assert {e["key"]: e["count"] for e in of_it[name]} == {
                e["key"]: found(f'{field}:"{e["key"]}"') for e in of_it[name]
            }
        assert of_it["techniques"] == [["T1110", found("tags:attack.t1110")]]
        assert {each for e in of_it["targets"] for each in e["services"]} == {"22", "443"}
    finally:
        reader.close()
    identifier = make(engine, settings, period, "an", "test")
    text = text_of(bytes(one(engine, identifier).pdf))
    assert "110" in text and "BÁO CÁO NGÀY" in text and "Luật số 1" in text and "203.0.113.4" in text
    assert words_of(bytes(one(engine, identifier).docx)) >= {"110", "Luật số 1", "203.0.113.4"}


def text_of(data: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages)


def words_of(data: bytes) -> set[str]:
    made = docx.Document(io.BytesIO(data))
    cells = {cell.text for table in made.tables for each in table.rows for cell in each.cells}
    return cells | {paragraph.text for paragraph in made.paragraphs}


@pytest.mark.parametrize(
    ("kind", "now", "first", "end"),
    [
        (DAILY, "2026-11-30", "2026-11-29", "2026-11-30"),
        (DAILY, "2026-03-01", "2026-02-28", "2026-03-01"),
        (WEEKLY, "2026-11-30", "2026-11-23", "2026-11-30"),
        (WEEKLY, "2026-11-29", "2026-11-16", "2026-11-23"),
        (HALF_YEARLY, "2026-11-30", "2026-01-01", "2026-07-01"),
        (HALF_YEARLY, "2026-01-01", "2025-07-01", "2026-01-01"),
    ],
)
def test_the_last_whole_period(kind: str, now: str, first: str, end: str) -> None:
    period = last(kind, datetime.fromisoformat(now).replace(hour=9, tzinfo=HANOI))
    assert (period.since.date().isoformat(), period.until.date().isoformat()) == (first, end)
    assert period.before().until == period.since


def test_reports_that_are_wanted_are_made_once_when_their_time_has_come(settings: Settings, engine: Engine) -> None:
    store(settings, alert(1, NOW - timedelta(days=1)))
    assert make_due(engine, settings, NOW.replace(hour=6)) == []
    (made,) = make_due(engine, settings, NOW)
    assert make_due(engine, settings, NOW + timedelta(hours=3)) == []
    with engine.connect() as connection:
        assert [each.id for each in connection.execute(select(reports))] == [made]
    with pytest.raises(HaidangError):
        last("monthly", NOW)
    assert wanted(DAILY, None, None, NOW) == last(DAILY, NOW)
    assert wanted(DAILY, date(2026, 11, 30), date(2026, 12, 2), NOW).last_day == date(2026, 12, 2)
    for first, final in ((2, 1), (2, None), (None, 2)):
        with pytest.raises(HaidangError):
            wanted(DAILY, *(day and date(2026, 11, day) for day in (first, final)), NOW)
    with pytest.raises(HaidangError, match="01/12/2026"):
        wanted(DAILY, date(2026, 12, 1), date(2026, 12, 2), NOW)


def test_what_is_grave_is_never_cut_and_what_is_cut_is_counted(settings: Settings, engine: Engine) -> None:
    day = datetime(2026, 11, 29, tzinfo=HANOI)
    low = [
        alert(n, day + timedelta(minutes=n), **{
            "rule.id": f"low-{n % 70}", "rule.level": "low", "rule.name_vi": f"Luật thấp {n % 70}",
            "host.name": f"PC-{n % 20}", "source.ip": f"198.51.100.{n % 18}", "tags": ["attack.discovery"],
        })
        for n in range(210)
    ]  # fmt: skip
    grave = [
        alert(1000 + n, day + timedelta(minutes=n), **{
            "rule.id": f"grave-{n}", "rule.level": "critical" if n == 54 else "high", "rule.name_vi": f"Luật nặng {n}",
        })
        for n in range(55)
    ]  # fmt: skip
    store(settings, *low, *grave)
    identifier = make(engine, settings, last(DAILY, NOW), "an", "test")
    row = one(engine, identifier)
    found = row.figures["alerts"]
    assert found["rules"][0]["id"] == "grave-54" and {each["id"] for each in found["rules"]} == {
        each["rule.id"] for each in grave
    }
    assert found["more"]["rules"] == {"count": 70, "alerts": 210, "at_least": False}
    assert (
        len(found["hosts"]) == 15 and sum(e["count"] for e in found["hosts"]) + found["more"]["hosts"]["alerts"] == 265
    )
    assert found["tactics"] == {"T1110": ["credential-access"]}
    text = " ".join(text_of(bytes(row.pdf)).split())
    assert "… và 70 luật khác, 210 cảnh báo." in text and "Đánh cắp thông tin đăng nhập" in text
    assert "T1110 Dò mật khẩu" in text
    assert "… và 70 luật khác, 210 cảnh báo." in words_of(bytes(row.docx))


@pytest.fixture
def report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str]]]:
    """`haidang report …` in Vietnamese, on a site in Hà Nội; its exit status, and all that it said."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "haidang.toml").write_text(
        'language = "vi"\nsources = []\n[delivery]\ntimezone = "Asia/Ho_Chi_Minh"\n', "utf-8"
    )
    open_state(data).dispose()
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(data))
    monkeypatch.setenv("HAIDANG_LANGUAGE", "vi")
    monkeypatch.delenv("HAIDANG_CONFIG", raising=False)

    def run(*arguments: str) -> tuple[int, str]:
        status = main(["report", *arguments])
        out, err = capfd.readouterr()
        return status, out + err

    yield run
    choose_language("en")


def test_the_command_lists_makes_and_writes_reports(report: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    days = ("--from", "01/11/2025", "--to", "2025-11-15")
    for output, told in (("x.txt", ".pdf, .docx"), ("nowhere/x.pdf", "nowhere"), ("bao-cao.pdf", "bao-cao.pdf")):
        (tmp_path / "bao-cao.pdf").mkdir(exist_ok=True)
        status, said = report("make", "daily", *days, "--output", str(tmp_path / output))
        assert status and told in said and str(tmp_path / output) in said
    assert report("make", "daily", *days, "--output", str(tmp_path / "nua-thang.docx"))[0] == 0
    assert (tmp_path / "nua-thang.docx").read_bytes().startswith(b"PK")
    status, said = report("list", "--json")
    (row,) = map(json.loads, said.splitlines())
    assert (status, row["since"], row["until"]) == (0, "2025-10-31T17:00:00.000Z", "2025-11-15T17:00:00.000Z")
    assert "01/11/2025 – 15/11/2025" in report("list")[1]
    assert report("get", row["id"], "--output", str(tmp_path / "x"))[0]
    status, said = report("make", "daily", "--from", "31/11/2025", "--to", "2025-11-15")
    assert status and "31/11/2025" in said and "_day" not in said


def test_a_file_of_no_known_kind_is_refused_before_anything_is_written(
    report: Callable[..., tuple[int, str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    engine = open_state(tmp_path / "data")
    case = _case(engine)
    given = ["sharing", "incident", str(case), "--set", "impact=Ngừng 2 giờ", "--output"]
    assert main([*given, str(tmp_path / "bao-cao.odt")]) == 2
    assert ".pdf, .docx" in capfd.readouterr().err
    with engine.connect() as connection:
        assert connection.scalar(select(incident_fields.c.name)) is None
    assert main([*given, str(tmp_path / "bao-cao.pdf")]) == 0
    assert (tmp_path / "bao-cao.pdf").read_bytes().startswith(b"%PDF")
    engine.dispose()


# --- Incidents


def test_a_notice_says_what_the_case_says_and_lists_what_nobody_knows(settings: Settings, engine: Engine) -> None:
    case = _case(engine)
    told = incidents.read(engine, settings, case)
    assert told.values["operator"] == "Sở Nội vụ" and told.values["contact_name"] == "Nguyễn Văn An"
    assert "Luật số 1" in told.values["symptoms"] and told.missing("first") == [
        "owner", "system", "system_level", "contact_title", "contact_phone", "contact_email", "impact", "done", "proposals",
    ]  # fmt: skip
    incidents.write(engine, case, {"impact": "Ngừng một cửa 2 giờ #let x = 1"}, "an", "test")
    told = incidents.read(engine, settings, case)
    made = incidents.document(settings, told, "first", time.time())
    text = " ".join(text_of(pdf(made)).split())
    assert "Ngừng một cửa 2 giờ #let x = 1" in text and "chưa có thông tin" in text
    assert "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM" in text and "203.0.113.1" in text
    assert pdf(made) == pdf(made) and write(made) == write(made)
    assert "Ngừng một cửa 2 giờ #let x = 1" in words_of(write(made))
    with speaking("vi"):
        assert say("incidents.field_owner").lower() in text
    for bad in ({"password": "x"}, {"impact": "x" * 30_000}):
        with pytest.raises(HaidangError):
            incidents.write(engine, case, bad, "an", "test")
    with pytest.raises(HaidangError):
        incidents.read(engine, settings, 999)


def _case(engine: Engine) -> int:
    raised = alert(1, datetime.now(HANOI), **{"rule.name": "Rule 1"})
    with engine.begin() as connection:
        save(connection, [row(raised, "test")])
    return life.open_case(engine, life.Wanted(alerts=[raised["event.id"]]), AN)


@pytest.mark.parametrize("kind", incidents.KINDS)
def test_each_kind_is_set_as_pdf_and_docx(settings: Settings, engine: Engine, kind: str) -> None:
    told = incidents.read(engine, settings, _case(engine))
    made = incidents.document(settings, told, kind, time.time())
    with speaking("vi"):
        title = say(f"incidents.title_{kind}")
    assert title.upper() in " ".join(text_of(pdf(made)).split())
    assert title.upper() in words_of(write(made))


def test_a_document_tells_ours_from_the_attackers_and_what_was_done(settings: Settings, engine: Engine) -> None:
    began = datetime(2026, 11, 20, 9, 30, tzinfo=HANOI)
    raised = [
        alert(1, began + timedelta(minutes=minute), **{
            "event.id": event_id("ours", minute), "user.name": "nguyenvana", "destination.domain": "c2.example.net",
            "process.executable": path,
        })
        for minute, path in ((0, "C:\\Windows\\System32\\cmd.exe"), (45, "C:\\ProgramData\\evil.exe"))
    ]  # fmt: skip
    with engine.begin() as connection:
        save(connection, [row(each, "test") for each in raised])
    case = life.open_case(engine, life.Wanted(alerts=[raised[0]["event.id"]]), AN)
    done, left = (entries.add_task(engine, case, title, "", AN) for title in ("Cách ly máy", "Đổi mật khẩu"))
    entries.set_task(engine, case, done, True, None, AN)
    entries.set_task(engine, case, left, False, "binh", AN)
    entries.add_note(engine, case, "Đã gọi đơn vị vận hành", AN)
    told = incidents.read(engine, settings, case)
    ours = {value for _, value in told.ours}
    assert ours == {"PC-1", "nguyenvana", "10.0.0.1", "C:\\Windows\\System32\\cmd.exe"}
    assert told.values["spread"] == "1 machines (PC-1); 1 units (G10.22)"
    made = incidents.document(settings, told, "report", time.time())
    assert (
        "1 máy (PC-1); 1 đơn vị (G10.22)"
        in dict(row for b in made.blocks if isinstance(b, Fields) for row in b.rows).values()
    )
    affected, signs, timeline = [block for block in made.blocks if isinstance(block, Table)][1:]
    assert {each[1] for each in affected.rows} == ours
    assert {each[1] for each in signs.rows} == {"203.0.113.1", "c2.example.net", "C:\\ProgramData\\evil.exe"}
    happened = [each[2] for each in timeline.rows]
    assert "Đã làm: Cách ly máy" in happened and "Đã gọi đơn vị vận hành" in happened
    assert not any("Đổi mật khẩu" in each or "evil.exe" in each for each in happened)
    (first,) = next(block for block in made.blocks if isinstance(block, Table)).rows
    assert first[2:] == ["09:30 20/11/2026", "10:15 20/11/2026"]
    assert made.number == "Số: ……/BC-……" and made.recipients[1:] == ["……;", "Lưu: VT."]
    notice = incidents.document(settings, told, "first", time.time(), to="Công an tỉnh")
    assert notice.number == "Số: ……/TB-……" and notice.recipients[1] == "Như trên;" and "Công an tỉnh" in notice.to


def test_a_system_that_people_name_has_the_level_and_owner_of_no_other(settings: Settings, engine: Engine) -> None:
    case = _case(engine)
    named = System("HT-01", "Cổng", 3, owner="Sở A", hosts=["PC-1".lower()]), System("HT-01-2", "Kho", 4, owner="Sở B")
    register.put(engine, named, "an", "test")
    for text, level, owner in (
        ("", "3", "Sở A"), ("Cổng dịch vụ công", "", ""), ("Kho (HT-01-2)", "4", "Sở B"), ("ht-01", "3", "Sở A"),
        ("HT-01-3", "", ""),
    ):  # fmt: skip
        incidents.write(engine, case, {"system": text}, "an", "test")
        told = incidents.read(engine, settings, case)
        assert (told.values["system_level"], told.values["owner"]) == (level, owner), text
        assert ("owner" in told.missing("first")) == (owner == "")


@pytest.mark.parametrize("rows", range(0, 60, 4))
def test_who_signs_stands_on_no_page_alone(rows: int) -> None:
    blocks = [*(Paragraph(f"Dòng {number}") for number in range(rows)), Paragraph("Dòng cuối cùng")]
    made = Document("T", "", "", "Sở", "Số", "Ngày", ["Nơi nhận:", "Lưu"], "Giám đốc", ("A", "B"), "", 0, blocks=blocks)
    last_page = PdfReader(io.BytesIO(pdf(made))).pages[-1].extract_text()
    assert "GIÁM ĐỐC" in last_page and "Dòng cuối cùng" in last_page


def test_a_notice_that_was_handed_over_stops_the_clock(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    case = _case(engine)
    file = tmp_path / "sharing" / "ung-cuu.toml"
    file.parent.mkdir()
    file.write_text(
        edited(shipped()["incident-report"].read_text("utf-8"), {"organ__id": "G10.22", "organ__name": "Sở Nội vụ"})
    )
    named = load(file)
    number = incidents.submit(engine, settings, named, case, "first", "an", "test")
    with pytest.raises(HaidangError):
        incidents.submit(engine, settings, named, case, "first", "an", "test")
    assert book.bytes_of(engine, number)[0].startswith(b"%PDF")
    with pytest.raises(HaidangError):
        book.carried(engine, number, "to the province", "an", "test")
    assert book.approve(engine, number, "binh", "test") == "approved"
    with engine.begin() as connection:
        book.known(connection, "ung-cuu", time.time())
        (waiting,) = book.to_sign(connection, "ung-cuu")
        book.note_signed(
            connection, waiting, bytes(waiting.content), named.profile.is_carried(waiting.kind), time.time()
        )
    book.carried(engine, number, "Công văn 12/SNV, giao văn thư Công an tỉnh", "binh", "test")
    with engine.connect() as connection:
        found = connection.execute(select(cases).where(cases.c.id == case)).one()
    assert found.notified is not None and found.reported is None
    assert incidents.read(engine, settings, case).case["clocks"][0]["state"] == "done"
    standing = book.standing(engine, ["ung-cuu"])["ung-cuu"]
    assert standing["row"].sent == standing["messages"]["sent"] == 1 and standing["row"].succeeded > 0


def test_what_is_in_a_document_is_never_markup() -> None:
    ugly = '#read("/etc/passwd") $x$ *b* <a> \\ [c] // @d \x00\x1b ưỡ🙂' + "w" * 400
    blocks = [Paragraph(ugly), Fields([(ugly, ugly)], "-"), Table([ugly], [[ugly]]), Chart(ugly, [ugly], [3])]
    made = Document(ugly, ugly, ugly, ugly, ugly, ugly, [ugly], ugly, (ugly, ugly), ugly, 0, blocks=blocks)
    text = text_of(pdf(made))
    assert "root:" not in text and "/etc/passwd" in text
    assert write(made).startswith(b"PK")
