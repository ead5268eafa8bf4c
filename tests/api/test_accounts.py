"""Accounts by the API: users, roles, groups, tokens, sessions; who may change whom; other sites; how often."""

import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyotp
import pytest
from sites import PASSWORD, Site, serving
from sqlalchemy import select, update

from api.access import COOKIE
from api.limits import Limit
from pipeline.identity.passwords import checked
from pipeline.messages import HaidangError
from pipeline.settings import Access
from pipeline.state.tables import audit, tokens

NEW = "bốn từ không dính nhau"


def _name(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(4)}"


@pytest.fixture
def boss(site: Site) -> Iterator[httpx.Client]:
    """A client that may do everything, without being a person."""
    with site.client(site.token(_name("boss"), "admin")) as client:
        yield client


def _person(site: Site, role: str = "viewer") -> tuple[str, httpx.Client]:
    name = _name(role)
    site.user(name, role)
    with site.client() as client:
        secret = client.post("/api/v1/login", json={"name": name, "password": PASSWORD}).json()["token"]
    return name, site.client(secret)


def test_a_user_is_made_changed_shut_out_and_let_in(site: Site, boss: httpx.Client) -> None:
    name = _name("an")
    made = boss.post("/api/v1/users", json={"name": name, "role": "viewer"})
    assert made.status_code == 201
    assert boss.post("/api/v1/users", json={"name": name}).status_code == 409
    password = made.json()["password"]
    with site.client() as client:
        first = client.post("/api/v1/login", json={"name": name, "password": password}).json()
        assert first["next"] == "password"
        done = client.post("/api/v1/login/password", json={"password": NEW}, headers={"Origin": site.address})
        assert done.status_code == 200
        secret = done.json()["token"]
    group = _name("g")
    assert boss.put(f"/api/v1/groups/{group}", json={"view": {"units": ["so-a"]}}).status_code == 204
    change = {"role": "analyst", "groups": [group], "view": {"sources": ["vpn"]}}
    assert boss.patch(f"/api/v1/users/{name}", json=change).status_code == 204
    with site.client(secret) as client:
        me = client.get("/api/v1/me").json()
        assert (me["role"], me["limited"]) == ("analyst", True)
        row = next(each for each in boss.get("/api/v1/users").json()["users"] if each["name"] == name)
        assert (row["groups"], row["view"], row["sessions"]) == ([group], {"sources": ["vpn"]}, 1)
        assert not {"password", "totp", "recovery"} & row.keys()
        assert boss.patch(f"/api/v1/users/{name}", json={"disabled": True}).status_code == 204
        assert client.get("/api/v1/me").status_code == 401
    with site.client() as client:
        credentials = {"name": name, "password": NEW}
        assert client.post("/api/v1/login", json=credentials).status_code == 401
        assert boss.patch(f"/api/v1/users/{name}", json={"disabled": False}).status_code == 204
        assert client.post("/api/v1/login", json=credentials).status_code == 200
        assert boss.delete(f"/api/v1/users/{name}/sessions").json() == {"ended": 1}
    given = boss.post(f"/api/v1/users/{name}/password", json={}).json()["password"]
    assert given not in (password, NEW)
    with site.engine.connect() as connection:
        rows = connection.execute(select(audit).where(audit.c.action == "user_change")).all()
    assert any(row.detail.get("user") == name and row.detail.get("role") == "analyst" for row in rows)
    assert all(secret not in str(row.detail) for row in rows for secret in (password, NEW, given))


def test_nobody_gives_or_touches_more_than_they_have(site: Site, boss: httpx.Client) -> None:
    role = _name("hr")
    assert (
        boss.put(
            f"/api/v1/roles/{role}", json={"permissions": ["users.manage", "tokens.manage", "alerts.read"]}
        ).status_code
        == 204
    )
    name, manager = _person(site, role)
    victim, _ = _person(site, "admin")
    with manager:
        refused = [
            manager.post("/api/v1/users", json={"name": _name("x"), "role": "admin"}),
            manager.post("/api/v1/users", json={"name": _name("x"), "role": "viewer"}),
            manager.patch(f"/api/v1/users/{name}", json={"role": "admin"}),
            manager.patch(f"/api/v1/users/{victim}", json={"disabled": True}),
            manager.post(f"/api/v1/users/{victim}/password", json={"password": NEW}),
            manager.delete(f"/api/v1/users/{victim}/second-factor"),
            manager.delete(f"/api/v1/users/{victim}/sessions"),
            manager.put(f"/api/v1/roles/{_name('r')}", json={"permissions": ["audit.read"]}),
            manager.put(f"/api/v1/groups/{_name('g')}", json={"permissions": ["audit.read"]}),
            manager.post("/api/v1/tokens", json={"name": _name("t"), "role": "admin"}),
        ]
        assert [answer.status_code for answer in refused] == [403] * len(refused)
        least = {"name": _name("t"), "role": "admin", "permissions": ["alerts.read"]}
        assert manager.post("/api/v1/tokens", json=least).status_code == 201
        assert manager.post("/api/v1/users", json={"name": _name("x"), "role": role}).status_code == 201
        assert manager.patch(f"/api/v1/users/{name}", json={"view": {"units": ["so-a"]}}).status_code == 204
        assert manager.patch(f"/api/v1/users/{name}", json={"view": {}}).status_code == 403  # not back by oneself


