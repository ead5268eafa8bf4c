"""The console in a real browser: a site with events and alerts, Chromium, and a page that must not misbehave."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from pipeline.queue import grouping
from pipeline.shipped import shipped_console
from tests.api.sites import PASSWORD, Site, day, serving
from tests.conftest import PATIENCE, need

_AXE = Path(__file__).parents[2] / "dashboards" / "console" / "node_modules" / "axe-core" / "axe.min.js"
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
#: A machine that does other things, too, is slow.
expect.set_options(timeout=15_000 * PATIENCE)
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
        """Fill in the log-in and wait for the frame."""
        self.page.fill("input[name=name]", name)
        self.page.fill("input[name=password]", PASSWORD)
        self.page.press("input[name=password]", "Enter")
        expect(self.page.locator(".rail")).to_be_visible()
        expect(self.page.locator("main h1").first).to_be_visible()  # and with it the keys are bound

    def show(self, path: str) -> None:
        """Open a screen by its address."""
        self.page.goto(f"{self.address}{path}")
        expect(self.page.locator("main.task")).to_be_visible()

    def rows(self, name: str = "") -> Locator:
        """Return the rows of the list that is shown."""
        return self.page.locator(f".grid .row[id^='{name}']")

    def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        for key in keys:
            self.page.keyboard.press(key)


def axe_faults(page: Page, where: str) -> list[str]:
    """Return what axe finds that keeps somebody from using the page as it is now (https://github.com/dequelabs/axe-core)."""
    need(_AXE.exists(), "axe-core (make console)")
    page.evaluate(_AXE.read_text("utf-8"))
    told = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{where}: {each['id']}: {each['nodes'][0]['html'][:150]} {each['nodes'][0]['failureSummary'][:250]}"
        for each in told["violations"]
        if each["impact"] in ("serious", "critical")
    ]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium for this module alone: while its driver runs, no test of this process can run an event loop."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("chromium is missing: apt install chromium")
        pytest.skip("chromium is missing: apt install chromium")
    need((shipped_console() / "index.html").exists(), "the built console (make console)")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=_FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site for the tests of a module that only look at it, or change what is theirs alone."""
    with _filled(tmp_path_factory.mktemp("console")) as made:
        grouping.catch_up(made.engine, 24)
        yield made


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Site]:
    """A site of its own, for a test that changes it."""
    with _filled(tmp_path / "own") as made:
        grouping.catch_up(made.engine, 24)
        yield made


def _filled(folder: Path):  # type: ignore[no-untyped-def]
    return serving(folder, day)


@pytest.fixture
def opened(browser: Browser, site: Site) -> Iterator[Opened]:
    """The console of the module's site, not logged in."""
    yield from opened_at(browser, site.address)


@pytest.fixture
def opened_own(browser: Browser, own: Site) -> Iterator[Opened]:
    """The console of a site of the test's own, not logged in."""
    yield from opened_at(browser, own.address)


def opened_at(browser: Browser, address: str) -> Iterator[Opened]:
    """Open a page; in the end nothing was loaded from elsewhere and nothing went wrong."""
    context = browser.new_context(
        locale="vi-VN", timezone_id="Asia/Ho_Chi_Minh", viewport={"width": 1280, "height": 800}
    )
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    made = Opened(context.new_page(), address)
    made.page.set_default_timeout(10_000 * PATIENCE)
    made.page.on(
        "request",
        lambda asked: None if asked.url.startswith((address, "blob:")) else made.outside.append(asked.url),
    )
    made.page.on("pageerror", lambda error: made.faults.append(str(error)))
    made.page.on("console", lambda said: made.faults.append(said.text) if said.type in ("error", "warning") else None)
    made.page.goto(f"{address}/?lang=vi")
    yield made
    assert made.outside == []
    assert [text for text in made.faults if not text.startswith(_REFUSED)] == []
    context.close()
