"""Cases on both states: from alerts to the report, the law's clocks, what is written down, what leaves the site (row F2)."""

import hashlib
import io
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from pipeline.cases import bundle, clocks, entries, life, showing
from pipeline.cases.entries import By
from pipeline.cases.markdown import to_html
from pipeline.delivery.routing import Routing
from pipeline.event import Event, event_id, from_micros
from pipeline.identity.users import create_user
from pipeline.messages import HaidangError, speaking
from pipeline.queue import life as queue
from pipeline.settings import Cases, Settings
from pipeline.state.tables import alert_groups, alerts, audit, case_entries, deliveries
from response.queue import row, save

_MAIL = {"name": "mail", "kind": "email", "host": "127.0.0.1", "sender": "a@example.gov.vn", "to": ["b@example.gov.vn"]}
AN = By("an", "10.0.0.9")
SETTINGS = Cases()
START = time.time_ns() // 1000 - 3_600_000_000


def alert(number: int, rule: str = "r1", **fields: Any) -> Event:
    return {
        "@timestamp": from_micros(START + number * 1_000_000), "event.id": event_id("a", number), "rule.id": rule,
        "rule.name": "Đọc mật khẩu", "rule.level": "high", "rule.response": "Cut it off.",
        "rule.response_vi": "Ngắt mạng.", "host.name": "PC-1", **fields,
    }  # fmt: skip


def raised(engine: Engine, *found: Event) -> list[str]:
    with engine.begin() as connection:
        save(connection, [row(each, "test") for each in found])
    return [each["event.id"] for each in found]


def seen(engine: Engine, case: int) -> dict[str, Any]:
    with engine.connect() as connection:
        return showing.one(connection, case, SETTINGS)


def test_a_case_begins_with_its_opening_and_names_rules_in_the_language_of_who_looks(engine: Engine) -> None:
    raised(engine, alert(1, **{"rule.name": "Passwords read", "rule.name_vi": "Đọc mật khẩu"}))
    with speaking("vi"):
        case = life.open_case(engine, life.Wanted(alerts=[event_id("a", 1)]), AN)
        told = seen(engine, case)
    assert told["title"] == "Đọc mật khẩu: pc-1"
    opened = next(step for step in told["timeline"] if step["kind"] == "change")
    assert (opened["what"], opened["who"]) == ("mở vụ việc: Đọc mật khẩu: pc-1", "an")
    assert [step["what"] for step in told["timeline"] if step["kind"] == "alerts"] == ["Đọc mật khẩu: pc-1"]
    with speaking("en"):
        again = seen(engine, case)
    assert [step["what"] for step in again["timeline"] if step["kind"] == "alerts"] == ["Passwords read: pc-1"]
    assert again["alerts"][0]["rule.name_vi"] == "Đọc mật khẩu"
    with engine.begin() as connection:  # one that was brought in before names were kept with it
        entry = connection.execute(select(case_entries).where(case_entries.c.kind == "alerts")).one()
        body = {name: value for name, value in entry.body.items() if name != "rule.name_vi"}
        connection.execute(update(case_entries).where(case_entries.c.id == entry.id).values(body=body))
    assert seen(engine, case)["alerts"][0]["rule.name_vi"] == "Đọc mật khẩu"


def statuses(engine: Engine) -> list[tuple[str, str, str]]:
    with engine.connect() as connection:
        query = select(alerts.c.status, alerts.c.owner, alerts.c.note).order_by(alerts.c.time)
        return [tuple(each) for each in connection.execute(query)]


def actions(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.scalars(select(audit.c.action).order_by(audit.c.id)))


