"""Routes of packs over a socket: real archives and bundles are brought, previewed, refused, kept and given back."""

import asyncio
import base64
import hashlib
import http.client
import io
import os
import ssl
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import HTTPException
from sites import Site, serving
from sqlalchemy import select
from starlette.requests import Request

from api import rule_packs
from api.guard import MAX_BODY_BYTES
from api.searching import Searching
from api.turns import GivenUp, Turn, Turns
from api.uploads import Uploads
from detectors.rulebook import backup, bundle, revisions
from detectors.rulebook.book import Book, Pack
from pipeline.instance import instance_of
from pipeline.settings import Settings
from pipeline.state import upsert
from pipeline.state.tables import audit, stages

KIND = {"Content-Type": "application/octet-stream"}
MAKER, STRANGER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
RULES = "/api/v1/rules"


def rule(number: int, title: str, value: str) -> str:
    """A rule about doors."""
    return (
        f"title: {title}\nid: 00000000-0000-4000-8000-{number:012d}\nlevel: low\nlogsource: {{product: door}}\n"
        f"detection: {{selection: {{event.action: {value}}}, condition: selection}}\n"
    )


def vectors(hit: str, miss: str) -> str:
    """Vectors of such a rule."""
    event = "{{event.dataset: door, event.action: {}}}"
    return f"hits: [{event.format(hit)}]\nmisses: [{event.format(miss)}]\n"


def zipped(files: dict[str, str]) -> bytes:
    """An archive."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return held.getvalue()


def tarred(files: dict[str, str]) -> bytes:
    """An archive of the other kind."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        for name, text in files.items():
            item = tarfile.TarInfo(name)
            item.size = len(text.encode())
            archive.addfile(item, io.BytesIO(text.encode()))
    return held.getvalue()


SIGMA = {
    "sigma-master/version.txt": "r2026-11\n",
    "sigma-master/LICENSE": "Detection Rule License 1.1\n",
    "sigma-master/rules/a.yml": rule(1, "Door opened", "opened"),
    "sigma-master/rules/a.test.yml": vectors("opened", "closed"),
    "sigma-master/rules/b.yml": rule(2, "Door forced", "forced"),
    "sigma-master/deprecated/c.yml": rule(3, "Old door", "old"),
}


def nothing(_settings: Settings, _engine: Any) -> list[Any]:
    """A site without events."""
    return []


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Site]:
    with serving(tmp_path / "data", nothing) as made:
        yield made


@pytest.fixture
def boss(served: Site) -> Iterator[httpx.Client]:
    with served.client(served.token("boss", "administrator")) as made:
        yield made


@pytest.fixture
def analyst(served: Site) -> Iterator[httpx.Client]:
    with served.client(served.token("lan", "analyst")) as made:
        yield made


def send(client: httpx.Client, path: str, data: Any, file: str, **asked: Any) -> httpx.Response:
    """Send a file."""
    return client.post(f"{RULES}/{path}", params={"file": file, **asked}, content=data, headers=KIND)


def number(site: Site) -> int:
    """The revision in force."""
    return revisions.current_number(site.engine)


def left(site: Site) -> set[str]:
    """All files and folders of the data directory, but for those of the state and the log."""
    found = {str(path.relative_to(site.settings.data_dir)) for path in site.settings.data_dir.rglob("*")}
    return {name for name in found if not name.startswith(("state", "logs"))}


