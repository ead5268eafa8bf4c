"""The settings file over HTTP: read without secrets, looked at, written, brought back, and refused where it must be."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sites import Site, day, serving
from sqlalchemy import select

from pipeline import access
from pipeline.settings import State, load_settings
from pipeline.state import open_state
from pipeline.state.tables import audit, stages
from tests.conftest import eventually

_ROOT = Path(__file__).parents[2]

_SECRET = "kho-doan-lam-7"
_TEXT = f'''# thiết lập của đơn vị
language = "vi"

[store]
password = "{_SECRET}"
retention_days = 400
'''


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings file of a site."""
    place = tmp_path / "etc" / "haidang.toml"
    place.parent.mkdir()
    place.write_text(_TEXT, "utf-8")
    place.chmod(0o640)
    monkeypatch.setenv("HAIDANG_CONFIG", str(place))
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("HAIDANG_API__PORT", "9000")
    return place


@pytest.fixture
def set_up(file: Path, tmp_path: Path) -> Iterator[Site]:
    """A site with that file."""
    with serving(tmp_path / "site", day) as made:
        yield made


@pytest.fixture
def admin(set_up: Site) -> Iterator[httpx.Client]:
    """Somebody who may change settings."""
    with set_up.client(set_up.token("a", "admin")) as client:
        yield client


def _now(client: httpx.Client) -> dict[str, Any]:
    return dict(client.get("/api/v1/settings/file").json())


def _put(client: httpx.Client, text: str, digest: str) -> httpx.Response:
    return client.put("/api/v1/settings/file", json={"text": text, "digest": digest, "reason": "giữ lâu hơn"})


def test_the_file_is_shown_without_secrets_and_with_what_overrides_it(admin: httpx.Client, file: Path) -> None:
    now = _now(admin)
    assert (now["file"], now["there"], now["writable"], now["fault"]) == (str(file), True, True, None)
    assert now["text"] == _TEXT.replace(_SECRET, "[secret 1]")
    assert {"variable": "HAIDANG_API__PORT", "setting": "api.port"} in now["overridden"]
    assert now["history"] == []
    waits = [each for each in now["waiting"] if each["setting"].startswith("store.")]
    assert {"setting": "store.password", "before": "", "after": "…"} in waits
    assert _SECRET not in str(waits)


def test_a_text_is_looked_at_with_lines_and_what_it_would_change(admin: httpx.Client, file: Path) -> None:
    shown = _now(admin)["text"]
    bad = f"{shown.replace('400', '0')}memory_mb = 1\n[api]\nprot = 1\n"
    told = admin.post("/api/v1/settings/check", json={"text": bad}).json()
    assert told["good"] is False
    assert sorted((each["line"], each["text"].split(" ")[0]) for each in told["problems"]) == [
        (6, "store.retention_days"), (7, "store.memory_mb"), (9, "api.prot:"),
    ]  # fmt: skip
    broken = admin.post("/api/v1/settings/check", json={"text": "a = 1\nb = ["}).json()
    assert [each["line"] for each in broken["problems"]] == [2]
    moved = admin.post("/api/v1/settings/check", json={"text": shown + 'urls = ["http://evil.example"]\n'}).json()
    assert [(each["line"], each["text"].split(" ")[0]) for each in moved["problems"]] == [(5, "store.password:")]
    wanted = shown.replace("400", "500").replace('"[secret 1]"', '"another"') + "[api]\nport = 1\n"
    told = admin.post("/api/v1/settings/check", json={"text": wanted}).json()
    assert told == {
        "good": True, "problems": [], "changes": [  # the port comes from the variable, whatever the file says
            {"setting": "store.retention_days", "before": 400, "after": 500},
            {"setting": "store.password", "before": "…", "after": "…"},
        ],
    }  # fmt: skip
    assert file.read_text("utf-8") == _TEXT


def test_a_text_takes_the_files_place_and_the_old_one_comes_back(set_up: Site, admin: httpx.Client, file: Path) -> None:
    now = _now(admin)
    done = _put(admin, now["text"].replace("400", "500"), now["digest"])
    assert done.status_code == 200, done.text
    assert done.json()["changes"] == [{"setting": "store.retention_days", "before": 400, "after": 500}]
    assert (done.json()["takes_over"], "api" in done.json()["restart"]) == ([], True)
    assert "restart haidang" in done.json()["next"]
    assert file.read_text("utf-8") == _TEXT.replace("400", "500")
    assert load_settings().store.password.get_secret_value() == _SECRET
    assert file.stat().st_mode & 0o777 == 0o640
    late = _put(admin, now["text"], now["digest"])
    assert (late.status_code, "changed meanwhile" in late.json()["detail"]) == (409, True)
    then = _now(admin)
    assert [(each["who"], each["reason"]) for each in then["history"]] == [("a", "giữ lâu hơn"), ("", "")]
    assert then["digest"] == done.json()["digest"] == then["history"][0]["digest"]
    back = {"revision": then["history"][1]["revision"], "digest": then["digest"], "reason": "đĩa đầy"}
    assert admin.post("/api/v1/settings/roll-back", json=back).status_code == 200
    assert file.read_text("utf-8") == _TEXT
    assert [each["reason"] for each in _now(admin)["history"]] == ["đĩa đầy", "giữ lâu hơn", ""]
    missing = {**back, "revision": 999, "digest": now["digest"]}
    assert admin.post("/api/v1/settings/roll-back", json=missing).status_code == 404
    with set_up.engine.connect() as connection:
        rows = connection.execute(select(audit).where(audit.c.action == "settings_written").order_by(audit.c.id)).all()
    assert [row.detail["reason"] for row in rows] == ["giữ lâu hơn", "đĩa đầy"]
    assert rows[0].detail["settings"] == ["store.retention_days"]
    kept = b"".join(path.read_bytes() for path in set_up.settings.data_dir.glob("state.db*"))
    assert _SECRET.encode() not in kept


