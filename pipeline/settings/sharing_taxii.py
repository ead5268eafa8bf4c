"""`[sharing.taxii]` and `[[sharing.taxii.peers]]`: what partners read here, what they may send, and whom we read."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from pipeline.messages import say
from pipeline.settings.section import Section

PEER_NAME = r"^[a-z0-9][a-z0-9_.-]{0,62}$"
#: What leaves where nothing else is said: what an attacker has, and nothing of who or what was attacked.
_FIELDS = (
    "@timestamp", "event.end", "alert.count", "rule.id", "rule.name", "rule.level", "tags", "threat.indicator.name",
    "threat.indicator.type", "threat.indicator.confidence", "threat.software.name", "file.hash.md5", "file.hash.sha1",
    "file.hash.sha256", "process.hash.md5", "process.hash.sha1", "process.hash.sha256", "indicator.kind",
    "indicator.value", "indicator.threat", "indicator.confidence", "indicator.expires", "indicator.family",
    "indicator.added", "case.created", "case.changed", "case.level", "case.status", "case.verdict",
)  # fmt: skip


class Peer(Section):
    """`[[sharing.taxii.peers]]`: a partner's TAXII 2.1 server."""

    name: str = Field(pattern=PEER_NAME, description="how commands call it, as a source's name")
    url: str = Field(description="a collection, an API root, or the discovery of the server, `https://…`")
    collection: str = Field("", description="id, alias or title of the collection, where `url` is none")
    username: str = Field("", description="user, where the server asks for one")
    password: SecretStr = Field(SecretStr(""), description="its password")
    token: SecretStr = Field(SecretStr(""), description="token, sent as `Authorization: Bearer …`")
    ca: Path | None = Field(None, description="PEM file of who signed the server's certificate; else the system's")
    certificate: Path | None = Field(None, description="PEM file with our certificate, where the server asks for one")
    key: Path | None = Field(None, description="PEM file with its key")
    timeout_seconds: float = Field(60, gt=0, le=3600, description="how long one request may take, in seconds")
    max_mb: int = Field(100, ge=1, le=10_000, description="megabytes that one reading brings at the most")

    @field_validator("url")
    @classmethod
    def _is_https(cls, value: str) -> str:
        if not value.startswith("https://"):
            raise ValueError(say("settings.want_https_address", value=value[:100]))
        return value

    @model_validator(mode="after")
    def _certificate_has_key(self) -> "Peer":
        if (self.certificate is None) != (self.key is None):
            raise ValueError(say("settings.want_certificate_and_key", name=self.name))
        return self


class Taxii(Section):
    """`[sharing.taxii]`"""

    title: str = Field("", description="name of this site as partners read it; left out, the organization's")
    contact: str = Field("", description="whom partners ask")
    tlp: Literal["clear", "green", "amber", "amber+strict", "red"] = Field(
        "amber", description="Traffic Light Protocol of what is published where the command does not say it"
    )
    fields: list[str] = Field(
        default_factory=lambda: list(_FIELDS), description="fields that may leave; all others never do"
    )
    warnings: bool = Field(
        False, description="what partners add to the collection `inbox` is taken for [warnings](sharing.md)"
    )
    page_size: int = Field(1000, ge=1, le=10_000, description="objects of one answer at the most")
    max_content_mb: int = Field(10, ge=1, le=100, description="megabytes of what partners send at once")
    max_objects: int = Field(10_000, ge=1, le=100_000, description="objects that partners send at once")
    collection_objects: int = Field(
        2_000_000, ge=1000, description="objects of a collection; what goes past it is refused"
    )
    keep_days: float = Field(400, ge=1, description="days after which what was added leaves a collection")
    peers: list[Peer] = Field(default_factory=list, description="servers of partners, see below")

    @field_validator("peers")
    @classmethod
    def _names_differ(cls, value: list[Peer]) -> list[Peer]:
        names = [peer.name for peer in value]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(say("settings.name_twice", names=", ".join(sorted(twice))))
        return value
