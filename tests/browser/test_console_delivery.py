"""Delivery in the console: what a channel did not take is found, and sent again by who may."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect
from sqlalchemy import Engine

from pipeline.delivery import book
from pipeline.delivery.routing import Routing
from pipeline.event import Event
from pipeline.settings import Settings
from response import queue
from tests.api.sites import Site, serving
from tests.browser.conftest import Opened
from tests.response.delivery.conftest import alert

pytestmark = pytest.mark.slow
_NAMES = ("program", "other")
_CHANNELS = [{"name": name, "kind": "script", "program": "run.sh"} for name in _NAMES]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with two channels, of which one has refused three messages."""
    folder = tmp_path_factory.mktemp("delivery")
    with serving(folder, _filled, channels=_CHANNELS, routes=[{"channels": list(_NAMES)}]) as made:
        yield made


def _filled(settings: Settings, engine: Engine) -> list[Event]:
    with engine.begin() as connection:
        rows = [queue.row(alert(number), "syslog") for number in range(3)]
        queue.save(connection, rows, routing=Routing(settings))
        refused = "UPDATE deliveries SET status = 'dead', answer = '<b>403</b>' WHERE channel = 'other'"
        connection.exec_driver_sql(refused)
        book.note_channel(connection, "other", failures=3, error="no such file")
    return []


def test_dead_messages_are_found_by_their_channel_and_sent_again(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("truong-nhom", "lead")
    opened.log_in("truong-nhom")
    page.click(".rail a:has-text('Gửi cảnh báo')")
    expect(opened.rows("messages")).to_have_count(6)
    card = page.locator(".card", has_text="other")
    expect(card).to_contain_text("Lỗi 3 lần liền: no such file")
    card.locator("a:has-text('3 không gửi được')").click()
    expect(opened.rows("messages")).to_have_count(3)
    opened.rows("messages").first.click()
    sheet = page.locator(".sheet")
    expect(sheet).to_contain_text("<b>403</b>")
    page.reload()
    expect(sheet).to_contain_text("Cảnh báo → program")
    sheet.locator("button:has-text('Gửi lại')").click()
    page.click("dialog button.main")
    expect(sheet).to_contain_text("Đang chờ")
    expect(opened.rows("messages")).to_have_count(2)
    opened.press("Escape")
    opened.rows("messages").first.click()
    sheet.locator("button:has-text('Bỏ tin')").click()
    page.click("dialog button.danger")
    expect(sheet).to_contain_text("Đã bỏ")
    opened.press("Escape")
    page.click("button:has-text('Gửi lại 1 tin không gửi được')")
    expect(page.locator("dialog")).to_contain_text("của other")
    page.click("dialog button.main")
    expect(opened.rows("messages")).to_have_count(0)
    expect(page.locator("main .empty")).to_contain_text("Không có tin nào như vậy")
    card.locator("button:has-text('Gửi thử')").click()
    page.click("dialog button.main")  # nothing that would send runs here, and the question says so
    expect(page.locator("dialog .notice.fault")).to_contain_text("response, delivery")
    opened.faults.clear()  # Chromium's own words about the 503


def test_who_may_only_read_finds_no_button_that_changes(opened: Opened, site: Site) -> None:
    site.user("chi-doc", "analyst")
    opened.log_in("chi-doc")
    opened.show("/delivery?channel=program")
    expect(opened.rows("messages")).to_have_count(3)
    expect(opened.page.locator("button:has-text('Gửi thử'), button:has-text('Gửi lại')")).to_have_count(0)


def test_problems_of_channels_lead_there_for_who_may_see_them(opened: Opened, site: Site) -> None:
    site.user("khong-xem-kenh", "viewer")
    opened.log_in("khong-xem-kenh")
    expect(opened.page.locator(".notice", has_text="Kênh gửi other")).to_be_visible()
    expect(opened.page.locator(".notice a")).to_have_count(0)
    with site.client(site.log_in("khong-xem-kenh")) as client:
        assert client.get("/api/v1/delivery/channels").status_code == 403