def test_a_case_from_its_alerts_to_its_end(engine: Engine) -> None:
    one, two, _ = raised(
        engine, alert(1, **{"source.ip": "203.0.113.9"}), alert(2, **{"file.hash.sha256": "ab" * 32}), alert(3, "r2")
    )
    case = life.open_case(engine, life.Wanted(alerts=[one]), AN)
    told = seen(engine, case)
    assert (told["title"], told["level"], told["owner"], told["status"]) == ("Đọc mật khẩu: pc-1", "high", "an", "open")
    assert {(each["kind"], each["value"]) for each in told["observables"]} == {
        ("address", "203.0.113.9"), ("hash", "ab" * 32), ("host", "PC-1"),
    }  # fmt: skip
    assert [task["title"] for task in told["tasks"]] == ["Cut it off."]
    assert statuses(engine) == [("escalated", "an", f"#{case}")] * 2 + [("new", "", "")]
    (came,) = raised(engine, alert(4))
    assert statuses(engine)[3][:2] == ("escalated", "an")
    with pytest.raises(HaidangError, match="already"):
        life.open_case(engine, life.Wanted("another", alerts=[came]), AN)
    with engine.connect() as connection:
        (other,) = connection.scalars(select(alert_groups.c.id).where(alert_groups.c.rule_id == "r2"))
    assert life.add_alerts(engine, case, [other, two], AN) == 1
    note = entries.add_note(engine, case, "**Máy** của kế toán <script>x</script>", AN)
    task = entries.add_task(engine, case, "Hỏi người dùng", "bình", AN)
    entries.set_task(engine, case, task, True, None, AN)
    wrong = entries.add_note(engine, case, "ở nhầm chỗ", AN)
    entries.remove(engine, case, wrong, "nhầm", AN)
    with engine.begin() as connection:
        create_user(connection, "bình", "analyst")
    life.change(engine, case, {"level": "critical", "owner": "bình", "notified": time.time()}, AN)
    told = seen(engine, case)
    assert (told["level"], told["owner"]) == ("critical", "bình")
    assert [(each["number"], "<script>" in each["html"]) for each in told["notes"]] == [(note, False)]
    assert [(each["title"], each["done"]) for each in told["tasks"]][-1] == ("Hỏi người dùng", True)
    assert [each["state"] for each in told["clocks"]] == ["done", "running"]
    assert [each["at"] for each in told["timeline"]] == sorted(each["at"] for each in told["timeline"])
    assert {each["number"] for each in told["timeline"] if each["removed"]} == {wrong}
    with pytest.raises(HaidangError, match="summary"):
        life.close(engine, case, "true_positive", " ", AN)
    life.close(engine, case, "true_positive", "Mã độc, đã cài lại máy.", AN)
    assert {each[0] for each in statuses(engine)} == {"true_positive"}
    with pytest.raises(HaidangError, match="closed"):
        entries.add_note(engine, case, "late", AN)
    raised(engine, alert(5))
    assert statuses(engine)[4] == ("new", "", "")
    life.reopen(engine, case, "it came back", AN)
    again = seen(engine, case)
    assert (again["status"], [each["status"] for each in again["alerts"]]) == ("open", ["escalated", "escalated"])
    raised(engine, alert(6))
    assert statuses(engine)[5][:2] == ("escalated", "an")
    assert {"case_opened", "case_changed", "alerts_changed"} == set(actions(engine))


def test_an_escalated_group_can_be_given_a_verdict_alone(engine: Engine) -> None:
    (one,) = raised(engine, alert(1))
    life.open_case(engine, life.Wanted(alerts=[one]), AN)
    assert queue.change(engine, queue.Fits([one]), "false_positive", "a drill", "an", "") == 1
    assert statuses(engine)[0][0] == "false_positive"


