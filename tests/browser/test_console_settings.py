"""Settings in the console: the file is looked at, changed with a reason, and brought back; its secrets stay where they are."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.api.sites import Site, day, serving
from tests.browser.conftest import Opened

pytestmark = pytest.mark.slow
_SECRET = "kho-doan-lam-7"
_TEXT = f'''# thiết lập của đơn vị
language = "vi"

[store]
password = "{_SECRET}"
retention_days = 400
'''


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings file of a site."""
    place = tmp_path / "haidang.toml"
    place.write_text(_TEXT, "utf-8")
    monkeypatch.setenv("HAIDANG_CONFIG", str(place))
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("HAIDANG_API__PORT", "9000")
    return place


@pytest.fixture
def own(file: Path, tmp_path: Path) -> Iterator[Site]:
    """A site with that file."""
    assert file.exists()
    with serving(tmp_path / "site", day) as made:
        yield made


def test_the_file_is_checked_written_with_a_reason_and_brought_back(opened_own: Opened, own: Site, file: Path) -> None:
    page = opened_own.page
    own.user("quan-tri", "admin")
    opened_own.log_in("quan-tri")
    page.click(".rail a:has-text('Cấu hình')")
    page.fill("main input[type=search]", "lockout")
    expect(page.locator("main table.fields tr")).to_have_count(2)
    page.click(".tabs a:has-text('Tệp cấu hình')")
    area = page.locator(".editor textarea")
    expect(area).to_have_value(_TEXT.replace(_SECRET, "[secret 1]"))
    expect(page.locator("main")).to_contain_text("HAIDANG_API__PORT")
    text = area.input_value()
    area.fill(text.replace("= 400", '= "bốn trăm"'))
    page.click("button:has-text('Lưu')")  # what is wrong is not asked about, but said
    expect(page.locator(".editor .wrong")).to_have_text("6")
    page.click("button:has-text('Dòng 6')")
    page.wait_for_function(
        "() => { const box = document.activeElement;"
        " return box.value?.slice(box.selectionStart, box.selectionEnd).startsWith('retention_days') }"
    )
    area.fill(text.replace("= 400", "= 500"))
    page.click(".tabs a:has-text('Các bản trước')")
    expect(page.locator("main .empty")).to_contain_text("Chưa lần nào ghi từ đây")
    page.click(".tabs a:has-text('Tệp cấu hình')")  # what was written is still there
    asked: list[str] = []
    page.once("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.close(run_before_unload=True)  # the browser asks, and it is not closed
    page.click("button:has-text('Lưu')")
    assert asked == ["beforeunload"]
    expect(page.locator("dialog table")).to_contain_text("store.retention_days")
    expect(page.locator("dialog tbody td")).to_have_text(["store.retention_days", "400", "500"])
    page.fill("dialog input[name=reason]", "theo công văn 12")
    page.click("dialog button.main")
    page.click(".notice.attention summary")  # it is in the file, and not in force
    expect(page.locator(".notice.attention tr", has_text="store.retention_days")).to_contain_text("500")
    assert file.read_text("utf-8") == _TEXT.replace("= 400", "= 500")
    page.click(".tabs a:has-text('Các bản trước')")
    expect(page.locator(".rows li")).to_have_count(2)
    expect(page.locator(".rows li").first).to_contain_text("theo công văn 12")
    page.click("button:has-text('Trở về bản này')")
    expect(page.locator("dialog tbody td")).to_have_text(["store.retention_days", "500", "400"])  # nothing is done yet
    assert file.read_text("utf-8") != _TEXT
    page.fill("dialog input[name=reason]", "nhầm")
    page.click("dialog button.danger")
    expect(page.locator("dialog")).to_have_count(0)
    assert file.read_text("utf-8") == _TEXT
    page.click("main > header button")
    page.fill("dialog input[name=reason]", "nhận cấu hình mới")
    page.click("dialog button.danger")  # nobody started these stages who would start them again
    expect(page.locator("dialog .notice.fault")).to_contain_text("haidang run")
    assert _SECRET not in page.content()


def test_who_may_only_read_sees_what_is_in_force_and_no_file(opened_own: Opened, own: Site) -> None:
    own.user("soat-xet", "auditor")
    opened_own.log_in("soat-xet")
    opened_own.show("/settings?view=file")
    expect(opened_own.page.locator("main")).to_contain_text("retention_days")
    expect(opened_own.page.locator(".editor, main > header button")).to_have_count(0)