def test_what_is_wrong_is_not_written_and_names_no_secret(admin: httpx.Client, file: Path) -> None:
    now = _now(admin)
    for text in (now["text"].replace("400", "0"), "a = [", f'observer = "{now["text"][60:70]}[secret 1]"'):
        assert _put(admin, text, now["digest"]).status_code == 400
    for text in ('observer = "[secret 1]"\n', 'organization = "[secret 1]"\n[store]\npassword = "x"\n'):
        refused = _put(admin, text, now["digest"])
        assert (refused.status_code, _SECRET in refused.text) == (400, False)
    assert file.read_text("utf-8") == _TEXT
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    file.write_text(f'{_TEXT}broken = "{_SECRET}', "utf-8")
    broken = _now(admin)
    assert (broken["text"], bool(broken["fault"]), _SECRET in str(broken)) == (None, True, False)
    assert _put(admin, "[cases]\n", broken["digest"]).status_code == 200  # and so it is mended
    assert load_settings().store.retention_days == 400


def test_a_file_that_is_closed_stays_as_it_is_and_one_that_is_not_there_is_made(
    admin: httpx.Client, file: Path
) -> None:
    file.chmod(0o444)
    now = _now(admin)
    assert (now["writable"], "cannot be written" in now["why_not"]) == (False, True)
    assert _put(admin, now["text"], now["digest"]).status_code == 409
    file.unlink()
    now = _now(admin)
    assert (now["there"], now["text"], now["writable"]) == (False, "", True)
    assert _put(admin, "language = 'en'\n", now["digest"]).status_code == 200
    assert file.read_text("utf-8") == "language = 'en'\n"
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_site_of_several_machines_is_not_changed_from_here(file: Path, tmp_path: Path, postgres: Any) -> None:
    with (
        serving(tmp_path / "site", day, state=State(url=postgres.new_database())) as made,
        made.client(made.token("a", "admin")) as client,
    ):
        now = _now(client)
        assert (now["writable"], "several machines" in now["why_not"]) == (False, True)
        assert _put(client, now["text"], now["digest"]).status_code == 409
    assert re.sub(r"\s", "", file.read_text("utf-8")) == re.sub(r"\s", "", _TEXT)


def test_who_may_only_read_settings_does_not_see_the_file(set_up: Site) -> None:
    for role in ("lead", "auditor"):
        with set_up.client(set_up.token(role, role)) as client:
            assert client.get("/api/v1/settings/file").status_code == 403
            assert client.get("/api/v1/settings").status_code == 200


def test_nobody_is_restarted_where_nobody_starts_again(admin: httpx.Client) -> None:
    refused = admin.post("/api/v1/settings/restart", json={"reason": "thử"})
    assert (refused.status_code, "would start" in refused.json()["detail"]) == (409, True)


@pytest.mark.slow
def test_a_written_text_holds_after_a_restart_of_all_stages(tmp_path: Path) -> None:
    environment = {**os.environ, "HAIDANG_DATA_DIR": str(tmp_path), "HAIDANG_API__PORT": "0", "HAIDANG_SOURCES": "[]"}
    engine = open_state(tmp_path)

    def standing() -> dict[str, Any]:
        with engine.connect().execution_options(read_only=True) as connection:
            rows = connection.execute(select(stages)).all()
        ready = {row.stage: row for row in rows if row.detail.get("ready")}
        return ready if ready.keys() == {"collectors", "detectors", "response", "store", "api"} else {}

    with subprocess.Popen(
        [Path(sys.executable).with_name("haidang"), "run"],
        env=environment,
        cwd=_ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            before = eventually(standing, 60)
            with engine.begin() as connection:
                secret = access.create_token(connection, "a", access.API, "admin")
            headers = {"Authorization": f"Bearer {secret}"}
            with httpx.Client(base_url=before["api"].detail["address"], headers=headers, timeout=30) as client:
                channel = (
                    '[[channels]]\nname = "tep"\nkind = "syslog"\nhost = "127.0.0.1"\ntransport = "udp"\nport = 9\n'
                )
                written = _put(client, f'organization = "vn.moi"\n{channel}', _now(client)["digest"])
                assert written.status_code == 200, written.text
                done = client.post("/api/v1/settings/restart", json={"reason": "đổi tên đơn vị"})
                assert done.status_code == 202, done.text
                assert sorted(done.json()["restarts"]) == sorted(before)
                assert done.json()["missing"] == ["delivery"]

            def renewed() -> dict[str, Any]:
                now = standing()
                return now if now and all(now[name].pid != before[name].pid for name in before) else {}

            after = eventually(renewed, 60)
            with httpx.Client(base_url=after["api"].detail["address"], headers=headers, timeout=30) as client:
                assert client.get("/api/v1/settings").json()["settings"]["organization"] == "vn.moi"
        finally:
            process.terminate()
            process.wait(60)
    engine.dispose()