def test_the_laws_clocks_warn_and_are_late(engine: Engine, tmp_path: Path) -> None:
    now = time.time()
    case = life.open_case(engine, life.Wanted("Sự cố", detected=now), AN)
    life.open_case(engine, life.Wanted("Diễn tập", reportable=False, detected=now - 10**6), AN)

    def told(hours: float) -> list[tuple[str, str]]:
        with engine.connect() as connection:
            found = list(clocks.judge(connection, now + hours * 3600, SETTINGS, "test"))
        return [(each["rule.id"].removeprefix("haidang."), each["rule.level"]) for each in found]

    assert told(1) == []
    assert told(20.5) == [("notice_soon", "high")]
    assert told(24.5) == [("notice_late", "critical")]
    assert told(68.5) == [("notice_late", "critical"), ("report_soon", "high")]
    life.change(engine, case, {"notified": now + 3600}, AN)
    assert told(72.5) == [("report_late", "critical")]
    with engine.connect() as connection:
        first, again = (
            [each["event.id"] for each in clocks.judge(connection, now + hours * 3600, SETTINGS, "test")]
            for hours in (73, 99)
        )
    assert first == again
    made = Settings(data_dir=tmp_path, channels=[_MAIL], routes=[{"channels": ["mail"], "level": "low"}])
    with engine.begin() as connection:
        found = [*clocks.judge(connection, now + 73 * 3600, SETTINGS, "test")]
        save(connection, [row(each, "haidang") for each in found], routing=Routing(made))
        assert connection.scalars(select(deliveries.c.thread)).all() == [f"case-{case}"]
    life.change(engine, case, {"reported": now + 7200}, AN)
    assert told(99) == []
    life.change(engine, case, {"reported": None}, AN)
    assert [rule for rule, _ in told(99)] == ["report_late"]
    late = SimpleNamespace(reportable=True, detected=0.0, notified=90_000.0, reported=None)
    assert [clock.state for clock in clocks.clocks_of(late, 100_000, SETTINGS)] == ["done_late", "running"]


def test_files_have_hashes_and_limits_and_come_back_as_they_were(engine: Engine) -> None:
    case = life.open_case(engine, life.Wanted("Mẫu mã độc"), AN)
    data = bytes(range(256)) * 100
    number, digest = entries.add_file(engine, case, "C:\\Temp\\..\\evil.exe", data, 1_000_000, AN)
    assert digest == hashlib.sha256(data).hexdigest()
    with engine.connect() as connection:
        body, back = entries.file_of(connection, case, number)
    assert (body["name"], body["size"], body["md5"], back) == (
        "evil.exe",
        len(data),
        hashlib.md5(data).hexdigest(),
        data,
    )
    with pytest.raises(HaidangError, match="longer"):
        entries.add_file(engine, case, "large", b"x" * 1001, 1000, AN)
    with pytest.raises(HaidangError, match="MB"):  # the case has 25,600 bytes, of 20 times 1,300
        entries.add_file(engine, case, "more", b"x" * 1000, 1300, AN)
    assert entries.add_file(engine, case, "empty", b"", 26_000, AN)[1] == hashlib.sha256(b"").hexdigest()


def test_events_stay_when_the_store_forgets_them(engine: Engine) -> None:
    case = life.open_case(engine, life.Wanted("Sự kiện"), AN)
    event = {"@timestamp": from_micros(START), "event.id": "e1", "message": "Đăng nhập"}
    assert entries.add_events(engine, case, [event, {**event, "event.id": "e2"}], AN) == 2
    assert entries.add_events(engine, case, [event], AN) == 0
    assert [each["message"] for each in seen(engine, case)["events"]] == ["Đăng nhập"] * 2
    with pytest.raises(HaidangError, match="longer"):
        entries.add_events(engine, case, [{**event, "event.id": "e3", "message": "x" * 1_000_001}], AN)


