"""Log-in by the organization's own identity provider (OpenID Connect Core 1.0): a browser is sent there with a request
of our own, and the code that it brings back becomes a user of ours with the role of their groups.

Authorization code flow with PKCE (RFC 7636), state and nonce. The provider's answers are untrusted until the signature
of the ID token, its issuer, audience, times and nonce are right; they are bounded in size and time.
"""

import secrets
import ssl
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlsplit

import httpx
import orjson
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri  # type: ignore[import-untyped]
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
from cryptography.fernet import InvalidToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from pipeline.identity.second_factor import cipher
from pipeline.messages import HaidangError, Unavailable
from pipeline.settings import Settings

#: How long somebody has for the log-in at the provider, in seconds.
LASTS = 600
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "Ed25519")
_TIMEOUT = httpx.Timeout(10.0)
_MOST_BYTES = 1_000_000
#: Clocks of the provider and of ours may be off by so many seconds.
_LEEWAY = 60
_MOST_GROUPS = 10_000
#: Of a state, a nonce and a verifier (RFC 7636 section 7.1 asks for 32 bytes and more).
_RANDOM_BYTES = 48


@dataclass(frozen=True, slots=True)
class Person:
    """Whom the provider has named: `subject` is theirs for ever, `name` is what they are called there."""

    issuer: str
    subject: str
    name: str
    role: str


def begin(settings: Settings) -> tuple[str, str]:
    """Return the address at the provider to which a browser is sent, and what it must bring back, sealed.

    Raises:
        Unavailable: the provider does not answer.
        HaidangError: it is not set, or what it says of itself is no provider's.
    """
    chosen = settings.oidc
    with _client(settings) as client:
        about = _about(client, settings)
    state, nonce, verifier = (secrets.token_urlsafe(_RANDOM_BYTES) for _ in range(3))
    address = prepare_grant_uri(
        about["authorization_endpoint"], chosen.client_id, "code", _back(settings), ["openid", *chosen.scopes], state,
        nonce=nonce, code_challenge=create_s256_code_challenge(verifier), code_challenge_method="S256",
    )  # fmt: skip
    held = {"state": state, "nonce": nonce, "verifier": verifier, "until": time.time() + LASTS}
    return str(address), cipher(settings).encrypt(orjson.dumps(held)).decode()


def finish(settings: Settings, sealed: str, state: str, code: str) -> Person:
    """Return who has come back with a code.

    Raises:
        Unavailable: the provider does not answer.
        HaidangError: this browser did not begin the log-in, it took too long, the provider refuses the code, or the ID
            token is not right; or none of the person's groups has a role.
    """
    held = _opened(settings, sealed)
    if not secrets.compare_digest(str(held.get("state", "")).encode(), state.encode()):
        raise HaidangError("oidc.not_begun")
    with _client(settings) as client:
        about = _about(client, settings)
        try:
            answer = _exchanged(client, settings, about["token_endpoint"], code, held["verifier"])
            token = str(answer.get("id_token", ""))
            decoded = jwt.decode(token, _keys(client, about["jwks_uri"]), algorithms=_ALGORITHMS)
            claims = _checked(settings, decoded, held["nonce"], answer.get("access_token", ""))
        except httpx.HTTPError as error:
            raise Unavailable("oidc.no_answer", issuer=settings.oidc.issuer, fault=error) from error
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise HaidangError("oidc.bad_token", fault=str(error)[:300] or type(error).__name__) from error
    name = str(claims.get(settings.oidc.name_claim) or claims["sub"])
    return Person(settings.oidc.issuer, str(claims["sub"])[:255], name[:100], role_of(settings, claims))


def role_of(settings: Settings, claims: dict[str, Any]) -> str:
    """Return the role of somebody's groups: the first of `[oidc] roles` that they are in.

    Raises:
        HaidangError: they are in none, and no role is for everybody.
    """
    groups = claims.get(settings.oidc.groups_claim)
    held = set(map(str, groups[:_MOST_GROUPS])) if isinstance(groups, list) else {str(groups)} if groups else set()
    for group, role in settings.oidc.roles.items():
        if group in held:
            return role
    if settings.oidc.default_role:
        return settings.oidc.default_role
    raise HaidangError("oidc.no_role", groups=", ".join(sorted(held))[:300] or "-")


