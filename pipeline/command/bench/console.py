"""`bench console`: a site with many events and open alerts, a real browser that looks at it; milliseconds leave.

The events are written into the store before the site is started, over the last 30 days; the alerts go the way of all
alerts, each into a group of its own. Then Chromium shows the first screen, moves in the queue, hunts, and opens a
dashboard. Times are those of the browser: from the beginning of the navigation until what is asked for is drawn.
"""

import argparse
import secrets
import shutil
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from pipeline import store
from pipeline.bus import ALERTS, SlowDown, open_bus
from pipeline.command.bench.samples import syslog_lines
from pipeline.command.bench.site import LIMIT_SECONDS, Site, detail, running_site
from pipeline.command.bench.store import events_of
from pipeline.event import Event, encode, event_id, from_micros
from pipeline.frame import pack
from pipeline.identity import users
from pipeline.messages import HaidangError
from pipeline.own_alerts import SEVERITY
from pipeline.settings import Bus as BusSettings
from pipeline.settings import Store as StoreSettings
from pipeline.state.tables import alert_groups
from pipeline.store.document import document

_EVENTS, _ALERTS = 10_000_000, 100_000
_BATCH, _COMMIT, _PART = 5_000, 500_000, 2_000
_DAYS = 30
_LEVELS = ("low", "medium", "high", "critical")
_REPEATS = 5
_KEYS = 60
#: What is asked for, in milliseconds.
_ASKED = {
    "first screen, ms": 1500, "key in the queue, 95th percentile, ms": 50, "hunt: first rows and histogram, ms": 1000,
    "dashboard of nine panels, ms": 2000,
}  # fmt: skip
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
#: Waits for a frame after each key, and says how long it was until the cursor had moved and was drawn.
_PRESS = """(key) => new Promise((done) => {
  const before = document.querySelector(".row.cursor")?.id, started = performance.now();
  const look = () => document.querySelector(".row.cursor")?.id !== before
    ? requestAnimationFrame(() => done(performance.now() - started)) : requestAnimationFrame(look);
  document.querySelector(".grid .scroll").dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  look();
})"""
_SINCE_START = "() => performance.now()"


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the figures, each the median of five unless it says otherwise; `ok`: all are as asked for.

    Raises:
        HaidangError: there is no browser, or playwright is not installed.
    """
    browser = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise HaidangError("command.bench.no_browser", names=", ".join(_BROWSERS))
    count = chosen.events or _EVENTS
    with running_site(fill=lambda folder: _fill(folder, chosen.logs, count)) as site:
        _raise_alerts(site, _ALERTS)
        password = secrets.token_urlsafe(18)
        with site.engine.begin() as connection:
            users.create_user(connection, "bench", "analyst", password)
        figures: dict[str, Any] = {"events": site.searchable(), "open groups": _groups(site)}
        figures |= _looked_at(browser, detail(site.engine, "api")["address"], password)
    return figures | {"ok": all(figures[name] <= most for name, most in _ASKED.items())}


def _fill(folder: Path, logs: str | None, count: int) -> None:
    """Write events of the last 30 days into the store of a data directory."""
    texts, _ = syslog_lines(logs)
    writer = store.open_writer(folder, StoreSettings())
    made = events_of(texts, count, datetime.now(UTC) - timedelta(days=_DAYS), timedelta(days=_DAYS) / count)
    number = 0
    while part := list(islice(made, _BATCH)):
        writer.add(store.EVENTS, [document(event, encode(event)) for event in part])
        number += len(part)
        if number % _COMMIT < _BATCH:
            writer.commit()
    writer.commit()
    writer.close()


def _alerts(count: int) -> Iterator[Event]:
    """Yield alerts of which each makes a group: of 100 rules about 1,000 hosts."""
    end = time.time_ns() // 1000
    for number in range(count):
        rule, host = number % 100, number // 100
        level = _LEVELS[rule % len(_LEVELS)]
        yield {
            "@timestamp": from_micros(end - number * 20_000_000), "event.id": event_id("bench", number),
            "event.kind": "alert", "rule.id": f"rule-{rule}", "rule.name": f"Rule {rule}", "rule.level": level,
            "event.severity": SEVERITY[level], "host.name": f"pc-{host}", "user.name": f"canbo{host % 500}",
            "alert.status": "new", "alert.count": 1, "alert.matches": [], "alert.evidence": [{"message": "x" * 300}],
        }  # fmt: skip


def _raise_alerts(site: Site, count: int) -> None:
    bus = open_bus(site.data_dir, BusSettings())
    made = _alerts(count)
    while part := [encode(alert) for alert in islice(made, _PART)]:
        frames = list(pack("bench", part))
        while True:
            try:
                bus.publish(ALERTS, frames)
                break
            except SlowDown:
                time.sleep(0.2)
    until = time.monotonic() + LIMIT_SECONDS
    while _groups(site) < count:
        if time.monotonic() > until:
            raise HaidangError("command.bench.too_slow", seconds=round(LIMIT_SECONDS))
        site.supervisor.check()
        time.sleep(1)
    bus.close()
    time.sleep(10)  # the copies for search, and what the store merges


def _groups(site: Site) -> int:
    with site.engine.connect().execution_options(read_only=True) as connection:
        query = select(func.count()).select_from(alert_groups).where(alert_groups.c.rule_id.like("rule-%"))
        return connection.scalar(query) or 0


def _looked_at(program: str, address: str, password: str) -> dict[str, float]:
    try:
        from playwright.sync_api import Page, sync_playwright
    except ImportError as error:
        raise HaidangError("command.bench.no_playwright") from error

    def opened(page: Page, path: str, *drawn: str) -> float:
        """Show a screen anew and wait until all of these are drawn."""
        page.goto(f"{address}{path}", wait_until="commit")
        for each in drawn:
            page.wait_for_selector(each, timeout=60_000)
        return float(page.evaluate(_SINCE_START))

    def median(page: Page, path: str, *drawn: str) -> float:
        return round(statistics.median(opened(page, path, *drawn) for _ in range(_REPEATS)))

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        page.goto(address)
        page.fill("input[name=name]", "bench")
        page.fill("input[name=password]", password)
        page.press("input[name=password]", "Enter")
        page.wait_for_selector(".rail")
        nothing_cached = browser.new_context(viewport={"width": 1280, "height": 800})
        nothing_cached.add_cookies(page.context.cookies())  # type: ignore[arg-type]
        first = opened(nothing_cached.new_page(), "/", ".status .icon", ".tile .number", ".row-link", ".histogram rect")
        figures = {
            "first screen, ms": median(page, "/", ".status .icon", ".tile .number", ".row-link"),
            "first screen, nothing cached, with events over time, ms": round(first),
            "queue: first rows, ms": median(page, "/queue", "#queue-0", ".tabs b:not(:empty)"),
        }
        keys = [float(page.evaluate(_PRESS, key)) for key in ["j"] * _KEYS + ["k"] * (_KEYS // 2)]
        figures["key in the queue, median, ms"] = round(statistics.median(keys), 1)
        figures["key in the queue, 95th percentile, ms"] = round(statistics.quantiles(keys, n=20)[-1], 1)
        hunted = ("#hunt-0 .value", ".histogram rect.bar")
        figures["hunt: first rows and histogram, ms"] = median(page, f"/hunt?from=now-{_DAYS}d", *hunted)
        figures["hunt for a user, ms"] = median(page, f"/hunt?from=now-{_DAYS}d&q=user.name:root", *hunted)
        figures["dashboard of nine panels, ms"] = round(
            statistics.median(_dashboard(page, address) for _ in range(_REPEATS))
        )
        browser.close()
    return figures


def _dashboard(page: Any, address: str) -> float:
    page.goto(f"{address}/dashboards/ready-overview?from=now-{_DAYS}d", wait_until="commit")
    drawn = """() => {
      const all = [...document.querySelectorAll(".panel-body")];
      return all.length === 9 && all.every((each) => each.querySelector("canvas, .single b, .top-list li, .nothing"));
    }"""
    page.wait_for_function(drawn, timeout=60_000)
    return float(page.evaluate(_SINCE_START))
