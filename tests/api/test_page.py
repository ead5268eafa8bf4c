"""The overview in a real browser: log in, alerts, search, a fault under its character, details, keys, two languages."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyotp
import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright
from sites import NOW, PASSWORD, UGLY, Site
from sqlalchemy import select, update

from pipeline.identity import second_factor
from pipeline.state.tables import audit, users

pytestmark = pytest.mark.slow
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
#: What Chromium itself writes for an answer that says 4xx.
_REFUSED = "Failed to load resource: the server responded with a status of 4"


@dataclass
class Opened:
    """A page and what it did that it should not."""

    page: Page
    address: str
    outside: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def log_in(self, name: str) -> None:
        self.page.fill("input[name=name]", name)
        self.page.fill("input[name=password]", PASSWORD)
        self.page.press("input[name=password]", "Enter")
        expect(self.page.locator("#counts button")).to_have_count(5)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium for this module alone: while its driver runs, no test of this process can run an event loop."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("chromium is missing: apt install chromium")
        pytest.skip("chromium is missing: apt install chromium")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=_FLAGS)
        yield started
        started.close()


@pytest.fixture
def opened(browser: Browser, site: Site, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """The page, not logged in; in the end nothing was loaded from elsewhere and nothing went wrong."""
    context = browser.new_context(
        locale="vi-VN", timezone_id="Asia/Ho_Chi_Minh", viewport={"width": 1280, "height": 800}
    )
    made = Opened(context.new_page(), site.address)
    made.page.set_default_timeout(10_000)
    made.page.on(
        "request", lambda asked: None if asked.url.startswith(site.address) else made.outside.append(asked.url)
    )
    made.page.on("pageerror", lambda error: made.faults.append(str(error)))
    made.page.on("console", lambda said: made.faults.append(said.text) if said.type in ("error", "warning") else None)
    made.page.goto(site.address)
    yield made
    assert made.outside == []
    assert [text for text in made.faults if not text.startswith(_REFUSED)] == []
    context.close()


def test_log_in_shows_what_is_normal_and_the_alerts(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("trinh-duyet")
    page.fill("input[name=name]", "trinh-duyet")
    page.fill("input[name=password]", "sai")
    page.click("button.main")
    expect(page.locator("#log-in .fault")).to_contain_text("Tên hoặc mật khẩu không đúng")
    opened.log_in("trinh-duyet")
    expect(page.locator("#status")).to_have_text(
        "10 cảnh báo trong 24 giờ qua, trong đó 4 ở mức nghiêm trọng hoặc cao. 1 nguồn đang gửi dữ liệu bình thường."
    )
    expect(page.locator("#problems li")).to_have_count(0)
    expect(page.locator("#view-alerts tbody tr")).to_have_count(10)
    page.click("#count-critical")
    expect(page.locator("#view-alerts tbody tr")).to_have_count(2)
    expect(page.locator("#view-alerts tbody .level").first).to_contain_text("Nghiêm trọng")
    assert "level=critical" in page.url
    page.go_back()
    expect(page.locator("#view-alerts tbody tr")).to_have_count(10)
    page.click("#log-out")
    expect(page.locator("#log-in")).to_be_visible()
    page.reload()
    expect(page.locator("#log-in")).to_be_visible()


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
    expect(page.locator("#log-in-step .fault")).to_contain_text("Mã không đúng")
    page.fill("input[name=code]", pyotp.TOTP(secret).now())
    page.press("input[name=code]", "Enter")
    expect(page.locator("#log-in-step h1")).to_have_text("Mật khẩu mới")
    page.fill("input[name=password]", "bốn từ không dính nhau")
    page.fill("input[name=again]", "bốn từ dính nhau")
    page.click("button.main")
    expect(page.locator("#log-in-step .fault")).to_have_text("Hai mật khẩu không giống nhau.")
    page.fill("input[name=again]", "bốn từ không dính nhau")
    page.click("button.main")
    expect(page.locator("#counts button")).to_have_count(5)


def test_one_changes_the_password_and_sets_a_second_factor_up_on_the_page(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("tai-khoan")
    opened.log_in("tai-khoan")
    page.click("#account")
    page.fill("input[name=current]", "sai")
    page.fill("input[name=password]", "bốn từ không dính nhau")
    page.fill("input[name=again]", "bốn từ không dính nhau")
    page.click("button.main")
    expect(page.locator("#log-in-step .fault")).to_contain_text("mật khẩu không đúng")
    page.fill("input[name=current]", PASSWORD)
    page.click("button.main")
    expect(page.locator("#counts button")).to_have_count(5)
    page.click("#account")
    page.fill("input[name=current]", "bốn từ không dính nhau")
    page.click("#enrol")
    page.fill("input[name=code]", pyotp.TOTP(page.locator("#log-in-step code").inner_text()).now())
    page.press("input[name=code]", "Enter")
    expect(page.locator(".codes li")).to_have_count(10)
    page.click("button.main")
    expect(page.locator("#counts button")).to_have_count(5)
    page.set_viewport_size({"width": 400, "height": 800})
    page.click("#account")  # is there on a telephone, too
    expect(page.locator("#factor-on")).to_be_visible()
    expect(page.locator("#enrol")).to_have_count(0)
    page.fill("input[name=current]", "bốn từ không dính nhau")
    page.click("#remove-factor")
    expect(page.locator("#enrol")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#counts button")).to_have_count(5)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    with site.engine.connect() as connection:
        actions = list(
            connection.scalars(select(audit.c.action).where(audit.c.who == "tai-khoan").order_by(audit.c.id))
        )
    assert [each for each in actions if each != "login"] == [
        "proof_failed", "password_changed", "second_factor_set", "second_factor_removed",
    ]  # fmt: skip


def test_who_may_see_no_alerts_is_told_so_and_asks_for_none(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("kiem-toan", "auditor")
    page.fill("input[name=name]", "kiem-toan")
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    expect(page.locator("#status")).to_contain_text("Vai trò của bạn không xem cảnh báo")
    expect(page.locator("nav.tabs button[id^=tab]")).to_have_count(1)
    expect(page.locator("#view-sources tbody tr").first).to_be_visible()
    page.wait_for_timeout(6000)  # and what the page asks by itself
    with site.engine.connect() as connection:
        actions = set(connection.scalars(select(audit.c.action).where(audit.c.who == "kiem-toan")))
    assert actions == {"login"}


def test_a_second_factor_is_set_up_from_a_drawing(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("quet-hinh")
    with site.engine.begin() as connection:
        made = connection.execute(update(users).where(users.c.name == "quet-hinh").values(role="needs-factor"))
        assert made.rowcount == 1
    page.fill("input[name=name]", "quet-hinh")
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    expect(page.locator("img.code")).to_be_visible()
    assert page.locator("img.code").evaluate("image => image.complete && image.naturalWidth > 0")
    page.fill("input[name=code]", pyotp.TOTP(page.locator("#log-in-step code").inner_text()).now())
    page.press("input[name=code]", "Enter")
    expect(page.locator(".codes li")).to_have_count(10)
    page.click("button.main")
    expect(page.locator("#log-out")).to_be_visible()


def test_an_alert_opens_with_its_reasons_and_escape_returns_to_the_row(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("chi-tiet")
    opened.log_in("chi-tiet")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("#sheet h2")).to_have_text("Rule of level high")
    expect(page.locator("#sheet h3").first).to_have_text("Việc cần làm trước tiên")
    expect(page.locator("#sheet")).to_contain_text("Hỏi <b>ai</b> đã làm.")
    expect(page.locator("#sheet")).to_contain_text("Vì sao có cảnh báo")
    expect(page.locator("#sheet .event pre")).to_have_text("Đăng nhập thất bại lần 1 của canbo1")
    page.keyboard.press("Escape")
    expect(page.locator("#sheet")).to_have_count(0)
    expect(page.locator("#view-alerts tbody tr").nth(1)).to_be_focused()


def test_the_link_of_a_message_opens_its_alert_also_after_a_log_in(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("tu-thu")
    with site.client(site.token("tu-thu-doc", "viewer")) as client:
        identifier = client.get("/api/v1/alerts", params={"limit": 1}).json()["alerts"][0]["event.id"]
    page.goto(f"{site.address}/#alert/{identifier}")
    page.reload()  # as from a mail: a page of its own
    opened.log_in("tu-thu")
    expect(page.locator("#sheet")).to_contain_text(identifier)
    page.keyboard.press("Escape")
    expect(page.locator("#sheet")).to_have_count(0)
    assert identifier not in page.url
    page.go_back()
    expect(page.locator("#sheet")).to_contain_text(identifier)
    page.goto(f"{site.address}/#alert/khong-co")
    expect(page.locator("#sheet .fault")).to_contain_text("khong-co")
    page.keyboard.press("Escape")
    page.click("#view-alerts tbody tr >> nth=1")
    expect(page.locator("#sheet")).to_be_visible()
    page.reload()
    expect(page.locator("#sheet h2")).to_have_text("Rule of level high")


def test_a_search_shows_events_over_time_and_its_address_can_be_shared(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("tim-kiem")
    opened.log_in("tim-kiem")
    page.keyboard.press("/")
    page.keyboard.type("dang nhap user.name:root")
    page.keyboard.press("Enter")
    expect(page.locator("#view-events p").first).to_contain_text("Tìm thấy 40, hiện 40")
    expect(page.locator("#view-events tbody tr")).to_have_count(40)
    expect(page.locator(".chart .bar").first).to_be_attached()
    page.reload()
    expect(page.locator("#query")).to_have_value("dang nhap user.name:root")
    expect(page.locator("#view-events tbody tr")).to_have_count(40)
    page.select_option("#time", "1h")
    old = (datetime.now(UTC) - NOW).total_seconds() / 60  # minutes since the events were made, one for each minute
    within = sum(number % 3 == 0 for number in range(120) if number + old < 60)
    expect(page.locator("#view-events p").first).to_contain_text(f"Tìm thấy {within}")
    page.click("#view-events tbody tr >> nth=0")
    page.click("#sheet tr:has(th:text-is('host.name')) button >> nth=0")
    expect(page.locator("#query")).to_have_value('dang nhap user.name:root AND host.name:"may-0"')
    page.select_option("#time", "all")
    expect(page.locator("#view-events p").first).to_contain_text("Tìm thấy 20")
    page.locator(".chart .bar:has(rect[height='96'])").first.click(position={"x": 2, "y": 90})
    assert "~" in page.evaluate("new URLSearchParams(location.hash.slice(1)).get('time')")
    expect(page.locator("#chosen")).to_be_visible()


def test_a_fault_stands_under_its_character(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("loi")
    opened.log_in("loi")
    page.fill("#query", "đặng AND (root")
    page.press("#query", "Enter")
    expect(page.locator("#query-fault mark")).to_have_text("(")
    expect(page.locator("#query-fault pre")).to_have_text("đặng AND (root")
    expect(page.locator("#query-fault .fault")).to_have_text("Ký tự thứ 10: ( chưa được đóng")
    page.fill("#query", "root")
    page.press("#query", "Enter")
    expect(page.locator("#query-fault mark")).to_have_count(0)
    expect(page.locator("#view-events tbody tr").first).to_be_visible()


def test_what_events_say_is_text_and_nothing_else(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("xau")
    opened.log_in("xau")
    for number, value in enumerate(reversed(UGLY)):
        page.click(f"#view-alerts tbody tr >> nth={9 - number}")
        shown = value.replace("\u202e", "\\u202e")
        expect(page.locator("#sheet .event pre")).to_have_text(shown)
        page.keyboard.press("Escape")
    assert page.title() == "Hải Đăng"
    assert page.locator("#view-alerts img, #view-alerts script").count() == 0
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate(
            "[...document.querySelectorAll('.scroll')].every((box) => box.scrollWidth <= box.clientWidth + 1)"
        )


def test_sources_the_other_language_and_the_description(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("nguon")
    opened.log_in("nguon")
    page.click("#tab-sources")
    expect(page.locator("#view-sources tbody tr").first).to_contain_text("Không phải sự kiện: 2")
    page.click("#other-language")
    expect(page.locator("#view-sources tbody tr").first).to_contain_text("Not an event: 2")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.click("text=API >> nth=0")
    expect(page.locator(".opblock").first).to_be_visible()
    page.click(".opblock >> nth=0")
    expect(page.locator(".opblock-body").first).to_be_visible()


def test_new_alerts_are_offered_and_move_nothing(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("moi")
    opened.log_in("moi")
    page.route("**/api/v1/alerts?*limit=1*", _with_more)
    expect(page.locator("#new")).to_have_text("3 cảnh báo mới – hiện", timeout=15_000)
    expect(page.locator("#view-alerts tbody tr")).to_have_count(10)
    page.click("#new")
    expect(page.locator("#new")).to_be_hidden()


def test_a_session_that_ended_leads_to_the_log_in_and_back(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("het-phien")
    opened.log_in("het-phien")
    page.click("#tab-events")
    expect(page.locator("#view-events tbody tr").first).to_be_visible()
    page.context.clear_cookies()
    expect(page.locator("#log-in")).to_be_visible(timeout=15_000)
    opened.log_in("het-phien")
    expect(page.locator("#view-events tbody tr").first).to_be_visible()


def test_a_lost_connection_is_said_and_what_is_known_stays(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("mat-mang")
    opened.log_in("mat-mang")
    page.route("**/api/v1/**", lambda route: route.abort())
    expect(page.locator("#offline")).to_contain_text("Mất kết nối", timeout=15_000)
    expect(page.locator("#view-alerts tbody tr")).to_have_count(10)
    page.unroute_all()
    expect(page.locator("#offline")).to_be_hidden(timeout=15_000)
    opened.faults.clear()  # Chromium's own words about the connection


def test_many_problems_bury_nothing(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("nhieu-loi")
    page.route("**/api/v1/health", _with_problems)
    opened.log_in("nhieu-loi")
    expect(page.locator("#problems > li")).to_have_count(4)
    expect(page.locator("#problems summary")).to_have_text("Thêm 4 vấn đề")
    expect(page.locator("#problems details li").first).to_be_hidden()
    page.click("#problems summary")
    expect(page.locator("#problems details li")).to_have_count(4)
    with page.expect_response("**/api/v1/health", timeout=15_000):
        pass
    expect(page.locator("#problems details li").last).to_be_visible()


def _with_problems(route: Route) -> None:
    answer = route.fetch()
    body = answer.json()
    body["problems"] = [{"what": "messages_dead", "channel": f"k{number}", "count": number} for number in range(7)]
    route.fulfill(response=answer, json=body)


def _with_more(route: Route) -> None:
    answer = route.fetch()
    body = answer.json()
    body["total"] += 3
    route.fulfill(response=answer, json=body)