def _checked(settings: Settings, token: jwt.Token, nonce: str, access_token: str) -> CodeIDToken:
    """Return the claims of an ID token whose signature is right (OpenID Connect Core section 3.1.3.7)."""
    chosen = settings.oidc
    claims = CodeIDToken(
        token.claims,
        token.header,
        options={
            "iss": {"essential": True, "value": chosen.issuer}, "aud": {"essential": True, "value": chosen.client_id},
            "sub": {"essential": True}, "nonce": {"essential": True, "value": nonce},
        },
        params={"nonce": nonce, "client_id": chosen.client_id, "access_token": access_token},
    )  # fmt: skip
    claims.validate(leeway=_LEEWAY)
    return claims


def _client(settings: Settings) -> httpx.Client:
    chosen = settings.oidc
    if not chosen.issuer:
        raise HaidangError("oidc.not_set")
    verify = ssl.create_default_context(cafile=str(chosen.ca)) if chosen.ca else True
    return httpx.Client(timeout=_TIMEOUT, follow_redirects=False, verify=verify, trust_env=False)


def _back(settings: Settings) -> str:
    """Return the address to which the provider sends browsers back."""
    return f"{settings.oidc.site.rstrip('/')}/api/v1/login/oidc/back"


def _exchanged(client: httpx.Client, settings: Settings, address: str, code: str, verifier: str) -> dict[str, Any]:
    """Return the provider's tokens for a code (RFC 6749 section 4.1.3)."""
    chosen = settings.oidc
    given = {
        "grant_type": "authorization_code", "code": code, "redirect_uri": _back(settings), "code_verifier": verifier,
    }  # fmt: skip
    auth = httpx.BasicAuth(quote_plus(chosen.client_id), quote_plus(chosen.client_secret.get_secret_value()))
    with client.stream("POST", address, data=given, auth=auth) as answer:
        found = _object(answer)
    if "id_token" not in found:
        raise ValueError(f"{found.get('error', 'no id_token')}: {found.get('error_description', '')}"[:300])
    return found


def _about(client: httpx.Client, settings: Settings) -> dict[str, Any]:
    """Return what the provider says of itself (OpenID Connect Discovery 1.0)."""
    issuer = settings.oidc.issuer
    try:
        about = _read(client, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    except httpx.HTTPError as error:
        raise Unavailable("oidc.no_answer", issuer=issuer, fault=error) from error
    except ValueError as error:
        raise HaidangError("oidc.no_provider", issuer=issuer, fault=str(error)[:200]) from error
    needed = ("authorization_endpoint", "token_endpoint", "jwks_uri")
    if about.get("issuer") != issuer or not all(_is_safe(str(about.get(name, ""))) for name in needed):
        raise HaidangError("oidc.no_provider", issuer=issuer, fault=f"issuer {str(about.get('issuer'))[:200]!r}")
    return about


def _read(client: httpx.Client, address: str) -> dict[str, Any]:
    """Return the JSON object at an address of the provider."""
    with client.stream("GET", address) as answer:
        answer.raise_for_status()
        return _object(answer)


def _object(answer: httpx.Response) -> dict[str, Any]:
    """Return the JSON object of an answer, bounded in size."""
    data = b""
    for part in answer.iter_bytes():
        data += part
        if len(data) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES} bytes")
    found = orjson.loads(data)
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found


def _keys(client: httpx.Client, address: str) -> KeySet:
    found: Any = _read(client, address)
    return KeySet.import_key_set(found)


def _is_safe(address: str) -> bool:
    """Say whether what goes to an address is read by nobody on the way."""
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1"))


def _opened(settings: Settings, sealed: str) -> dict[str, Any]:
    try:
        held: dict[str, Any] = orjson.loads(cipher(settings).decrypt(sealed.encode(), ttl=LASTS))
    except (InvalidToken, ValueError) as error:
        raise HaidangError("oidc.not_begun") from error
    return held