def test_groups_cannot_be_used_to_rise(site: Site, boss: httpx.Client) -> None:
    role, group = _name("hr"), _name("g")
    boss.put(f"/api/v1/roles/{role}", json={"permissions": ["users.manage"]})
    boss.put(f"/api/v1/groups/{group}", json={"permissions": ["audit.read"]})
    name, manager = _person(site, role)
    with manager:
        assert manager.patch(f"/api/v1/users/{name}", json={"groups": [group]}).status_code == 403
        assert "audit.read" not in manager.get("/api/v1/me").json()["permissions"]


def test_a_token_has_what_was_asked_for_ends_and_is_taken_back(site: Site, boss: httpx.Client) -> None:
    name = _name("board")
    body = {"name": name, "role": "analyst", "permissions": ["alerts.read"], "view": {"sources": ["syslog"]}, "days": 7}
    made = boss.post("/api/v1/tokens", json=body)
    assert made.status_code == 201
    secret = made.json()["token"]
    with site.client(secret) as client:
        assert client.get("/api/v1/me").json()["permissions"] == ["alerts.read"]
        assert client.get("/api/v1/alerts").status_code == 200
        assert client.get("/api/v1/search/events").status_code == 403
        assert client.get("/api/v1/me/sessions").status_code == 400  # no person
        row = next(each for each in boss.get("/api/v1/tokens").json()["tokens"] if each["name"] == name)
        assert row["used"] is not None
        assert 6.9 < (row["expires"] - time.time()) / 86_400 <= 7
        assert secret not in str(row)
        assert "digest" not in row
        with site.engine.begin() as connection:
            connection.execute(update(tokens).where(tokens.c.name == name).values(expires=time.time() - 1))
        assert client.get("/api/v1/me").status_code == 401
        with site.engine.begin() as connection:
            connection.execute(update(tokens).where(tokens.c.name == name).values(expires=None))
        assert client.get("/api/v1/me").status_code == 200
        assert boss.delete(f"/api/v1/tokens/{name}").status_code == 204
        assert client.get("/api/v1/me").status_code == 401
    assert boss.delete(f"/api/v1/tokens/{_name('none')}").status_code == 404
    assert boss.post("/api/v1/tokens", json={"name": _name("t"), "role": "root"}).status_code == 400
    default = boss.post("/api/v1/tokens", json={"name": _name("t"), "role": "viewer"}).json()
    assert default["days"] == site.settings.access.token_days


def test_one_sees_and_ends_ones_own_sessions(site: Site) -> None:
    name, client = _person(site)
    with client, site.client() as other:
        second = other.post("/api/v1/login", json={"name": name, "password": PASSWORD}).json()["token"]
        found = client.get("/api/v1/me/sessions").json()
        assert len(found["sessions"]) == 2
        assert found["sessions"][0]["address"] == "127.0.0.1"
        ended = next(each["id"] for each in found["sessions"] if each["id"] != found["this"])
        assert client.delete(f"/api/v1/me/sessions/{ended}").status_code == 204
        with site.client(second) as gone:
            assert gone.get("/api/v1/me").status_code == 401
        _, stranger = _person(site)
        with stranger:
            assert stranger.delete(f"/api/v1/me/sessions/{found['this']}").status_code == 404


