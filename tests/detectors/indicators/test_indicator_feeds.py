"""Lists are brought from real servers: HTTPS with its marks, a MISP feed, TAXII 2.1 (OASIS's own server); what fails
leaves what was there."""

import json
import os
import ssl
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, update

from detectors.indicators import kept, ready
from detectors.indicators.indicator import Indicator
from detectors.indicators.listed import Defaults
from detectors.indicators.refreshing import Outcome, _beyond, due, forget_unnamed, import_file, refresh
from pipeline.messages import HaidangError
from pipeline.settings import IndicatorFeed, Settings, State
from pipeline.state import open_state
from pipeline.state.tables import indicator_feeds, indicator_pieces
from tests.detectors.indicators.lists import addresses
from tests.detectors.indicators.test_indicator_formats import _misp, _stix
from tests.services import medallion
from tests.services.medallion import Medallion
from tests.services.postgres import Postgres

KEY = "a-key-of-this-test"


class _Files(SimpleHTTPRequestHandler):
    """Files, for those who have the key; it notes what it was asked."""

    asked: ClassVar[list[tuple[str, int, str]]]

    def do_GET(self) -> None:
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", f"https://localhost:{self.server.server_port}/list.txt")  # type: ignore[attr-defined]
            self.end_headers()
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"45.9.148.3\n" * 100_000)
        else:
            super().do_GET()

    def log_request(self, code: Any = 0, size: Any = 0) -> None:
        self.asked.append((self.path, int(code), self.headers.get("Authorization", "")))

    def log_message(self, *_: object) -> None:
        pass


class Server:
    """A server with TLS on a folder."""

    def __init__(self, folder: Path, certificates: Path) -> None:
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        self.ca = certificates / "ca.pem"
        authority.cert_pem.write_to_path(self.ca)
        self.folder = folder
        self.asked: list[tuple[str, int, str]] = []
        handler = type("Files", (_Files,), {"asked": self.asked})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.address = f"https://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server whose certificate only `ca` trusts."""
    (tmp_path / "served").mkdir()
    made = Server(tmp_path / "served", tmp_path)
    yield made
    made.close()


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., Settings]:
    """Settings with lists."""

    def make(*feeds: IndicatorFeed, **more: Any) -> Settings:
        return Settings(data_dir=tmp_path / "data", indicators={"feeds": list(feeds), **more})  # type: ignore[arg-type]

    return make


def bring(settings: Settings, force: bool = False) -> tuple[Engine, list[Outcome]]:
    """Refresh all lists of a site."""
    engine = open_state(settings.data_dir, settings.state)
    return engine, [refresh(engine, settings, feed, force) for feed in settings.indicators.feeds]


def values(engine: Engine, name: str) -> list[str]:
    """Return what a list has."""
    feed = kept.feed(engine, name)
    assert feed is not None
    return [json.loads(line)[1] for line in kept.lines_of(engine, name, feed.version)]


def test_a_list_over_https_is_asked_for_what_is_newer_only(
    server: Server, site: Callable[..., Settings], shared_data: Path
) -> None:
    listed = addresses(shared_data, "tor.rules")
    (server.folder / "list.txt").write_text("\n".join(listed), "utf-8")
    feed = IndicatorFeed(
        name="tor", kind="https", url=f"{server.address}/list.txt", threat="tor", ca=server.ca, token=KEY  # type: ignore[arg-type]
    )  # fmt: skip
    settings = site(feed)
    engine, (first,) = bring(settings)
    assert (first.count, first.new, first.changed, first.error) == (len(listed), len(listed), True, "")
    assert values(engine, "tor") == listed
    _, (second,) = bring(settings)
    assert (second.changed, second.count) == (False, len(listed))
    assert [(status, secret) for _, status, secret in server.asked] == [(200, f"Bearer {KEY}"), (304, f"Bearer {KEY}")]
    (server.folder / "list.txt").write_text("\n".join([*listed[1:], "45.9.148.3"]), "utf-8")
    os.utime(server.folder / "list.txt", (1_900_000_000, 1_900_000_000))
    _, (third,) = bring(settings)
    assert (third.count, third.new, third.changed) == (len(listed), 1, True)
    (newest, oldest) = kept.searches(engine)
    assert [each.value for each in newest.indicators] == ["45.9.148.3"]
    assert (oldest.kind, oldest.count) == (kept.READING, len(listed))
    matcher = ready.current(engine, settings)
    assert matcher.address("45.9.148.3")
    assert not matcher.address(listed[0])


