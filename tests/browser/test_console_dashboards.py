"""Dashboards: built by dragging, their charts drawn, drilled into, brushed, shared, exchanged; the ready ones."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from pipeline.event import event_id
from pipeline.shipped import shipped_dashboards
from tests.api.sites import Site, index
from tests.browser.conftest import Opened

pytestmark = pytest.mark.slow
_PUT = ("name", "description", "shared", "body", "revision")
#: What each kind of panel shows of the test's events, and its fields.
_KINDS = {
    "line": ("canvas", ["user.name"]), "area": ("canvas", []), "bar": ("canvas", ["host.name"]),
    "stacked": ("canvas", ["user.name"]), "pie": ("canvas", ["user.name"]), "heatmap": ("canvas", ["user.name"]),
    "table": ("tbody tr", ["host.name", "user.name"]), "number": (".single b", []), "gauge": ("canvas", []),
    "treemap": ("canvas", ["host.name", "user.name"]), "sankey": ("canvas", ["host.name", "user.name"]),
    "graph": ("canvas", ["user.name", "host.name"]), "tilemap": (".tile-map svg", ["organization.id"]),
    "points": ("circle", ["source.port", "destination.port"]), "timeline": ("canvas", ["user.name"]),
    "top": (".top-list li", ["user.name"]), "text": ("code", []),
}  # fmt: skip


def test_a_dashboard_is_built_by_dragging_and_leads_to_its_events(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("dung-bang", "analyst")
    opened.log_in("dung-bang")
    opened.show("/dashboards")
    page.click("button:has-text('Tạo bảng mới')")
    page.fill("dialog input[name=name]", "Của tôi")
    page.click("dialog button.main")
    page.click("button:has-text('Thêm ô')")
    page.click(".kinds button:has-text('Xếp hạng')")
    _fill(page, "Tiêu đề", "Ai hay đăng nhập")
    _fill(page, "Truy vấn", "host.name:may-0")
    _fill(page, "Trường được đếm", "user.name")
    expect(page.locator(".panel .top-list li")).to_have_count(3)
    page.click("button:has-text('Xong')")
    before = page.locator(".grid-stack-item").bounding_box()
    assert before
    handle = page.locator(".panel-head")
    box = handle.bounding_box()
    assert box
    page.mouse.move(box["x"] + 40, box["y"] + 12)
    page.mouse.down()
    page.mouse.move(box["x"] + 460, box["y"] + 20, steps=12)
    page.mouse.up()
    after = page.locator(".grid-stack-item").bounding_box()
    assert after
    assert after["x"] > before["x"] + 200
    page.locator(".grid-stack-item").hover()
    corner = page.locator(".ui-resizable-se").bounding_box()
    assert corner
    page.mouse.move(corner["x"] + corner["width"] / 2, corner["y"] + corner["height"] / 2)
    page.mouse.down()
    page.mouse.move(corner["x"] - 150, corner["y"] + 160, steps=12)
    page.mouse.up()
    resized = page.locator(".grid-stack-item").bounding_box()
    assert resized
    assert resized["height"] > after["height"] + 60
    page.click("button.main:has-text('Lưu')")
    expect(page.locator(".toast")).to_contain_text("Của tôi")
    page.reload()
    expect(page.locator(".board .panel h3")).to_have_text("Ai hay đăng nhập")
    with site.client(site.log_in("dung-bang")) as client:
        (made,) = (each for each in client.get("/api/v1/saved?kind=dashboard").json()["saved"] if not each["ready"])
        (panel,) = client.get(f"/api/v1/saved/{made['id']}").json()["body"]["panels"]
    assert panel["x"] >= 2
    assert panel["h"] > 4
    page.click(".panel button[aria-label='Thao tác với ô này']")
    page.click("[role=menuitem]:has-text('Mở trong Truy tìm')")
    expect(page.locator("#query")).to_have_value("host.name:may-0")


def test_what_was_built_and_not_saved_is_there_again(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("do-dang", "analyst")
    identifier = _make(site, "do-dang", [], [])
    opened.log_in("do-dang")
    opened.show(f"/dashboards/{identifier}?edit=on")
    page.click("button:has-text('Thêm ô')")
    page.click("button:has-text('Xong')")
    page.click(".rail a:has-text('Cảnh báo')")
    opened.show(f"/dashboards/{identifier}")  # loads the page again
    expect(page.locator(".board .panel")).to_have_count(0)  # one looks at what is saved
    page.click(".notice button:has-text('Sửa tiếp')")
    expect(page.locator(".grid-stack-item")).to_have_count(1)
    with site.client(site.log_in("do-dang")) as client:
        saved = client.get(f"/api/v1/saved/{identifier}").json()
        client.put(f"/api/v1/saved/{identifier}", json={name: saved[name] for name in _PUT}).raise_for_status()
    page.reload()
    expect(page.locator(".notice.attention")).to_contain_text("Người khác đã lưu bảng này")
    expect(page.locator("button.main:has-text('Lưu')")).to_be_disabled()
    page.click("button:has-text('Bỏ thay đổi')")
    expect(page.locator("button:has-text('Sửa')").first).to_be_visible()
    expect(page.locator(".notice")).to_have_count(0)
    page.click(".toast button:has-text('Hoàn tác')")
    expect(page.locator(".notice")).to_contain_text("thay đổi bạn chưa lưu")


def _fill(page: Page, label: str, text: str) -> None:
    field = page.locator(f".sheet label.field:has(span:text-is('{label}')) input")
    field.fill(text)
    field.press("Tab")


def _make(site: Site, name: str, panels: list[dict[str, object]], variables: list[dict[str, str]]) -> str:
    body = {"version": 1, "panels": panels, "variables": variables, "time": {"from": "now-4h", "to": ""}, "refresh": 0}
    with site.client(site.log_in(name)) as client:
        made = client.post("/api/v1/saved", json={"kind": "dashboard", "name": "Mọi loại", "body": body})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def test_every_kind_of_panel_draws_and_a_variable_narrows_all(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("moi-loai", "analyst")
    panels = [
        {
            "id": kind, "title": kind, "kind": kind, "x": (number % 3) * 4, "y": (number // 3) * 4, "w": 4, "h": 4,
            "query": "$may", "index": "events", "fields": fields,
            "options": {"text": "Chữ `lệnh`"} if kind == "text" else {},
        }
        for number, (kind, (_, fields)) in enumerate(_KINDS.items())
    ]  # fmt: skip
    identifier = _make(site, "moi-loai", panels, [{"name": "may", "field": "host.name", "says": "Máy", "value": ""}])
    opened.log_in("moi-loai")
    opened.show(f"/dashboards/{identifier}")
    for number, (kind, (drawn, _)) in enumerate(_KINDS.items()):
        place = page.locator(".board .panel").nth(number)
        place.scroll_into_view_if_needed()
        # the test's events have no places on the earth
        expect(place.locator(".nothing" if kind == "points" else drawn).first, kind).to_be_visible()
    number = page.locator(".single b")
    expect(number).to_have_text("123")
    page.select_option("main select", "may-0")
    expect(number).to_have_text("60")


def test_tables_name_rules_in_the_language_of_who_looks(opened: Opened, site: Site) -> None:
    page = opened.page
    raised = {
        **site.events[0], "event.id": event_id("named", 1), "event.kind": "alert", "rule.id": "named",
        "rule.name": "Door forced", "rule.name_vi": "Cửa bị cạy", "rule.level": "high", "alert.status": "new",
    }  # fmt: skip
    index(site.settings, site.engine, [], [raised])
    site.user("ten-luat", "analyst")
    shared = {"kind": "table", "y": 0, "w": 6, "h": 5, "query": "rule.id:named", "index": "alerts"}
    fields = ["host.name", "rule.name", "rule.level"]
    panels = [
        {"id": "counted", "title": "Đếm", "x": 0, "fields": fields, "options": {"metric": "count"}, **shared},
        {"id": "listed", "title": "Liệt kê", "x": 6, "fields": fields, "options": {}, **shared},
    ]
    identifier = _make(site, "ten-luat", panels, [])
    opened.log_in("ten-luat")
    opened.show(f"/dashboards/{identifier}")
    for number in range(2):
        row = page.locator(".board .panel").nth(number).locator("tbody tr")
        expect(row).to_contain_text("Cửa bị cạy")
        expect(row).to_contain_text("Cao")
    row.locator("button:has-text('Cửa bị cạy')").click()
    expect(page.locator(".popover")).to_contain_text("Door forced")  # what is searched for is what stands there


def test_a_host_that_is_written_in_two_ways_is_one(opened_own: Opened, own: Site) -> None:
    page = opened_own.page
    copies = [
        {**event, "event.id": event_id("loud", number), "host.name": "MAY-0"}
        for number, event in enumerate(own.events[:10])
    ]
    index(own.settings, own.engine, copies)
    own.user("mot-may", "analyst")
    panel = {"id": "top", "title": "Máy", "kind": "top", "x": 0, "y": 0, "w": 6, "h": 5, "query": "host.name:may-*",
             "index": "events", "fields": ["host.name"], "options": {}}  # fmt: skip
    variable = {"name": "may", "field": "host.name", "says": "Máy", "value": ""}
    identifier = _make(own, "mot-may", [panel], [variable])
    opened_own.log_in("mot-may")
    opened_own.show(f"/dashboards/{identifier}")
    expect(page.locator(".top-list li")).to_have_text(["may-070", "may-160"])
    expect(page.locator("main select option", has_text=re.compile("may-0", re.IGNORECASE))).to_have_count(1)
    page.locator(".top-list li button").first.click()
    page.click("[role=menuitem]:has-text('Tìm')")
    expect(page.locator(".grid .foot")).to_contain_text("70 dòng")  # what is counted together is found together
    opened_own.show("/hunt?q=host.name:may-*&group=host.name")
    expect(page.locator(".grouped tbody tr")).to_have_count(2)


def test_a_dashboard_refreshes_itself_and_rests_while_changes_are_paused(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("tu-tai", "analyst")
    panel = {"id": "n", "title": "Số", "kind": "number", "x": 0, "y": 0, "w": 4, "h": 4, "query": "host.name:may-0",
             "index": "events", "fields": [], "options": {}}  # fmt: skip
    identifier = _make(site, "tu-tai", [panel], [])
    page.clock.install()
    opened.log_in("tu-tai")
    opened.show(f"/dashboards/{identifier}")
    number = page.locator(".single b")
    expect(number).to_have_text("60")
    page.click("button:has-text('Không tự tải lại')")
    page.click("[role=menuitemradio]:has-text('30 giây')")
    expect(page.locator("button:has-text('Mỗi 30 giây')")).to_be_visible()
    page.wait_for_timeout(300)
    with page.expect_request("**/search/events") as asked:
        page.clock.fast_forward(31_000)
    assert asked.value.headers["x-haidang-by-itself"] == "1"  # nobody did anything: it keeps no session open
    expect(number).to_have_text("60")
    page.click(".top button[aria-label='Tạm dừng cập nhật']")
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url) if "/search/" in request.url else None)
    page.clock.fast_forward(61_000)
    page.wait_for_timeout(300)
    assert seen == []


def test_a_dashboard_is_shared_with_a_role_and_seen_by_it_alone(opened: Opened, site: Site) -> None:
    page = opened.page
    for name, role in (("chia-se", "analyst"), ("cung-vai", "lead"), ("khac-vai", "viewer")):
        site.user(name, role)
    identifier = _make(site, "chia-se", [], [])
    opened.log_in("chia-se")
    opened.show(f"/dashboards/{identifier}")
    page.click("button[aria-label='Thêm thao tác']")
    page.click("[role=menuitem]:has-text('Chia sẻ')")
    page.select_option("dialog select", label="Vai trò Trưởng nhóm (lead)")
    page.click("dialog button.main")
    expect(page.locator("dialog")).to_have_count(0)
    for name, status in (("cung-vai", 200), ("khac-vai", 404)):
        with site.client(site.log_in(name)) as client:
            assert client.get(f"/api/v1/saved/{identifier}").status_code == status
    page.click("button[aria-label='Thêm thao tác']")
    page.click("[role=menuitem]:has-text('Chia sẻ')")
    expect(page.locator("dialog select")).to_have_value("role:lead")


def test_pressing_a_bar_leads_to_its_events_and_dragging_over_a_line_chooses_its_time(
    opened: Opened, site: Site
) -> None:
    page = opened.page
    site.user("bam", "analyst")
    shared = {"y": 0, "w": 6, "h": 5, "query": "", "index": "events", "options": {}}
    panels = [
        {"id": "bar", "title": "Cột", "kind": "bar", "x": 0, "fields": ["user.name"], **shared},
        {"id": "line", "title": "Đường", "kind": "line", "x": 6, "fields": [], **shared},
    ]
    identifier = _make(site, "bam", panels, [])
    opened.log_in("bam")
    opened.show(f"/dashboards/{identifier}")
    over = page.locator(".lines .u-over")
    box = over.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 40, steps=6)
    page.mouse.up()
    page.wait_for_url("**from=20*")
    expect(page.locator(".panel canvas").first).to_be_visible()
    page.wait_for_timeout(500)
    bars = page.locator(".panel canvas").first.bounding_box()
    assert bars
    page.mouse.click(bars["x"] + 130, bars["y"] + 40)
    page.wait_for_url("**/hunt?*")
    expect(page.locator("#query")).to_have_value(re.compile(r'user\.name:"(root|canbo[12])"'))


def test_a_dashboard_leaves_as_json_and_comes_in_again(opened: Opened, site: Site, tmp_path: Path) -> None:
    page = opened.page
    site.user("xuat-bang", "analyst")
    opened.log_in("xuat-bang")
    opened.show("/dashboards/ready-overview")
    page.click("button[aria-label='Thêm thao tác']")
    with page.expect_download() as saved:
        page.click("[role=menuitem]:has-text('Xuất JSON')")
    file = tmp_path / "bang.json"
    file.write_bytes(saved.value.path().read_bytes())
    assert all(isinstance(each["title"], str) for each in json.loads(file.read_text())["body"]["panels"])
    opened.show("/dashboards")
    page.click("button:has-text('Nhập tệp')")
    page.set_input_files("dialog input[type=file]", file)
    page.click("dialog button.main")
    page.wait_for_url("**/dashboards/*")
    expect(page.locator(".board .panel")).to_have_count(len(json.loads(file.read_text())["body"]["panels"]))
    file.write_text("không phải")
    opened.show("/dashboards")
    page.click("button:has-text('Nhập tệp')")
    page.set_input_files("dialog input[type=file]", file)
    page.click("dialog button.main")
    expect(page.locator("dialog [role=alert]")).to_contain_text("bang.json không phải là bảng theo dõi")


def test_points_lie_on_outlines_that_the_site_has_uploaded(opened_own: Opened, own: Site, tmp_path: Path) -> None:
    page = opened_own.page
    places = [{"gps.lat": 16.5 + number / 10, "gps.lon": 112.0 + number / 10} for number in range(3)]
    events = [
        {**own.events[0], "event.id": event_id("gps", number), "host.name": "tau", **place}
        for number, place in enumerate(places)
    ]
    index(own.settings, own.engine, events)
    own.user("ban-do", "analyst")
    ring = [[111, 16], [113, 16], [113, 17], [111, 17], [111, 16]]
    outline = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    file = tmp_path / "vung.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": [outline]}))
    opened_own.log_in("ban-do")
    opened_own.show("/dashboards")
    page.click("summary:has-text('Bản đồ của cơ quan')")
    page.click("button:has-text('Tải lên GeoJSON')")
    page.fill("dialog input[name=name]", "Vùng biển")
    page.set_input_files("dialog input[type=file]", file)
    page.click("dialog button.main")
    expect(page.locator("details li", has_text="Vùng biển")).to_be_visible()
    with own.client(own.log_in("ban-do")) as client:
        uploaded = client.get("/api/v1/saved?kind=map").json()["saved"][0]["id"]
    panel = {
        "id": "gps", "title": "Tàu", "kind": "points", "x": 0, "y": 0, "w": 12, "h": 6, "query": "host.name:tau",
        "index": "events", "fields": ["gps.lat", "gps.lon"], "options": {"map": uploaded},
    }  # fmt: skip
    opened_own.show(f"/dashboards/{_make(own, 'ban-do', [panel], [])}")
    expect(page.locator(".points circle")).to_have_count(3)
    expect(page.locator(".points path")).to_have_count(1)


def test_a_dashboard_fills_the_screen_and_goes_on_paper_without_the_rest(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("tuong", "analyst")
    opened.log_in("tuong")
    opened.show("/dashboards/ready-overview")
    expect(page.locator(".single b").first).to_be_visible()
    page.click("button:has-text('Toàn màn hình')")
    page.wait_for_function("document.fullscreenElement !== null")
    expect(page.locator("header .no-print").first).to_be_hidden()
    page.evaluate("document.exitFullscreen()")
    page.emulate_media(media="print")
    expect(page.locator(".rail")).to_be_hidden()
    expect(page.locator(".top")).to_be_hidden()
    expect(page.locator(".board .panel").first).to_be_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_the_ready_dashboards_open_and_every_panel_answers(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("co-san")
    opened.log_in("co-san")
    names = sorted(path.stem for path in shipped_dashboards().glob("*.json"))
    assert len(names) >= 8
    for name in names:
        opened.show(f"/dashboards/ready-{name}")
        count = len(json.loads((shipped_dashboards() / f"{name}.json").read_text("utf-8"))["body"]["panels"])
        bodies = page.locator(".panel-body")
        expect(bodies).to_have_count(count)
        expect(page.locator(".panel-body [role=status]")).to_have_count(0)
        assert page.locator(".panel-body .fault").count() == 0, name
