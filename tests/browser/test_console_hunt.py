"""The hunt: queries, their faults, fields with shares, values that lead on, events around, what is exported and kept."""

import csv
import json
import re
from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

from pipeline.event import event_id
from tests.api.sites import NOW, Site, index
from tests.browser.conftest import Opened

pytestmark = pytest.mark.slow


def test_a_search_shows_events_over_time_and_its_address_can_be_shared(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("tim-kiem")
    opened.log_in("tim-kiem")
    opened.press("/")
    page.keyboard.type("dang nhap user.name:root")
    opened.press("Enter")
    expect(page.locator(".histogram figcaption").first).to_contain_text("40 sự kiện")
    expect(page.locator(".grid .foot")).to_contain_text("40 dòng")
    page.reload()
    expect(page.locator("#query")).to_have_value("dang nhap user.name:root")
    expect(page.locator(".grid .foot")).to_contain_text("40 dòng")
    page.click(".top button[title='Khoảng thời gian']")
    page.click("[role=menuitemradio]:has-text('1 giờ qua') >> nth=0")
    old = (datetime.now(UTC) - NOW).total_seconds() / 60  # minutes since the events were made, one for each minute
    within = sum(number % 3 == 0 for number in range(120) if number + old < 60)
    expect(page.locator(".grid .foot")).to_contain_text(f"{within} dòng")
    assert "from=now-1h" in page.url


def test_any_value_includes_excludes_groups_and_pivots(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("gia-tri")
    opened.log_in("gia-tri")
    opened.show("/hunt?q=user.name:root")
    opened.rows("hunt").first.wait_for()
    page.click(".grid .row >> nth=0 >> button.value[data-field='host.name']")
    page.click("[role=menuitem]:has-text('Thêm vào truy vấn')")
    expect(page.locator("#query")).to_have_value('user.name:root AND host.name:"may-0"')
    expect(page.locator(".grid .foot")).to_contain_text("20 dòng")
    page.click(".chip:has-text('host.name') >> button >> nth=0")
    expect(page.locator("#query")).to_have_value('user.name:root AND NOT host.name:"may-0"')
    expect(page.locator(".grid .foot")).to_contain_text("20 dòng")
    page.click(".chip:has-text('host.name') >> button >> nth=1")
    expect(page.locator("#query")).to_have_value("user.name:root")
    page.click(".grid .row >> nth=0 >> button.value[data-field='host.name']")
    page.click("[role=menuitem]:has-text('Nhóm theo trường này')")
    expect(page.locator(".grouped tbody tr")).to_have_count(2)
    expect(page.locator(".grouped tbody tr").first).to_contain_text("20")
    page.click(".grouped tbody tr >> nth=0 >> button.value")
    page.click("[role=menuitem]:has-text('Mở đối tượng này')")
    expect(page.locator("h1")).to_contain_text("may-")
    expect(page.locator(".around li").first).to_be_visible()


def test_fields_have_their_most_frequent_values_with_shares_and_become_columns(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("truong")
    opened.log_in("truong")
    opened.show("/hunt")
    opened.rows("hunt").first.wait_for()
    page.fill(".field-list input", "USER")
    page.click(".field-list summary:has-text('user.name')")
    expect(page.locator(".top-values", has_text="root")).to_contain_text("33 %")
    page.click(".top-values button:has-text('Thêm cột')")
    expect(page.locator(".grid [role=columnheader]", has_text="user.name")).to_be_visible()
    assert "cols=" in page.url


def test_a_fault_stands_under_its_character(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("loi")
    opened.log_in("loi")
    opened.show("/hunt")
    page.fill("#query", "đặng AND (root")
    page.press("#query", "Enter")
    expect(page.locator("#query-fault mark")).to_have_text("(")
    expect(page.locator("#query-fault > span")).to_have_text("Ký tự thứ 10: ( chưa được đóng")
    page.fill("#query", "root")
    page.press("#query", "Enter")
    expect(page.locator("#query-fault")).to_have_count(0)
    expect(opened.rows("hunt").first).to_be_visible()


def test_a_field_that_no_event_has_is_named(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("sai-truong")
    opened.log_in("sai-truong")
    opened.show('/hunt?q=usr.name:root AND message:"a.b:c"')
    expect(page.locator(".grid .empty")).to_contain_text("Không sự kiện nào có trường usr.name.")
    opened.show("/hunt?q=user.name=root AND host.name:may-0")
    expect(page.locator(".grid .empty")).to_contain_text("Truy vấn có user.name=root:")
    page.click(".grid .empty button")
    expect(page.locator("#query")).to_have_value("user.name:root AND host.name:may-0")
    expect(opened.rows("hunt").first).to_be_visible()
    for value in ("300.1.2.3", "may-0", "10.0.0.0/40"):
        opened.show(f"/hunt?q=source.ip:{value}")
        place = page.locator(".grid .empty, #query-fault")
        expect(place).to_contain_text(value)
    opened.show("/hunt?q=user.name:khong-co")
    expect(page.locator(".grid .empty")).to_contain_text("Không có sự kiện nào khớp")


def test_fields_and_values_are_completed(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("goi-y")
    opened.log_in("goi-y")
    opened.show("/hunt")
    page.click("#query")
    page.keyboard.type("user.na")
    expect(page.locator(".suggestions [role=option]").first).to_contain_text("user.name")
    opened.press("ArrowDown", "Enter")
    expect(page.locator("#query")).to_have_value("user.name:")
    page.keyboard.type("ro")
    expect(page.locator(".suggestions [role=option]").first).to_contain_text("root")
    opened.press("ArrowDown", "Enter")
    expect(page.locator("#query")).to_have_value('user.name:"root"')
    opened.press("Enter")
    expect(page.locator(".grid .foot")).to_contain_text("40 dòng")


def test_an_event_shows_what_was_around_it_and_the_list_stays_where_it_is(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("xung-quanh")
    opened.log_in("xung-quanh")
    opened.show("/hunt")
    opened.rows("hunt").first.wait_for()
    for _ in range(60):
        opened.press("j")
    top = page.locator(".grid .scroll").evaluate("box => box.scrollTop")
    assert top > 0
    opened.press("Enter")
    page.click(".sheet .actions button:has-text('Trước và sau')")
    expect(page.locator(".sheet .around li.here")).to_have_count(1)
    assert page.locator(".sheet .around li").count() > 10
    opened.press("Escape")
    expect(page.locator(".sheet")).to_have_count(0)
    assert page.locator(".grid .scroll").evaluate("box => box.scrollTop") == top
    assert page.locator("#hunt-60.cursor").count() == 1


def test_dragging_over_the_histogram_chooses_that_time(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("keo")
    opened.log_in("keo")
    opened.show("/hunt?from=now-4h")
    box = page.locator(".histogram svg").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 40)
    page.mouse.up()
    page.wait_for_url("**from=20*to=20*")
    expect(page.locator(".grid .foot")).to_contain_text("dòng")


def test_a_process_stands_among_those_that_started_it_and_those_it_started(opened_own: Opened, own: Site) -> None:
    opened, page = opened_own, opened_own.page
    base = {
        **own.events[0], "event.dataset": "windows.sysmon", "event.category": ["process"], "event.type": ["start"],
        "event.code": "1",
    }  # fmt: skip
    chain = ("winword.exe", "cmd.exe", "powershell.exe")
    events = [
        {
            **base, "event.id": event_id("process", number), "process.name": name, "process.pid": 10 + number,
            "process.entity_id": f"{{{number}}}", "process.parent.entity_id": f"{{{number - 1}}}",
        }
        for number, name in enumerate(chain)
    ]  # fmt: skip
    index(own.settings, own.engine, events)
    own.user("cay", "analyst")
    opened.log_in("cay")
    opened.show("/hunt?q=process.name:cmd.exe")
    opened.rows("hunt").first.wait_for()
    opened.press("Enter")
    expect(page.locator(".tree .here")).to_contain_text("cmd.exe")
    expect(page.locator(".tree li li li").last).to_have_text(re.compile("^powershell.exe"))
    page.click(".tree button:has-text('powershell.exe')")
    expect(page.locator(".tree .here")).to_contain_text("powershell.exe")


def test_an_event_of_five_thousand_fields_is_looked_at_with_ease(opened_own: Opened, own: Site) -> None:
    opened, page = opened_own, opened_own.page
    many = {f"truong.so_{number}": f"gia tri {number}" for number in range(5000)}
    index(own.settings, own.engine, [{**own.events[0], "event.id": event_id("many"), "user.name": "nhieu", **many}])
    own.user("nhieu-truong")
    opened.log_in("nhieu-truong")
    opened.show("/hunt?q=user.name:nhieu")
    opened.rows("hunt").first.wait_for()
    opened.press("Enter")
    expect(page.locator(".sheet .fields tr").nth(100)).to_be_attached()
    assert page.locator(".sheet .fields tr").count() < 300
    page.fill(".sheet input[type=search]", "SO_4711")
    expect(page.locator(".sheet .fields tbody tr")).to_have_count(1)
    expect(page.locator(".sheet .fields tbody tr")).to_contain_text("gia tri 4711")


def test_what_is_found_leaves_as_csv_and_json_lines(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("xuat", "analyst")
    opened.log_in("xuat")
    opened.show("/hunt?q=user.name:root")
    opened.rows("hunt").first.wait_for()
    found = []
    for kind in ("CSV", "NDJSON"):
        page.click("button:has-text('Xuất')")
        with page.expect_download() as saved:
            page.click(f"[role=menuitem]:has-text('{kind} (')")
        found.append(saved.value.path().read_text("utf-8-sig"))
    rows = list(csv.DictReader(found[0].splitlines()))
    assert len(rows) == 40
    assert set(rows[0]) >= {"@timestamp", "host.name"}
    assert {json.loads(line)["user.name"] for line in found[1].splitlines() if '"user.name"' in line} == {"root"}


def test_a_search_is_kept_and_shared(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("luu", "analyst")
    site.user("ban", "viewer")
    opened.log_in("luu")
    opened.show("/hunt?q=user.name:root&cols=user.name")
    opened.rows("hunt").first.wait_for()
    page.click("button:has-text('Tìm kiếm đã lưu')")
    page.click("[role=menuitem]:has-text('Lưu tìm kiếm này')")
    page.fill("dialog input[name=name]", "Đăng nhập root")
    page.select_option("dialog select[name=shared]", "everyone")
    page.click("dialog button.main")
    expect(page.locator(".toast")).to_contain_text("Đăng nhập root")
    page.context.clear_cookies()
    page.goto(f"{site.address}/hunt")
    opened.log_in("ban")
    page.click("button:has-text('Tìm kiếm đã lưu')")
    page.click("[role=menuitem]:has-text('Đăng nhập root')")
    expect(page.locator("#query")).to_have_value("user.name:root")
    expect(page.locator(".grid .foot")).to_contain_text("40 dòng")
