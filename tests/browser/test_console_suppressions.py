"""Suppressions in the console: what is kept out of the queue, why and until when, and the end of one."""

import pytest
from playwright.sync_api import expect

from tests.api.sites import Site
from tests.browser.conftest import Opened

pytestmark = pytest.mark.slow


def test_what_is_kept_out_is_listed_with_its_reason_and_ended_by_who_may(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("phan-tich-vien", "analyst")
    wanted = {"rule": "rule-high", "where": {"host.name": "may-1"}, "reason": "máy quét của <b>đơn vị</b>", "days": 30}
    with site.client(site.token("quan-ly", "analyst")) as client:
        assert client.post("/api/v1/alerts/suppressions", json=wanted).status_code == 201
    opened.log_in("phan-tich-vien")
    opened.show("/queue")
    page.click(".grid .foot a:has-text('giữ ngoài hàng đợi')")
    expect(opened.rows("suppressions")).to_have_count(1)
    expect(opened.rows("suppressions").first).to_contain_text("host.name: may-1")
    opened.rows("suppressions").first.click()
    sheet = page.locator(".sheet")
    expect(sheet).to_contain_text("máy quét của <b>đơn vị</b>")
    expect(sheet).to_contain_text("quan-ly")
    page.reload()
    sheet.locator("button:has-text('Bỏ mục này')").click()
    page.click("dialog button.danger")
    expect(page.locator("main .empty")).to_contain_text("Không cảnh báo nào bị giữ")
    with site.client(site.token("xem-lai", "analyst")) as client:
        assert client.get("/api/v1/alerts/suppressions").json()["suppressions"] == []
