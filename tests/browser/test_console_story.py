"""A day's story on a site that runs: an attack comes in, is triaged, hunted, made a rule of, escalated and put on a
dashboard. Its pictures are those of the docs: `SCREENS=docs pytest tests/browser/test_console_story.py`.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from pipeline.identity import users
from pipeline.settings import Store
from pipeline.store import open_reader
from pipeline.systems import shares
from tests.api.sites import PASSWORD
from tests.browser.conftest import Opened, opened_at
from tests.e2e.conftest import Site

pytestmark = pytest.mark.slow
_DOCS = Path(__file__).parents[2] / "docs" / "screens"
_SYSTEMS = """mã,tên,cấp độ,đơn vị,ngày phê duyệt,cổng thông tin,máy chủ
QT-01,Cổng thông tin điện tử tỉnh,3,Văn phòng UBND tỉnh,15/03/2026,có,web-ubnd
QT-02,Một cửa điện tử,3,Sở Nội vụ,02/02/2026,không,web-ubnd
QT-03,Cơ sở dữ liệu đất đai,4,Sở Nông nghiệp và Môi trường,,không,10.40.0.0/16
QT-04,Quản lý văn bản,2,Văn phòng UBND tỉnh,,không,10.41.0.9
"""
_RULE = """title: Log-in of an account that was closed
title_vi: Tài khoản đã khoá đăng nhập
id: 0a7f0f0e-6a39-4d0e-9a3b-9d3c1b7f2e11
status: test
description: Somebody tried an account that was closed.
description_vi: Có người thử đăng nhập bằng tài khoản đã khoá.
logsource:
  product: linux
  service: auth
detection:
  selection:
    user.name: ke-toan-cu
  condition: selection
level: critical
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Site]:
    """A site that runs, with an attack story in it, and an administrator."""
    site = Site(tmp_path / "site")
    try:
        site.start()
        site.run("sharing", "add", "cv2290")
        site.run("sharing", "keygen", "signing")
        profile = site.data_dir / "sharing" / "cv2290.toml"
        text = profile.read_text("utf-8").replace("G00", "G10.22").replace("Tên đơn vị", "Sở Nội vụ")
        profile.write_text(text, "utf-8")
        site.run("demo", "--fast")
        with site.engine.begin() as connection:
            users.create_user(connection, "lan", "admin", PASSWORD)
        yield site
    finally:
        site.kill()


@pytest.fixture
def told(browser: Browser, running: Site) -> Iterator[Opened]:
    """The console of that site, not logged in."""
    yield from opened_at(browser, running.stages()["api"]["detail"]["address"])


def _send(site: Site, text: str) -> None:
    """Send a line by syslog, as a server does."""
    line = f"<86>1 {datetime.now(UTC).isoformat()} web-ubnd sshd 311 - - {text}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(line.encode(), ("127.0.0.1", site.port("udp")))


