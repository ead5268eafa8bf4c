"""Users, roles and tokens in the console: rights are given, what is secret is shown once, and what was given works."""

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.api.sites import Site
from tests.browser.conftest import Opened

pytestmark = pytest.mark.slow


def _secret(page: Page) -> str:
    """Read what is shown once, and close it."""
    shown = page.locator("dialog code.secret").inner_text()
    page.click("dialog button.main")
    expect(page.locator("dialog")).to_have_count(0)
    return shown


def test_an_administrator_adds_a_user_and_gives_rights(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("quan-tri", "admin")
    opened.log_in("quan-tri")
    page.click(".rail a:has-text('Người dùng')")
    page.click(".tabs a:has-text('Vai trò và nhóm')")
    page.click("button:has-text('Thêm nhóm')")
    page.fill("dialog input[name=name]", "so-y-te")
    page.check("dialog input[name='may packets.read']")
    page.fill("dialog textarea[name=units]", "so-y-te\n\nbenh-vien")
    page.click("dialog button.main")
    expect(page.locator(".rows li", has_text="so-y-te")).to_contain_text("benh-vien, so-y-te")
    page.click(".tabs a:has-text('Người dùng')")
    page.click("button:has-text('Thêm người dùng')")
    page.fill("dialog input[name=name]", "bình")
    page.click("dialog button.main")  # no role is chosen for whoever adds somebody
    expect(page.locator("dialog select[name=role]:invalid")).to_have_count(1)
    page.select_option("dialog select[name=role]", "viewer")
    page.click("dialog button.main")
    expect(page.locator("dialog code.secret")).to_be_visible()
    expect(page.locator("dialog button:has-text('Huỷ')")).to_have_count(0)
    password = _secret(page)
    expect(opened.rows("users").filter(has_text="bình")).to_contain_text("chưa bao giờ")
    with site.client() as client:
        told = client.post("/api/v1/login", json={"name": "bình", "password": password}).json()
    assert told["next"] == "password", told
    opened.rows("users").filter(has_text="bình").click()
    sheet = page.locator(".sheet")
    expect(sheet).not_to_contain_text("Lấy gói tin")
    sheet.locator("button:has-text('Đổi nhóm')").click()
    page.check("dialog input[name='in so-y-te']")
    page.click("dialog button.main")
    expect(sheet).to_contain_text("Lấy gói tin")
    sheet.locator("button:has-text('Tắt tài khoản')").click()
    page.click("dialog button.danger")
    expect(sheet).to_contain_text("đã tắt")
    page.reload()
    expect(sheet).to_contain_text("đã tắt")
    opened.show("/users")
    page.click("button:has-text('Thêm người dùng')")
    page.select_option("dialog select[name=role]", "viewer")
    page.fill("dialog input[name=name]", "Bình")  # the same name: refused, and what was filled in stays
    page.click("dialog button.main")
    expect(page.locator("dialog .notice.fault")).to_be_visible()
    expect(page.locator("dialog input[name=name]")).to_have_value("Bình")


def test_a_token_is_shown_once_works_and_is_revoked(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("cap-ma", "admin")
    opened.log_in("cap-ma")
    page.click(".rail a:has-text('Mã truy cập')")
    page.click("button:has-text('Tạo mã truy cập')")
    page.fill("dialog input[name=name]", "bang-tin")
    page.check("dialog input[name='may alerts.read']")
    page.fill("dialog input[name=days]", "7")
    page.click("dialog button.main")
    expect(page.locator("dialog")).to_contain_text("sau 7 ngày")
    secret = _secret(page)
    assert secret not in page.content()

    def asked(path: str) -> int:
        headers = {"Authorization": f"Bearer {secret}"}
        return httpx.get(f"{site.address}/api/v1{path}", headers=headers, timeout=30).status_code

    assert (asked("/alerts"), asked("/health")) == (200, 403)
    opened.rows("tokens").filter(has_text="bang-tin").click()
    expect(page.locator(".sheet")).to_contain_text("Xem cảnh báo")
    page.click(".sheet button:has-text('Thu hồi')")
    page.click("dialog button.danger")
    expect(page.locator(".sheet")).to_contain_text("đã thu hồi")
    assert asked("/alerts") == 401
