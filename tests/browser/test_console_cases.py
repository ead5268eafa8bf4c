"""Cases: from a hunt into a case, its notes, tasks, observables and files, the law's clocks, its end."""

import io
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.api.sites import Site
from tests.browser.conftest import Opened

pytestmark = pytest.mark.slow


def test_a_case_is_opened_from_a_hunt_worked_on_and_closed(opened_own: Opened, own: Site, tmp_path: Path) -> None:
    opened, page = opened_own, opened_own.page
    own.user("vu-viec", "lead")
    opened.log_in("vu-viec")
    opened.show("/hunt?q=user.name:root")
    opened.rows("hunt").first.wait_for()
    opened.press("e")
    page.fill("dialog input[name=title]", "Tài khoản root bị dò mật khẩu")
    expect(page.locator("dialog input[name=reportable]")).not_to_be_checked()
    page.check("dialog input[name=reportable]")
    page.click("dialog button.main")
    page.wait_for_url("**/cases/1")
    expect(page.locator("h1")).to_contain_text("Tài khoản root bị dò mật khẩu")
    expect(page.locator(".card:has(h2:has-text('Sự kiện')) details")).to_have_count(1)

    page.fill("textarea[aria-label='Ghi chú mới']", "Thấy **dò mật khẩu** <script>document.title='owned'</script>")
    page.click(".rail a:has-text('Cảnh báo')")
    expect(opened.rows("queue").first).to_be_visible()
    opened.show("/cases/1")  # what was not saved is there again
    page.click("button:has-text('Thêm ghi chú')")
    expect(page.locator(".prose strong")).to_have_text("dò mật khẩu")
    assert page.locator(".prose script").count() == 0

    page.click("button:has-text('Thêm việc')")
    page.fill("dialog input[name=title]", "Đổi mật khẩu root")
    page.click("dialog button.main")
    page.click("label:has-text('Đổi mật khẩu root') input")
    expect(page.locator("label:has-text('Đổi mật khẩu root') input")).to_be_checked()

    page.click("button:has-text('Thêm dấu vết')")
    page.select_option("dialog select[name=kind]", "domain")
    page.fill("dialog input[name=value]", "xau.example")
    page.click("dialog button.main")
    expect(page.locator(".entry:has-text('xau.example')")).to_be_visible()

    (tmp_path / "bằng chứng.txt").write_text("một dòng\n")
    page.click("button:has-text('Thêm tệp')")
    page.set_input_files("dialog input[type=file]", tmp_path / "bằng chứng.txt")
    page.click("dialog button.main")
    expect(page.locator(".entry:has-text('bằng chứng.txt')")).to_be_visible()

    page.click(".clock:has-text('Thông báo ban đầu') button:has-text('Đã thông báo')")
    expect(page.locator(".clock:has-text('Thông báo ban đầu') .number")).to_have_text("đã xong")

    page.click("button[aria-label='Thêm thao tác']")
    with page.expect_download() as saved:
        page.click("[role=menuitem]:has-text('Xuất trọn vụ việc')")
    names = zipfile.ZipFile(io.BytesIO(saved.value.path().read_bytes())).namelist()
    assert "manifest.json" in names

    page.click("button:has-text('Đóng vụ việc')")
    page.fill("dialog textarea", "Mật khẩu yếu; đã đổi.")
    page.click("dialog button.main")
    expect(page.locator(".tag:has-text('Đã đóng')")).to_be_visible()
    expect(page.locator("main")).to_contain_text("Mật khẩu yếu; đã đổi.")
    opened.show("/cases?status=closed")
    expect(opened.rows("cases")).to_have_count(1)


def test_a_case_tells_of_its_opening_and_a_text_is_not_lost_by_one_key(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("vu-khac", "lead")
    opened.log_in("vu-khac")
    opened.show("/cases")
    page.click("button:has-text('Mở vụ việc')")
    page.fill("dialog input[name=title]", "Máy lạ")
    expect(page.locator("dialog input[name=reportable]")).not_to_be_checked()
    page.click("dialog button.main")
    expect(page.locator("ol li")).to_contain_text("mở vụ việc: Máy lạ")
    page.click("button:has-text('Đóng vụ việc')")
    page.fill("dialog textarea", "Mật khẩu")
    opened.press("Escape")
    expect(page.locator("dialog .notice.attention")).to_contain_text("Bấm Esc lần nữa")
    opened.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
