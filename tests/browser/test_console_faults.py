"""What goes wrong around the console: the server away, many problems; and what its build must not have in it."""

import re

import pytest
from playwright.sync_api import Route, expect

from pipeline.shipped import shipped_console
from tests.api.sites import Site
from tests.browser.conftest import Opened
from tests.conftest import PATIENCE

pytestmark = pytest.mark.slow
#: The first load, compressed, in bytes: as asked for.
_FIRST_LOAD = 200_000


def test_a_lost_connection_is_said_and_what_is_known_stays(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("mat-mang")
    opened.log_in("mat-mang")
    opened.show("/queue")
    opened.rows("queue").first.wait_for()
    count = opened.rows("queue").count()
    page.route("**/api/v1/**", lambda route: route.abort())
    opened.press("r")
    expect(page.locator(".notice.fault").first).to_contain_text("Không liên lạc được với máy chủ")
    assert opened.rows("queue").count() == count
    page.unroute_all()
    expect(page.locator(".notice.fault")).to_have_count(0, timeout=20_000 * PATIENCE)
    opened.faults.clear()  # Chromium's own words about the connection


def test_a_store_that_takes_too_long_is_told_and_asked_again(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("kho-cham")
    opened.log_in("kho-cham")
    slow = {"detail": "Kho tìm kiếm không trả lời trong 30 giây."}
    page.route("**/api/v1/search/**", lambda route: route.fulfill(status=503, json=slow))
    opened.show("/hunt?q=user.name:root")
    expect(page.locator(".grid .notice.fault")).to_contain_text("Kho tìm kiếm không trả lời")
    expect(page.locator(".grid .notice.fault")).to_contain_text("Trang tự thử lại")
    page.unroute_all()
    expect(page.locator(".grid .foot")).to_contain_text("40 dòng", timeout=20_000 * PATIENCE)
    opened.faults.clear()  # Chromium's own words about 503


def test_many_problems_bury_nothing(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("nhieu-loi")
    page.route("**/api/v1/health", _with_problems)
    opened.log_in("nhieu-loi")
    expect(page.locator(".notice.attention")).to_have_count(3)
    page.click("button:has-text('Thêm 4 vấn đề')")
    expect(page.locator(".notice.attention")).to_have_count(7)


def _with_problems(route: Route) -> None:
    answer = route.fetch()
    body = answer.json()
    body["problems"] = [{"what": "messages_dead", "channel": f"k{number}", "count": number} for number in range(7)]
    route.fulfill(response=answer, json=body)


def test_the_first_load_is_small_and_holds_no_chart(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("nhe")
    opened.log_in("nhe")
    expect(page.locator(".status")).to_contain_text("nhóm cảnh báo")
    loaded = page.evaluate(
        "performance.getEntriesByType('resource').filter(each => each.name.includes('/assets/'))"
        ".map(each => [each.name, each.encodedBodySize])"
    )
    assert sum(size for _, size in loaded) < _FIRST_LOAD
    assert not [name for name, _ in loaded if re.search("echarts|uPlot|gridstack", name)]


def test_a_screen_is_asked_for_once_where_nothing_changes(opened_own: Opened, own: Site) -> None:
    page = opened_own.page
    own.user("mot-lan")
    opened_own.log_in("mot-lan")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for _ in range(4):  # something may really have changed meanwhile
        asked.clear()
        page.reload()
        page.wait_for_selector("main h1")
        page.wait_for_timeout(2500)  # the first marks of the stream have come, and a look after them
        assert any("/api/v1/live" in url for url in asked)
        if sum(url.endswith("/api/v1/health") for url in asked) == 1:
            return
    raise AssertionError(asked)


def test_the_build_has_no_address_from_outside_and_no_map_of_disputed_lines() -> None:
    for path in (shipped_console() / "assets").glob("*.js"):
        text = path.read_text("utf-8")
        assert "南海" not in text, path.name
        assert "china" not in text.lower() or path.name.startswith(("en-", "vi-")), path.name
        addresses = set(re.findall(r"https?://[\w.-]+\.\w+", text))
        known = {"http://www.w3.org", "https://echarts.apache.org", "https://github.com", "https://bugs.webkit.org"}
        assert {each for each in addresses if each not in known} == set(), path.name
