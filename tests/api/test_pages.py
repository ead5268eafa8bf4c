"""The pages: what they are made of comes from our own address, and nothing in them runs that is not a file of ours."""

import json
import re
from html.parser import HTMLParser
from urllib.parse import quote

import httpx
from sites import Site


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


def test_assets_are_compressed_kept_for_ever_and_no_path_leads_out(viewer: httpx.Client) -> None:
    page = viewer.get("/queue/12", headers={"Accept": "text/html"}).text
    script = re.findall(r'src="(/assets/[^"]+\.js)"', page)[0]
    sizes = {}
    for coding in ("br", "gzip", "identity"):
        answer = viewer.get(script, headers={"Accept-Encoding": coding})
        assert answer.headers.get("content-encoding", "identity") == coding
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-type"].startswith("text/javascript")
        sizes[coding] = int(answer.headers["content-length"])
    assert sizes["br"] < sizes["gzip"] < sizes["identity"] / 2
    for path in ("/assets/..%2findex.html", "/assets/.hidden", "/assets/index.html", "/assets/none.js"):
        assert viewer.get(path).status_code == 404


def test_programs_are_told_that_a_page_is_none(viewer: httpx.Client) -> None:
    assert viewer.get("/queue", headers={"Accept": "application/json"}).status_code == 404
    assert "khong-co" in viewer.get("/khong-co").json()["detail"]


def test_the_description_works_with_no_internet(viewer: httpx.Client) -> None:
    description = viewer.get("/openapi.json").json()
    assert "/api/v1/search/{collection}" in description["paths"]
    assert "http" not in json.dumps(description.get("servers", []))
    assert viewer.get("/docs/swagger-ui-bundle.js").headers["content-type"].startswith("text/javascript")
    assert viewer.get("/docs/swagger-ui.css").headers["content-type"].startswith("text/css")
    for path in (
        "/docs/redoc.standalone.js",
        "/docs/..%2f..%2fetc%2fpasswd",
        "/static/docs.html",
        "/static/..%2fapp.py",
    ):
        assert viewer.get(path).status_code == 404


def test_a_browser_without_a_log_in_is_sent_to_it_and_a_program_is_told(site: Site) -> None:
    with site.client() as nobody:
        browser = nobody.get("/docs", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
        assert (browser.status_code, browser.headers["location"]) == (303, "/")
        assert nobody.get("/docs").status_code == 401


def _boot(page: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="boot">(.*)</script>', page)
    assert found
    data: dict[str, object] = json.loads(found[1])
    return data


def test_the_page_speaks_the_language_asked_for_and_knows_the_site(site: Site) -> None:
    with site.client(language="vi-VN,vi") as client:
        assert '<html lang="vi">' in client.get("/").text
        assert '<html lang="en">' in client.get("/?lang=en").text
        assert '<html lang="vi">' in client.get("/?lang=fr").text
        page = client.get("/").text
    assert _boot(page)["site"] == site.settings.observer
    assert "{{" not in page


def test_what_a_provider_refused_is_shown_once_and_never_runs(site: Site) -> None:
    with site.client() as client:
        answer = client.get("/", headers={"Cookie": f"haidang_refused={quote('</script><b>x')}"})
        assert _boot(answer.text)["refused"] == "</script><b>x"
        assert answer.text.count("</script>") == 2
        assert 'haidang_refused=""' in answer.headers["set-cookie"]
        assert "Max-Age=0" in answer.headers["set-cookie"]
