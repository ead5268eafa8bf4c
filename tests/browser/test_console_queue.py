"""The alert queue by keyboard and mouse: drill-down, verdicts with a note, bulk, the way back, escalation, updates."""

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from pipeline.queue import grouping
from pipeline.state.tables import alert_groups, alerts
from tests.api.sites import UGLY, Site
from tests.browser.conftest import Opened

pytestmark = pytest.mark.slow


def test_the_overview_leads_to_the_groups_of_a_level(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("tong-quan")
    opened.log_in("tong-quan")
    with site.engine.connect() as connection:
        levels = list(connection.scalars(select(alert_groups.c.level)))
    tile = page.locator("a.tile", has_text="Nghiêm trọng")
    expect(tile.locator("b")).to_have_text(str(levels.count("critical")))
    tile.click()
    expect(opened.rows("queue")).to_have_count(levels.count("critical"))
    assert "level=critical" in page.url
    page.go_back()
    expect(page.locator("h1")).to_have_text("Tổng quan")


def test_an_alert_opens_with_its_reasons_and_keys_move_on_to_the_next(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("chi-tiet")
    opened.log_in("chi-tiet")
    opened.press("g", "q")
    expect(opened.rows("queue").nth(1)).to_be_visible()
    opened.press("j", "Enter")
    expect(page.locator(".sheet")).to_contain_text("Việc cần làm trước tiên")
    expect(page.locator(".sheet")).to_contain_text("Hỏi <b>ai</b> đã làm.")
    expect(page.locator(".sheet")).to_contain_text("Vì sao có cảnh báo")
    expect(page.locator(".sheet details pre").first).to_contain_text("Đăng nhập thất bại lần")
    first = page.url
    opened.press("j")
    expect(page.locator("#queue-2")).to_have_class("row cursor ")
    page.wait_for_function("before => location.href !== before", arg=first)
    page.reload()
    expect(page.locator(".sheet")).to_contain_text("Vì sao có cảnh báo")
    opened.press("Escape")
    expect(page.locator(".sheet")).to_have_count(0)
    expect(opened.rows("queue").nth(1)).to_be_visible()


def test_the_link_of_a_message_opens_its_alert_also_after_a_log_in(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("tu-thu")
    with site.client(site.token("tu-thu-doc", "viewer")) as client:
        identifier = client.get("/api/v1/alerts", params={"limit": 1}).json()["alerts"][0]["event.id"]
    page.goto(f"{site.address}/#alert/{identifier}")
    page.reload()  # as from a mail: a page of its own
    opened.log_in("tu-thu")
    expect(page.locator("main")).to_contain_text(identifier)
    page.goto(f"{site.address}/#alert/khong-co")
    expect(page.locator("main .empty")).to_contain_text("khong-co")


def test_a_group_is_taken_judged_with_a_note_and_given_back_by_keys(opened_own: Opened, own: Site) -> None:
    opened, page = opened_own, opened_own.page
    own.user("phan-tich", "analyst")
    opened.log_in("phan-tich")
    opened.show("/queue")
    total = opened.rows("queue").count()
    opened.rows("queue").first.wait_for()
    total = opened.rows("queue").count()
    opened.press("a")
    expect(page.locator("#queue-0, #queue-1").locator("text=Đã nhận").first).to_be_visible()
    expect(page.locator(".toast")).to_contain_text("Đã nhận")
    page.click(".toast button:has-text('Hoàn tác')")
    expect(page.locator(".grid .row:has-text('Đã nhận')")).to_have_count(0)
    opened.press("Enter", "a")  # with the sheet open it says so, too
    expect(page.locator(".sheet > header")).to_contain_text("Đã nhận")
    opened.press("n")
    expect(page.locator(".sheet > header")).to_contain_text("Mới")
    opened.press("Escape")
    expect(page.locator(".grid .row:has-text('Đã nhận')")).to_have_count(0)
    opened.press("f")
    page.click("dialog button.main")  # the browser itself asks for the note
    expect(page.locator("dialog textarea:invalid")).to_have_count(1)
    page.fill("dialog textarea", "Máy quét của chúng tôi.")
    page.click("dialog button.main")
    expect(opened.rows("queue")).to_have_count(total - 1)
    with own.engine.connect() as connection:
        query = select(alert_groups.c.status, alert_groups.c.note, alert_groups.c.owner)
        judged = [row for row in connection.execute(query) if row.status == "false_positive"]
    assert [(row.note, row.owner) for row in judged] == [("Máy quét của chúng tôi.", "phan-tich")]


def test_all_that_fit_are_judged_at_once(opened_own: Opened, own: Site) -> None:
    opened, page = opened_own, opened_own.page
    own.user("hang-loat", "analyst")
    opened.log_in("hang-loat")
    opened.show("/queue?level=high")
    opened.rows("queue").first.wait_for()
    opened.press("x")
    page.click(".bulk button:has-text('Chọn cả')")
    opened.press("f")
    page.fill("dialog textarea", "Tất cả là thử nghiệm.")
    page.click("dialog button.main")
    expect(page.locator(".grid .empty")).to_be_visible()
    with own.engine.connect() as connection:
        statuses = set(connection.scalars(select(alerts.c.status).where(alerts.c.level == "high")))
        others = set(connection.scalars(select(alerts.c.status).where(alerts.c.level != "high")))
    assert (statuses, others) == ({"false_positive"}, {"new"})


def test_an_alert_is_escalated_into_a_new_case(opened_own: Opened, own: Site) -> None:
    opened, page = opened_own, opened_own.page
    own.user("chuyen", "analyst")
    opened.log_in("chuyen")
    opened.show("/queue")
    opened.rows("queue").first.wait_for()
    opened.press("e")
    page.fill("dialog input[name=title]", "Dò mật khẩu từ ngoài")
    page.click("dialog button.main")
    page.wait_for_url("**/cases/1")
    with own.engine.connect() as connection:
        assert "escalated" in set(connection.scalars(select(alerts.c.status)))


def test_what_others_do_is_offered_and_moves_nothing(opened_own: Opened, own: Site) -> None:
    opened, page = opened_own, opened_own.page
    own.user("nhin", "analyst")
    opened.log_in("nhin")
    opened.show("/queue")
    opened.rows("queue").first.wait_for()
    opened.press("j", "j", "j")
    held = page.locator(".grid .row.cursor").inner_text()
    with own.client(own.token("nguoi-khac", "analyst")) as other:
        first = other.get("/api/v1/alerts/groups", params={"limit": 1}).json()["groups"][0]["id"]
        changed = {"status": "false_positive", "note": "thử", "ids": [first]}
        assert other.post("/api/v1/alerts/changes", json=changed).status_code == 200
    expect(page.locator("button:has-text('Có thay đổi')")).to_be_visible()
    assert page.locator(".grid .row.cursor").inner_text() == held
    opened.press("r")
    expect(page.locator("button:has-text('Có thay đổi')")).to_have_count(0)
    assert page.locator(".grid .row.cursor").inner_text() == held


def test_many_tabs_share_one_stream_of_changes(opened_own: Opened, own: Site) -> None:
    own.user("nhieu-the", "analyst")
    opened_own.log_in("nhieu-the")
    # more than a browser opens connections to one server: streams of their own would leave none for the last
    pages = [opened_own.page.context.new_page() for _ in range(8)]
    for page in pages:
        page.goto(f"{own.address}/queue?from=all")
        expect(page.locator("#queue-1")).to_be_visible()
    pages[-1].keyboard.press("j")
    with own.client(own.token("nguoi-khac", "analyst")) as other:
        first = other.get("/api/v1/alerts/groups", params={"limit": 1}).json()["groups"][0]["id"]
        changed = {"status": "acknowledged", "ids": [first]}
        assert other.post("/api/v1/alerts/changes", json=changed).status_code == 200
    expect(pages[-1].locator("button:has-text('Có thay đổi')")).to_be_visible()
    opened_own.page.close()  # it listened for all; another one does so now
    with own.client(own.token("nguoi-khac-nua", "analyst")) as other:
        assert other.post("/api/v1/alerts/changes", json={**changed, "status": "new"}).status_code == 200
    expect(pages[0].locator("#queue-0, #queue-1, #queue-2").locator("text=Đã nhận")).to_have_count(0)


def test_what_alerts_say_is_text_and_nothing_else(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("xau")
    opened.log_in("xau")
    grouping.catch_up(site.engine, 24)
    opened.show("/queue")
    opened.rows("queue").first.wait_for()
    with site.engine.connect() as connection:
        ids = {row.document["host.name"]: row.group_id for row in connection.execute(select(alerts))}
    for value in UGLY:
        opened.show(f"/queue?open={ids[value]}")
        expect(page.locator(".sheet details pre").first).to_have_text(value.replace("\u202e", "\\u202e"))
    assert page.locator("main img, main script").count() == 0
    assert "owned" not in page.title()
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate(
            "document.querySelector('.sheet .body').scrollWidth <= document.querySelector('.sheet .body').clientWidth + 1"
        )