def test_a_bundle_is_whole_and_every_change_of_it_is_found(engine: Engine, tmp_path: Path) -> None:
    raised(engine, alert(1), alert(2))
    with engine.connect() as connection:
        (group,) = connection.scalars(select(alert_groups.c.id))
    case = life.open_case(engine, life.Wanted(alerts=[group]), AN)
    entries.add_note(engine, case, "# Ghi chú", AN)
    entries.add_file(engine, case, "../../etc/passwd", b"not really", 1000, AN)
    data, digest = bundle.bytes_of(engine, case, SETTINGS, AN)
    manifest, again = bundle.verify(io.BytesIO(data))
    assert (again, manifest["case"], manifest["all_alerts"], manifest["tlp"]) == (digest, case, True, "amber")
    with zipfile.ZipFile(io.BytesIO(data)) as held:
        members = {name: held.read(name) for name in held.namelist()}
    assert len(members["alerts.ndjson"].splitlines()) == 2
    assert next(name for name in members if name.startswith("files/")).endswith("-passwd")
    assert not any(".." in name or name.startswith("/") for name in members)
    assert actions(engine)[-1] == "case_exported"

    def packed(**changes: bytes | None) -> io.BytesIO:
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as made:
            for name, content in {**members, **changes}.items():
                if content is not None:
                    made.writestr(name, content)
        target.seek(0)
        return target

    bundle.verify(packed())
    for changes, told in (
        ({"alerts.ndjson": b"{}"}, "alerts.ndjson"), ({"case.json": None}, "case.json"),
        ({"more.txt": b"x"}, "more.txt"), ({"manifest.json": b"[]"}, "no bundle"), ({"manifest.json": None}, "no bundle"),
    ):  # fmt: skip
        with pytest.raises(HaidangError, match=told):
            bundle.verify(packed(**changes))
    with pytest.raises(HaidangError, match="no bundle"):
        bundle.verify(io.BytesIO(data[: len(data) // 2]))
    (tmp_path / "x").write_bytes(b"no zip")
    with pytest.raises(HaidangError, match="no bundle"):
        bundle.verify(tmp_path / "x")


def test_what_makes_no_sense_is_refused_and_changes_nothing(engine: Engine) -> None:
    case = life.open_case(engine, life.Wanted("Sự cố"), AN)
    with engine.connect() as connection:
        before = len(connection.execute(select(case_entries)).all())
    for wrong in (
        lambda: life.open_case(engine, life.Wanted(""), AN),
        lambda: life.open_case(engine, life.Wanted("x", level="bad"), AN),
        lambda: life.open_case(engine, life.Wanted("x", tlp="purple"), AN),
        lambda: life.open_case(engine, life.Wanted("x", detected=time.time() + 10**6), AN),
        lambda: life.open_case(engine, life.Wanted("x", alerts=["nowhere"]), AN),
        lambda: life.change(engine, case, {}, AN),
        lambda: life.change(engine, case, {"detected": -1e12}, AN),
        lambda: life.change(engine, case, {"notified": time.time() - 86_400}, AN),  # before it was detected
        lambda: life.change(engine, case, {"owner": "nobody"}, AN),
        lambda: entries.add_observable(engine, case, "address", "999.9.9.9", "amber", "", AN),
        lambda: life.change(engine, 999, {"title": "x"}, AN),
        lambda: life.close(engine, case, "maybe", "x", AN),
        lambda: life.reopen(engine, case, "x", AN),
        lambda: entries.add_note(engine, case, " ", AN),
        lambda: entries.add_note(engine, 999, "x", AN),
        lambda: entries.add_observable(engine, case, "colour", "red", "amber", "", AN),
        lambda: entries.remove(engine, case, 999, "x", AN),
        lambda: entries.set_task(engine, case, 999, True, None, AN),
    ):
        with pytest.raises(HaidangError):
            wrong()
    with engine.connect() as connection:
        assert len(connection.execute(select(case_entries)).all()) == before


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)", "![x](http://evil.example/pixel.png)",
        "`<b>`", "[x]: javascript:alert(1)\n\n[x]", "<a href='javascript:alert(1)'>x</a>", "> " * 1000 + "x",
        "*" * 20_000, "[" * 20_000, "|a|b|\n|-|-|\n|<img src=x>|2|",
    ],
)  # fmt: skip
def test_notes_can_do_nothing(text: str) -> None:
    html = to_html(text).lower()
    for bad in ("<script", "<img", 'href="javascript', 'href="data', "<a href='"):
        assert bad not in html


def test_notes_have_what_people_write() -> None:
    html = to_html("# Tiêu đề\n\n- **đậm**\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n[x](https://vncert.vn/)")
    assert "<h1>Tiêu đề</h1>" in html
    assert "<strong>đậm</strong>" in html
    assert "<td>1</td>" in html
    assert 'rel="noopener noreferrer nofollow"' in html
