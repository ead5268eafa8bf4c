"""The pages: what they are made of comes from our own address, and nothing in them runs that is not a file of ours."""

import json
import re
from html.parser import HTMLParser

import httpx
from sites import PASSWORD, Site
from sqlalchemy import update

from pipeline.state.tables import users


class _Loaded(HTMLParser):
    """Collects what a page loads and what would run inside it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self._runs = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        self.addresses += [held[name] or "" for name in ("src", "href", "action", "srcset") if name in held]
        self.inline += [f"{tag} {name}" for name in held if name.startswith("on") or name == "style"]
        self._runs = tag == "style" or (
            tag == "script" and "src" not in held and held.get("type") != "application/json"
        )

    def handle_data(self, data: str) -> None:
        if self._runs and data.strip():
            self.inline.append(data)


def test_pages_load_only_from_here_and_hold_no_script_themselves(site: Site, viewer: httpx.Client) -> None:
    for page in ("/", "/docs"):
        loaded = _Loaded(viewer.get(page).text)
        assert loaded.inline == []
        assert loaded.addresses
        for address in loaded.addresses:
            assert re.fullmatch(r"/[^/].*", address)
            assert viewer.get(address).status_code == 200
    for path in ("words.js", "asking.js", "chart.js", "sheet.js", "overview.js", "overview.css", "docs.js"):
        text = viewer.get(f"/static/{path}").text
        addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text)) - {"http://www.w3.org"}
        assert addresses == set(), path
        assert "innerHTML" not in text
        assert "insertAdjacentHTML" not in text
        assert "eval(" not in text


def test_the_description_works_with_no_internet(viewer: httpx.Client) -> None:
    description = viewer.get("/openapi.json").json()
    assert "/api/v1/search/{collection}" in description["paths"]
    assert "http" not in json.dumps(description.get("servers", []))
    assert viewer.get("/docs/swagger-ui-bundle.js").headers["content-type"].startswith("text/javascript")
    assert viewer.get("/docs/swagger-ui.css").headers["content-type"].startswith("text/css")
    for path in (
        "/docs/redoc.standalone.js",
        "/docs/..%2f..%2fetc%2fpasswd",
        "/static/overview.html",
        "/static/..%2fapp.py",
    ):
        assert viewer.get(path).status_code == 404


def test_a_browser_without_a_log_in_is_sent_to_it_and_a_program_is_told(site: Site) -> None:
    with site.client() as nobody:
        browser = nobody.get("/docs", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
        assert (browser.status_code, browser.headers["location"]) == (303, "/")
        assert nobody.get("/docs").status_code == 401


def _data(page: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="data">(.*)</script>', page)
    assert found
    data: dict[str, object] = json.loads(found[1])
    return data


def test_the_page_speaks_the_language_asked_for(site: Site) -> None:
    with site.client(language="vi-VN,vi") as client:
        assert '<html lang="vi">' in client.get("/").text
        assert '<html lang="en">' in client.get("/?lang=en").text
        assert '<html lang="vi">' in client.get("/?lang=fr").text
    words = _data(httpx.get(f"{site.address}/?lang=vi").text)["words"]
    assert isinstance(words, dict)
    assert words["log_in"] == "Đăng nhập"


def test_the_page_knows_who_is_logged_in(site: Site) -> None:
    name = "</script><b>x"
    site.user("plain-name")
    with site.engine.begin() as connection:  # as accounts could be called once
        connection.execute(update(users).where(users.c.name == "plain-name").values(name=name))
    with site.client() as client:
        assert _data(client.get("/").text)["user"] is None
        client.post("/api/v1/login", json={"name": name, "password": PASSWORD})
        page = client.get("/").text
    assert _data(page)["user"] == name
    assert page.count("</script>") == 2