def test_changing_ones_password_ends_all_other_sessions(site: Site) -> None:
    name, client = _person(site)
    with client, site.client() as other:
        second = other.post("/api/v1/login", json={"name": name, "password": PASSWORD}).json()["token"]
        assert client.post("/api/v1/me/password", json={"current": "sai", "password": NEW}).status_code == 401
        assert client.post("/api/v1/me/password", json={"current": PASSWORD, "password": NEW}).status_code == 204
        assert client.get("/api/v1/me").status_code == 200
        with site.client(second) as gone:
            assert gone.get("/api/v1/me").status_code == 401


def test_a_session_cannot_be_used_to_guess_the_password(site: Site) -> None:
    _, client = _person(site)
    with client:
        for _ in range(site.settings.api.lockout_failures):
            client.post("/api/v1/me/password", json={"current": "sai", "password": NEW})
        assert client.post("/api/v1/me/password", json={"current": PASSWORD, "password": NEW}).status_code == 401


def test_one_sets_up_and_takes_away_ones_second_factor(site: Site, boss: httpx.Client) -> None:
    name, client = _person(site)
    with client:
        assert client.post("/api/v1/me/second-factor", json={"current": "sai"}).status_code == 401
        made = client.post("/api/v1/me/second-factor", json={"current": PASSWORD}).json()
        assert client.post("/api/v1/me/second-factor/confirm", json={"code": "000000"}).status_code == 400
        code = pyotp.TOTP(made["secret"]).now()
        confirmed = client.post("/api/v1/me/second-factor/confirm", json={"code": code})
        assert len(confirmed.json()["recovery_codes"]) == 10
        with site.client() as again:
            answer = again.post("/api/v1/login", json={"name": name, "password": PASSWORD})
            assert answer.json()["next"] == "code"
        taken = client.request("DELETE", "/api/v1/me/second-factor", json={"current": PASSWORD})
        assert taken.status_code == 204
        assert boss.delete(f"/api/v1/users/{name}/second-factor").status_code == 204
        assert client.get("/api/v1/me").status_code == 401


def test_other_sites_change_nothing(site: Site) -> None:
    name = _name("an")
    site.user(name)
    with site.client() as browser:
        body = {"name": name, "password": PASSWORD}
        for headers in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
        ):
            assert browser.post("/api/v1/login", json=body, headers=headers).status_code == 403, headers
        assert browser.post("/api/v1/login", json=body, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
        assert COOKIE in browser.cookies
        assert browser.get("/api/v1/me").status_code == 200
        for headers in (
            {},
            {"Sec-Fetch-Site": "cross-site"},
            {"Origin": "https://evil.example"},
            {"Origin": f"{site.address}.evil.example"},
        ):
            assert browser.post("/api/v1/logout", headers=headers).status_code == 403, headers
        assert browser.get("/api/v1/me").status_code == 200
        assert browser.post("/api/v1/logout", headers={"Origin": site.address}).status_code == 200
        assert browser.get("/api/v1/me").status_code == 401


def test_over_tls_the_cookie_is_bound_to_the_host(site: Site) -> None:
    name = _name("an")
    site.user(name)
    with site.client() as browser:  # a proxy on this machine says how it was asked
        answer = browser.post(
            "/api/v1/login", json={"name": name, "password": PASSWORD}, headers={"X-Forwarded-Proto": "https"}
        )
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-haidang_session=")
    for flag in ("HttpOnly", "Secure", "SameSite=strict", "Path=/"):
        assert flag in cookie
    assert "Domain" not in cookie


def test_too_many_requests_and_log_ins_are_told_to_wait(tmp_path_factory: pytest.TempPathFactory) -> None:
    access = Access(requests_per_minute=10, logins_per_minute=3)
    with serving(tmp_path_factory.mktemp("limits"), lambda _settings, _engine: [], access=access) as site:
        with site.client(site.token("often", "viewer")) as client, site.client(site.token("other", "viewer")) as other:
            statuses = [client.get("/api/v1/me").status_code for _ in range(12)]
            assert statuses[:10] == [200] * 10
            refused = client.get("/api/v1/me")
            assert refused.status_code == 429
            assert 1 <= int(refused.headers["retry-after"]) <= 60
            assert other.get("/api/v1/me").status_code == 200
        with site.client() as guesser:
            answers = [guesser.post("/api/v1/login", json={"name": f"n{n}", "password": "x"}) for n in range(4)]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
        assert int(answers[3].headers["retry-after"]) >= 1


def test_a_limit_fills_again_with_time_and_holds_few_names() -> None:
    limit = Limit(60)
    assert [limit.take("a", 0.0) for _ in range(60)] == [0.0] * 60
    assert limit.take("a", 0.0) == pytest.approx(1.0)
    assert limit.take("a", 1.0) == 0.0
    assert limit.take("b", 1.0) == 0.0
    for number in range(20_000):
        limit.take(str(number), 2.0)
    assert len(limit._left) <= 10_001


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("ngắn", "at least 12"), ("x" * 1001, "at most 1000"), ("password1234", "tried first"),
        ("Passw0rd!!!2026", "tried first"), ("123456789012", "tried first"), ("Mật Khẩu 2026!", "tried first"),
        ("aaaaaaaaaaaa1", "tried first"), ("abababababab", "tried first"), ("quantri@123456", "tried first"),
        ("Nguyễn Văn An 2026", "name in it"), ("xin chào nguyen!", "name in it"),
    ],
)  # fmt: skip
def test_passwords_that_are_tried_first_are_refused(password: str, words: str) -> None:
    with pytest.raises(HaidangError, match=words):
        checked(password, "Nguyễn Văn An", Access())


