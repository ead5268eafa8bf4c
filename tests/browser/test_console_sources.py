"""Sources in the console: the sums add up before one's eyes, and each leads to its events."""

import re

import pytest
from playwright.sync_api import expect

from tests.api.sites import Site
from tests.browser.conftest import Opened

pytestmark = pytest.mark.slow


def test_a_source_says_where_its_events_went(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("xem-nguon")
    opened.log_in("xem-nguon")
    page.click(".rail a:has-text('Nguồn dữ liệu')")
    with site.client(site.token("xem-nguon-doc", "viewer")) as client:
        (row,) = client.get("/api/v1/sources").json()
    expect(opened.rows("sources")).to_have_count(1)
    expect(page.locator(".notice.attention")).to_contain_text(f"{row['dropped']} sự kiện bị bỏ")
    opened.press("Enter")
    sheet = page.locator(".sheet")
    expect(sheet.locator(".sums tr.detail")).to_have_count(1)
    numbers = [int(text) for text in sheet.locator(".sums tr:not(.detail) td:nth-child(2)").all_inner_texts()]
    assert numbers[0] == row["received"] == sum(numbers[1:])
    expect(sheet).to_contain_text("Không phải sự kiện")
    expect(sheet.locator(".lines canvas")).to_be_visible()
    page.click("button:has-text('6 giờ')")
    page.reload()
    expect(sheet.locator("button[aria-pressed=true]")).to_have_text("6 giờ")
    sheet.locator("a:has-text('Xem sự kiện')").click()
    expect(page).to_have_url(re.compile(r"/hunt\?.*labels\.source"))
    expect(opened.rows("hunt").first).to_be_visible()
