"""Log-in by a real identity provider (Keycloak): groups become roles, and nobody else's answer is believed."""

import html
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from pydantic import SecretStr, ValidationError
from sites import PASSWORD, Site, serving
from sqlalchemy import select, update

from pipeline.identity import oidc
from pipeline.messages import HaidangError, Unavailable
from pipeline.settings import Access, Oidc, Settings
from pipeline.state.tables import audit, users
from tests.services import keycloak
from tests.services.keycloak import USERS, Keycloak

_ROLES = {"siem-admins": "admin", "siem-analysts": "analyst"}


def _serve(folder: Path, chosen: Oidc) -> Any:
    """Serve a site that uses a provider; its own address is known once it is served."""
    served = serving(folder, lambda _settings, _engine: [], access=Access(logins_per_minute=1000))
    port = served._socket.getsockname()[1]
    settings = served._settings.model_copy(
        update={"oidc": chosen.model_copy(update={"site": f"http://127.0.0.1:{port}"})}
    )
    served._settings = served._app.state.settings = settings
    return served


@pytest.fixture(scope="module")
def provider(services: Path) -> Iterator[Keycloak]:
    """A Keycloak for this module."""
    with keycloak.running(services / "keycloak") as server:
        yield server


@pytest.fixture(scope="module")
def linked(provider: Keycloak, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site where Keycloak logs people in."""
    chosen = Oidc(issuer=provider.issuer, client_secret=SecretStr(keycloak.SECRET), roles=_ROLES)
    with _serve(tmp_path_factory.mktemp("linked"), chosen) as made:
        yield made


def _at_provider(browser: httpx.Client, site: Site, name: str) -> str:
    """Go to the provider and log in there; return the address that it sends the browser back to."""
    begun = browser.get("/api/v1/login/oidc")
    assert begun.status_code == 303, begun.text
    form = browser.get(begun.headers["location"])
    action = html.unescape(re.findall(r'action="([^"]+)"', form.text)[0])
    # a browser takes 127.0.0.1 for safe and sends these cookies, httpx does not
    cookies = "; ".join(f"{each.name}={each.value}" for each in browser.cookies.jar if each.secure)
    given = {"username": name, "password": USERS[name][0]}
    answer = browser.post(action, data=given, headers={"Cookie": cookies})
    assert answer.status_code == 302, answer.text[:500]
    back: str = answer.headers["location"]
    assert back.startswith(f"{site.address}/api/v1/login/oidc/back")
    return back


@pytest.mark.slow
def test_groups_there_are_a_role_here_from_log_in_to_log_in(linked: Site, provider: Keycloak) -> None:
    for expected in ("lead", "analyst"):
        with linked.client() as browser:
            asked = parse_qs(urlsplit(browser.get("/api/v1/login/oidc").headers["location"]).query)
            assert asked["code_challenge_method"] == ["S256"]
            assert {"state", "nonce", "code_challenge"} <= asked.keys()
            back = browser.get(_at_provider(browser, linked, "an"))
            assert back.status_code == 200, back.text
            assert 'content="0;url=/"' in back.text
            assert "samesite=strict" in back.headers["set-cookie"].lower()
            me = browser.get("/api/v1/me").json()
            assert (me["name"], me["role"]) == ("an", "analyst")
        with linked.engine.begin() as connection:  # somebody changes it here; the provider has the last word
            connection.execute(update(users).where(users.c.name == "an").values(role=expected))
    with linked.client() as client:
        assert client.post("/api/v1/login", json={"name": "an", "password": "-"}).status_code == 401
    with linked.client(linked.token("boss", "admin")) as boss:
        assert boss.post("/api/v1/users/an/password", json={}).status_code == 400
        assert boss.get("/api/v1/users").json()["users"][0]["issuer"] == provider.issuer
    with linked.engine.connect() as connection:
        actions = connection.scalars(select(audit.c.action).where(audit.c.who == "an")).all()
    assert {"user_add", "user_role", "login"} <= set(actions)


@pytest.mark.slow
def test_a_code_is_good_in_the_browser_that_began_and_once(linked: Site) -> None:
    with linked.client() as browser, linked.client() as other:
        back = _at_provider(browser, linked, "chau")
        assert other.get(back).status_code == 401  # it began nothing
        other.get("/api/v1/login/oidc")
        assert other.get(back).status_code == 401  # it began something else
        assert browser.get(back.replace("state=", "state=x")).status_code == 401
        kept = dict(browser.cookies)
        assert browser.get(back).status_code == 200
        browser.cookies.update(kept)
        assert browser.get(back).status_code == 401  # the code was used
    with linked.client() as browser:
        assert browser.get("/api/v1/login/oidc/back", params={"error": "access_denied"}).status_code == 401


@pytest.mark.slow
def test_nobody_gets_in_without_a_role_or_with_somebodys_name_or_disabled(linked: Site) -> None:
    with linked.client() as browser:
        refused = browser.get(_at_provider(browser, linked, "binh"))
        assert (refused.status_code, "None of your groups" in refused.json()["detail"]) == (403, True)
    with linked.engine.begin() as connection:
        connection.execute(update(users).where(users.c.name == "an").values(disabled=True))
    with linked.client() as browser:
        answer = browser.get(_at_provider(browser, linked, "an"))
        assert answer.status_code in (200, 401)
        if answer.status_code == 200:  # there was no such user yet: now there is
            with linked.engine.begin() as connection:
                connection.execute(update(users).where(users.c.name == "an").values(disabled=True))
    with linked.client() as browser:
        assert browser.get(_at_provider(browser, linked, "an")).status_code == 401
    with linked.engine.begin() as connection:
        connection.execute(
            update(users).where(users.c.name == "an").values(disabled=False, issuer="https://other.example")
        )
    with linked.client() as browser:
        taken = browser.get(_at_provider(browser, linked, "an"))
        assert (taken.status_code, "already" in taken.json()["detail"]) == (409, True)
    with linked.engine.begin() as connection:
        connection.execute(users.delete().where(users.c.name == "an"))


class _Fake(BaseHTTPRequestHandler):
    """A provider that lies, to see what is believed: its token is what a test has put there."""

    token: str = ""
    key = RSAKey.generate_key(2048, {"kid": "a"})

    def do_GET(self) -> None:
        base = f"http://127.0.0.1:{self.server.server_address[1]}"  # type: ignore[str-bytes-safe]
        about = {
            "issuer": base,
            "authorization_endpoint": f"{base}/auth",
            "token_endpoint": f"{base}/token",
            "jwks_uri": f"{base}/keys",
        }
        self._answer({"keys": [self.key.as_dict(private=False)]} if self.path == "/keys" else about)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer({"access_token": "x", "token_type": "Bearer", "id_token": type(self).token})

    def _answer(self, body: Any) -> None:
        data = orjson.dumps(body)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def liar(tmp_path: Path) -> Iterator[Settings]:
    server = HTTPServer(("127.0.0.1", 0), _Fake)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    chosen = Oidc(
        issuer=f"http://127.0.0.1:{server.server_address[1]}", client_secret=SecretStr("s"), default_role="viewer"
    )
    yield Settings(data_dir=tmp_path, oidc=chosen)
    server.shutdown()
    server.server_close()


def _come_back(
    settings: Settings, change: dict[str, Any], key: Any = None, header: dict[str, Any] | None = None
) -> oidc.Person:
    address, held = oidc.begin(settings)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    now = int(time.time())
    claims = {
        "iss": settings.oidc.issuer, "aud": "haidang", "sub": "1", "exp": now + 60, "iat": now, "nonce": asked["nonce"],
        "preferred_username": "an", **change,
    }  # fmt: skip
    claims = {name: value for name, value in claims.items() if value is not None}
    _Fake.token = jwt.encode(header or {"alg": "RS256", "kid": "a"}, claims, key or _Fake.key)
    return oidc.finish(settings, held, asked["state"], "code")


def test_a_right_token_names_a_person(liar: Settings) -> None:
    assert _come_back(liar, {}) == oidc.Person(liar.oidc.issuer, "1", "an", "viewer")
    assert _come_back(liar, {"preferred_username": None}).name == "1"


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://evil.example"}, {"aud": "another"}, {"exp": 1}, {"exp": None}, {"nonce": "other"}, {"nonce": None},
        {"sub": None}, {"iat": 99_999_999_999}, {"nbf": 99_999_999_999}, {"aud": ["another", "third"]},
    ],
    ids=str,
)  # fmt: skip
def test_a_token_that_is_not_right_names_nobody(liar: Settings, change: dict[str, Any]) -> None:
    with pytest.raises(HaidangError, match="is not right"):
        _come_back(liar, change)


def test_a_token_that_somebody_else_signed_names_nobody(liar: Settings) -> None:
    with pytest.raises(HaidangError, match="is not right"):
        _come_back(liar, {}, RSAKey.generate_key(2048, {"kid": "a"}))
    with pytest.raises(HaidangError, match="is not right"):  # with a secret that both share, as another kind of token
        _come_back(liar, {}, OctKey.import_key("s" * 40), {"alg": "HS256", "kid": "a"})
    _, held = oidc.begin(liar)
    with pytest.raises(HaidangError, match="not begun"):
        oidc.finish(liar, held, "another state", "code")
    with pytest.raises(HaidangError, match="not begun"):
        oidc.finish(liar, "nonsense", "x", "code")


def test_a_provider_that_is_away_or_somebody_else_is_told(liar: Settings, tmp_path: Path) -> None:
    away = liar.model_copy(update={"oidc": liar.oidc.model_copy(update={"issuer": "http://127.0.0.1:9"})})
    with pytest.raises(Unavailable, match="does not answer"):
        oidc.begin(away)
    other = liar.model_copy(update={"oidc": liar.oidc.model_copy(update={"issuer": liar.oidc.issuer + "/"})})
    with pytest.raises(HaidangError, match="is not the identity provider"):
        oidc.begin(other)
    with pytest.raises(HaidangError, match="No identity provider"):
        oidc.begin(Settings(data_dir=tmp_path))


@pytest.mark.parametrize(
    "issuer", ["http://id.example.vn", "ftp://x", "id.example.vn", "https://x?y", "http://127.0.0.1.evil.example"]
)
def test_a_provider_without_tls_is_refused_in_the_settings(issuer: str) -> None:
    with pytest.raises(ValidationError):
        Oidc(issuer=issuer)


def test_the_page_offers_the_provider_where_there_is_one(
    liar: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with _serve(tmp_path_factory.mktemp("offered"), liar.oidc) as site, site.client() as client:
        assert urlsplit(liar.oidc.issuer).netloc in client.get("/").text
        site.user("local")
        assert client.post("/api/v1/login", json={"name": "local", "password": PASSWORD}).status_code == 200