@pytest.mark.parametrize(
    "password", [PASSWORD, NEW, "Vịnh Hạ Long sáng sớm", "k8#Zq!m2Wp0vT", "correct horse battery staple"]
)
def test_other_passwords_may_be_chosen(password: str) -> None:
    assert checked(password, "an", Access()) == password


def test_the_last_manager_a_strangers_letters_and_a_token_beyond_its_role_are_refused(tmp_path: Path) -> None:
    with serving(tmp_path / "alone", lambda _settings, _engine: []) as site:
        site.user("chief", "admin")
        with site.client(site.token("boss", "admin")) as boss:
            for change in ({"role": "viewer"}, {"disabled": True}):
                answer = boss.patch("/api/v1/users/chief", json=change)
                assert (answer.status_code, "give another one the role first" in answer.text) == (409, True)
            for name, status in (("\u0430dmin", 400), ("../x", 400), ("CHIEF", 409), ("boss", 409)):
                assert boss.post("/api/v1/users", json={"name": name, "role": "viewer"}).status_code == status
            token = {"name": "p", "role": "viewer", "permissions": ["users.manage"]}
            assert boss.post("/api/v1/tokens", json=token).status_code == 400
            assert boss.post("/api/v1/tokens", json={"name": "Chief", "role": "viewer"}).status_code == 409
            assert boss.put("/api/v1/roles/empty", json={}).status_code == 400
            assert boss.post("/api/v1/users", json={"name": "deputy", "role": "admin"}).status_code == 201
            assert boss.patch("/api/v1/users/chief", json={"role": "viewer"}).status_code == 204


def test_a_browser_that_the_provider_refuses_is_at_the_log_in_with_the_reason_once(tmp_path: Path) -> None:
    with serving(tmp_path / "refused", lambda _settings, _engine: []) as site, site.client() as browser:
        asked = {"params": {"error": "access_denied"}, "headers": {"Accept": "text/html"}}
        answer = browser.get("/api/v1/login/oidc/back", **asked)  # type: ignore[arg-type]
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "refused the log-in: access_denied" in browser.get("/").text
        assert "access_denied" not in browser.get("/").text
        plain = browser.get("/api/v1/login/oidc/back", params={"error": "access_denied"})
        assert plain.status_code == 401


def test_a_refused_body_says_what_is_expected_in_the_language_of_who_asks(site: Site, boss: httpx.Client) -> None:
    def said(path: str, body: object, language: str = "en") -> str:
        answer = boss.post(path, json=body, headers={"Accept-Language": language})
        assert answer.status_code == 422
        return str(answer.json()["detail"])

    token = {"name": "p", "role": "viewer"}
    assert said("/api/v1/login/code", {"code": "1"}) == "code: at least 6 characters."
    assert said("/api/v1/tokens", {**token, "days": 0}) == "days: expected more than 0.0."
    assert said("/api/v1/tokens", {**token, "days": "soon"}) == "days: expected a number."
    assert said("/api/v1/tokens", {**token, "day": 1}) == "day: there is no such field here."
    changes = {"status": "new", "ids": []}
    assert said("/api/v1/alerts/changes", changes) == "ids: expected at least 1 entries."
    assert " hoặc 'false_positive'" in said("/api/v1/alerts/changes", {**changes, "ids": ["a"], "status": "x"}, "vi")
    assert boss.get("/api/v1/alerts/budget?day=x").json()["detail"] == "day: expected a date such as 2026-11-24."
