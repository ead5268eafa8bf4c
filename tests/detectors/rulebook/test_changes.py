"""Changes of the rulebook: looked at, tried, saved as revisions, and never half."""

import io
import os
import time
import zipfile
from pathlib import Path

import pytest
from doors import rule, vectors
from sqlalchemy import Engine, select

from detectors.rulebook import backup, bundle, revisions
from detectors.rulebook.book import Book, Pack, RuleException
from detectors.rulebook.changes import Rulebook
from detectors.rulebook.explain import explain
from detectors.rulebook.loading import load
from detectors.rulebook.vectors import NotAVector, events_of
from pipeline.messages import HaidangError
from pipeline.settings import Settings
from pipeline.state.tables import audit

OPENED = {"event.dataset": "door", "event.action": "opened", "door.name": "north"}


def write(folder: Path, **files: str) -> str:
    """A pack's folder with these files (`_` stands for a dot)."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name.replace('_', '.')}.yml").write_text(text, "utf-8")
    return str(folder)


def fired(book: Rulebook, event: dict[str, str]) -> list[str]:
    return [each.title for each in book.loaded.rules.evaluate(event)]


def test_a_mode_is_of_the_rule_else_of_its_pack(book: Rulebook, tmp_path: Path) -> None:
    place = write(tmp_path / "pack", a=rule(2, "Door forced", "forced"), b=rule(3, "Door left open", "left"))
    book.pack(place, "doors", mode="observe").make()
    assert book.loaded.counts() == {"alert": 1, "observe": 2, "off": 0}
    book.set_mode(["Door forced"], "alert", "we want to know")
    book.set_mode(["opened"], "off", "")
    assert book.loaded.counts() == {"alert": 1, "observe": 1, "off": 1}
    assert fired(book, OPENED) == []
    assert book.find("Door opened").id in {each.id for each in book.loaded.off}
    book.set_mode(["Door forced", "Door opened"], None, "")
    assert book.loaded.counts() == {"alert": 1, "observe": 2, "off": 0}


def test_rules_are_found_by_id_title_and_file_or_told_to_be_several(book: Rulebook, folder: Path) -> None:
    (folder / "again.yml").write_text(rule(9, "Door opened", "again"), "utf-8")
    assert book.find("00000000-0000-4000-8000-000000000001").title == "Door opened"
    assert book.find("opened").title == "Door opened"
    with pytest.raises(HaidangError, match="several"):
        book.find("door OPENED")
    with pytest.raises(HaidangError, match="no rule"):
        book.find("nothing")


def test_a_correlation_goes_on_with_a_part_that_is_off(book: Rulebook, folder: Path) -> None:
    correlation = (
        "title: Opened often\nid: 00000000-0000-4000-8000-000000000005\n"
        "correlation: {type: event_count, rules: 00000000-0000-4000-8000-000000000001, group-by: door.name, "
        "timespan: 5m, condition: {gte: 2}, generate: true}\n"
    )
    (folder / "often.yml").write_text(correlation, "utf-8")
    book.set_mode(["Door opened"], "off", "")
    assert [each.title for each in book.loaded.rules.correlations] == ["Opened often"]
    assert {each.title for each in book.loaded.rules.silent} == {"Door opened"}
    book.set_mode(["Opened often"], "off", "")
    assert book.loaded.rules.correlations == ()
    assert fired(book, OPENED) == []


def test_an_exception_keeps_a_rule_quiet_until_it_ends(book: Rulebook, engine: Engine, settings: Settings) -> None:
    text = book.exception_text(book.find("opened"), {"door.name|startswith": "nor"}, "cleaners")
    made = book.add_exception(text, "cleaners", time.time() + 1.0)
    assert (made.author, made.rules) == ("an", (book.find("opened").id,))
    assert fired(book, OPENED) == []
    assert fired(book, {**OPENED, "door.name": "south"}) == ["Door opened"]
    explained = explain(book.loaded, book.find("opened"), OPENED)
    assert (explained.matches, explained.excepted) == (False, [made.id])
    assert [each.holds for each in explained.selections] == [True]
    assert book.loaded.next_expiry == made.expires
    time.sleep(1.1)
    later = load(engine, settings)
    assert [each.title for each in later.rules.evaluate(OPENED)] == ["Door opened"]
    book.remove_exception(made.id[:8])
    assert book.revision.book.exceptions == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title: x", "no rule"),
        (
            "title: x\nlogsource: {product: door}\nfilter: {rules: [nobody], s: {a: b}, condition: not s}",
            "fits no rule",
        ),
        ("title: x\nlogsource: {product: door}\nfilter: {rules: any, s: {a|nope: b}, condition: not s}", "nope"),
        ("title: x\nlogsource: {product: door}\nfilter: {rules: any, s: {a: b}, condition: s}", "has no 'not'"),
        (": : :", "YAML"),
    ],
)
def test_an_exception_that_would_do_nothing_or_all_is_refused(book: Rulebook, text: str, words: str) -> None:
    with pytest.raises(HaidangError):
        book.add_exception(text, "x", None)
    assert book.revision.number == 0


def test_own_rules_are_added_changed_and_removed_with_their_vectors(book: Rulebook) -> None:
    files = {"forced.yml": rule(2, "Door forced", "forced"), "forced.test.yml": vectors("forced", "opened")}
    revision, findings = book.add(files)
    assert revision is not None
    assert {each.severity for each in findings} == {"warning"}
    assert any("description" in each.text for each in findings)
    again, _ = book.add({**files, "forced.yml": rule(2, "Door forced", "[forced, broken]")})
    assert again is not None
    assert fired(book, {**OPENED, "event.action": "broken"}) == ["Door forced"]
    refused, findings = book.add({**files, "forced.test.yml": vectors("opened", "forced")})
    assert refused is None
    assert sum(each.severity == "error" for each in findings) == 2
    taken, findings = book.add({"other.yml": rule(1, "Same id", "x")})
    assert taken is None
    assert any("already taken" in each.text for each in findings)
    history = revisions.history(book._engine)[0].detail
    assert (
        history
        and "broken" in history["files"]["forced.yml"]["after"]
        and "broken" not in history["files"]["forced.yml"]["before"]
    )
    with pytest.raises(HaidangError, match="no rule of your own"):
        book.remove("opened")
    book.remove("Door forced")
    assert "own" not in book.revision.book.packs


def test_an_update_shows_what_changes_and_stops_where_something_would_be_lost(book: Rulebook, tmp_path: Path) -> None:
    place = tmp_path / "pack"
    write(place, a=rule(2, "A", "a"), a_test=vectors("a", "b"), b=rule(3, "B", "b"), c=rule(4, "C", "c"))
    first = book.pack(str(place), "p", licence="MIT")
    assert (len(first.preview.added), first.preview.tests) == (3, 2)
    first.make()
    assert book.pack(str(place), "p").changes_nothing
    write(
        place,
        a=rule(2, "A", "[a, aa]"),
        b=rule(3, "B", "b").replace("event.action", "event.action|nope"),
        d=rule(5, "D", "d"),
    )
    (place / "c.yml").unlink()
    change = book.pack(str(place), "p")
    preview = change.preview
    assert [[each.title for each in found] for found in (preview.added, preview.changed, preview.removed)] == [
        ["D"],
        ["A"],
        ["B", "C"],
    ]
    assert [(path, title) for path, title, _ in preview.refused] == [("p:b.yml:4", "B")]
    with pytest.raises(HaidangError, match="'B' loads now"):
        change.make()
    assert book.revision.number == 1
    assert book.pack(str(place), "p", force=True).make().number == 2
    assert book.revision.book.packs["p"].licence == "MIT"
    write(place, a_test=vectors("b", "a"), b=rule(3, "B", "b"))
    with pytest.raises(HaidangError, match="hits 1: it does not fire"):
        book.pack(str(place), "p").make()


def test_a_vector_does_not_fail_by_an_exception(book: Rulebook, tmp_path: Path) -> None:
    place = write(tmp_path / "pack", a=rule(2, "A", "a"), a_test=vectors("a", "b"))
    book.pack(place, "p").make()
    book.add_exception(book.exception_text(book.find("A"), {"event.action": "a"}, "all of it"), "all of it", None)
    write(tmp_path / "pack", b=rule(3, "B", "b"))
    assert book.pack(place, "p").preview.stops == []


def test_a_signed_pack_is_updated_by_its_key_alone_and_never_to_an_older_one(book: Rulebook, tmp_path: Path) -> None:
    private, public = bundle.new_key()
    (tmp_path / "key.pem").write_bytes(private)
    key = bundle.load_private(tmp_path / "key.pem")
    drop = tmp_path / "drop"
    drop.mkdir()
    for number, text in enumerate((rule(2, "A", "a"), rule(2, "A", "aa"))):
        path = drop / f"{number}{bundle.SUFFIX}"
        path.write_bytes(bundle.make({"a.yml": text}, key, "p", f"v{number}", "MIT"))
        os.utime(path, (number, number))
        time.sleep(0.01)
    with pytest.raises(HaidangError, match="no key is trusted"):
        book.pack(str(drop))
    book.trust("maker", public)
    book.pack(str(drop)).make()  # of a folder the newest bundle
    assert (book.revision.book.packs["p"].version, book.revision.book.packs["p"].key) == ("v1", "maker")
    with pytest.raises(HaidangError, match="signed before"):
        book.pack(str(drop / f"0{bundle.SUFFIX}")).make()
    with pytest.raises(HaidangError, match="only updated by bundles"):
        book.pack(write(tmp_path / "unsigned", a=rule(2, "A", "x")), "p")
    with pytest.raises(HaidangError, match="named p"):
        book.pack(str(drop), "q")
    book.distrust("maker")
    with pytest.raises(HaidangError, match="no key"):
        book.pack(str(drop))
    assert book.revision.number == 3


def test_two_at_once_and_the_second_is_told(engine: Engine, settings: Settings) -> None:
    one, other = Rulebook(engine, settings, "an"), Rulebook(engine, settings, "bình")
    assert one.loaded.revision.number == other.loaded.revision.number == 0
    one.set_mode(["opened"], "observe", "")
    with pytest.raises(HaidangError, match="meanwhile"):
        other.set_mode(["opened"], "off", "")
    assert revisions.current(engine).book.modes["00000000-0000-4000-8000-000000000001"].mode == "observe"


def test_back_to_any_revision_and_every_change_is_in_the_audit(book: Rulebook, engine: Engine) -> None:
    for mode in ("observe", "off", "alert"):
        book.set_mode(["opened"], mode, f"as {mode}")  # type: ignore[arg-type]
    book.roll_back().make()
    assert book.loaded.counts()["off"] == 1
    book.roll_back(1).make()
    assert book.loaded.counts()["observe"] == 1
    book.roll_back(0).make()
    assert book.revision.book.modes == {}
    assert [each.number for each in revisions.history(engine)] == [6, 5, 4, 3, 2, 1]
    with engine.connect() as connection:
        lines = connection.execute(select(audit.c.who, audit.c.address, audit.c.action)).all()
    assert lines[0] == ("an", "192.0.2.1", "rules_observe")
    assert len(lines) == 6


def test_the_way_back_is_shown_first_with_all_that_differs(book: Rulebook, tmp_path: Path) -> None:
    _, public = bundle.new_key()
    place = write(tmp_path / "pack", a=rule(2, "A", "a"), a_test=vectors("a", "b"), c=rule(4, "C", "c"))
    book.pack(place, "p").make()
    book.add_exception(book.exception_text(book.find("opened"), {"door.name": "north"}, "cleaners"), "cleaners", None)
    write(tmp_path / "pack", a=rule(2, "A", "[a, aa]"), b=rule(3, "B", "b"))
    (tmp_path / "pack" / "c.yml").unlink()
    book.pack(place, "p").make()
    book.set_mode(["opened"], "off", "")
    book.remove_exception(next(iter(book.revision.book.exceptions)))
    book.trust("maker", public)
    change = book.roll_back(2)
    told = change.preview.as_json()
    assert {name: [each["title"] for each in told[name]] for name in ("added", "changed", "removed")} == {
        "added": ["C"], "changed": ["A"], "removed": ["B"],
    }  # fmt: skip
    assert [(each["title"], each["before"], each["after"]) for each in told["modes"]] == [
        ("Door opened", "off", "alert")
    ]
    assert [(each["rules"], each["reason"]) for each in told["excepted"]] == [("Door opened", "cleaners")]
    assert (told["unexcepted"], told["trusted"], told["distrusted"]) == ([], [], [{"key": "maker"}])
    assert [each["pack"] for each in told["packs"]] == ["p"] and told["packs"][0]["before"] != told["packs"][0]["after"]
    assert told["tests"] == 2  # the vectors of the pack that comes back
    assert book.revision.number == 6
    made = change.make()
    assert made.number == 7
    kept = made.detail or {}  # what the preview said stays in the history
    assert {name: kept[name] for name in ("to", "added", "changed", "removed", "modes", "distrusted")} == {
        "to": 2, "added": 1, "changed": 1, "removed": 1, "modes": 1, "distrusted": ["maker"],
    }  # fmt: skip
    assert kept["packs"] == [f"p: {told['packs'][0]['before']} → {told['packs'][0]['after']}"]
    assert (len(kept["excepted"]), "unexcepted" in kept, "trusted" in kept) == (1, False, False)
    assert book.roll_back(2).changes_nothing
    everything = book.roll_back(0).preview
    assert [each.before for each in everything.packs] == [told["packs"][0]["after"]]
    assert [each.reason for each in everything.unexcepted] == ["cleaners"]


def test_the_way_back_stops_where_a_rule_would_be_lost(book: Rulebook, folder: Path) -> None:
    book.add({"forced.yml": rule(2, "Door forced", "forced")})
    book.set_mode(["opened"], "observe", "")
    (folder / "opened.yml").unlink()  # the folder of the settings: before the first revision nothing would be left
    book.reload()
    with pytest.raises(HaidangError, match="no rule"):
        book.roll_back(0).make()
    assert book.revision.number == 3
    assert book.roll_back(0, force=True).make().number == 4


def test_a_revision_that_fails_leaves_the_one_before_it_in_force(book: Rulebook, engine: Engine) -> None:
    book.set_mode(["opened"], "observe", "")
    second = book.set_mode(["opened"], "off", "")
    assert revisions.fail(engine, second.number, "it broke")
    assert not revisions.fail(engine, second.number, "again")
    assert revisions.current(engine).number == 1
    assert book.confirm(second).failed == "it broke"


def test_a_backup_brings_everything_back_and_a_damaged_one_nothing(
    book: Rulebook, engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    book.add({"forced.yml": rule(2, "Door forced", "forced")})
    book.set_mode(["opened"], "observe", "x")
    book.add_exception(book.exception_text(book.find("Door forced"), {"a": "b"}, "r"), "r", None)
    data, digest = backup.make(book.revision.book, book.contents())
    path = tmp_path / "backup"
    path.write_bytes(data)
    before = book.revision.book
    book.roll_back(0).make()
    read, contents = backup.read(path)
    book.replace(read, contents, {}, force=False).make()
    assert book.revision.book == before
    assert len(digest) == 64
    for place in (0, 30, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(HaidangError, match=r"damaged|no backup"):
            backup.read(path)
    path.write_bytes(data[:-5])
    with pytest.raises(HaidangError, match="damaged"):
        backup.read(path)


@pytest.mark.parametrize("name", ["../../evil.yml", "/tmp/evil.yml", "a.yml/b.yml", "a\0.yml", "x" * 300])
def test_a_backup_with_a_right_checksum_leads_out_of_no_folder(name: str) -> None:
    files = {"a.yml": rule(2, "A", "a"), name: "title: Out"}
    digest = revisions.digest_of(files)
    made, _ = backup.make(Book(packs={"p": Pack(digest=digest, added=0.0)}), {digest: files})
    with pytest.raises(HaidangError, match="damaged"):
        backup.opened(made, "b")


def test_a_backup_names_no_exception_as_it_likes_and_is_not_larger_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book().with_exception(
        RuleException.model_construct(
            id="../../evil", rules=(), text="x", author="a", reason="r", created=0.0, expires=None
        )
    )
    with pytest.raises(HaidangError, match="damaged"):
        backup.opened(backup.make(book, {})[0], "b")
    monkeypatch.setattr(backup, "MAX_CONTENT", 1_000)
    with pytest.raises(HaidangError, match="too large"):
        backup.opened(backup.make(Book(), {"0" * 64: {"a.yml": "x" * 100_000}})[0], "b")
    monkeypatch.undo()
    assert backup.opened(backup.make(Book(), {"0" * 64: {"a.yml": "x"}})[0], "b") == (Book(), {})  # of no pack


def test_a_pack_that_somebody_brought_has_no_source(book: Rulebook, tmp_path: Path) -> None:
    place = write(tmp_path / "pack", a=rule(2, "A", "a"))
    book.uploaded(rule_archive("b.yml", rule(3, "B", "b")), "b.zip", "b").make()
    with pytest.raises(HaidangError, match="no source"):
        book.source_of("b")
    book.pack(place, "b", every_hours=24).make()
    book.uploaded(rule_archive("b.yml", rule(3, "B", "b")), "b.zip", "b").make()
    assert (book.source_of("b"), book.revision.book.packs["b"].every_hours) == (place, 24)
    with pytest.raises(HaidangError, match="no pack"):
        book.source_of("c")


def rule_archive(name: str, text: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr(name, text)
    return held.getvalue()


def test_vectors_are_tried_for_as_long_as_there_is_time(
    book: Rulebook, engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    place = write(tmp_path / "pack", a=rule(2, "A", "a"), a_test=vectors("a", "b"), b=rule(3, "B", "b"))
    late = Rulebook(engine, settings, "an", until=time.monotonic() - 1)
    with pytest.raises(HaidangError, match="take too long"):
        late.pack(place, "p")
    book.pack(place, "p").make()
    made = book.test()
    assert (made.findings, made.counts()) == ([], {"vectors": 2, "rules": 1, "failed": 0, "without": 2})
    assert book.test(["B"]).counts() == {"vectors": 0, "rules": 0, "failed": 0, "without": 1}
    with pytest.raises(HaidangError, match="take too long"):
        Rulebook(engine, settings, "an", until=time.monotonic() - 1).test()


def test_a_stream_of_vectors_has_an_end() -> None:
    entry = {"repeat": 100_000, "event": {}}
    with pytest.raises(NotAVector, match="at most 200000 events"):
        events_of([entry, entry, {"event": {}}])