@pytest.mark.parametrize(
    ("path", "words"),
    [("/nothing", "404"), ("/endless", "larger than"), ("/empty.html", "nothing that could be used"), ("", "SSL")],
)
def test_a_refresh_that_fails_keeps_what_was_there_and_says_why(
    path: str, words: str, server: Server, site: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    (server.folder / "list.txt").write_text("45.9.148.3\nevil.example.com\n", "utf-8")
    (server.folder / "empty.html").write_text("<html><body>Log in</body></html>", "utf-8")
    feed = IndicatorFeed(name="report", kind="https", url=f"{server.address}/list.txt", ca=server.ca)
    engine, (good,) = bring(site(feed))
    assert good.count == 2
    monkeypatch.setattr("detectors.indicators.fetching.MAX_BYTES", 500_000)
    bad = feed.model_copy(update={"url": f"{server.address}{path}", **({} if path else {"ca": None})})
    settings = site(bad)
    for failures in (1, 2):
        _, (outcome,) = bring(settings)
        assert words in outcome.error
        there = kept.feed(engine, "report")
        assert there is not None
        assert (there.failures, there.count, words in there.error) == (failures, 2, True)
    assert values(engine, "report") == ["45.9.148.3", "evil.example.com"]
    assert ready.current(engine, settings).name("x.evil.example.com")
    with engine.connect() as connection:
        assert (
            len(set(connection.scalars(indicator_pieces.select().with_only_columns(indicator_pieces.c.version)))) == 1
        )


def test_our_secret_goes_to_no_other_server(server: Server, site: Callable[..., Settings]) -> None:
    (server.folder / "list.txt").write_text("45.9.148.3\n", "utf-8")
    feed = IndicatorFeed(
        name="moved", kind="https", url=f"{server.address}/elsewhere", ca=server.ca, username="u", password=KEY  # type: ignore[arg-type]
    )  # fmt: skip
    _, (outcome,) = bring(site(feed))
    assert outcome.count == 1
    assert [(path, bool(secret)) for path, _, secret in server.asked] == [("/elsewhere", True), ("/list.txt", False)]


def test_a_feed_of_misp(server: Server, site: Callable[..., Settings]) -> None:
    name = "5f0c9a3e-0000-4000-8000-00000000000a"
    (server.folder / "manifest.json").write_text(json.dumps({name: {"timestamp": "1", "info": "x"}}), "utf-8")
    (server.folder / f"{name}.json").write_text(json.dumps(_misp()), "utf-8")
    feed = IndicatorFeed(name="misp", kind="misp", url=server.address, ca=server.ca, token=KEY)  # type: ignore[arg-type]
    engine, (first,) = bring(site(feed))
    assert (first.count, dict(first.refused or {}), first.error) == (3, {"private": 1, "unknown_kind": 1}, "")
    _, (second,) = bring(site(feed))
    assert not second.changed
    assert [path for path, _, _ in server.asked] == ["/manifest.json", f"/{name}.json", "/manifest.json"]
    assert {secret for _, _, secret in server.asked} == {KEY}
    (server.folder / "manifest.json").write_text(json.dumps({"../../etc/passwd": {}}), "utf-8")
    _, (bad,) = bring(site(feed), force=True)
    assert "MISP" in bad.error
    assert len(values(engine, "misp")) == 3


@pytest.fixture
def taxii(tmp_path: Path) -> Iterator[Medallion]:
    """A server of TAXII with 1,200 indicators and one bundle, for one user; its address and its authority."""
    stix = [each for each in _stix()["objects"] if isinstance(each, dict) and "spec_version" in each]
    many = [
        {**stix[0], "id": f"indicator--00000000-0000-4000-8001-{number:012}", "created": "2024-01-01T00:00:00.000Z",
         "modified": "2024-01-01T00:00:00.000Z", "pattern": f"[domain-name:value = 'h{number}.evil.com']"}
        for number in range(1200)
    ]  # fmt: skip
    objects = [{"created": "2024-01-01T00:00:00.000Z", "modified": "2024-01-01T00:00:00.000Z", **each} for each in stix]
    held = [
        medallion.collection("91a7b528-80eb-42ed-a74d-c6fbd5a26116", "c2", [*objects, *many]),
        medallion.collection("52892447-4d7e-4f70-b94d-d7f22742ff63", "c2", [], can_read=False),
    ]
    with medallion.running(tmp_path, held, "analyst", KEY) as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/taxii2/", "/root/", "/root/collections/91a7b528-80eb-42ed-a74d-c6fbd5a26116/"])
def test_a_collection_of_taxii_by_any_of_its_addresses(
    path: str, taxii: Medallion, site: Callable[..., Settings]
) -> None:
    address, authority = taxii
    feed = IndicatorFeed(
        name="taxii", kind="taxii", url=f"{address}{path}", ca=authority, username="analyst", password=KEY  # type: ignore[arg-type]
    )  # fmt: skip
    engine, (first,) = bring(site(feed))
    assert first.error == ""
    assert (first.count, dict(first.refused or {})) == (1206, {"pattern": 3, "expired": 1, "unknown_kind": 1})
    assert {"h0.evil.com", "h1199.evil.com", "evil.example.com"} <= set(values(engine, "taxii"))
    _, (second,) = bring(site(feed))
    assert not second.changed
    wrong = feed.model_copy(update={"password": feed.token})
    _, (refused,) = bring(site(wrong))
    assert "401" in refused.error


@pytest.mark.parametrize("left", ["", "\n \r\n"])
def test_a_file_that_was_emptied_by_a_fault_keeps_what_was_there(
    tmp_path: Path, site: Callable[..., Settings], left: str
) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("45.9.148.3\n", "utf-16")  # as Notepad writes "Unicode"
    settings = site(IndicatorFeed(name="report", kind="file", path=listed))
    engine, (first,) = bring(settings)
    assert (first.count, first.error) == (1, "")
    listed.write_text(left)
    again = refresh(engine, settings, settings.indicators.feeds[0])
    assert (again.count, "list.txt is empty" in again.error) == (1, True)
    listed.write_text("# nothing any more\n")
    assert refresh(engine, settings, settings.indicators.feeds[0]).count == 0


def test_files_and_folders_are_looked_at_again_only_when_they_have_changed(
    tmp_path: Path, site: Callable[..., Settings]
) -> None:
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / "a.txt").write_text("45.9.148.3\n", "utf-8")
    (folder / "b.json").write_text(json.dumps(_stix()), "utf-8")
    (folder / ".hidden").write_text("45.9.148.4\n", "utf-8")
    settings = site(IndicatorFeed(name="folder", kind="directory", path=folder))
    engine, (first,) = bring(settings)
    assert (first.count, first.changed) == (7, True)
    _, (second,) = bring(settings)
    assert not second.changed
    (folder / "a.txt").unlink()
    _, (third,) = bring(settings)
    assert (third.count, third.new) == (6, 0)
    (folder / "b.json").unlink()
    (folder / ".hidden").unlink()
    folder.rmdir()
    _, (gone,) = bring(settings)
    assert "cannot be read" in gone.error
    assert len(values(engine, "folder")) == 6


