"""The log-in: refused, step by step, with a second factor; the account; what one may not see."""

from contextlib import contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

import pyotp
import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import select, update

from pipeline.identity import second_factor
from pipeline.settings.delivery import Delivery
from pipeline.state.tables import audit, users
from tests.api.sites import NOW, PASSWORD, Site, day, serving
from tests.browser.conftest import Opened, opened_at

pytestmark = pytest.mark.slow


def test_a_wrong_password_is_told_and_a_right_one_leads_in_and_out_again(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("trinh-duyet")
    page.fill("input[name=name]", "trinh-duyet")
    page.fill("input[name=password]", "sai")
    page.click("button.main")
    expect(page.locator(".log-in [role=alert]")).to_contain_text("Tên hoặc mật khẩu không đúng")
    opened.log_in("trinh-duyet")
    expect(page.locator(".status")).to_contain_text("nhóm cảnh báo đang chờ, trong đó")
    page.click("button[aria-label^='Tài khoản']")
    page.click("text=Đăng xuất")
    expect(page.locator(".log-in")).to_be_visible()
    page.reload()
    expect(page.locator(".log-in")).to_be_visible()


def test_a_log_in_asks_for_a_second_factor_and_a_new_password_step_by_step(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("tung-buoc")
    with site.engine.begin() as connection:
        secret = second_factor.begin(connection, site.settings, "tung-buoc")["secret"]
        second_factor.confirm(connection, site.settings, "tung-buoc", pyotp.TOTP(secret).now())
        connection.execute(update(users).where(users.c.name == "tung-buoc").values(totp_step=0, must_change=True))
    page.fill("input[name=name]", "tung-buoc")
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    page.fill("input[name=code]", "000000")
    page.press("input[name=code]", "Enter")
    expect(page.locator(".log-in [role=alert]")).to_contain_text("Mã không đúng")
    page.fill("input[name=code]", pyotp.TOTP(secret).now())
    page.press("input[name=code]", "Enter")
    expect(page.locator(".log-in h1")).to_have_text("Mật khẩu mới")
    page.fill("input[name=password]", "bốn từ không dính nhau")
    page.fill("input[name=again]", "bốn từ dính nhau")
    page.click("button.main")
    expect(page.locator(".log-in [role=alert]")).to_have_text("Hai mật khẩu không giống nhau.")
    page.fill("input[name=again]", "bốn từ không dính nhau")
    page.click("button.main")
    expect(page.locator(".rail")).to_be_visible()


def test_a_second_factor_is_set_up_from_a_drawing(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("quet-hinh")
    with site.engine.begin() as connection:
        connection.execute(update(users).where(users.c.name == "quet-hinh").values(role="needs-factor"))
    page.fill("input[name=name]", "quet-hinh")
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    expect(page.locator("img.code")).to_be_visible()
    assert page.locator("img.code").evaluate("image => image.complete && image.naturalWidth > 0")
    page.fill("input[name=code]", pyotp.TOTP(page.locator(".log-in form > code").inner_text()).now())
    page.press("input[name=code]", "Enter")
    expect(page.locator(".codes li")).to_have_count(10)
    page.click("button.main")
    expect(page.locator(".rail")).to_be_visible()


def test_what_one_prefers_is_kept_where_the_page_is_left_at_once_or_the_server_away(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("thich-toi")
    opened.log_in("thich-toi")
    page.click("button[aria-label^='Tài khoản']")
    page.click("[role=menuitemradio]:has-text('Nền tối')")
    page.goto("about:blank")
    with site.client(site.log_in("thich-toi")) as client:
        for _ in range(50):
            if client.get("/api/v1/me/preferences").json().get("theme") == "dark":
                break
            page.wait_for_timeout(100)
        assert client.get("/api/v1/me/preferences").json()["theme"] == "dark"
    opened.show("/")
    page.route("**/me/preferences", lambda route: route.abort())
    page.click("button[aria-label^='Tài khoản']")
    page.click("[role=menuitemradio]:has-text('Nền sáng')")
    page.goto("about:blank")
    page.unroute("**/me/preferences")
    opened.show("/")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


def test_one_changes_the_password_and_sets_a_second_factor_up(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("tai-khoan")
    opened.log_in("tai-khoan")
    opened.show("/account")
    page.click("text=Đổi mật khẩu")
    page.fill("dialog input[name=current]", "sai")
    page.fill("dialog input[name=password]", "bốn từ không dính nhau")
    page.fill("dialog input[name=again]", "bốn từ không dính nhau")
    page.click("dialog button.main")
    expect(page.locator("dialog [role=alert]")).to_contain_text("mật khẩu không đúng")
    page.fill("dialog input[name=current]", PASSWORD)
    page.click("dialog button.main")
    expect(page.locator("dialog")).to_have_count(0)
    page.click("section:has(h2:text-is('Đặt yếu tố thứ hai')) button")
    page.fill("dialog input[name=current]", "bốn từ không dính nhau")
    page.click("dialog button.main")
    page.fill("input[name=code]", pyotp.TOTP(page.locator("section form > code").inner_text()).now())
    page.press("input[name=code]", "Enter")
    expect(page.locator(".codes li")).to_have_count(10)
    expect(page.locator("text=Đang bật")).to_be_visible()
    page.click("text=Gỡ yếu tố thứ hai")
    page.fill("dialog input[name=current]", "bốn từ không dính nhau")
    page.click("dialog button.danger")
    expect(page.locator("text=Đang bật")).to_have_count(0)
    with site.engine.connect() as connection:
        query = select(audit.c.action).where(audit.c.who == "tai-khoan").order_by(audit.c.id)
        actions = list(connection.scalars(query))
    assert [each for each in actions if each not in ("login", "alert_group_read", "search")] == [
        "proof_failed", "password_changed", "second_factor_set", "second_factor_removed",
    ]  # fmt: skip


def test_who_may_see_no_alerts_is_told_so_and_asks_for_none(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("kiem-toan", "auditor")
    opened.log_in("kiem-toan")
    expect(page.locator(".rail nav a", has_text="Cảnh báo")).to_have_count(0)
    expect(page.locator(".rail nav a", has_text="Truy tìm")).to_have_count(0)
    opened.show("/queue")
    expect(page.locator("main")).to_contain_text("cần quyền alerts.read")
    page.wait_for_timeout(3000)  # and what the page asks by itself
    with site.engine.connect() as connection:
        actions = set(connection.scalars(select(audit.c.action).where(audit.c.who == "kiem-toan")))
    assert actions == {"login"}


def test_a_session_that_ended_leads_to_the_log_in_and_back(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("het-phien")
    opened.log_in("het-phien")
    opened.show("/hunt?q=user.name:root")
    expect(opened.rows("hunt").first).to_be_visible()
    page.context.clear_cookies()
    page.keyboard.press("r")
    expect(page.locator(".log-in")).to_be_visible()
    opened.log_in("het-phien")
    expect(page.locator("#query")).to_have_value("user.name:root")
    expect(opened.rows("hunt").first).to_be_visible()


def test_times_are_in_the_zone_of_the_site_and_not_of_the_browser(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path, day, delivery=Delivery(timezone="America/Sao_Paulo")) as site:
        site.user("mui-gio")
        with contextmanager(opened_at)(browser, site.address) as opened:  # whose zone is Asia/Ho_Chi_Minh
            opened.log_in("mui-gio")
            opened.show("/hunt")
            shown = opened.page.locator("#hunt-0 time").inner_text()
            there = NOW.astimezone(ZoneInfo("America/Sao_Paulo"))
            assert shown == there.strftime("%d/%m/%Y %H:%M:%S")
            expect(opened.page.locator(".axis")).to_contain_text("America/Sao_Paulo")


def test_language_theme_and_density_stay_with_the_person(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("so-thich")
    opened.log_in("so-thich")
    for choice in ("Nền tối", "Hàng dày"):
        page.click("button[aria-label^='Tài khoản']")
        page.click(f"[role=menuitemradio]:has-text('{choice}')")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.click("button[aria-label^='Tài khoản']")
    with page.expect_response(lambda answer: "/me/preferences" in answer.url and answer.ok):  # sent at once, or again
        page.click("[role=menuitemradio]:has-text('English')")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(page.locator("h1")).to_have_text("Overview")
    page.wait_for_timeout(2500)
    page.evaluate("localStorage.removeItem('haidang.preferences')")  # as from another machine
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator("html")).to_have_attribute("data-density", "compact")
