"""Every screen for everybody: axe finds nothing serious, nothing runs over the edge, in light and dark, wide and narrow.

axe-core: https://github.com/dequelabs/axe-core
"""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.api.sites import Site
from tests.browser.conftest import Opened, axe_faults

pytestmark = pytest.mark.slow
_ROOT = Path(__file__).parents[2]
#: Screens with something open on them.
_OPEN = (
    "/hunt?group=user.name",
    "/entity/host%3Amay-0",
    "/dashboards/ready-overview",
    "/account",
    "/reports?view=systems",
)


def screens() -> list[str]:
    """Return the screens of the rail, as the console's own list has them."""
    code = (_ROOT / "dashboards" / "console" / "src" / "app.tsx").read_text("utf-8")
    found = re.findall(r'name: "([a-z]+)",\s+needs: "[^"]*",\s+icon: "[^"]*",\s+letter: "([a-z]?)"', code)
    assert len(found) > 10
    return [f"/{name}" for name, letter in found if letter]


def test_every_screen_is_usable_by_everybody(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("moi-nguoi", "admin")
    opened.log_in("moi-nguoi")
    with site.client(site.log_in("moi-nguoi")) as client:
        group = client.get("/api/v1/alerts/groups?limit=1").json()["groups"][0]["id"]
    found = []
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # what is half faded in has less contrast
        for path in (*screens(), f"/queue?open={group}", *_OPEN):
            opened.show(path)
            expect(page.locator(".waits, main .quiet[role=status]")).to_have_count(0)
            found += axe_faults(page, f"{theme} {path}")
    assert found == [], "\n".join(found)


def test_no_screen_runs_over_the_edge(opened: Opened, site: Site) -> None:
    page = opened.page
    site.user("vua-man-hinh", "admin")
    opened.log_in("vua-man-hinh")
    over = []
    for width in (1920, 1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        for path in (*screens(), *_OPEN):
            opened.show(path)
            expect(page.locator(".waits, main .quiet[role=status]")).to_have_count(0)
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                over.append(f"{width} {path}")
            if page.evaluate(
                "document.querySelector('main').scrollWidth > document.querySelector('main').clientWidth + 1"
            ):
                over.append(f"{width} {path}: main")
    assert over == [], "\n".join(over)
