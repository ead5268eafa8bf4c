"""Network and C2, devices, indicators: counted, corrected, imported, looked up."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from detectors.devices.inventory import Inventory
from detectors.devices.sightings import Sighting
from detectors.indicators import refreshing
from detectors.indicators.listed import Defaults
from pipeline.event import from_micros
from pipeline.queue import grouping
from pipeline.state import upsert
from pipeline.state.tables import device_addresses, devices
from response.queue import row, save
from tests.api.sites import Site, day, serving
from tests.browser.conftest import Opened

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with three devices, of which a laptop and a server spoke with C2 servers, and a list of indicators."""
    with serving(tmp_path_factory.mktemp("network"), day) as made:
        now = time.time_ns() // 1000
        inventory = Inventory(10)
        inventory.take(Sighting("F8-75-A4-00-00-01", "10.0.1.5", "LAPTOP-1", (("name", "LAPTOP-1"),)), now - 10**9)
        inventory.take(Sighting("00-50-56-00-00-02", "10.0.1.8", "SRV-2", (("name", "SRV-2"),)), now - 10**9)
        inventory.take(Sighting(address="10.0.1.9"), now)
        rows, holdings = inventory.changes()
        alerts = [
            {
                "@timestamp": from_micros(now - number * 60_000_000), "event.id": f"{number:024d}",
                "rule.id": "indicator.c2", "rule.name": "C2", "rule.level": "high", "source.ip": address,
                "destination.ip": f"203.0.113.{number}", "threat.software.name": family,
            }
            for number, (address, family) in enumerate(
                (("10.0.1.5", "AsyncRAT"), ("10.0.1.5", "AsyncRAT"), ("10.0.1.8", "Cobalt Strike"))
            )
        ]  # fmt: skip
        with made.engine.begin() as connection:
            upsert(connection, devices, rows, key=["id"])
            held = [{"address": h.address, "since": h.since, "until": h.until, "device": h.device} for h in holdings]
            upsert(connection, device_addresses, held, key=["address", "since"])
            save(connection, [row(alert, "test") for alert in alerts])
        grouping.catch_up(made.engine, 24)
        listed = tmp_path_factory.mktemp("lists") / "tor.txt"
        listed.write_text("45.9.148.0/24\nevil.example.com\n10.0.0.1\n", "utf-8")
        refreshing.import_file(made.engine, made.settings, Path(listed), "auto", Defaults("tor", "tor", 60), 30)
        yield made


def test_devices_that_spoke_with_c2_servers_are_counted_by_kind_and_lead_to_themselves(
    opened: Opened, site: Site
) -> None:
    page = opened.page
    site.user("mang", "analyst")
    opened.log_in("mang")
    opened.show("/network")
    expect(page.locator(".status")).to_contain_text("2 thiết bị đã liên lạc với máy chủ C2, 3 lần")
    expect(page.locator(".tile", has_text="Máy tính xách tay").locator("b")).to_have_text("1")
    page.select_option("select[aria-label='Đếm theo']", "family")
    expect(page.locator("td", has_text="Cobalt Strike").first).to_be_visible()
    assert "by=family" in page.url
    page.click("td a:has-text('LAPTOP-1') >> nth=0")
    expect(page.locator(".sheet h2")).to_have_text("LAPTOP-1")
    expect(page.locator(".sheet")).to_contain_text("F8-75-A4-00-00-01")
    opened.show("/dashboards/ready-c2")
    expect(page.locator(".single b")).to_have_text("2")
    expect(page.locator(".panel canvas").first).to_be_visible()


def test_a_device_is_corrected_and_a_list_imported(opened: Opened, site: Site, tmp_path: Path) -> None:
    page = opened.page
    site.user("thiet-bi", "analyst")
    opened.log_in("thiet-bi")
    opened.show("/devices?text=10.0.1.9")
    opened.rows("devices").first.wait_for()
    opened.press("Enter")
    page.click(".sheet button:has-text('Sửa thông tin')")
    page.select_option("dialog select[name=kind]", "printer")
    page.fill("dialog input[name=unit]", "Phòng Kế toán")
    page.click("dialog button.main")
    expect(page.locator(".sheet")).to_contain_text("Máy in")
    expect(opened.rows("devices").first).to_contain_text("Phòng Kế toán")
    page.click(".sheet button:has-text('Bỏ thông tin khai tay')")
    page.click("dialog button.danger")
    expect(page.locator(".sheet")).not_to_contain_text("Máy in")
    opened.press("Escape")
    listed = tmp_path / "tai-san.csv"
    listed.write_text("ip,loại,đơn vị\n10.0.7.1,máy chủ,Văn phòng\n10.0.7.2,toaster,\n", "utf-8")
    page.click("button:has-text('Nhập danh sách')")
    page.set_input_files("dialog input[type=file]", listed)
    page.click("dialog button.main")
    expect(page.locator(".toast")).to_contain_text("Đã nhập 1 thiết bị, 1 dòng sai.")
    expect(page.locator("dialog")).to_contain_text("toaster")


def test_indicators_are_looked_up_added_and_removed(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("dau-hieu", "analyst")
    opened.log_in("dau-hieu")
    opened.show("/indicators")
    expect(page.locator(".card", has_text="tor").locator(".number")).to_have_text("2")
    page.fill("input[name=value]", "45.9.148.77")
    page.click("button:has-text('Kiểm tra')")
    expect(page.locator(".tag.fault")).to_have_text("Nút Tor")
    page.click("button:has-text('Thêm dấu hiệu')")
    page.fill("dialog textarea", "hxxp://xau[.]example[.]net/a 45.13.200.7")
    page.fill("dialog input[name=reason]", "Cảnh báo số 7")
    page.click("dialog button.main")
    expect(page.locator(".toast")).to_contain_text("Đã thêm 2 dấu hiệu.")
    expect(opened.rows("indicators")).to_have_count(2)
    page.click(".grid .row:has-text('45.13.200.7')")
    page.fill("dialog input[name=reason]", "Nhầm")
    page.click("dialog button.danger")
    expect(opened.rows("indicators")).to_have_count(1)
