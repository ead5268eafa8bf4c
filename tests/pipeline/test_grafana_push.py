"""`haidang grafana push` against a server that answers as Grafana's HTTP API reference says (`tests/services/grafana.py`)."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.command import main
from pipeline.grafana import FOLDER, SOURCES, Place, source_of
from pipeline.messages import speaking
from pipeline.shipped import shipped_grafana
from tests.services.grafana import Grafana, running

DASHBOARDS = sorted(path.stem for path in (shipped_grafana() / "vi").glob("*.json"))
Push = Callable[..., int]


@pytest.fixture
def grafana() -> Iterator[Grafana]:
    """A server that answers as Grafana does, under a path."""
    with running("/grafana") as made:
        yield made


@pytest.fixture
def push(grafana: Grafana, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Push:
    """The command, with a good token of Grafana and one of ours."""
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "grafana.token").write_text("glsa_good\n")
    (tmp_path / "haidang.token").write_text("ours-1")

    def pushed(*more: str, token: bool = True, url: str = "") -> int:
        ours = ["--api-token-file", str(tmp_path / "haidang.token")] if token else []
        return main(
            ["grafana", "push", "--url", url or grafana.url, "--token-file", str(tmp_path / "grafana.token"),
             "--api-url", "https://haidang.example:8088", *ours, *more]
        )  # fmt: skip

    return pushed


def test_a_first_push_makes_everything_and_a_second_one_changes_nothing(
    grafana: Grafana, push: Push, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push("--json") == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["kind"], row["outcome"]) for row in told] == [
        ("folder", "created"), *[("source", "created")] * 2, *[("dashboard", "created")] * len(DASHBOARDS),
    ]  # fmt: skip
    assert set(grafana.dashboards) == {f"haidang-{name}" for name in DASHBOARDS}
    source = grafana.sources["haidang-alerts"]
    assert (source["url"], source["jsonData"]["index"]) == ("https://haidang.example:8088/es", "alerts")
    assert grafana.secrets["haidang-events"] == {"basicAuthPassword": "ours-1"}
    asked = len(grafana.changes)
    assert push(token=False) == 0
    assert "0 changed" in capsys.readouterr().out
    assert len(grafana.changes) == asked


def test_only_what_differs_is_changed_and_a_new_token_is_written(
    grafana: Grafana, push: Push, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    push()
    grafana.dashboards["haidang-network"]["dashboard"]["title"] = "changed by hand"
    grafana.folders["haidang"]["title"] = "elsewhere"
    capsys.readouterr()
    assert push("--json", token=False) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["kind"], row["outcome"]) for row in told if row["outcome"] != "same"] == [
        ("folder", "updated"), ("dashboard", "updated"),
    ]  # fmt: skip
    assert grafana.dashboards["haidang-network"]["dashboard"]["version"] == 2
    (tmp_path / "haidang.token").write_text("ours-2\n")
    assert push() == 0
    assert grafana.secrets["haidang-events"] == {"basicAuthPassword": "ours-2"}
    assert push("--language", "vi", token=False) == 0
    assert grafana.dashboards["haidang-network"]["dashboard"]["title"] == "Hải Đăng · Mạng"
    assert grafana.sources["haidang-events"]["name"] == "Hải Đăng: sự kiện"
    assert grafana.secrets["haidang-events"] == {"basicAuthPassword": "ours-2"}


def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    grafana: Grafana, push: Push, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push("--dry-run") == 0
    out = capsys.readouterr().out
    assert f"{3 + len(DASHBOARDS)} would be changed; nothing was." in out
    assert grafana.changes == []


def _says(capsys: pytest.CaptureFixture[str], *words: str) -> None:
    said = capsys.readouterr().err
    assert all(word in said for word in words), said
    assert "glsa_good" not in said and "ours-1" not in said


def test_what_goes_wrong_is_said_with_what_to_do(
    grafana: Grafana, push: Push, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(token=False) == 2
    _says(capsys, "haidang token create grafana")
    grafana.token = "glsa_another"
    assert push() == 2
    _says(capsys, "401", "Service accounts", grafana.url)
    grafana.token, grafana.role = "glsa_good", "Viewer"
    assert push() == 2
    _says(capsys, "403", "additional permissions", "Admin")
    grafana.role, grafana.version = "Admin", "8.5.27"
    assert push() == 2
    _says(capsys, "8.5.27", "9 or later")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert push(url=f"http://127.0.0.1:{port}") == 2
    _says(capsys, f"No answer from http://127.0.0.1:{port}")
    assert push(url=grafana.url.removesuffix("/grafana")) == 2
    _says(capsys, "is no Grafana")
    for url in ("grafana.example", "ftp://grafana.example", "http://", "http://user:secret@grafana.example"):
        assert push(url=url) == 2
        _says(capsys, "is no address of a Grafana")
    assert push("--api-url", "https://haidang.example/es") == 2
    _says(capsys, "without /es")
    (tmp_path / "haidang.token").write_text("two words")
    assert push() == 2
    _says(capsys, "holds no token")
    (tmp_path / "haidang.token").write_text("ours-1")
    assert push("--api-ca", str(tmp_path / "none.pem")) == 2
    _says(capsys, "none.pem", "cannot be read")


def test_a_data_source_of_a_provisioning_file_is_left_alone(
    grafana: Grafana, push: Push, capsys: pytest.CaptureFixture[str]
) -> None:
    push()
    grafana.sources["haidang-events"]["readOnly"] = True
    assert push() == 2
    _says(capsys, "provisioning file")


@pytest.mark.parametrize("page", ["<html>a router</html>", "not json", "[]", '{"status": "ok"}'])
def test_what_answers_otherwise_is_no_grafana(
    grafana: Grafana, push: Push, capsys: pytest.CaptureFixture[str], page: str
) -> None:
    grafana.page = page
    assert push() == 2
    _says(capsys, "is no Grafana")
    assert grafana.changes == []


def test_each_language_has_the_same_dashboards_with_titles_of_its_own() -> None:
    for name in DASHBOARDS:
        vi, en = (json.loads((shipped_grafana() / each / f"{name}.json").read_text()) for each in ("vi", "en"))
        assert vi["uid"] == en["uid"] == f"haidang-{name}"
        assert vi["title"] != en["title"]
        for one, other in zip(vi["panels"], en["panels"], strict=True):
            assert [_asked(target) for target in one["targets"]] == [_asked(target) for target in other["targets"]]
            assert (one["type"], one["gridPos"], one["datasource"]) == (
                other["type"],
                other["gridPos"],
                other["datasource"],
            )


def test_provisioning_files_make_the_same_data_sources() -> None:
    folder = shipped_grafana() / "provisioning"
    told = yaml.safe_load((folder / "datasources" / "haidang.yaml").read_text("utf-8"))["datasources"]
    for index, given in zip(SOURCES, told, strict=True):
        with speaking("en"):
            wanted = source_of(index, Place("$HAIDANG_URL", "$HAIDANG_TOKEN"))
        of_older_ones = ("esVersion", "tlsAuthWithCACert")
        options = {name: value for name, value in wanted["jsonData"].items() if name not in of_older_ones}
        assert given["jsonData"] == options
        same = {name: value for name, value in wanted.items() if name not in ("jsonData", "database")}
        assert {name: given[name] for name in same} == same
    provider = yaml.safe_load((folder / "dashboards" / "haidang.yaml").read_text("utf-8"))["providers"][0]
    assert (provider["folderUid"], provider["type"]) == (FOLDER, "file")


def _asked(target: Any) -> Any:
    """Return what of a query is in no language."""
    if isinstance(target, dict):
        return {name: _asked(value) for name, value in target.items() if name not in ("alias", "label", "missing")}
    return [_asked(item) for item in target] if isinstance(target, list) else target
