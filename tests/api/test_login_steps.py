"""Log-ins of several steps: a code of the second factor, setting one up, a new password; on both databases."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest
from sites import PASSWORD, Site, serving
from sqlalchemy import Engine, select, update

from pipeline.event import Event
from pipeline.identity import second_factor
from pipeline.settings import Access, Settings, State
from pipeline.state.tables import audit, password_history, sessions, users
from tests.services.postgres import Postgres

NEW = "bốn từ không dính nhau"


def _empty(_settings: Settings, _engine: Engine) -> list[Event]:
    return []


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def strict(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A site where leads need a second factor, on each database."""
    access = Access(second_factor_roles=["lead"], password_history=3, logins_per_minute=10_000)
    state = State()
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        state = State.model_validate({"url": postgres.new_database()})
    with serving(tmp_path_factory.mktemp("strict"), _empty, access=access, state=state) as made:
        yield made


def _log_in(site: Site, name: str, password: str = PASSWORD) -> httpx.Response:
    with site.client() as client:
        return client.post("/api/v1/login", json={"name": name, "password": password})


def _go_on(site: Site, secret: str, step: str, body: Any = None) -> httpx.Response:
    with site.client(secret) as client:
        return client.post(f"/api/v1/login/{step}", json=body)


def _me(site: Site, secret: str) -> int:
    with site.client(secret) as client:
        return client.get("/api/v1/me").status_code


def _code(secret: str, steps: int = 0) -> str:
    return pyotp.TOTP(secret).at(int(time.time()) + 30 * steps)


def _set(site: Site, name: str, **values: Any) -> None:
    with site.engine.begin() as connection:
        connection.execute(update(users).where(users.c.name == name).values(**values))


def _with_factor(site: Site, name: str, role: str = "viewer") -> tuple[str, list[str]]:
    """Make a user with a second factor; return its secret and the recovery codes."""
    site.user(name, role)
    with site.engine.begin() as connection:
        secret = second_factor.begin(connection, site.settings, name)["secret"]
        codes = second_factor.confirm(connection, site.settings, name, _code(secret))
    _set(site, name, totp_step=0)  # the code of this half minute may be shown once more
    return secret, codes


def test_a_code_is_asked_for_and_opens_once(strict: Site) -> None:
    secret, _ = _with_factor(strict, "an")
    first = _log_in(strict, "an").json()
    assert first["next"] == "code"
    assert _me(strict, first["token"]) == 401  # opens nothing yet
    assert _go_on(strict, first["token"], "code", {"code": "000000"}).status_code == 401
    code = _code(secret)
    opened = _go_on(strict, first["token"], "code", {"code": code})
    assert (opened.status_code, opened.json()["next"]) == (200, "")
    assert opened.json()["token"] != first["token"]
    assert _me(strict, opened.json()["token"]) == 200
    assert _go_on(strict, first["token"], "code", {"code": code}).status_code == 401  # that session has ended
    again = _log_in(strict, "an").json()
    assert _go_on(strict, again["token"], "code", {"code": code}).status_code == 401  # that code was used
    assert (
        _go_on(strict, again["token"], "code", {"code": _code(secret, 1)}).status_code == 200
    )  # a clock that is ahead
    last = _log_in(strict, "an").json()
    assert _go_on(strict, last["token"], "code", {"code": _code(secret, -3)}).status_code == 401


def test_a_recovery_code_opens_once(strict: Site) -> None:
    _, codes = _with_factor(strict, "bình")
    assert len(set(codes)) == 10
    for status in (200, 401):
        waiting = _log_in(strict, "bình").json()["token"]
        assert _go_on(strict, waiting, "code", {"code": codes[3].lower()}).status_code == status
    with strict.engine.connect() as connection:
        row = connection.execute(select(users).where(users.c.name == "bình")).one()
    assert len(row.recovery) == 9
    assert codes[0].replace("-", "") not in str(row.recovery)


