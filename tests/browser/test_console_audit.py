"""The audit in the console: who did what is found, and a row that somebody changed is told."""

import pytest
from playwright.sync_api import expect

from tests.api.sites import Site
from tests.browser.conftest import Opened

pytestmark = pytest.mark.slow


def test_an_auditor_finds_rows_and_is_told_of_one_that_was_changed(opened_own: Opened, own: Site) -> None:
    page = opened_own.page
    own.user("soat-xet", "auditor")
    with own.client(own.token("may-doc", "analyst")) as client:
        assert client.get("/api/v1/search/events", params={"q": 'message:"thất bại"'}).status_code == 200
    opened_own.log_in("soat-xet")
    page.click(".rail a:has-text('Nhật ký truy vết')")
    page.fill("main input[type=search]", "thất bại")
    page.press("main input[type=search]", "Enter")
    expect(opened_own.rows("audit")).to_have_count(1)
    page.locator("#audit-0").click()
    expect(page.locator(".sheet")).to_contain_text("thất bại")
    page.click("button:has-text('Chỉ của may-doc')")
    page.reload()
    expect(page.locator(".chips")).to_contain_text("may-doc")
    page.select_option("main select", "login")
    expect(page.locator("main .empty")).to_contain_text("Không có dòng nào")
    opened_own.show("/audit")
    page.click("button:has-text('Kiểm tra toàn vẹn')")
    page.click("dialog button.main")
    expect(page.locator(".notice.good")).to_contain_text("Nhật ký nguyên vẹn")
    with own.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_no_update")
        connection.exec_driver_sql("UPDATE audit SET who = 'ai-khac' WHERE id = 2")
    page.click("button:has-text('Kiểm tra toàn vẹn')")
    page.click("dialog button.main")
    expect(page.locator(".notice.fault")).to_contain_text("dòng 2 không khớp")
    expect(page.locator(".notice.fault")).to_contain_text("audit_no_update")
