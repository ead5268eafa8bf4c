"""`haidang indicators …` on a site that does not run: what it shows, changes, notes and refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from pipeline.command import main
from pipeline.settings import State
from pipeline.state import open_state
from pipeline.state.tables import audit
from tests.detectors.indicators.lists import addresses

Say = Callable[..., tuple[int, str]]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site with one list in its settings."""
    data = tmp_path / "data"
    data.mkdir()
    feed = f'[[indicators.feeds]]\nname = "report"\nkind = "file"\npath = "{tmp_path / "report.txt"}"\n'
    (data / "haidang.toml").write_text(
        f'language = "en"\nsources = []\n[indicators]\nallow = ["ok.vn"]\n{feed}', "utf-8"
    )
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(data))
    monkeypatch.setenv("HAIDANG_LANGUAGE", "en")
    monkeypatch.delenv("HAIDANG_CONFIG", raising=False)
    return tmp_path


@pytest.fixture
def indicators(site: Path, capfd: pytest.CaptureFixture[str]) -> Say:
    """Run the command; its exit status, and all that it said."""

    def run(*arguments: object) -> tuple[int, str]:
        status = main(["indicators", *map(str, arguments)])
        out, err = capfd.readouterr()
        return status, out + err

    return run


def test_where_no_list_is_set_a_refresh_says_so(indicators: Say, site: Path) -> None:
    (site / "data" / "haidang.toml").write_text("sources = []\n")
    status, said = indicators("refresh")
    assert (status, "[[indicators.feeds]]" in said) == (2, True)


def test_a_real_list_is_imported_counted_looked_up_and_removed(indicators: Say, site: Path, shared_data: Path) -> None:
    listed = site / "Tor exits.txt"
    tor = addresses(shared_data, "tor.rules")
    listed.write_text("\n".join([*tor, "10.0.0.1", "nonsense here"]), "utf-8")
    status, said = indicators("import", listed, "--threat", "tor", "--confidence", 60)
    assert status == 0
    assert f"tor-exits: {len(tor):,} indicators" in said
    assert "not used: 1, because it is a private or reserved address" in said
    assert "Tor exits.txt:" in said and "nonsense here" in said
    figures = json.loads(indicators("stats", "--json")[1])
    assert (figures["count"], figures["threats"]) == (len(tor), {"tor": len(tor)})
    assert f"{tor[7]}, list tor-exits, tor, confidence 60" in indicators("check", tor[7])[1]
    assert json.loads(indicators("list", "--feed", "tor-exits", "--limit", 1, "--json")[1])["value"] == tor[0]
    assert "read or" not in indicators("feeds")[1]
    waiting = [json.loads(line) for line in indicators("retro", "--json")[1].splitlines()]
    assert [(each["feed"], each["kind"], each["count"]) for each in waiting] == [("tor-exits", "reading", len(tor))]
    assert indicators("remove-feed", "tor-exits")[0] == 0
    assert "no indicator" in indicators("check", tor[7])[1]
    engine = open_state(site / "data", State())
    with engine.connect() as connection:
        noted = list(connection.scalars(select(audit.c.action).order_by(audit.c.id)))
    engine.dispose()
    assert noted == ["indicators_import", "indicators_remove_feed"]


def test_one_is_added_with_a_reason_and_removed(indicators: Say) -> None:
    status, said = indicators("add", "evil[.]example[.]com", "45.9.148.0/24", "--threat", "c2", "--reason", "warning 7")
    assert (status, "domain evil.example.com, network 45.9.148.0/24" in said) == (0, True)
    assert "warning 7" in indicators("list")[1]
    assert "list live, c2" in indicators("check", "45.9.148.3", "a.evil.example.com")[1]
    assert "Search" in indicators("retro", "45.9.148.3", "--days", 3)[1]
    assert indicators("remove", "evil.example.com", "45.9.148.0/24")[0] == 0
    assert json.loads(indicators("check", "evil.example.com", "--json")[1])["found"] == []


def test_a_list_of_the_settings_that_is_not_there_is_a_fault(indicators: Say, site: Path) -> None:
    status, said = indicators("refresh")
    assert (status, "report.txt cannot be read" in said) == (1, True)
    (line,) = indicators("refresh", "--json")[1].splitlines()  # JSON and nothing else
    assert "report.txt cannot be read" in json.loads(line)["error"]
    assert "cannot be read" in indicators("feeds")[1]
    (site / "report.txt").write_text("45.9.148.3\n", "utf-8")
    assert indicators("refresh", "report", "--json")[0] == 0
    assert "ok.vn" in indicators("allow")[1].splitlines()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("add", "10.0.0.1", "--reason", "x"), "private or reserved"),
        (("add", "www.ok.vn", "--reason", "x"), "allow-list"),
        (("add", "a.example.com", "--reason", "x", "--confidence", "101"), "--confidence 101: expected"),
        (("add", "a.example.com", "--reason", "x", "--days", "nan"), "--days nan: expected"),
        (("add", "a.example.com", "--reason", "x", "--days", "-1"), "--days -1: expected"),
        (("remove", "a.example.com"), "was not added by anybody"),
        (("remove-feed", "none"), "There is no list 'none'"),
        (("list", "--feed", "none"), "There is no list 'none'"),
        (("refresh", "none"), "There is no list 'none'; known: report"),
        (("retro", "a.example.com"), "no indicator in force"),
        (("import", "nowhere.txt"), "nowhere.txt cannot be read"),
        (("import", "nowhere.txt", "--name", "live"), "is no name for a list"),
        (("import", "nowhere.txt", "--name", "A b"), "is no name for a list"),
        (("import", "nowhere.txt", "--name", "report"), "already"),
    ],
)
def test_what_cannot_be_done_says_what_and_why(arguments: tuple[str, ...], words: str, indicators: Say) -> None:
    status, said = indicators(*arguments)
    assert (status, words in said) == (2, True), said