def test_wrong_codes_lock_the_account_like_wrong_passwords(strict: Site) -> None:
    secret, _ = _with_factor(strict, "châu")
    waiting = _log_in(strict, "châu").json()["token"]
    for _ in range(strict.settings.api.lockout_failures):
        assert _go_on(strict, waiting, "code", {"code": "123456"}).status_code == 401
        _log_in(strict, "châu")  # the right password forgets no wrong code
    assert _go_on(strict, waiting, "code", {"code": _code(secret)}).status_code == 401
    assert _log_in(strict, "châu").status_code == 401


def test_the_secret_is_not_in_the_database_as_it_is(strict: Site) -> None:
    secret, _ = _with_factor(strict, "dũng")
    with strict.engine.connect() as connection:
        kept = connection.scalar(select(users.c.totp).where(users.c.name == "dũng"))
    assert kept
    assert secret not in kept
    key = strict.settings.data_dir / "keys" / "secrets.key"
    assert key.stat().st_mode & 0o077 == 0


def test_a_role_that_needs_a_second_factor_sets_it_up_at_log_in(strict: Site) -> None:
    strict.user("giang", "lead")
    first = _log_in(strict, "giang").json()
    assert first["next"] == "enrol"
    made = _go_on(strict, first["token"], "second-factor", {}).json()
    assert made["image"].startswith("data:image/svg+xml;base64,")
    assert pyotp.parse_uri(made["uri"]).secret == made["secret"]
    assert "giang" in made["uri"]
    wrong = _go_on(strict, first["token"], "second-factor/confirm", {"code": "000000"})
    assert wrong.status_code == 400
    done = _go_on(strict, first["token"], "second-factor/confirm", {"code": _code(made["secret"])}).json()
    assert (done["next"], len(done["recovery_codes"])) == ("", 10)
    assert _me(strict, done["token"]) == 200
    assert _log_in(strict, "giang").json()["next"] == "code"


def test_a_password_that_somebody_else_gave_is_changed_first(strict: Site) -> None:
    strict.user("hà")
    _set(strict, "hà", must_change=True)
    first = _log_in(strict, "hà").json()
    assert first["next"] == "password"
    assert _me(strict, first["token"]) == 401
    for bad, words in ((PASSWORD, "one of your last"), ("ngắn", "at least 12"), ("matkhau123456", "tried first")):
        refused = _go_on(strict, first["token"], "password", {"password": bad})
        assert (refused.status_code, words in refused.json()["detail"]) == (400, True), refused.text
    done = _go_on(strict, first["token"], "password", {"password": NEW}).json()
    assert _me(strict, done["token"]) == 200
    assert _log_in(strict, "hà").status_code == 401
    assert _log_in(strict, "hà", NEW).json()["next"] == ""


def test_an_old_password_is_changed_first(strict: Site) -> None:
    strict.user("khánh")
    _set(strict, "khánh", changed=time.time() - 91 * 86_400)
    assert _log_in(strict, "khánh").json()["next"] == "password"


def test_code_and_password_may_both_be_asked_for(strict: Site) -> None:
    secret, _ = _with_factor(strict, "lan")
    _set(strict, "lan", must_change=True)
    first = _log_in(strict, "lan").json()
    assert _go_on(strict, first["token"], "password", {"password": NEW}).status_code == 401  # not before the code
    second = _go_on(strict, first["token"], "code", {"code": _code(secret)}).json()
    assert second["next"] == "password"
    assert _me(strict, second["token"]) == 401
    assert _me(strict, _go_on(strict, second["token"], "password", {"password": NEW}).json()["token"]) == 200