@pytest.fixture
def picture(told: Opened, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Take pictures; into the docs where somebody asks for it. The docs have the same ones as were taken."""
    folder = _DOCS if os.environ.get("SCREENS") == "docs" else tmp_path / "screens"
    folder.mkdir(exist_ok=True)
    taken: set[str] = set()

    def take(name: str) -> None:
        while told.page.locator(".toast").count():
            told.page.click(".toast:first-child button:last-child")
        told.page.mouse.move(640, 4)
        told.page.wait_for_timeout(400)
        told.page.screenshot(path=folder / f"{name}.png")
        taken.add(f"{name}.png")

    yield take
    assert {path.name for path in _DOCS.glob("*.png")} == taken


def test_a_day_at_the_console(  # noqa: PLR0915 - a day is long
    told: Opened, running: Site, picture: Callable[[str], None]
) -> None:
    page = told.page
    picture("log-in")
    told.log_in("lan")
    expect(page.locator(".row-link").first).to_be_visible()
    expect(page.locator(".histogram rect.bar").first).to_be_attached()
    picture("overview")

    # triage by keyboard
    told.press("g", "q")
    told.rows("queue").first.wait_for()
    count = int(page.locator(".tabs b").first.inner_text())
    told.press("j", "Enter")
    expect(page.locator(".sheet")).to_contain_text("Vì sao có cảnh báo")
    picture("alert")
    told.press("Escape", "a")
    expect(page.locator(".toast")).to_contain_text("Đã nhận")
    told.press("f")
    page.fill("dialog textarea", "Đợt diễn tập đã báo trước.")
    page.click("dialog button.main")
    expect(page.locator(".tabs b").first).to_have_text(str(count - 1))
    picture("queue")

    # hunt, and pivot to a host
    told.press("/")
    page.keyboard.type("203.0.113.45")
    told.press("Enter")
    told.rows("hunt").first.wait_for()
    picture("hunt")
    page.click(".grid .row >> nth=0 >> button.value[data-field='host.name']")
    picture("value")
    page.click("[role=menuitem]:has-text('Mở đối tượng này')")
    expect(page.locator(".around li").first).to_be_visible()
    picture("entity")

    # a rule of one's own, and it fires
    _make_a_rule(told, picture)
    told.show("/queue?sort=opened")
    told.rows("queue").first.wait_for()
    deadline = time.monotonic() + 60
    while not page.locator(".grid .row", has_text="Tài khoản đã khoá đăng nhập").count():
        assert time.monotonic() < deadline, "the new rule did not fire"
        _send(running, "Failed password for ke-toan-cu from 203.0.113.77 port 4711 ssh2")
        page.wait_for_timeout(1000)
        told.press("r")
    page.click(".grid .row:has-text('Tài khoản đã khoá đăng nhập') .cell.lead >> nth=0")
    expect(page.locator(".sheet")).to_contain_text("ke-toan-cu")

    # escalate it
    told.press("Escape", "e")
    page.click("dialog button.main")
    page.wait_for_url("**/cases/1")
    page.fill("textarea[aria-label='Ghi chú mới']", "Tài khoản đã **khoá từ tháng 6**; ai còn giữ mật khẩu?")
    page.click("button:has-text('Thêm ghi chú')")
    expect(page.locator(".prose strong")).to_be_visible()
    page.locator("main").evaluate("each => each.scrollTo(0, 0)")
    picture("case")
    told.show("/cases")
    told.rows("cases").first.wait_for()
    picture("cases")

    # a dashboard
    told.show("/dashboards/ready-overview")
    expect(page.locator(".panel canvas").first).to_be_visible()
    expect(page.locator(".top-list li").first).to_be_visible()
    picture("dashboard")
    page.click("button[aria-label='Thêm thao tác']")
    page.click("[role=menuitem]:has-text('Sao chép thành bảng của tôi')")
    page.wait_for_url("**edit=on**")
    page.click("button:has-text('Thêm ô')")
    page.click(".kinds button:has-text('Dòng chảy')")
    for place, field in enumerate(("source.ip", "host.name")):
        page.locator(".sheet input[list]").nth(place).fill(field)
        page.locator(".sheet input[list]").nth(place).press("Tab")
    expect(page.locator(".panel canvas").last).to_be_visible()
    picture("dashboard-edit")
    page.click("button:has-text('Xong')")
    page.click("button.main:has-text('Lưu')")
    expect(page.locator(".toast")).to_be_visible()

    # what was found leaves
    told.show("/hunt?q=203.0.113.45")
    told.rows("hunt").first.wait_for()
    page.click("button:has-text('Xuất')")
    with page.expect_download() as saved:
        page.click("[role=menuitem]:has-text('CSV')")
    assert "203.0.113.45" in saved.value.path().read_text("utf-8-sig")

    # what is reported, and what is shared
    file = running.data_dir / "he-thong.csv"
    file.write_text(_SYSTEMS, "utf-8")
    running.run("systems", "import", str(file))
    reader = open_reader(running.data_dir, Store())
    shares.listen(running.engine, reader, time.time())
    reader.close()
    told.show("/reports")
    page.click("button:has-text('Lập báo cáo')")
    today = datetime.now(UTC).date()
    page.fill("dialog input[name=first]", str(today - timedelta(days=1)))
    page.fill("dialog input[name=last]", str(today + timedelta(days=1)))  # wherever the site's day has begun
    page.click("dialog button.main")
    expect(page.locator(".sheet .level").first).to_be_visible()
    picture("reports")
    told.show("/reports?view=systems")
    told.rows("systems").first.wait_for()
    picture("systems")
    told.show("/sharing?open=cv2290&preview=on")
    expect(page.locator(".sheet h3:has-text('Nếu gửi ngay') ~ * p").first).to_be_visible()
    picture("sharing")

    # and every other screen
    for name in ("dashboards", "network", "devices", "indicators", "rules", *_SITE):
        told.show(f"/{name}")
        expect(page.locator("main .quiet[role=status], .waits")).to_have_count(0)
        picture(name)


_SITE = ("account", "suppressions", "sources", "health", "delivery", "users", "tokens", "settings", "audit")


def _make_a_rule(told: Opened, picture: Callable[[str], None]) -> None:
    page = told.page
    told.show("/rules")
    page.click("text=Viết luật mới")
    boxes = page.locator(".rule-editor textarea")
    boxes.nth(0).fill(_RULE.replace("selection:", "selektion:"))
    boxes.nth(1).fill("")
    page.click("button:has-text('Kiểm tra')")
    expect(page.locator(".rule-editor")).to_contain_text("selection")
    expect(page.locator("button:has-text('Lưu luật')")).to_be_disabled()
    boxes.nth(0).fill(_RULE)
    page.click("button:has-text('Kiểm tra')")
    expect(page.locator("button:has-text('Lưu luật')")).to_be_enabled()
    picture("rule-edit")
    page.click("button:has-text('Lưu luật')")
    page.click("dialog button.main")
    expect(page.locator(".toast")).to_be_visible()
