"""Health in the console: all parts at one look, and a part that falls silent is said without anybody asking."""

import time

import pytest
from playwright.sync_api import expect
from sqlalchemy import update

from pipeline import deadletters
from pipeline.ledger import DeadLetter
from pipeline.state.tables import stages
from tests.api.sites import Site
from tests.browser.conftest import Opened

pytestmark = pytest.mark.slow


def test_a_stage_that_falls_silent_is_said_by_itself_with_what_to_do(opened_own: Opened, own: Site) -> None:
    page = opened_own.page
    own.user("truc-ban")
    opened_own.log_in("truc-ban")
    page.click(".rail a:has-text('Sức khoẻ hệ thống')")
    expect(page.locator("table a:has-text('Kho tìm kiếm')")).to_be_visible()
    expect(page.locator("tr", has_text="Kho tìm kiếm")).to_contain_text("chạy")
    expect(page.locator(".notice", has_text="Im lặng")).to_have_count(0)
    with own.engine.begin() as connection:
        connection.execute(update(stages).where(stages.c.stage == "store").values(seen=time.time() - 600))
    expect(page.locator(".notice", has_text="Im lặng")).to_contain_text("Kho tìm kiếm")
    page.click("table a:has-text('Kho tìm kiếm')")
    expect(page.locator(".sheet")).to_contain_text("logs/store.log")
    page.reload()
    expect(page.locator(".sheet")).to_contain_text("im lặng")
    opened_own.press("Escape")
    expect(page.locator(".sheet")).to_have_count(0)


def test_an_administrator_without_a_second_factor_is_told_as_doctor_tells_it(opened_own: Opened, own: Site) -> None:
    page = opened_own.page
    own.user("quan-tri", "admin")
    opened_own.log_in("quan-tri")
    notice = page.locator(".notice", has_text="chưa bật xác thực hai bước: 1 (quan-tri).")
    notice.locator("a:has-text('Người dùng')").click()
    expect(page.locator("h1")).to_have_text("Người dùng")
    opened_own.show("/health")
    expect(notice).to_be_visible()
    with own.client(own.token("xem", "viewer")) as client:
        (told,) = client.get("/api/v1/health").json()["advice"]
    assert (told["count"], told["names"]) == (1, "")


def test_a_problem_leads_to_where_it_is_mended(opened_own: Opened, own: Site) -> None:
    page = opened_own.page
    own.user("quan-tri", "admin")
    with own.engine.begin() as connection:
        letters = [DeadLetter("events", "syslog", "not_an_event", "no JSON", b"<b>d\xc3\xb2ng h\xe1\xbb\x8fng</b>")]
        deadletters.bury(
            connection, "store", [*letters, DeadLetter("events", "mail", "poison_frame", "", b"\xff")], 1000
        )
    opened_own.log_in("quan-tri")
    notice = page.locator(".notice", has_text="Số dòng không lưu được: 2")
    notice.locator("a:has-text('Sức khoẻ hệ thống')").click()
    card = page.locator(".card", has_text="Dòng không lưu được")
    expect(card.locator("tbody tr", has_text="syslog")).to_contain_text("Không phải sự kiện")
    card.locator("summary").click()
    expect(card).to_contain_text("<b>dòng hỏng</b>")
    expect(card).to_contain_text("base64:/w==")
    with own.client(own.token("kiem-soat", "auditor")) as client:  # who sees no events sees none of these
        assert client.get("/api/v1/dead-letters").status_code == 403
    with own.client(own.token("xem-dong", "viewer")) as client:
        told = client.get("/api/v1/dead-letters", params={"source": "mail", "limit": 1}).json()
        assert client.post("/api/v1/dead-letters/retry", json={}).status_code == 403
        assert client.post("/api/v1/dead-letters/drop", json={"until": time.time()}).status_code == 403
    assert (told["count"], len(told["reasons"]), [each["source"] for each in told["letters"]]) == (2, 2, ["mail"])
    card.locator("tr", has_text="syslog").locator("button:has-text('Đưa vào lại')").click()
    page.click("dialog button.main")
    expect(page.locator(".toast")).to_contain_text("Đã đưa vào lại: 1. Còn lại: 0.")
    expect(card.locator("tbody tr")).to_have_count(1)
    assert [each["source"] for each in deadletters.listed(own.engine)] == ["mail"]
    of_mail = card.locator("tr", has_text="mail")
    of_mail.locator("button:has-text('Xoá')").click()
    expect(page.locator("dialog")).to_contain_text("Xoá hẳn 1 dòng của mail?")
    expect(page.locator("dialog")).to_contain_text("do hai người cùng xoá")
    page.click("dialog button[type=submit]")
    expect(page.locator(".toast").last).to_contain_text("khi có người khác đồng ý")
    expect(of_mail).to_contain_text("đề nghị xoá")
    own.user("nguoi-hai", "admin")
    page.context.clear_cookies()
    page.reload()
    opened_own.log_in("nguoi-hai")
    opened_own.show("/health")
    of_mail.locator("button:has-text('Đồng ý xoá')").click()
    page.click("dialog button[type=submit]")
    expect(page.locator(".toast").last).to_contain_text("Đã xoá: 1.")
    expect(card).to_have_count(0)
    assert deadletters.listed(own.engine) == []
