"""`haidang rules …` with wrong arguments: each says what, which value and what is expected, and changes nothing."""

import json
import os
import pty
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.command import main
from tests.detectors.rulebook.doors import rule, vectors

Say = Callable[..., tuple[int, str]]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site with the rules of one folder."""
    folder, data = tmp_path / "site rules", tmp_path / "data"
    folder.mkdir()
    data.mkdir()
    (folder / "opened.yml").write_text(rule(1, "Door opened", "opened"), "utf-8")
    (folder / "opened.test.yml").write_text(vectors("opened", "closed"), "utf-8")
    (data / "haidang.toml").write_text(f'language = "en"\nsources = []\n[detectors]\nrules = ["{folder}"]\n', "utf-8")
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(data))
    monkeypatch.setenv("HAIDANG_LANGUAGE", "en")
    monkeypatch.delenv("HAIDANG_CONFIG", raising=False)
    return tmp_path


@pytest.fixture
def rules(site: Path, capfd: pytest.CaptureFixture[str]) -> Say:
    """Run the command; its exit status, and all that it said."""

    def run(*arguments: object) -> tuple[int, str]:
        status = main(["rules", *map(str, arguments)])
        out, err = capfd.readouterr()
        return status, out + err

    return run


_EXCEPT = ("except", "Door opened", "--where", "user.name=an", "--reason", "is known")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*_EXCEPT, "--days", "nan"), "--days nan: expected a number of days above 0, at most 36,500"),
        ((*_EXCEPT, "--days", "-1"), "--days -1: expected"),
        ((*_EXCEPT, "--days", "1e300"), "--days 1e300: expected"),
        (("fields", "--days", "0"), "--days 0: expected"),
        (("fields", "--days", "soon"), "--days soon: expected"),
        (("history", "--limit", "0"), "--limit 0: expected a number from 1 to"),
        (("backtest", "Door opened", "--limit", "-3"), "--limit -3: expected"),
        (("backtest", "Door opened", "--from", "2026-11-30", "--to", "2026-11-01"), "--to 2026-11-01 is before --from"),
        (("import", "nowhere", "--name", "doors", "--every-hours", "-1"), "--every-hours -1: expected a number from 0"),
        (("import", "nowhere", "--name", "doors", "--every-hours", "inf"), "--every-hours inf: expected"),
        (("list", "--pack", "nothing"), "There is no pack nothing. There are: site rules"),
        (("show", "Door"), "There is no rule Door. Expected: an id (or its first six characters or more)"),
        (("trust", "", "key"), "'' is no name for a key"),
        (("check", "nowhere.yml"), "nowhere.yml cannot be read: No such file or directory\n"),
    ],
)
def test_what_is_wrong_is_told_with_what_is_expected(rules: Say, arguments: tuple[str, ...], words: str) -> None:
    status, said = rules(*arguments)
    assert status == 2
    assert words in said
    assert rules("history") == (0, "Nothing was changed yet.\n")


def test_a_list_in_which_nothing_fits_says_so(rules: Say) -> None:
    assert rules("list", "window") == (
        0, "No rule fits. In the whole rulebook:\nalert: 1, observed: 0, off: 0, refused: 0\n",
    )  # fmt: skip


def test_what_is_no_rule_file_is_told(rules: Say, site: Path) -> None:
    (site / "empty.yml").write_text("# title: later\n---\n", "utf-8")
    (site / "binary.yml").write_bytes(b"title: \xff\n")
    (site / "plain").mkdir()
    assert rules("check", site / "empty.yml") == (
        1, "error: empty.yml: the file holds no rule\nerrors: 1, warnings: 0\n",
    )  # fmt: skip
    status, said = rules("check", site / "binary.yml")
    assert (status, "binary.yml is no UTF-8 text: byte 7" in said) == (2, True)
    status, said = rules("test", site / "plain")
    assert (status, "There are no test vectors in" in said) == (2, True)
    (site / "broken.yml").write_text("title: [", "utf-8")
    status, said = rules("backtest", site / "broken.yml")
    assert (status, ": : " in said) == (1, False)


def test_the_name_of_a_key_keeps_its_key(rules: Say, site: Path) -> None:
    mine, other = (rules("keygen", site / name)[1].strip() for name in ("mine.pem", "other.pem"))
    assert rules("trust", "maker", mine)[0] == 0
    status, said = rules("trust", "maker", other)
    assert (status, f"is taken by another key, {mine}" in said) == (2, True)
    assert rules("keys") == (0, f"maker: {mine}\n")


def test_a_bundle_gets_only_a_name_that_sites_take(rules: Say, site: Path) -> None:
    rules("keygen", site / "mine.pem")
    made = site / "1.haidang-rules"
    where = ("--key", site / "mine.pem", "--version", "1")
    status, said = rules("sign", site / "site rules", made, *where, "--name", "B O")
    assert (status, "B O is no name for a pack" in said, made.exists()) == (2, True, False)
    assert rules("sign", site / "site rules", made, *where, "--name", "bo")[0] == 0


def test_packs_and_history_are_complete_and_readable(rules: Say, site: Path) -> None:
    (listed,) = [json.loads(line) for line in rules("packs", "--json")[1].splitlines()]
    assert (listed["name"], listed["rules"]) == (str(site / "site rules"), 1)
    assert rules(*_EXCEPT)[0] == 0
    assert "Door opened, is known" in rules("history")[1]


def test_with_json_every_line_is_json(rules: Say, site: Path) -> None:
    pack = site / "pack"
    pack.mkdir()
    (pack / "gate.yml").write_text(rule(7, "Gate opened", "gate"), "utf-8")
    bring = ("import", pack, "--name", "gates", "--json")
    preview, made = (json.loads(line) for line in rules(*bring)[1].splitlines())
    assert [each["title"] for each in preview["added"]] == ["Gate opened"]
    assert made == {"revision": 1, "copies": 0, "seconds": made["seconds"], "failed": "", "late": False}
    (again,) = (json.loads(line) for line in rules(*bring)[1].splitlines())
    assert again["added"] == []


def test_a_rule_is_found_by_the_name_of_its_file(rules: Say) -> None:
    for name in ("opened", "opened.yml", "Door opened", "00000000"):
        assert rules("show", name)[0] == 0


def test_a_pack_that_cannot_be_updated_keeps_no_other_one_old(rules: Say, site: Path) -> None:
    status, said = rules("update")
    assert (status, "There is no pack that came from somewhere" in said) == (2, True)
    for number, name in enumerate(("first", "second"), 7):
        (site / name).mkdir()
        (site / name / "gate.yml").write_text(rule(number, f"Gate {name}", "gate"), "utf-8")
        assert rules("import", site / name, "--name", name)[0] == 0
    (site / "first").rename(site / "gone")
    (site / "second" / "gate.yml").write_text(rule(8, "Gate second", "gates"), "utf-8")
    status, said = rules("update")
    assert status == 2
    assert f"first: {site / 'first'} cannot be read" in said
    assert "Changed rules: 1" in said


def test_what_a_bundle_leaves_out_is_named(rules: Say, site: Path) -> None:
    rules("keygen", site / "mine.pem")
    (site / "site rules" / "bytes.yml").write_bytes(b"title: \xff")
    where = ("--key", site / "mine.pem", "--version", "1", "--name", "bo")
    status, said = rules("sign", site / "site rules", site / "1.haidang-rules", *where)
    assert (status, "bytes.yml: it is not UTF-8" in said) == (0, True)


def test_a_rule_that_is_in_use_is_no_double_of_itself(site: Path, rules: Say) -> None:
    used = site / "site rules" / "opened.yml"
    _, said = rules("check", used)
    assert "already taken" not in said
    used.with_name("other.yml").write_text(used.read_text("utf-8"), "utf-8")
    copy = site / "opened.yml"
    copy.write_text(used.read_text("utf-8").replace("Door opened", "Gate opened"), "utf-8")
    status, said = rules("check", copy)
    assert (status, "already taken by 'Door opened'" in said) == (1, True), said


def test_the_way_back_is_shown_before_it_is_gone(rules: Say) -> None:
    assert rules("observe", "Door opened", "--reason", "noisy")[0] == 0
    status, said = rules("rollback", "--preview")
    assert (status, "Door opened: observed → alert" in said) == (0, True), said
    assert "revision 1 to revision 0" in said
    status, said = rules("rollback", "--json")
    assert json.loads(said.splitlines()[0])["modes"][0]["after"] == "alert"
    assert (status, json.loads(said.splitlines()[1])["revision"]) == (0, 2)
    assert rules("rollback", "0") == (
        0,
        "Back from revision 2 to revision 0:\nTest vectors tried: 0\nNothing is new.\n",
    )


@pytest.mark.parametrize(("answer", "revisions"), [(b"no\n", 1), (b"yes\n", 2)])
def test_at_a_terminal_the_way_back_is_asked_for(
    rules: Say, monkeypatch: pytest.MonkeyPatch, answer: bytes, revisions: int
) -> None:
    assert rules("observe", "Door opened", "--reason", "noisy")[0] == 0
    person, terminal = pty.openpty()
    os.write(person, answer)
    with (
        os.fdopen(terminal, "r", closefd=False) as typed,
        os.fdopen(terminal, "w") as shown,
        monkeypatch.context() as at,
    ):
        at.setattr("sys.stdin", typed)
        at.setattr("sys.stdout", shown)
        assert main(["rules", "rollback"]) == (revisions == 1)
        shown.flush()
        assert b"Put revision 0 in force again? [yes/no]" in os.read(person, 100_000)
    os.close(person)
    assert len(rules("history", "--json")[1].splitlines()) == revisions
