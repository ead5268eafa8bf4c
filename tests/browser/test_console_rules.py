"""Rules in the console: an analyst tunes one, a manager writes one, and what was done can be taken back."""

import re
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import expect
from sqlalchemy import select, update

from pipeline.state.tables import alerts
from tests.api.sites import Site
from tests.browser.conftest import Opened

pytestmark = pytest.mark.slow
#: One of the rules that come with us, and what it is called.
ROOT_LOGIN, TITLE = "ssh_root_login_accepted", "Đăng nhập SSH trực tiếp bằng root"
DOOR = """title: Cửa bị cạy
id: 11111111-2222-4333-8444-555555555555
description: Cửa phòng máy chủ bị cạy.
level: high
tags:
  - attack.t1200
logsource:
  product: linux
  service: sshd
detection:
  selection:
    message|contains: thất bại
  condition: selection
falsepositives:
  - Thợ khoá
"""
VECTORS = """hits:
  - event.dataset: linux.auth
    process.name: sshd
    message: Đăng nhập thất bại lần 1
misses:
  - event.dataset: linux.auth
    process.name: sshd
    message: Đăng nhập
"""


def test_an_analyst_tunes_a_rule(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("chinh-luat", "analyst")
    opened.log_in("chinh-luat")
    opened.press("g", "r")
    expect(opened.rows("rules").first).to_be_visible()
    expect(page.locator("text=Viết luật mới")).to_have_count(0)  # is for managers
    page.fill("input[aria-label='Tìm theo tên, mã hoặc thẻ']", TITLE)
    expect(opened.rows("rules")).to_have_count(1)
    opened.rows("rules").first.click()
    sheet = page.locator(".sheet")
    expect(sheet).to_contain_text("Việc cần làm trước tiên")
    expect(sheet).to_contain_text(f"{len(site.events)} sự kiện của nguồn này trong 30 ngày qua")
    with site.client(site.token("chinh-luat-doc", "viewer")) as client:
        rule = client.get(f"/api/v1/rules/{ROOT_LOGIN}").json()
        expect(page).to_have_url(re.compile(rf"/rules/{rule['id']}\?"))

        sheet.get_by_role("button", name="Chế độ: Cảnh báo").click()
        page.get_by_role("menuitemradio", name="Chỉ đếm").click()
        page.fill("dialog textarea[name=reason]", "Đang xem thử")
        page.click("dialog button[type=submit]")
        expect(sheet).to_contain_text("chinh-luat đặt chế độ “Chỉ đếm”")
        assert client.get(f"/api/v1/rules/{ROOT_LOGIN}").json()["set_by"]["reason"] == "Đang xem thử"
        page.click(".toast button:has-text('Hoàn tác')")
        expect(sheet.get_by_role("button", name="Chế độ: Cảnh báo")).to_be_visible()

        sheet.get_by_role("button", name="Thêm ngoại lệ").click()
        page.fill("dialog textarea[name=reason]", "Máy quét của Sở")
        page.click("dialog button[type=submit]")
        expect(page.locator("dialog [role=alert]")).to_be_visible()  # on everything it would be no exception
        page.fill("dialog input[name='where source.ip']", "192.0.2.7")
        page.click("dialog button[type=submit]")
        sheet.locator(".tabs button:has-text('Ngoại lệ')").click()
        expect(sheet.locator(".exception")).to_contain_text("Máy quét của Sở")
        (made,) = client.get(f"/api/v1/rules/{ROOT_LOGIN}").json()["exceptions"]
        assert "192.0.2.7" in made["text"] and made["expires"]
        found = client.get("/api/v1/rules/coverage").json()
    page.click("nav.tabs a:has-text('Điểm mù')", position={"x": 20, "y": 10})
    expect(page.locator("main")).to_contain_text(f"Luật không thể khớp ({found['counts']['blind']})")
    expect(page.locator("main")).to_contain_text(f"Nguồn log chưa gửi gì ({len(found['silent'])})")
    page.click("nav.tabs a:has-text('Ngoại lệ')", position={"x": 20, "y": 10})
    expect(page.locator(".exception a")).to_have_text(TITLE)
    page.click(".exception button:has-text('Xoá')")
    page.click("dialog button[type=submit]")
    expect(page.locator(".empty")).to_contain_text("Chưa có ngoại lệ nào")


def test_what_is_wrong_with_a_rule_is_told_at_its_line(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("sua-luat", "admin")
    opened.log_in("sua-luat")
    opened.show("/rules?view=edit")
    text, vectors = page.get_by_label("Mã luật (YAML)"), page.get_by_label("Mẫu thử", exact=True)
    text.fill(DOOR.replace("  - attack.t1200", "  - [attack.t1200"))
    page.click("button:has-text('Kiểm tra')")
    finding = page.locator(".finding.fault")
    expect(finding).to_have_count(1)
    expect(finding).to_contain_text("Luật dòng 6")
    expect(page.locator(".numbers .wrong")).to_have_text(["6"])
    expect(page.locator("header button.main")).to_be_disabled()

    text.fill(DOOR.replace("condition: selection", "condition: selektion"))
    page.click("button:has-text('Kiểm tra')")
    expect(finding).to_contain_text("dòng 13")
    finding.locator("button").click()
    assert page.evaluate("getSelection().toString()").strip() == "condition: selektion"

    text.fill(DOOR)
    vectors.fill(VECTORS.replace("message: Đăng nhập\n", "message: Đăng nhập thất bại\n"))
    page.click("button:has-text('Kiểm tra')")
    expect(page.locator(".finding.fault")).to_contain_text("lẽ ra không báo mà lại báo")
    expect(finding).to_contain_text("Mẫu thử dòng 6")
    vectors.fill(VECTORS)
    expect(page.locator("text=Đã sửa sau lần kiểm tra này")).to_be_visible()
    page.click("button:has-text('Kiểm tra')")
    expect(page.locator(".notice.good")).to_be_visible()


def test_a_manager_writes_a_rule_and_takes_it_back(opened_own: Opened, own: Site) -> None:
    page = opened_own.page
    own.user("viet-luat", "admin")
    opened_own.log_in("viet-luat")
    opened_own.show("/rules?view=edit")
    text, vectors = page.get_by_label("Mã luật (YAML)"), page.get_by_label("Mẫu thử", exact=True)
    save = page.locator("header button.main")
    page.click("button:has-text('Kiểm tra')")
    expect(page.locator(".notice.good")).to_be_visible()
    expect(save).to_be_disabled()  # the example alone is no rule of anybody
    text.fill(DOOR)
    vectors.fill(VECTORS)
    page.click("button:has-text('Chạy thử:')")
    failed = sum("thất bại" in str(event.get("message")) for event in own.events)
    expect(page.locator(".card .number")).to_have_text(str(failed))
    page.reload()
    expect(text).to_have_value(DOOR)  # the draft stays
    page.click("button:has-text('Kiểm tra')")
    save.click()
    page.click("dialog button[type=submit]")
    sheet = page.locator(".sheet")
    expect(sheet.locator("h2")).to_have_text("Cửa bị cạy")
    expect(sheet).to_contain_text("T1200 Gắn thêm thiết bị")
    sheet.locator(".tabs button:has-text('Mã luật')").click()
    page.click("button:has-text('Chạy mẫu thử')")
    expect(sheet).to_contain_text("2 mẫu thử đều đúng")
    page.select_option("select[aria-label='Bộ luật']", "own")
    expect(opened_own.rows("rules")).to_have_count(1)

    opened_own.show("/rules?view=edit")  # another one by the same title would be written over it
    text.fill(DOOR.replace("id: 1", "id: 3"))
    vectors.fill(VECTORS)
    page.click("button:has-text('Kiểm tra')")
    save.click()
    expect(page.locator("dialog")).to_contain_text("Đã có luật “Cửa bị cạy” trong tệp cua_bi_cay.yml")
    assert not [fault for fault in opened_own.faults if "404" in fault]  # nothing was asked for that is not there
    opened_own.press("Escape")

    opened_own.show("/rules?view=history")
    page.click("li:has-text('Như lúc cài đặt') button")
    expect(page.locator("dialog")).to_contain_text("Lưu luật tự viết")
    expect(page.locator("dialog details[open] summary").last).to_have_text("Bớt 1")
    expect(page.locator("dialog details[open]").last).to_contain_text("Cửa bị cạy")
    page.click("dialog button[type=submit]")
    expect(page.locator(".change").first).to_contain_text("Quay lại bản cũ")
    with own.client(own.token("viet-luat-doc", "viewer")) as client:
        assert client.get("/api/v1/rules/11111111-2222-4333-8444-555555555555").status_code == 404


def test_an_alert_leads_to_an_exception_of_its_rule(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("ngoai-le", "analyst")
    with site.client(site.token("ngoai-le-doc", "viewer")) as client:
        rule = client.get("/api/v1/rules/reverse_shell").json()["id"]
    raised_by = alerts.c.rule_id == "rule-informational"
    with site.engine.begin() as connection:  # as if a rule of the rulebook had raised it
        alert, document = connection.execute(select(alerts.c.id, alerts.c.document).where(raised_by)).first()
        changed = {**document, "rule.id": rule}
        connection.execute(update(alerts).where(alerts.c.id == alert).values(rule_id=rule, document=changed))
    opened.log_in("ngoai-le")
    opened.show(f"/queue?open={alert}&status=all")
    page.click(".sheet button[aria-label='Thêm thao tác']")
    page.click("[role=menuitem]:has-text('Ngoại lệ cho luật này')")
    expect(page.locator("dialog input[name='where host.name']")).to_have_value(document["host.name"])
    page.fill("dialog textarea[name=reason]", "Máy trực của phòng")
    page.click("dialog button[type=submit]")
    expect(page.locator(".toast")).to_contain_text("Đã thêm ngoại lệ")
    page.click(".sheet button[aria-label='Thêm thao tác']")
    page.get_by_role("menuitem", name="Luật này", exact=True).click()
    page.click(".sheet .tabs button:has-text('Ngoại lệ')")
    expect(page.locator(".sheet .exception")).to_contain_text("Máy trực của phòng")
    page.click(".sheet .exception button:has-text('Xoá')")
    page.click("dialog button[type=submit]")
    expect(page.locator(".sheet .exception")).to_have_count(0)


def test_a_pack_comes_from_a_source_and_is_brought_up_to_date_from_it(
    opened_own: Opened, own: Site, tmp_path: Path
) -> None:
    page = opened_own.page
    folder = tmp_path / "luat-cua-so"
    folder.mkdir()
    (folder / "door.yml").write_text(DOOR, "utf-8")
    own.user("nguon-luat", "admin")
    opened_own.log_in("nguon-luat")
    opened_own.show("/rules?view=packs")
    page.click("button:has-text('Lấy từ nguồn')")
    page.fill("dialog input[name=source]", str(tmp_path / "khong-co"))
    page.fill("dialog input[name=name]", "so")
    page.click("dialog button[type=submit]")
    expect(page.locator("dialog .notice.fault")).to_contain_text("khong-co")  # and what was filled in stays
    page.fill("dialog input[name=source]", str(folder))
    page.click("dialog button[type=submit]")
    expect(page.locator("dialog")).to_contain_text("Thêm 1")
    page.click("dialog button[type=submit]")
    card = page.locator(".card", has=page.locator("h2", has_text=re.compile("^so$")))
    expect(card).to_contain_text("1 luật")
    expect(card).to_contain_text(str(folder))
    (folder / "closet.yml").write_text(DOOR.replace("id: 1", "id: 3").replace("Cửa", "Tủ"), "utf-8")
    card.locator("button:has-text('Tìm bản mới')").click()
    expect(page.locator("dialog")).to_contain_text("Thêm 1")
    page.click("dialog button[type=submit]")
    expect(card).to_contain_text("2 luật")


def test_a_pack_is_looked_at_before_it_is_taken(opened_own: Opened, own: Site, tmp_path: Path) -> None:
    page = opened_own.page
    archive = tmp_path / "phong.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("rules/door.yml", DOOR)
        made.writestr("rules/door.test.yml", VECTORS)
        made.writestr(
            "rules/broken.yml", DOOR.replace("id: 1", "id: 2").replace("Cửa", "Tủ").replace("|con", "|nope|con")
        )
    own.user("bo-luat", "admin")
    opened_own.log_in("bo-luat")
    opened_own.show("/rules?view=packs")
    page.click("button:has-text('Thêm từ tệp')")
    page.set_input_files("dialog input[type=file]", str(archive))
    page.fill("dialog input[name=name]", "phong")
    page.fill("dialog input[name=licence]", "DRL 1.1")
    page.click("dialog button[type=submit]")
    dialog = page.locator("dialog")
    expect(dialog).to_contain_text("Thêm 1")
    expect(dialog).to_contain_text("Không nạp được 1")
    expect(dialog).to_contain_text("Đã chạy 2 mẫu thử")
    with own.client(own.token("bo-luat-doc", "viewer")) as client:
        assert client.get("/api/v1/rules/packs").json()["packs"] == []  # nothing is done yet
        page.click("dialog button[type=submit]")
        card = page.locator(".card:has-text('phong')")
        expect(card).to_contain_text("DRL 1.1")
        (pack,) = client.get("/api/v1/rules/packs").json()["packs"]
        assert (pack["name"], pack["rules"]) == ("phong", 1)

        with page.expect_download() as saved:
            page.click("a:has-text('Tải bản sao lưu')")
        saved.value.save_as(backup := tmp_path / "rules.haidang-backup")
        card.locator("button:has-text('Xoá bộ luật')").click()
        page.click("dialog button[type=submit]")
        expect(page.locator(".empty")).to_contain_text("Chưa thêm bộ luật nào")
        page.click("button:has-text('Khôi phục bộ luật')")
        page.set_input_files("dialog input[type=file]", str(backup))
        page.click("dialog button[type=submit]")
        expect(dialog).to_contain_text("Thêm 1")
        page.click("dialog button[type=submit]")
        expect(card).to_contain_text("1 luật")
    opened_own.show("/rules")
    page.click(".refusals summary")
    expect(page.locator(".refusals")).to_contain_text("Tủ bị cạy")
