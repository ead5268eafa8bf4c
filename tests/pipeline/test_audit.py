"""The audit's chain: whatever is changed, taken out, put in or cut off is found; on both databases."""

import os
import pwd
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, delete, insert, select, text, update
from sqlalchemy.exc import DatabaseError

from pipeline import access
from pipeline.audit import START, head_of, note, note_settings, verify
from pipeline.command import main
from pipeline.logs import remembered
from pipeline.settings import State
from pipeline.state import open_engine, open_state
from pipeline.state.revisions import migrate
from pipeline.state.tables import audit, audit_head, positions
from tests.services.postgres import Postgres

_TRIGGERS = {"sqlite": ("audit_no_update", "audit_no_delete"), "postgresql": ("audit_no_change", "audit_no_truncate")}


def _written(engine: Engine, count: int) -> list[str]:
    """Write rows; return the hash after each."""
    heads = []
    for number in range(count):
        with engine.begin() as connection:
            note(connection, "Bình", "10.0.0.9", "search", search="đăng nhập", number=number, share=0.1, none=None)
        heads.append(head_of(engine)[1])
    return heads


def _unguarded(engine: Engine) -> None:
    """Take the triggers away, as somebody who owns the database can."""
    with engine.begin() as connection:
        for name in _TRIGGERS[connection.dialect.name]:
            on = " ON audit" if connection.dialect.name == "postgresql" else ""
            connection.execute(text(f"DROP TRIGGER {name}{on}"))


def test_rows_follow_from_each_other_and_the_last_hash_is_the_head(engine: Engine) -> None:
    assert verify(engine).whole
    assert head_of(engine) == (0, START)
    heads = _written(engine, 5)
    found = verify(engine, heads)
    assert (found.whole, found.rows, found.head) == (True, 5, heads[-1])
    assert len({START, *heads}) == 6


def test_the_database_itself_refuses_to_change_or_delete_a_row(engine: Engine) -> None:
    _written(engine, 2)
    for statement in (update(audit).values(who="x"), delete(audit)):
        with pytest.raises(DatabaseError, match="never changed or deleted"), engine.begin() as connection:
            connection.execute(statement)
    if engine.dialect.name == "postgresql":
        with pytest.raises(DatabaseError, match="never changed or deleted"), engine.begin() as connection:
            connection.execute(text("TRUNCATE audit"))
    assert verify(engine).rows == 2


@pytest.mark.parametrize(
    "column, value",
    [
        ("who", "An"),
        ("time", 5.0),
        ("address", ""),
        ("action", "login"),
        ("detail", {"search": "x"}),
        ("digest", START),
    ],
)
def test_a_changed_row_is_named(engine: Engine, column: str, value: Any) -> None:
    _written(engine, 5)
    _unguarded(engine)
    with engine.begin() as connection:
        connection.execute(update(audit).where(audit.c.id == 3).values({column: value}))
    found = verify(engine)
    assert (found.broken, found.rows) == (3, 2)


def test_a_row_that_is_taken_out_or_put_in_breaks_the_one_after(engine: Engine) -> None:
    _written(engine, 6)
    _unguarded(engine)
    with engine.begin() as connection:
        connection.execute(delete(audit).where(audit.c.id == 4))
    assert verify(engine).broken == 5
    with engine.begin() as connection:
        copied = dict(connection.execute(select(audit).where(audit.c.id == 3)).mappings().one())
        connection.execute(insert(audit), {**copied, "id": 4})
    assert verify(engine).broken == 4


def test_a_cut_end_shows_by_the_head_and_by_a_hash_that_was_kept(engine: Engine) -> None:
    heads = _written(engine, 6)
    _unguarded(engine)
    with engine.begin() as connection:
        connection.execute(delete(audit).where(audit.c.id > 4))
    assert verify(engine).cut
    with engine.begin() as connection:  # and whoever cuts it off sets the head right
        connection.execute(update(audit_head).values(row=4, digest=heads[3]))
    assert not verify(engine).cut
    found = verify(engine, [heads[1], heads[5]])
    assert (found.whole, found.lost) == (False, (heads[5],))