def test_when_a_list_is_due(tmp_path: Path, site: Callable[..., Settings]) -> None:
    good = IndicatorFeed(name="good", kind="file", path=tmp_path / "list.txt", refresh_minutes=60)
    bad = IndicatorFeed(name="bad", kind="file", path=tmp_path / "none.txt", refresh_minutes=60)
    good.path.write_text("45.9.148.3\n", "utf-8")  # type: ignore[union-attr]
    settings = site(good, bad)
    engine = open_state(settings.data_dir, settings.state)
    now = time.time()
    assert {feed.name for feed in due(engine, settings, now)} == {"good", "bad"}
    bring(settings)
    now = time.time()

    def names(later: float) -> list[str]:
        return [feed.name for feed in due(engine, settings, now + later)]

    assert names(30) == []
    assert names(70) == ["bad"]  # after a failure a minute, then two, then four …
    bring(settings)
    now = time.time()
    assert names(70) == []
    assert names(130) == ["bad"]
    assert set(names(3601)) == {"good", "bad"}
    with engine.begin() as connection:
        assert kept.request(connection, "good", now + 1)
        assert not kept.request(connection, "nothing", now)
    assert names(5) == ["good"]
    with engine.begin() as connection:  # a clock that was set back must not stop it
        connection.execute(update(indicator_feeds).values(tried=now + 1e6, requested=0.0))
    assert set(names(0)) == {"good", "bad"}


def test_what_does_not_fit_or_is_named_twice_is_refused(tmp_path: Path, site: Callable[..., Settings]) -> None:
    path = tmp_path / "list.txt"
    path.write_text("\n".join(f"h{number}.evil.com" for number in range(1500)), "utf-8")
    feed = IndicatorFeed(name="large", kind="file", path=path)
    settings = site(feed, most=1000)
    engine, (outcome,) = bring(settings)
    assert "do not fit" in outcome.error or "does not fit" in outcome.error
    assert outcome.count == 0
    with pytest.raises(HaidangError, match="already"):
        import_file(engine, settings, path, "auto", Defaults("large"), 30)
    made = import_file(engine, site(feed, most=2000), path, "auto", Defaults("once"), 30)
    assert made.count == 1500
    forget_unnamed(engine, site())
    assert [each.name for each in kept.feeds(engine)] == ["once"]
    assert kept.remove_feed(engine, "once")
    assert not kept.remove_feed(engine, "once")
    assert ready.make(engine, settings) == ""