def test_an_account_that_nobody_used_is_disabled(strict: Site) -> None:
    strict.user("mai")
    _set(strict, "mai", seen=time.time() - 46 * 86_400)
    assert _log_in(strict, "mai").status_code == 401
    with strict.engine.connect() as connection:
        assert connection.scalar(select(users.c.disabled).where(users.c.name == "mai"))
        actions = connection.scalars(select(audit.c.action).where(audit.c.who == "mai").order_by(audit.c.id)).all()
    assert actions == ["user_disabled", "login_failed"]


def test_a_session_ends_when_nobody_does_anything_and_polls_are_nobody(strict: Site) -> None:
    for name, role, minutes in (("nam", "viewer", 60), ("oanh", "admin", 5)):
        strict.user(name, role)
        secret = _log_in(strict, name).json()["token"]
        with strict.engine.begin() as connection:
            connection.execute(
                update(sessions).where(sessions.c.user == name).values(seen=time.time() - minutes * 60 + 30)
            )
        with strict.client(secret) as client:
            by_itself = {"X-Haidang-By-Itself": "1"}
            assert client.get("/api/v1/me", headers=by_itself).status_code == 200
            with strict.engine.connect() as connection:
                seen = connection.scalar(select(sessions.c.seen).where(sessions.c.user == name))
            assert time.time() - (seen or 0) > 20
            assert client.get("/api/v1/me").status_code == 200
        with strict.engine.begin() as connection:
            seen = connection.scalar(select(sessions.c.seen).where(sessions.c.user == name))
            assert time.time() - (seen or 0) < 20
            connection.execute(
                update(sessions).where(sessions.c.user == name).values(seen=time.time() - minutes * 60 - 1)
            )
        assert _me(strict, secret) == 401
        with strict.engine.connect() as connection:
            assert not connection.execute(select(sessions).where(sessions.c.user == name)).all()


def test_old_passwords_are_forgotten_beyond_those_that_count(strict: Site) -> None:
    strict.user("phúc")
    secret = _log_in(strict, "phúc").json()["token"]
    current = PASSWORD
    chosen = [f"một mật khẩu khác {number} nhé" for number in range(4)]
    with strict.client(secret) as client:
        for new in chosen:
            answer = client.post("/api/v1/me/password", json={"current": current, "password": new})
            assert answer.status_code == 204, answer.text
            current = new
        for old, status in ((chosen[3], 400), (chosen[2], 400), (chosen[1], 400), (chosen[0], 204)):
            answer = client.post("/api/v1/me/password", json={"current": current, "password": old})
            assert answer.status_code == status, (old, answer.text)
    with strict.engine.connect() as connection:
        assert len(connection.execute(select(password_history).where(password_history.c.user == "phúc")).all()) <= 3


def test_steps_need_a_session_that_waits(strict: Site) -> None:
    strict.user("quân")
    secret = _log_in(strict, "quân").json()["token"]
    cases = {
        "code": {"code": "123456"},
        "password": {"password": NEW},
        "second-factor": {},
        "second-factor/confirm": {"code": "123456"},
    }
    for step, body in cases.items():
        for held in ("", "x" * 43, secret, strict.token(f"step-{time.time_ns()}", "admin")):
            assert _go_on(strict, held, step, body).status_code == 401, step


def test_another_key_is_told_and_opens_nothing(strict: Site, tmp_path: Path) -> None:
    secret, _ = _with_factor(strict, "sơn")
    other = replace_key(strict.settings, tmp_path / "other.key")
    with pytest.raises(Exception, match=r"reset-factor"), strict.engine.begin() as connection:
        second_factor.is_right(connection, other, "sơn", _code(secret))
    (tmp_path / "broken.key").write_text("nonsense")
    broken = replace_key(strict.settings, tmp_path / "broken.key")
    with pytest.raises(Exception, match="cannot be used as the site's key"), strict.engine.begin() as connection:
        second_factor.begin(connection, broken, "sơn")


def replace_key(settings: Settings, file: Path) -> Settings:
    """Return the settings with another key."""
    return settings.model_copy(update={"access": settings.access.model_copy(update={"key_file": file})})