def test_an_archive_is_previewed_brought_updated_and_removed(
    served: Site, boss: httpx.Client, analyst: httpx.Client
) -> None:
    assert send(analyst, "packs/preview", zipped(SIGMA), "sigma.zip", name="sigmahq").status_code == 200
    before = left(served)
    preview = send(analyst, "packs/preview", tarred(SIGMA), "sigma.tar.gz", name="sigmahq").json()
    assert (preview["version"], preview["counts"]["added"], preview["tests"]) == ("r2026-11", 2, 2)
    assert "revision" not in preview
    assert (number(served), left(served)) == (0, before)
    made = send(boss, "packs", zipped(SIGMA), "sigma.zip", name="sigmahq", mode="observe").json()
    assert (made["revision"], [each["title"] for each in made["added"]]) == (1, ["Door opened", "Door forced"])
    assert boss.get(f"{RULES}/Door forced").json()["mode"] == "observe"
    again = send(boss, "packs", zipped(SIGMA), "sigma.zip", name="sigmahq").json()
    assert (again["revision"], again["nothing_new"]) == (None, True)
    newer = {name: text for name, text in SIGMA.items() if "b.yml" not in name}
    newer["sigma-master/rules/d.yml"] = rule(4, "Door left open", "left")
    shown = send(analyst, "packs/preview", zipped(newer), "sigma.zip", name="sigmahq").json()
    assert [shown["counts"][name] for name in ("added", "changed", "removed")] == [1, 0, 1]
    made = send(boss, "packs", zipped(newer), "sigma.zip", name="sigmahq", version="2").json()
    assert (made["revision"], made["removed"][0]["title"]) == (2, "Door forced")
    (pack,) = boss.get(f"{RULES}/packs").json()["packs"]
    assert (pack["name"], pack["rules"], pack["version"], pack["mode"], pack["source"]) == (
        "sigmahq",
        2,
        "2",
        "observe",
        "",
    )
    assert boss.delete(f"{RULES}/packs/sigmahq").json()["revision"] == 3
    assert boss.delete(f"{RULES}/packs/sigmahq").status_code == 404
    history = analyst.get(f"{RULES}/history").json()["revisions"]
    assert [(each["action"], each["who"], each["address"]) for each in history] == [
        ("remove_pack", "boss", "127.0.0.1"), ("update", "boss", "127.0.0.1"), ("import", "boss", "127.0.0.1"),
    ]  # fmt: skip
    with served.engine.connect() as connection:
        noted = connection.execute(select(audit.c.who, audit.c.action).where(audit.c.action.startswith("rules_"))).all()
    assert noted == [("boss", "rules_import"), ("boss", "rules_update"), ("boss", "rules_remove_pack")]


def test_what_would_lose_something_stops_until_somebody_insists(served: Site, boss: httpx.Client) -> None:
    send(boss, "packs", zipped(SIGMA), "sigma.zip", name="sigmahq")
    worse = {**SIGMA, "sigma-master/rules/a.test.yml": vectors("closed", "opened")}
    before = left(served)
    preview = send(boss, "packs/preview", zipped(worse), "sigma.zip", name="sigmahq").json()
    assert len(preview["stops"]) == 2
    for language, words in (("en", "it does not fire"), ("vi", "Chưa thực hiện thay đổi")):
        boss.headers["Accept-Language"] = language
        refused = send(boss, "packs", zipped(worse), "sigma.zip", name="sigmahq")
        assert (refused.status_code, words in refused.json()["detail"]) == (400, True)
    assert (number(served), left(served)) == (1, before)
    made = send(boss, "packs", zipped(worse), "sigma.zip", name="sigmahq", force=True)
    assert made.json()["revision"] == 2
    tried = boss.post(f"{RULES}/test", json={}).json()
    assert (tried["failed"], tried["without"] > 0, tried["vectors"] > 200) == (2, True, True)
    assert {each["path"] for each in tried["findings"]} == {"sigmahq:rules/a.test.yml"}
    one = boss.post(f"{RULES}/test", json={"rules": ["Door opened"]}).json()
    assert (one["vectors"], one["rules"], one["failed"]) == (2, 1, 2)
    other = boss.post(f"{RULES}/test", json={"rules": ["ssh_root_login_accepted", "Door forced"]}).json()
    assert (other["failed"], other["without"], other["findings"]) == (0, 1, [])
    assert boss.post(f"{RULES}/test", json={"rules": ["nothing such"]}).status_code == 404