def test_a_list_of_which_nothing_is_heard_ends(tmp_path: Path, site: Callable[..., Settings]) -> None:
    path = tmp_path / "list.txt"
    path.write_text("45.9.148.3\n", "utf-8")
    settings = site(IndicatorFeed(name="report", kind="file", path=path, expires_days=30))
    engine, _ = bring(settings)
    there = kept.feed(engine, "report")
    assert there is not None
    assert there.ends == there.refreshed + 30 * 86_400
    (found,) = ready.current(engine, settings).address("45.9.148.3")
    assert found.expires == there.ends


def test_what_is_added_one_by_one_is_kept_with_who_and_why(site: Callable[..., Settings]) -> None:
    from detectors.indicators import adding
    from detectors.indicators.allow import of_settings

    settings = site()
    engine = open_state(settings.data_dir, settings.state)
    allow = of_settings(settings.indicators)
    found = adding.made(allow, "hxxp://evil[.]example[.]com/a", threat="phishing", confidence=70)
    number = adding.add(engine, settings, found, ("an", "10.0.0.1"), "a mail")
    assert [each.id for each in kept.searches(engine, waiting=True)] == [number]
    (row,) = kept.live_rows(engine)
    assert (row.who, row.address, row.reason, row.indicator.value) == ("an", "10.0.0.1", "a mail", "evil.example.com/a")
    before = kept.versions(engine)
    matcher = ready.current(engine, settings)
    assert adding.checked(matcher, allow, "http://evil.example.com/a")["found"][0]["threat"] == "phishing"
    assert adding.checked(matcher, allow, "8.8.8.8") == {
        "value": "8.8.8.8",
        "found": [],
        "allowed": True,
        "refused": None,
    }
    assert adding.checked(matcher, allow, "10.0.0.1")["refused"] == "private"
    with pytest.raises(HaidangError, match="allow-list"):
        adding.made(allow, "8.8.8.8")
    with pytest.raises(HaidangError, match="private"):
        adding.made(allow, "10.0.0.1")
    with pytest.raises(HaidangError, match="in force"):
        adding.search(engine, settings, ["other.example.com"], matcher, 3)
    adding.remove(engine, "http://evil.example.com/a", ("an", "10.0.0.1"), "done")
    assert kept.live(engine) == []
    assert kept.versions(engine) != before
    with pytest.raises(HaidangError, match="not added"):
        adding.remove(engine, "http://evil.example.com/a", ("an", "10.0.0.1"), "done")


@given(st.lists(st.integers(0, 40)), st.lists(st.integers(0, 40)))
def test_what_is_new_in_a_list_is_what_sets_say(keys: list[int], before: list[int]) -> None:
    assert set(_beyond(array("Q", keys), array("Q", before)).tolist()) == set(keys) - set(before)
    assert len(_beyond(array("Q", keys), array("Q", before))) == len(set(keys) - set(before))


@pytest.mark.slow
def test_the_same_in_postgresql(postgres: Postgres, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(f"h{number}.evil.com" for number in range(3000)), "utf-8")
    feed = IndicatorFeed(name="report", kind="file", path=listed, threat="c2")
    settings = Settings(
        data_dir=tmp_path / "data", state=State(url=postgres.new_database()), indicators={"feeds": [feed]}  # type: ignore[arg-type]
    )  # fmt: skip
    engine, (first,) = bring(settings)
    assert (first.count, first.new, first.error) == (3000, 3000, "")
    listed.write_text("h1.evil.com\nnew.evil.com\n", "utf-8")
    second = refresh(engine, settings, feed)
    assert (second.count, second.new) == (2, 1)
    number = kept.add_live(engine, [Indicator("address", "45.9.148.3", "live", "c2", 90)], ("an", ""), "x", 3)
    newest, values_of_list, reading = kept.searches(engine)
    assert (newest.id, [each.value for each in values_of_list.indicators]) == (number, ["new.evil.com"])
    assert reading.kind == kept.READING
    kept.note_search(engine, newest.id, state=kept.DONE, found=7)
    assert [each.id for each in kept.searches(engine, waiting=True)] == [reading.id, values_of_list.id]
    matcher = ready.current(engine, settings)
    assert matcher.address("45.9.148.3") and matcher.name("new.evil.com") and not matcher.name("h7.evil.com")
    assert kept.remove_live(engine, [("address", "45.9.148.3")], ("an", ""), "x") == 1
    assert kept.remove_feed(engine, "report")
    assert kept.versions(engine).keys() == {"live"}
    engine.dispose()
