"""Roles, groups and views as commands make them, and what users have of them; on both databases."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, select

from pipeline import access
from pipeline.audit import verify
from pipeline.command import main
from pipeline.identity import rights, users
from pipeline.identity.oidc import Person
from pipeline.identity.permissions import ROLES
from pipeline.identity.views import sight
from pipeline.messages import HaidangError
from pipeline.queue import life
from pipeline.state import open_state
from pipeline.state.tables import alerts, audit
from pipeline.state.tables import users as accounts
from response.queue import row, save


def _rights(engine: Engine, name: str) -> tuple[frozenset[str], bool]:
    with engine.begin() as connection:
        row = connection.execute(select(accounts).where(accounts.c.name == name)).one()
        given, sight = rights.rights_of(connection, row.role, name, [row.view])
    return given, sight.is_limited()


def test_a_user_has_what_role_and_groups_give(engine: Engine) -> None:
    with engine.begin() as connection:
        users.create_user(connection, "an", "viewer")
        rights.set_group(connection, "auditors", ["audit.read"], {})
        rights.set_group(connection, "province", [], {"units": ["so-a"]})
        rights.join(connection, "an", ["auditors", "province"])
    assert _rights(engine, "an") == (ROLES["viewer"] | {"audit.read"}, False)  # one of the groups sees everything
    with engine.begin() as connection:
        rights.join(connection, "an", ["province"])
    assert _rights(engine, "an") == (ROLES["viewer"], True)
    with engine.begin() as connection:
        rights.set_role(connection, "night", ["alerts.read"], {})
        users.create_user(connection, "bình", "night")
    assert _rights(engine, "bình") == ({"alerts.read"}, False)
    with engine.begin() as connection:
        rights.set_role(connection, "night", ["alerts.read", "site.read"], {"sources": ["vpn"]})
    assert _rights(engine, "bình") == ({"alerts.read", "site.read"}, True)


def test_what_makes_no_sense_is_refused_with_what_would(engine: Engine) -> None:
    cases = [
        (lambda c: rights.set_role(c, "admin", [], {}), "cannot be the name"),
        (lambda c: rights.set_role(c, "administrator", [], {}), "cannot be the name"),
        (lambda c: rights.set_role(c, "Ban Đêm", [], {}), "cannot be the name"),
        (lambda c: rights.set_role(c, "night", ["events.write"], {}), "no permission 'events.write'"),
        (lambda c: rights.set_role(c, "night", [], {"indices": ["secrets"]}), "no index 'secrets'"),
        (lambda c: rights.set_role(c, "night", [], {}), "has no permission"),
        (lambda c: access.create_token(c, "t", access.API, "viewer", None, ["users.manage"]), "does not have"),
        (lambda c: rights.set_role(c, "night", [], {"units": [""]}), "at most 1000 units"),
        (lambda c: users.create_user(c, "an", "root"), "no role 'root'"),
        (lambda c: access.create_token(c, "t", access.API, "root"), "no role 'root'"),
        (lambda c: rights.join(c, "nobody", []), "no user named 'nobody'"),
        (lambda c: rights.set_view(c, "nobody", {}), "no user named 'nobody'"),
        (lambda c: rights.remove_role(c, "admin"), "no role or group named 'admin'"),
        (lambda c: rights.remove_group(c, "none"), "no role or group named 'none'"),
    ]
    for change, words in cases:
        with pytest.raises(HaidangError, match=words), engine.begin() as connection:
            change(connection)


def test_what_somebody_has_is_not_removed(engine: Engine) -> None:
    with engine.begin() as connection:
        rights.set_role(connection, "night", ["alerts.read"], {})
        rights.set_group(connection, "province", [], {})
        users.create_user(connection, "an", "night")
        rights.join(connection, "an", ["province"])
    for remove, name in ((rights.remove_role, "night"), (rights.remove_group, "province")):
        with pytest.raises(HaidangError, match="in use, by an"), engine.begin() as connection:
            remove(connection, name)


def test_the_commands_change_it_and_each_change_is_in_the_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path))
    assert main(["role", "set", "night", "--permission", "alerts.read", "--source", "vpn"]) == 0
    assert main(["role", "set", "province", "--group", "--unit", "so-a"]) == 0
    assert main(["user", "add", "an", "--role", "administrator"]) == 0
    said = capsys.readouterr()
    assert "administrator is called admin now" in said.err
    assert main(["user", "add", "deputy", "--role", "admin"]) == 0
    assert main(["user", "role", "an", "--role", "night"]) == 0
    assert main(["user", "groups", "an", "--group", "province"]) == 0
    assert main(["user", "view", "an", "--index", "alerts"]) == 0
    assert main(["token", "create", "board", "--api", "night", "--unit", "so-a"]) == 0
    capsys.readouterr()
    assert main(["user", "list"]) == 0
    listed = capsys.readouterr().out
    assert "night" in listed
    assert "province" in listed
    assert "indices: alerts" in listed
    assert main(["role", "list"]) == 0
    assert "sources: vpn" in capsys.readouterr().out
    assert main(["role", "remove", "night"]) == 2
    assert "in use, by an" in capsys.readouterr().err
    engine = open_state(tmp_path)
    with engine.connect() as connection:
        actions = list(connection.scalars(select(audit.c.action).order_by(audit.c.id)))
    of_users = ["user_add", "user_add", "user_role", "user_groups", "user_view"]
    assert actions == ["role_set", "group_set", *of_users, "token_create"]
    assert verify(engine).whole
    engine.dispose()


def test_a_view_holds_for_changes_of_the_queue(engine: Engine) -> None:
    found = [
        {"@timestamp": "2026-11-24T00:00:00.000Z", "event.id": name, "rule.id": "r", "rule.name": "R",
         "rule.level": "low", "labels.source": source, "organization.id": unit}
        for name, source, unit in (("a", "vpn", "so-a"), ("b", "mail", "so-a"), ("c", "vpn", "so-b"))
    ]  # fmt: skip
    with engine.begin() as connection:
        save(connection, [row(each, "test") for each in found])
    both = sight([{"sources": ["vpn"]}, {"units": ["so-a"]}], [])
    with pytest.raises(HaidangError, match="no alert “c”"):
        life.change(engine, life.Fits(["a", "c"], sight=both), "acknowledged", "", "an", "")
    assert life.change(engine, life.Fits(sight=both), "acknowledged", "", "an", "") == 1
    with engine.connect() as connection:
        taken = connection.scalars(select(alerts.c.id).where(alerts.c.status == "acknowledged")).all()
    assert taken == ["a"]
    nothing = sight([{"indices": ["events"]}], [])
    assert life.change(engine, life.Fits(sight=nothing), "acknowledged", "", "an", "") == 0


def test_who_runs_the_site_by_a_password_alone_is_named(engine: Engine) -> None:
    with engine.begin() as connection:
        for name, role in (("chu", "admin"), ("phu", "admin"), ("xem", "analyst"), ("nghi", "admin")):
            users.create_user(connection, name, role)
        connection.execute(accounts.update().where(accounts.c.name == "phu").values(totp="x"))
        connection.execute(accounts.update().where(accounts.c.name == "nghi").values(disabled=True))
    assert users.without_second_factor(engine) == ["chu"]


@pytest.mark.parametrize(
    "name",
    [
        "\u0430dmin",
        "../x",
        "AN",
        "Gate",
        "a b",
        "",
        ".an",
        "a" * 101,
        "a\u0323n",
        "\uff41n",
        "an\u200b",
        "d\u0131ng",
        "haidang",
    ],
)
def test_a_name_that_passes_for_another_is_nobodys(engine: Engine, name: str) -> None:
    with engine.begin() as connection:
        users.create_user(connection, "an", "viewer")
        access.create_token(connection, "gate", access.SOURCE)
    makers = (
        lambda c: users.create_user(c, name, "viewer"),
        lambda c: access.create_token(c, name, access.API, "viewer"),
        lambda c: users.create_person(c, Person("https://id", "1", name, "viewer")),
    )
    for make in makers:
        with pytest.raises(HaidangError, match=r"is no name|passes for"), engine.begin() as connection:
            make(connection)


def test_names_of_people_here_are_names_and_one_of_a_token_is_no_persons(engine: Engine) -> None:
    with engine.begin() as connection:
        for name in ("Đặng.Thị-Hường", "nguyễn_văn_ạ", "an@so-a.gov.vn", "1a"):
            users.create_user(connection, name, "viewer")
        with pytest.raises(HaidangError, match="passes for '1a'"):
            access.create_token(connection, "1a", access.SOURCE)


def test_the_last_who_may_manage_users_stays(engine: Engine) -> None:
    with engine.begin() as connection:
        rights.set_group(connection, "keepers", ["users.manage"], {})
        users.create_user(connection, "an", "admin")
        users.create_user(connection, "bình", "viewer")

    def change(what: Callable[[Connection], object]) -> None:
        with engine.begin() as connection, rights.keeping_a_manager(connection):
            what(connection)

    for refused in (lambda c: users.set_role(c, "an", "viewer"), lambda c: users.set_disabled(c, "an", True)):
        with pytest.raises(HaidangError, match="'an' is the last one who may manage users"):
            change(refused)
    change(lambda c: rights.join(c, "bình", ["keepers"]))
    change(lambda c: users.set_disabled(c, "an", True))
    for refused in (lambda c: rights.set_group(c, "keepers", [], {}), lambda c: rights.join(c, "bình", [])):
        with pytest.raises(HaidangError, match="'bình' is the last"):  # it is bình's only way
            change(refused)
    with engine.connect() as connection:
        assert rights.managers(connection) == {"bình"}


def test_commands_leave_the_last_who_may_manage_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path))
    assert main(["user", "add", "an", "--role", "admin"]) == 0
    for change in (["role", "an", "--role", "viewer"], ["disable", "an"]):
        assert main(["user", *change]) == 2
        assert "'an' is the last one who may manage users" in capsys.readouterr().err


def test_two_who_demote_each_other_at_once_are_not_both_gone(engine: Engine) -> None:
    with engine.begin() as connection:
        for name in ("an", "bình"):
            users.create_user(connection, name, "admin")
    together, refused = threading.Barrier(2), []

    def demote(name: str) -> None:
        together.wait()
        try:
            with engine.begin() as connection, rights.keeping_a_manager(connection):
                users.set_role(connection, name, "viewer")
        except HaidangError as error:
            refused.append(error.key)

    threads = [threading.Thread(target=demote, args=(name,)) for name in ("an", "bình")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["user.last_manager"]
    with engine.connect() as connection:
        assert len(rights.managers(connection)) == 1
