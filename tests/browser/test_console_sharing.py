"""Sharing, notices of incidents, reports and systems in the console: what leaves is seen, agreed to, and confirmed."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect
from sqlalchemy import Engine, update

from pipeline.bus.sqlite import SqliteBus
from pipeline.event import Event
from pipeline.outward.watchdog import Watchdog
from pipeline.settings import Settings
from pipeline.stage import Stage
from pipeline.state.tables import share_messages
from response import queue
from sharing import inbox
from sharing.courier import Courier
from sharing.drafting import build
from sharing.keys import make
from sharing.profile import named, shipped
from sharing.simulator import Simulator
from tests.api.sites import UGLY, Site, serving
from tests.browser.conftest import Opened, axe_faults
from tests.sharing.conftest import c2_alert, edited
from tests.sharing.test_sharing_inbox import bundle

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """The authority, on a free port."""
    made = Simulator("127.0.0.1", 0, tmp_path_factory.mktemp("authority"), [])
    thread = threading.Thread(target=made.serve_forever, args=(0.05,))
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    made.book.close()
    thread.join(60)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, simulator: Simulator) -> Iterator[Site]:
    """A site with four profiles, one of them broken, a message that waits for two people, and a warning."""

    def fill(settings: Settings, engine: Engine) -> list[Event]:
        return _filled(settings, engine, simulator)

    with serving(tmp_path_factory.mktemp("sharing"), fill) as made:
        yield made


ORGAN = {"organ__id": "G10.22", "organ__name": "Sở Nội vụ"}


def _filled(settings: Settings, engine: Engine, simulator: Simulator) -> list[Event]:
    folder = settings.data_dir / "sharing"
    make(folder / "signing.pem", folder / "signing.key", "Sở Nội vụ", "G10.22")
    told = {
        **ORGAN, "approval__statistics": 2, "content__pseudonyms": ["machine.ip"],
        "endpoint__url": f"https://127.0.0.1:{simulator.server_address[1]}/",
        "endpoint__ca": str(simulator.certificate), "endpoint__allow_private": ["127.0.0.0/8"],
    }  # fmt: skip
    for name, template, changes in (
        ("bo", "cv2290", told),
        ("xem", "cv2290", {**ORGAN, "title": UGLY[0], "content__pseudonyms": []}),
        ("ung-cuu", "incident-report", ORGAN),
    ):
        (folder / f"{name}.toml").write_text(edited(shipped()[template].read_text("utf-8"), changes), "utf-8")
    (folder / "hong.toml").write_text("title = 1\n")
    for name in ("bo", "xem"):
        build(engine, settings, named(settings, name))
    with engine.begin() as connection:
        queue.save(connection, [queue.row(c2_alert(number), "syslog") for number in (1, 2)])
    build(engine, settings, named(settings, "bo"))
    inbox.receive(engine, "bo", inbox.FILE, bundle(title=UGLY[0]), "CB-7", "bo", "", time.time())
    return []


def test_a_receiver_is_looked_at_and_confirmed(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("quan-tri", "admin")
    opened.log_in("quan-tri")
    page.click(".rail a:has-text('Chia sẻ')")
    expect(page.locator(".card", has_text="hong")).to_contain_text("cần một giá trị")
    expect(page.locator(".card", has_text="ung-cuu").locator("button")).to_have_count(0)  # people carry its documents
    ugly = page.locator(".card", has_text="xem ·")
    expect(ugly).to_contain_text(UGLY[0][:20])
    ugly.locator("a:has-text('Nội dung được gửi')").click()
    page.click(".sheet button:has-text('Xem trước')")
    expect(page.locator(".sheet pre")).to_contain_text("PC-1")
    page.reload()
    expect(page.locator(".sheet")).to_contain_text("Đã xét 2 cảnh báo mới")
    opened.press("Escape")
    # one without an address is not confirmed, and says why
    ugly.locator("button:has-text('Xác nhận')").click()
    page.click("dialog button.main")
    expect(page.locator("dialog")).to_contain_text("url để trống")
    expect(page.locator("dialog [role=img][aria-label='chưa được']")).to_have_count(1)
    page.click("dialog button.main")
    card = page.locator(".card", has_text="bo ·")
    card.locator("button:has-text('Kiểm tra')").click()
    expect(page.locator("dialog [role=img][aria-label='được']")).to_have_count(4)
    page.click("dialog button.main")
    card.locator("button:has-text('Xác nhận')").click()
    expect(page.locator("dialog")).to_contain_text("Địa chỉ IP · bí danh")
    page.click("dialog button.main")
    expect(card).to_contain_text("đã xác nhận, có gửi")
    card.locator("button:has-text('Ngừng gửi')").click()
    page.click("dialog button.danger")
    expect(card).to_contain_text("diễn tập")
    opened.faults.clear()  # Chromium's own words about the 409


def test_a_message_is_read_and_two_people_agree(opened: Opened, site: Site) -> None:
    page = opened.page
    for name, role in (("truong-a", "lead"), ("truong-b", "lead"), ("doc", "analyst")):
        site.user(name, role)
    opened.log_in("truong-a")
    expect(page.locator(".rail a:has-text('Chia sẻ') b")).to_be_visible()
    opened.show("/sharing")
    page.locator(".card", has_text="bo ·").locator("a:has-text('chờ duyệt')").click()
    expect(opened.rows("shared")).to_have_count(1)
    opened.rows("shared").first.click()
    sheet = page.locator(".sheet")
    expect(sheet.locator(".facts tbody tr")).to_have_count(2)
    expect(sheet).to_contain_text("PC-1")
    sheet.locator(".facts tbody a").first.click()
    expect(page.locator("h1")).to_have_text("C2 server")
    page.go_back()
    sheet.locator("summary").click()
    expect(sheet.locator("pre")).to_contain_text("AVReport")
    page.emulate_media(reduced_motion="reduce")
    assert axe_faults(page, "a message") == []
    sheet.locator("button:has-text('Duyệt')").click()
    expect(page.locator("dialog")).to_contain_text("Kết nối máy chủ C2 2")
    page.click("dialog button.main")
    expect(sheet).to_contain_text("Bạn đã duyệt; còn cần 1 người khác")
    expect(sheet.locator("button.main")).to_have_count(0)
    number = page.url.rpartition("open=")[2]
    with site.client(site.log_in("truong-b")) as other:
        other.post(f"/api/v1/sharing/messages/{number}/approve").raise_for_status()
    expect(sheet).to_contain_text("Chờ ký")  # the stream of changes says so
    with page.expect_download() as saved:
        sheet.locator("a:has-text('Nội dung')").click()
    assert b"PC-1" in saved.value.path().read_bytes()
    sheet.locator("button:has-text('Rút lại')").click()
    page.fill("dialog input[name=reason]", "Diễn tập")
    page.click("dialog button.danger")
    expect(sheet).to_contain_text("Đã rút lại")
    with site.client(site.log_in("doc")) as reader:
        assert reader.post(f"/api/v1/sharing/messages/{number}/withdraw", json={"reason": "x"}).status_code == 403


def test_a_warning_and_what_was_done(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("xem-canh-bao", "analyst")
    opened.log_in("xem-canh-bao")
    opened.show("/sharing")
    expect(page.locator(".card button")).to_have_count(0)
    page.click(".tabs a:has-text('Cảnh báo nhận được')")
    expect(opened.rows("received")).to_have_count(1)
    opened.rows("received").first.click()
    expect(page.locator(".sheet")).to_contain_text(UGLY[0])
    expect(page.locator(".sheet")).to_contain_text("CB-7")
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    assert axe_faults(page, "a warning") == []


def test_an_incident_is_filled_in_set_and_submitted(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("dieu-tra", "lead")
    with site.client(site.log_in("dieu-tra")) as client:
        case = client.post("/api/v1/cases", json={"title": "AsyncRAT"}).json()["id"]
    opened.log_in("dieu-tra")
    opened.show(f"/cases/{case}")
    paper = page.locator(".papers li").first
    expect(paper).to_be_visible()
    assert axe_faults(page, "an incident") == []
    missing = int(paper.locator(".attention").inner_text().split()[1])
    paper.locator("button:has-text('Điền mục thiếu')").click()
    page.fill("dialog [name=impact]", f"Ngừng 2 giờ\n{UGLY[0]}")
    page.click("dialog button.main")
    expect(paper).to_contain_text(f"Thiếu {missing - 1} mục")
    page.click("summary:has-text('Toàn bộ thông tin')")
    expect(page.locator(".fields")).to_contain_text("do dieu-tra điền")
    with page.expect_download() as saved:
        paper.locator("a:has-text('DOCX')").click()
    assert saved.value.path().read_bytes().startswith(b"PK")
    paper.locator("button:has-text('Gửi')").click()
    expect(page.locator("dialog .notice")).to_contain_text("Người liên hệ")
    page.click("dialog button.main")
    page.click("dialog a:has-text('Mở bản tin')")
    expect(page.locator(".sheet h2")).to_have_text(f"Thông báo đầu tiên · vụ việc #{case}")
    page.click(".sheet button:has-text('Duyệt')")
    page.click("dialog button.main")
    sheet = page.locator(".sheet")
    expect(sheet).to_contain_text("Chờ ký")
    _sign(site, "ung-cuu")
    expect(sheet).to_contain_text("Chờ gửi")  # the stream of changes says so
    with site.engine.begin() as connection:
        connection.execute(update(share_messages).where(share_messages.c.kind == "incident").values(status="refused"))
    sheet.locator("button:has-text('Gửi lại')").click()
    page.click("dialog button.main")
    expect(sheet).to_contain_text("Chờ gửi")
    sheet.locator("button:has-text('Đã giao tận nơi')").click()
    page.fill("dialog input[name=reason]", f"Ông Bình, công văn 12 {UGLY[0]}")
    page.click("dialog button.main")
    expect(sheet.locator("header")).to_contain_text("Đã gửi")
    expect(sheet).to_contain_text("Ông Bình, công văn 12")


def _sign(site: Site, name: str) -> None:
    """Sign what people have agreed to, as the stage does."""
    bus, watchdog, leads = SqliteBus(site.settings.data_dir / "bus", 10**9), Watchdog(), threading.Event()
    Courier(
        Stage("sharing", site.settings, site.engine, bus), named(site.settings, name), watchdog, leads, lambda _: None
    ).sign()
    watchdog.stop()
    bus.close()


def test_a_report_is_made_and_systems_come_in(opened: Opened, site: Site, tmp_path: Path) -> None:
    page = opened.page
    site.user("tong-hop", "lead")
    opened.log_in("tong-hop")
    page.click(".rail a:has-text('Báo cáo')")
    page.click("button:has-text('Lập báo cáo')")
    page.select_option("dialog select", "weekly")
    page.click("dialog button.main")
    expect(page.locator(".sheet")).to_contain_text("Báo cáo tuần")
    with page.expect_download() as saved:
        page.click(".sheet a:has-text('PDF')")
    assert saved.value.path().read_bytes().startswith(b"%PDF")
    page.click(".tabs a:has-text('Hệ thống theo cấp độ')")
    expect(page.locator(".empty")).to_contain_text("Danh mục chưa có hệ thống nào")
    file = tmp_path / "he-thong.csv"
    file.write_text(
        "mã,tên,cấp độ,đơn vị,ngày phê duyệt,được giám sát\n"
        f"A,Cổng,3,Sở Nội vụ,01/06/2025,có\nB,,3,x,,\nC,{UGLY[0]},4,Sở Y tế,,\n",
        "utf-8",
    )
    page.click("button:has-text('Nhập CSV')")
    page.set_input_files("dialog input[type=file]", file)
    page.click("dialog button.main")
    expect(page.locator("dialog")).to_contain_text("dòng 3: cần có mã và tên")
    page.click("dialog button:has-text('Nhập')")
    expect(opened.rows("systems")).to_have_count(2)
    assert axe_faults(page, "systems") == []
    page.click(".facts.units button:has-text('Sở Y tế')")
    expect(opened.rows("systems")).to_have_count(1)
    expect(opened.rows("systems")).to_contain_text(UGLY[0][:20])
    page.click(".card button[aria-label='0: cấp độ 3 trở lên đạt cả hai']")
    expect(opened.rows("systems")).to_have_count(0)
    page.click(".chip:has-text('đạt cả hai') button")
    opened.rows("systems").first.click()
    page.click(".sheet button:has-text('Bỏ khỏi danh mục')")
    page.click("dialog button.danger")
    page.click(".chip:has-text('Sở Y tế') button")
    expect(opened.rows("systems")).to_have_count(1)
    opened.show("/dashboards/ready-law")
    expect(page.locator(".drawing[aria-label='Cấp độ ≥ 3 đạt cả hai: 100 %']")).to_be_visible()
    expect(page.locator(".drawing[aria-label='Cấp độ ≥ 3 đạt cả hai, theo đơn vị: Sở Nội vụ 100 %']")).to_be_visible()
    expect(page.locator(".drawing[aria-label='Cổng TTĐT được giám sát: –']")).to_be_visible()
    page.click("button.drawing[aria-label='Cấp độ ≥ 3 đạt cả hai: 100 %']")
    expect(opened.rows("systems")).to_have_count(1)  # a number leads to what it counts
