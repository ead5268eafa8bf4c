"""`[api]`, `[access]`, `[oidc]`, `[tls]`: who gets in, and how."""

from pathlib import Path

from pydantic import Field, SecretStr

from pipeline.settings.section import Port, Section


class Api(Section):
    host: str = Field("127.0.0.1", description="address of the API and its pages")
    port: Port = Field(8088, description="port of the API and its pages; 0 takes any free one")
    tls: bool | None = Field(None, description="serve HTTPS; when left out, wherever others than this machine reach it")
    session_hours: float = Field(12, gt=0, le=168, description="how long a log-in lasts, in hours")
    lockout_failures: int = Field(5, ge=1, description="failed log-ins that lock an account")
    lockout_minutes: float = Field(15, gt=0, description="how long it stays locked, in minutes")


class Access(Section):
    password_length: int = Field(12, ge=8, le=200, description="the shortest password that may be chosen")
    password_history: int = Field(5, ge=0, le=24, description="the last so many passwords may not be chosen again")
    password_days: float = Field(90, ge=0, description="days after which a new one is asked for at log-in; 0 is never")
    unused_days: float = Field(
        45, ge=0, description="an account that nobody used for so many days is disabled; 0 is never"
    )
    idle_minutes: float = Field(60, gt=0, description="a session in which nobody did anything for so long ends")
    admin_idle_minutes: float = Field(5, gt=0, description="the same for who may change users or settings")
    second_factor_roles: list[str] = Field(
        default_factory=list, description="roles that must have a second factor; it is set up at log-in"
    )
    token_days: float = Field(90, gt=0, le=3650, description="how long a token of the API is good, in days")
    logins_per_minute: int = Field(60, ge=1, description="log-ins that one address may try in a minute")
    requests_per_minute: int = Field(6000, ge=10, description="requests that a user or token may make in a minute")
    key_file: Path | None = Field(
        None, description="key of what the state keeps encrypted; of several machines the same; made when left out"
    )


class Oidc(Section):
    issuer: str = Field(
        "", pattern=r"^(https://[^\s?#]+|http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?(/[^\s?#]*)?|)$",
        description="address of the identity provider, as it calls itself; nobody logs in there when left out",
    )  # fmt: skip
    client_id: str = Field("haidang", max_length=200, description="what we are called there")
    client_secret: SecretStr = Field(SecretStr(""), description="what proves there that it is us")
    site: str = Field(
        "http://127.0.0.1:8088", pattern=r"^https?://[^\s?#]+$",
        description="our own address, as browsers see it; `/api/v1/login/oidc/back` of it is to be allowed there",
    )  # fmt: skip
    ca: Path | None = Field(None, description="PEM file of who signed its certificate; well-known ones when left out")
    scopes: list[str] = Field(default=["profile"], description="what is asked for beside `openid`")
    name_claim: str = Field("preferred_username", description="claim with the name of the person")
    groups_claim: str = Field("groups", description="claim with the groups of the person")
    roles: dict[str, str] = Field(
        default_factory=dict, description="groups and the roles they give; of several the one that stands first"
    )
    default_role: str = Field("", description="role of who is in none of them; nobody gets in when left out")


class Tls(Section):
    certificate: Path | None = Field(None, description="PEM file; made by ourselves at the first start when left out")
    key: Path | None = Field(None, description="PEM file of its key")