def test_only_what_is_signed_with_a_trusted_key_is_brought(served: Site, boss: httpx.Client) -> None:
    file = f"bo-tttt{bundle.SUFFIX}"
    old = bundle.make({"a.yml": rule(1, "Door opened", "opened")}, MAKER, "bo-tttt", "1", "MIT")
    time.sleep(0.01)
    good = bundle.make({"a.yml": rule(1, "Door opened", "[opened, ajar]")}, MAKER, "bo-tttt", "2", "MIT")
    assert "no key is trusted" in send(boss, "packs", good, file).json()["detail"]
    assert boss.post(f"{RULES}/keys", json={"name": "maker", "public": "no key"}).status_code == 400
    key = {"name": "maker", "public": bundle.public_of(MAKER)}
    assert boss.post(f"{RULES}/keys", json=key).json()["revision"] == 1
    assert boss.get(f"{RULES}/packs").json()["keys"] == {"maker": bundle.public_of(MAKER)}
    wrong = bundle.make({"a.yml": rule(1, "Door opened", "opened")}, STRANGER, "bo-tttt", "3", "MIT")
    before = left(served)
    for data in (wrong, good[:-20], good[:100] + bytes([good[100] ^ 1]) + good[101:], b"", b"no bundle"):
        for path in ("packs/preview", "packs"):
            assert send(boss, path, data, file, force=True).status_code == 400
    assert "not signed with a key that is trusted" in send(boss, "packs", wrong, file).json()["detail"]
    assert (number(served), left(served)) == (1, before)
    assert send(boss, "packs", good, file, name="other").status_code == 400
    assert send(boss, "packs", good, file).json()["revision"] == 2
    assert "signed before" in send(boss, "packs", old, file).json()["detail"]
    unsigned = send(boss, "packs", zipped(SIGMA), "x.zip", name="bo-tttt", force=True)
    assert "only updated by bundles" in unsigned.json()["detail"]
    assert boss.delete(f"{RULES}/keys/maker").json()["revision"] == 3
    assert boss.delete(f"{RULES}/keys/maker").status_code == 404
    assert send(boss, "packs", good, file).status_code == 400
    assert boss.get(f"{RULES}/Door opened").json()["pack"] == "bo-tttt"  # what is in use stays


def test_no_archive_writes_outside_of_its_pack_and_no_answer_names_a_folder(
    served: Site, boss: httpx.Client, tmp_path: Path
) -> None:
    taken = boss.get(f"{RULES}/ssh_root_login_accepted").json()["id"]
    files = {
        "good.yml": rule(1, "Door opened", "opened"),
        "../../evil.yml": rule(2, "Evil", "evil"),
        f"{tmp_path}/evil.yml": rule(3, "Evil too", "evil"),
        "twice.yml": rule(1, "Door opened twice", "opened"),
        "ours.yml": rule(5, "Taken", "x").replace(f"00000000-0000-4000-8000-{5:012d}", taken),
    }
    for data, file in ((zipped(files), "x.zip"), (tarred(files), "x.tar.gz")):
        answer = send(boss, "packs/preview", data, file, name="x")
        counts = {name: count for name, count in answer.json()["counts"].items() if count}
        assert counts == {"packs": 1, "added": 1, "refused": 2, "left_out": 2}
        assert {each["path"] for each in answer.json()["refused"]} == {"x:ours.yml:1", "x:twice.yml:1"}
        assert "already taken by x:good.yml" in answer.text
        assert "already taken by rules:" in answer.text
        assert str(served.settings.data_dir) not in answer.text and str(Path(__file__).parents[2]) not in answer.text
    assert send(boss, "packs", zipped(files), "x.zip", name="x").json()["revision"] == 1
    assert not list(tmp_path.rglob("evil.yml"))
    for name in ("../x", "own", "X" * 51):
        assert send(boss, "packs", zipped(SIGMA), "x.zip", name=name).status_code == 400
    assert send(boss, "packs", zipped(SIGMA), "x.zip").status_code == 400  # no name