def test_what_is_taken_back_leaves_no_row_and_no_gap(engine: Engine) -> None:
    _written(engine, 1)
    with pytest.raises(ZeroDivisionError), engine.begin() as connection:
        note(connection, "an", "", "lost")
        raise ZeroDivisionError
    with engine.connect() as connection:
        note(connection, "an", "", "lost too")
        connection.rollback()
        note(connection, "an", "", "kept")
        connection.commit()
        note(connection, "an", "", "kept too")
        connection.commit()
    with engine.connect() as connection:
        rows = connection.execute(select(audit.c.id, audit.c.action).order_by(audit.c.id)).all()
    assert [tuple(row) for row in rows] == [(1, "search"), (2, "kept"), (3, "kept too")]
    assert verify(engine).whole


def test_writers_at_once_make_one_chain_and_never_wait_for_each_other_for_ever(engine: Engine) -> None:
    """Each notes first and then changes a row that the others change too, in another order each."""
    keys = [("a", "t", 0), ("b", "t", 0)]
    faults: list[BaseException] = []
    with engine.begin() as connection:
        connection.execute(positions.insert(), [dict(zip(positions.c.keys(), (*key, 0), strict=True)) for key in keys])

    def work(order: list[int]) -> None:
        try:
            for _ in range(15):
                for number in order:
                    with engine.begin() as connection:
                        note(connection, "an", "", "first")
                        row = positions.c.consumer == keys[number][0]
                        connection.execute(update(positions).where(row).values(offset=positions.c.offset + 1))
                        note(connection, "an", "", "then")
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(order,)) for order in ([0, 1], [1, 0], [0, 1], [1, 0])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not faults
    found = verify(engine)
    assert (found.whole, found.rows) == (True, 4 * 15 * 2 * 2)


@pytest.mark.parametrize("who", ["a\x00b", "x" * 5000, "<script>", "😀\u202e", "a\nb"])
def test_any_name_can_be_written_down(engine: Engine, who: str) -> None:
    with engine.begin() as connection:
        note(connection, who, who, "login_failed", name=who[:200])
    assert verify(engine).whole


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_rows_from_before_the_chain_are_sealed_when_the_state_is_brought_up_to_date(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    settings = State()
    if kind == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        settings = State.model_validate({"url": postgres.new_database()})
    engine = open_engine(tmp_path, settings)
    old = "INSERT INTO audit (time, who, address, action, detail) VALUES (:time, 'an', '', 'login', '{\"b\": 1, \"a\": 2}')"
    with engine.begin() as connection:
        migrate(connection, "0011")
        for number in range(3):
            connection.execute(text(old), {"time": 1.1 + number})
        role = "INSERT INTO users VALUES ('an', '', 'administrator', 1, 0, 0, :no)"
        connection.execute(text(role), {"no": False})
    engine.dispose()
    engine = open_state(tmp_path, settings)
    _written(engine, 2)
    found = verify(engine)
    assert (found.whole, found.rows) == (True, 5)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT role FROM users")) == "admin"
    engine.dispose()


def test_the_command_tells_a_whole_chain_a_broken_one_and_a_cut_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path))
    engine = open_state(tmp_path)
    heads = _written(engine, 4)
    logs = tmp_path / "logs"
    logs.mkdir()
    said = [{"event": "audit_head", "row": number + 1, "digest": head} for number, head in enumerate(heads)]
    (logs / "api.log").write_bytes(b"\n".join([orjson.dumps(said[1]), b"half a line audit_head", b"{}"]))
    (logs / "api.log.1").write_bytes(orjson.dumps(said[3]))
    assert remembered(tmp_path, "audit_head", "digest") == sorted([heads[1], heads[3]])
    assert main(["audit", "verify", "--head", heads[0]]) == 0
    told = capsys.readouterr().out
    assert heads[3] in told
    assert "2 hashes" in told
    assert main(["audit", "list", "--who", "Bình", "--limit", "2"]) == 0
    assert "search=đăng nhập number=3" in capsys.readouterr().out
    assert main(["audit", "export", "--what", "search"]) == 0
    rows = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["id"] for row in rows] == [1, 2, 3, 4]
    assert main(["audit", "verify"]) == 0  # the export is a row itself
    capsys.readouterr()
    _unguarded(engine)
    with engine.begin() as connection:
        connection.execute(delete(audit).where(audit.c.id > 3))
        connection.execute(update(audit_head).values(row=3, digest=heads[2]))
    assert main(["audit", "verify"]) == 1  # the log remembers
    assert heads[3] in capsys.readouterr().out
    with engine.begin() as connection:
        connection.execute(update(audit).where(audit.c.id == 2).values(who="x"))
    assert main(["audit", "verify", "--json"]) == 1
    assert orjson.loads(capsys.readouterr().out)["broken"] == 2
    engine.dispose()


