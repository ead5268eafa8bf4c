"""What holds for every route: rights, headers, limits, languages, and answers to requests that make no sense."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import structlog
from fastapi.routing import APIRoute, iter_route_contexts
from sites import Site, serving

from api.app import make_app
from api.guard import MAX_BODY_BYTES, accepted_language
from api.searching import Searching
from pipeline import store
from pipeline.logs import start_log
from pipeline.messages import speaking

OPEN = {
    ("POST", "/api/v1/login"), ("GET", "/api/v1/login/oidc"), ("GET", "/static/{name}"), ("GET", "/"),
    ("GET", "/{screen}"), ("GET", "/{screen}/{rest:path}"), ("GET", "/assets/{name}"),
}  # fmt: skip
#: Steps of a log-in take what they need first: without a body they answer 422, and with one 401 (`test_login_steps`).
STEPS = {("POST", f"/api/v1/login/{step}") for step in ("code", "second-factor/confirm", "password")}


@pytest.fixture(scope="module")
def routes(site: Site) -> Iterator[list[tuple[str, str]]]:
    searching = Searching()
    app = make_app(
        site.settings, site.engine, store.open_reader(site.settings.data_dir, site.settings.store), searching
    )
    found = list(iter_route_contexts(app.routes))
    assert all(isinstance(context.original_route, APIRoute) for context in found)  # no mount, no socket
    yield [(method, str(context.path)) for context in found for method in sorted(context.methods or ())]
    searching.close()


def _every(site: Site, routes: list[tuple[str, str]], secret: str = "") -> dict[tuple[str, str], int]:
    with site.client(secret) as client:
        return {
            (method, path): client.request(method, re.sub(r"{[\w:]+}", "events", path)).status_code
            for method, path in routes
        }


def test_every_route_but_the_open_ones_refuses_nobody_and_senders(site: Site, routes: list[tuple[str, str]]) -> None:
    assert len(routes) > 12
    assert set(routes) >= OPEN
    for secret in ("", "hd_" + "x" * 43, "x" * 5000):
        refused = {route for route, status in _every(site, routes, secret).items() if status == 401}
        assert refused == set(routes) - OPEN - STEPS


def test_every_answer_has_the_headers(site: Site, routes: list[tuple[str, str]], viewer: httpx.Client) -> None:
    for method, path in [*routes, ("GET", "/nope"), ("PUT", "/api/v1/login")]:
        with viewer.stream(method, re.sub(r"{[\w:]+}", "events", path)) as answer:  # one of them never ends
            headers = answer.headers
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        # a stream is never the same; WHATWG's HTML, section 9.2.3
        assert headers["cache-control"] == ("no-cache" if path == "/api/v1/live" else "no-store")
        assert "server" not in headers


def test_faults_name_what_is_expected_in_both_languages(site: Site, viewer: httpx.Client) -> None:
    cases = [
        ("/api/v1/nope", 404, "nothing at /api/v1/nope", "Không có gì ở /api/v1/nope"),
        ("/api/v1/alerts?limit=x", 422, "limit: expected a whole number", "limit: cần số nguyên"),
        ("/api/v1/alerts?limit=1001", 422, "limit: expected at most 1000", "limit: cần nhiều nhất 1000"),
        ("/api/v1/alerts?offset=-1", 422, "offset: expected at least 0", "offset: cần ít nhất 0"),
        ("/api/v1/alerts?level=bad", 422, "level: expected one of 'informational'", "level: cần một trong"),
        ("/api/v1/search/secrets", 422, "collection: expected one of", "collection: cần một trong"),
        ("/api/v1/alerts?from=gestern", 400, "is no time", "không phải thời điểm"),
        ("/api/v1/alerts/nope", 404, "There is no alert nope", "Không có cảnh báo nope"),
        ("/api/v1/events/nope", 404, "There is no event nope", "Không có sự kiện nope"),
        (f"/api/v1/search/events?q={'x' * 10_001}", 422, "at most 10000 characters", "nhiều nhất 10000 ký tự"),
    ]
    for path, status, english, vietnamese in cases:
        for language, words in (("en", english), ("vi", vietnamese)):
            answer = viewer.get(path, headers={"Accept-Language": language})
            assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
    assert "does not take PUT" in viewer.put("/api/v1/login").json()["detail"]


@pytest.mark.parametrize(
    "body", [b"{", b"\xff\xfe", b"[" * 100_000, b'{"size":' + b"9" * 5000 + b"}", b"null", b"[1]", b""]
)
def test_garbage_instead_of_json_is_refused_in_words(viewer: httpx.Client, body: bytes) -> None:
    answer = viewer.post("/api/v1/search/events", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["detail"].endswith(".")
    assert viewer.get("/api/v1/me").status_code == 200


def test_a_body_has_a_limit_stated_or_not(viewer: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 100_000 + 2):
            yield b" " * 100_000

    for content in (b" " * (MAX_BODY_BYTES + 1), chunks()):
        answer = viewer.post("/api/v1/search/events", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert str(MAX_BODY_BYTES) in answer.json()["detail"]


@pytest.fixture
def own_log(tmp_path: Path) -> Iterator[Path]:
    """The program's own log, as a stage writes it."""
    root = logging.getLogger()
    before = root.handlers, root.level
    start_log(tmp_path, "api", "info")
    yield tmp_path / "logs" / "api.log"
    root.handlers[0].close()
    root.handlers, root.level = before
    structlog.reset_defaults()


def test_a_fault_of_ours_says_so_and_keeps_its_cause_in_the_log(tmp_path: Path, own_log: Path) -> None:
    with serving(tmp_path / "site", lambda _settings, _engine: []) as broken:
        secret = broken.token("x", "viewer")
        folder = broken.settings.data_dir / "index" / "events" / "2026.11.24"
        folder.mkdir(parents=True)
        (folder / "meta.json").write_text("{")
        with broken.client(secret) as client:
            answer = client.get("/api/v1/search/events")
            assert (answer.status_code, "fault of Hải Đăng" in answer.json()["detail"]) == (500, True)
            assert "meta.json" not in answer.text
            assert "content-security-policy" in answer.headers
            assert client.get("/api/v1/me").status_code == 200
    assert "/api/v1/search/events" in own_log.read_text("utf-8")


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("vi-VN,vi;q=0.9,en-US;q=0.8", "vi"), ("en-US,en;q=0.9,vi;q=0.8", "en"), ("fr,en;q=0.1,vi;q=0.2", "vi"),
        ("", "vi"), ("fr", "vi"), ("*", "vi"), ("en;q=x,;;,=", "vi"), ("vi;q=0,en", "en"), ("en," * 5000, "en"),
    ],
)  # fmt: skip
def test_the_language_is_the_best_one_that_we_speak_else_the_site_s(header: str, chosen: str) -> None:
    with speaking("vi"):
        assert accepted_language(header) == chosen