def test_a_file_has_a_limit_of_its_own_and_a_kind(
    served: Site, boss: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = zipped({**SIGMA, "noise.bin": base64.b64encode(os.urandom(2 * MAX_BODY_BYTES)).decode()})
    assert len(large) > MAX_BODY_BYTES
    assert send(boss, "packs/preview", large, "sigma.zip", name="sigmahq").status_code == 200
    for path in ("packs", "packs/preview", "restore", "restore/preview"):
        monkeypatch.setitem(rule_packs.LARGER, f"{RULES}/{path}", 1_200_000)
        stated = send(boss, path, large, "sigma.zip")
        chunked = send(boss, path, (large[n : n + 100_000] for n in range(0, len(large), 100_000)), "sigma.zip")
        for answer in (stated, chunked):
            assert (answer.status_code, "1200000" in answer.json()["detail"]) == (413, True)
        form = boss.post(f"{RULES}/{path}", params={"file": "x.zip"}, files={"file": b"x"})
        assert (form.status_code, "octet-stream" in form.json()["detail"]) == (415, True)
        assert boss.post(f"{RULES}/{path}", content=b"x", headers=KIND).status_code == 422
    assert number(served) == 0
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in range(250):
            archive.writestr(f"{each}.yml", b"\0" * 1_000_000)
    answer = send(boss, "packs/preview", bomb.getvalue(), "bomb.zip", name="bomb")
    assert (answer.status_code, "too large" in answer.json()["detail"]) == (413, True)


def test_a_file_that_breaks_off_leaves_nothing(served: Site, boss: httpx.Client) -> None:
    boss.get(RULES)
    before = left(served)
    connection = http.client.HTTPConnection(served.address.removeprefix("http://"))
    connection.putrequest("POST", f"{RULES}/packs?file=x.zip&name=x")
    for name, value in {**KIND, "Content-Length": "5000000", "Authorization": boss.headers["Authorization"]}.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(zipped(SIGMA) + b"\0" * 100_000)
    time.sleep(0.2)
    connection.close()
    assert send(boss, "packs/preview", zipped(SIGMA), "x.zip", name="x").status_code == 200
    assert (number(served), left(served) - before) == (0, {"rulebook"} - before)


def test_a_backup_comes_with_its_digest_and_brings_everything_back(
    served: Site, boss: httpx.Client, analyst: httpx.Client
) -> None:
    send(boss, "packs", zipped(SIGMA), "sigma.zip", name="sigmahq")
    boss.post(f"{RULES}/keys", json={"name": "maker", "public": bundle.public_of(MAKER)})
    boss.post(f"{RULES}/mode", json={"rules": ["Door forced"], "mode": "off", "reason": "noise"})
    answer = boss.get(f"{RULES}/backup")
    data = answer.content
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    assert answer.headers["repr-digest"] == f"sha-256=:{digest}:"
    assert answer.headers["content-disposition"] == 'attachment; filename="rulebook-3.haidang-backup"'
    with served.engine.connect() as connection:
        (noted,) = connection.execute(select(audit.c.who, audit.c.detail).where(audit.c.action == "rules_backup")).all()
    assert (noted.who, noted.detail["revision"]) == ("boss", 3)
    boss.post(f"{RULES}/roll-back", json={"revision": 0})
    before = left(served)
    evil = {"../../../evil.yml": "title: Out"}
    crafted, _ = backup.make(
        Book(packs={"p": Pack(digest=revisions.digest_of(evil), added=0.0)}), {revisions.digest_of(evil): evil}
    )
    for wrong in (data[:-1], data[: len(data) // 2], data[:50], b"", data + b"x", b"no backup" + data, crafted):
        for path in ("restore", "restore/preview"):
            assert send(boss, path, wrong, "b", force=True).status_code == 400
    assert (number(served), left(served)) == (4, before)
    preview = send(analyst, "restore/preview", data, "b").json()
    assert (preview["file"], preview["counts"]["added"], number(served)) == ("b", 2, 4)
    assert send(boss, "restore", data, "b").json()["revision"] == 5
    lists = (
        "packs", "added", "changed", "removed", "modes", "excepted", "unexcepted", "trusted", "distrusted", "refused",
        "left_out",
    )  # fmt: skip
    assert send(boss, "restore", data, "b").json() == {
        "revision": None, "nothing_new": True, "file": "b", "stops": [], "tests": 2, "counts": dict.fromkeys(lists, 0),
        **{name: [] for name in lists},
    }  # fmt: skip
    assert boss.get(f"{RULES}/Door forced").json()["mode"] == "off"
    assert boss.get(f"{RULES}/packs").json()["keys"] == {"maker": bundle.public_of(MAKER)}


def test_a_source_is_the_administrators_and_its_updates_come_from_there(
    served: Site, boss: httpx.Client, analyst: httpx.Client, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.yml").write_text(rule(1, "Door opened", "opened"), "utf-8")
    asked = {"source": str(folder), "name": "doors", "every_hours": 24}
    assert boss.post(f"{RULES}/packs/fetch/preview", json=asked).json()["counts"]["added"] == 1
    assert boss.post(f"{RULES}/packs/fetch", json=asked).json()["revision"] == 1
    update = f"{RULES}/packs/doors/update"
    assert boss.post(update, json={}).json()["revision"] is None
    (folder / "b.yml").write_text(rule(2, "Door forced", "forced"), "utf-8")
    assert analyst.post(f"{update}/preview").json()["added"][0]["title"] == "Door forced"
    assert boss.post(update, json={}).json()["revision"] == 2
    send(boss, "packs", zipped(SIGMA), "x.zip", name="doors")  # brings another version, not another source
    (pack,) = boss.get(f"{RULES}/packs").json()["packs"]
    assert (pack["source"], pack["every_hours"]) == (str(folder), 24)
    (told,) = analyst.get(f"{RULES}/packs").json()["packs"]
    assert told["source"] == ""
    (folder / "a.yml").unlink()
    (folder / "b.yml").unlink()
    gone = analyst.post(f"{update}/preview")
    assert (gone.status_code, "doors holds no rules" in gone.json()["detail"], str(folder) in gone.text) == (
        400,
        True,
        False,
    )
    send(boss, "packs", zipped({"d.yml": rule(4, "Left", "left")}), "x.zip", name="brought")
    assert "no source" in boss.post(f"{RULES}/packs/brought/update", json={}).json()["detail"]
    assert boss.post(f"{RULES}/packs/nope/update", json={}).status_code == 404
    for source, status in (
        ("http://127.0.0.1/x.zip", 400), ("file:///etc/passwd", 400), ("https://127.0.0.1:1/x.zip", 400),
        ("/dev/zero", 400), ("/nowhere", 400), ("relative", 422), ("~root/x", 422), ("/a\0b", 422), ("", 422),
    ):  # fmt: skip
        assert boss.post(f"{RULES}/packs/fetch", json={"source": source, "name": "x"}).status_code == status, source


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(zipped(SIGMA))

    def log_message(self, *_: object) -> None:
        pass


def test_a_pack_is_fetched_from_an_address_with_a_certificate(
    served: Site, boss: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    asked = {"source": f"https://127.0.0.1:{server.server_port}/pack.zip", "name": "web"}
    try:
        assert "certificate" in boss.post(f"{RULES}/packs/fetch", json=asked).json()["detail"]
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert boss.post(f"{RULES}/packs/fetch", json=asked).json()["revision"] == 1
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert number(served) == 1


def test_everybody_sees_what_the_detectors_use(served: Site, boss: httpx.Client) -> None:
    with served.client(served.token("xem", "viewer")) as viewer:
        assert viewer.get(f"{RULES}/status").json() == {
            "revision": 0, "in_use": False, "detectors": [], "taken_back": None,
        }  # fmt: skip
        detail = {
            "ready": True, "rules": 12, "rulebook": 0, "rulebook_proved": 1.5, "refused_count": 3,
            "modes": {"alert": 12, "observe": 0, "off": 0}, "refused": [],
        }  # fmt: skip
        row = {
            "stage": "detectors", "instance": instance_of(served.settings.data_dir), "pid": 1, "started": 1.0,
            "seen": time.time() + 60, "backlog_events": 0, "detail": detail,
        }  # fmt: skip
        for instance, seen in ((row["instance"], row["seen"]), ("gone", 1.0)):
            with served.engine.begin() as connection:
                upsert(connection, stages, [{**row, "instance": instance, "seen": seen}], ["stage", "instance"])
        found = viewer.get(f"{RULES}/status").json()
        assert found["in_use"] is True
        assert found["detectors"] == [
            {
                "instance": row["instance"], "revision": 0, "rules": 12, "refused": 3, "canary_found": 1.5,
                "modes": {"alert": 12, "observe": 0, "off": 0},
            }
        ]  # fmt: skip
        assert boss.post(f"{RULES}/reload").json()["revision"] == 1
        found = viewer.get(f"{RULES}/status").json()
        assert (found["revision"], found["in_use"], found["taken_back"]) == (1, False, None)
        revisions.fail(served.engine, 1, f"OSError: {served.settings.data_dir}/rulebook/x is broken")
        found = viewer.get(f"{RULES}/status").json()
        assert (found["revision"], found["in_use"]) == (0, True)
        assert (found["taken_back"]["revision"], found["taken_back"]["action"]) == (1, "reload")
        assert found["taken_back"]["reason"] == "OSError: rulebook/x is broken"


def test_what_was_brought_is_there_after_a_restart_and_nothing_else(tmp_path: Path) -> None:
    with serving(tmp_path, nothing) as first, first.client(first.token("boss", "administrator")) as boss:
        send(boss, "packs", zipped(SIGMA), "sigma.zip", name="sigmahq")
        send(boss, "packs/preview", zipped({"x.yml": rule(9, "Seen only", "x")}), "x.zip", name="x")
        there = left(first)
        token = boss.headers["Authorization"]
    with serving(tmp_path, nothing) as second, second.client() as boss:
        boss.headers["Authorization"] = token
        assert left(second) == there
        (pack,) = boss.get(f"{RULES}/packs").json()["packs"]
        assert (pack["name"], pack["rules"]) == ("sigmahq", 2)
        assert boss.get(f"{RULES}/Door forced").status_code == 200
        assert boss.get(f"{RULES}/status").json()["revision"] == 1
        assert send(boss, "packs", zipped(SIGMA), "sigma.zip", name="sigmahq").json()["nothing_new"]


ROUTES = [
    ("GET", "status", "viewer"), ("GET", "packs", "viewer"), ("POST", "packs/preview", "analyst"),
    ("POST", "packs", "administrator"), ("POST", "packs/fetch/preview", "administrator"),
    ("POST", "packs/fetch", "administrator"), ("POST", "packs/x/update/preview", "analyst"),
    ("POST", "packs/x/update", "administrator"), ("DELETE", "packs/x", "administrator"),
    ("POST", "keys", "administrator"), ("DELETE", "keys/x", "administrator"), ("POST", "reload", "administrator"),
    ("POST", "test", "analyst"), ("GET", "backup", "administrator"), ("POST", "restore/preview", "analyst"),
    ("POST", "restore", "administrator"),
]  # fmt: skip


def test_each_route_has_its_right_and_none_is_forgotten(served: Site) -> None:
    found = {(next(iter(each.methods)), each.path) for each in rule_packs.router.routes}  # type: ignore[attr-defined]
    assert len(found) == len(ROUTES)
    roles = ("viewer", "analyst", "administrator")
    large = b"x" * 20_000_000  # is not even read of who may not
    for role in roles:
        with served.client(served.token(f"{role} all", role)) as client:
            for method, path, needed in ROUTES:
                may = roles.index(role) >= roles.index(needed)
                data = large if not may and f"{RULES}/{path}" in rule_packs.LARGER else b"x"
                answer = client.request(method, f"{RULES}/{path}", content=data, headers=KIND)
                assert (answer.status_code == 403) is not may, (role, method, path, answer.text)
                assert answer.status_code in (200, 403, 404, 422), (path, answer.text)
    assert number(served) == 1  # reload alone makes sense without more words


def test_who_was_told_that_nothing_changed_can_rely_on_it() -> None:
    made: list[str] = []

    def slow(turn: Turn) -> None:
        time.sleep(0.4)
        try:
            turn.claim()
        except GivenUp:
            made.append("given up")
            raise

    def late(turn: Turn) -> str:
        turn.claim()
        time.sleep(0.4)
        return "saved"

    async def scene() -> None:
        searching, turns = Searching(), Turns(0.1)
        with pytest.raises(HTTPException) as caught:
            await turns.take(searching, slow)
        assert caught.value.status_code == 503
        with pytest.raises(HTTPException) as caught:  # it still has the processor
            await turns.take(searching, late)
        assert caught.value.status_code == 429
        with pytest.raises(HTTPException):
            turns.refuse_when_busy()
        while not made:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.05)
        assert await turns.take(searching, late) == "saved"
        searching.close()

    asyncio.run(scene())
    assert made == ["given up"]


def test_a_file_must_come_in_time_and_only_some_at_once(served: Site) -> None:
    async def scene() -> None:
        async def receive() -> Any:
            await asyncio.sleep(5)

        scope = {
            "type": "http", "headers": [(b"content-type", b"application/octet-stream")], "app": _App(served.settings),
        }  # fmt: skip
        taking = Uploads(0.1)

        async def one() -> int:
            try:
                async with taking.received(Request(scope, receive)):
                    return 200
            except HTTPException as error:
                return error.status_code

        assert sorted(await asyncio.gather(*(one() for _ in range(5)))) == [408, 408, 408, 408, 429]
        assert await one() == 408

    asyncio.run(scene())


class _App:
    def __init__(self, settings: Settings) -> None:
        self.state = self
        self.settings = settings