def test_many_rows_of_one_transaction_are_sealed_and_looked_at(tmp_path: Path) -> None:
    engine = open_state(tmp_path)
    with engine.begin() as connection:
        for number in range(20_000):
            access.note(connection, "an", "10.0.0.1", "search", number=number)
    assert verify(engine).rows == 20_000
    engine.dispose()


def test_a_command_is_of_who_called_sudo_and_of_nobody_by_a_forged_name(tmp_path: Path) -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    by_sudo = "minh" if os.geteuid() < 1000 else me
    for given, expected in (({"SUDO_USER": "minh"}, by_sudo), ({"LOGNAME": "minh", "USER": "minh"}, me)):
        clean = {name: value for name, value in os.environ.items() if name != "SUDO_USER"}
        environment = {**clean, "HAIDANG_DATA_DIR": str(tmp_path / expected), **given}
        subprocess.run(
            [str(Path(sys.executable).parent / "haidang"), "token", "create", "gate"], env=environment, check=True
        )
        engine = open_state(tmp_path / expected)
        with engine.connect() as connection:
            assert connection.scalars(select(audit.c.who)).all() == [expected]
        engine.dispose()


def test_a_guard_that_is_gone_and_a_table_that_is_gone_are_said(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path))
    embedded = engine.dialect.name == "sqlite"
    _written(engine, 2)
    if not embedded:  # switched off is gone, too
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE audit DISABLE TRIGGER audit_no_change"))
        assert verify(engine).unguarded == ("audit_no_change",)
    _unguarded(engine)
    found = verify(engine)
    assert (found.unguarded, found.broken, found.whole) == (_TRIGGERS[engine.dialect.name], None, False)
    if embedded:
        assert main(["audit", "verify"]) == 1
        assert f"({', '.join(found.unguarded)})" in capsys.readouterr().out
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE audit"))
    assert (verify(engine).gone, verify(engine).whole) == (("audit",), False)
    if embedded:
        assert main(["audit", "verify"]) == 1
        assert "no table audit" in capsys.readouterr().out


def test_a_changed_settings_file_is_noted_once_by_its_hash_alone(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "haidang.toml"
    for content in ("", "", 'language = "vi"', 'language = "vi"', 'secret = "x"'):
        file.write_text(content)
        note_settings(engine, file)
    with engine.connect() as connection:
        details = connection.scalars(select(audit.c.detail).order_by(audit.c.id)).all()
    assert [each["before"] for each in details] == [None, *(each["digest"] for each in details[:-1])]
    assert len(details) == 3
    assert "secret" not in str(details)


def test_looks_at_the_queue_are_in_the_audit_and_an_export_ends_where_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path))
    engine = open_state(tmp_path)
    assert main(["queue", "list", "--level", "high"]) == 0
    assert main(["queue", "show", "none"]) == 2
    capsys.readouterr()
    assert main(["audit", "export", "--limit", "2"]) == 0
    rows = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    engine.dispose()
    assert [(each["action"], each["detail"].get("level")) for each in rows] == [
        ("queue_list", "high"),
        ("queue_show", None),
    ]
