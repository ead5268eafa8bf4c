"""`[indicators]` and `[[indicators.feeds]]`: the part of the settings that says which indicators are looked for."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from pipeline.messages import say
from pipeline.settings.section import Section

FEED_NAME = r"^[a-z0-9][a-z0-9_.-]{0,62}$"
#: The name under which indicators that people add one by one are kept.
LIVE = "live"


class IndicatorFeed(Section):
    """`[[indicators.feeds]]`: one list of indicators, and where it comes from."""

    name: Annotated[str, Field(pattern=FEED_NAME)]
    kind: Literal["file", "directory", "https", "misp", "taxii"] = Field(
        description="`file`, `directory` (all files in it), `https`, a `misp` feed, or a `taxii` 2.1 server"
    )
    path: Path | None = Field(None, description="the file or directory; on several machines the same on each")
    url: str = Field("", description="where it lies, `https://…`; of TAXII a collection, an API root or the discovery")
    format: Literal["auto", "plain", "hosts", "csv", "misp", "stix", "suricata"] = Field(
        "auto", description="`auto` tells it by the content"
    )
    threat: Literal["c2", "malware", "phishing", "mining", "tor", "scanner", "suspicious"] = Field(
        "suspicious", description="what its indicators stand for, where the list does not say it itself"
    )
    confidence: int = Field(50, ge=0, le=100, description="how sure they are, where the list does not say it itself")
    expires_days: float = Field(
        30, ge=0, le=3650, description="days after which one that is no longer in the list ends; 0: never"
    )
    refresh_minutes: float = Field(60, ge=1, le=43_200, description="how often it is looked at, in minutes")
    stale_hours: float = Field(24, gt=0, le=8760, description="hours without a refresh after which there is an alert")
    username: str = Field("", description="user, where the server asks for one")
    password: SecretStr = Field(SecretStr(""), description="its password")
    token: SecretStr = Field(SecretStr(""), description="token, sent as `Authorization: Bearer …`; of MISP as its key")
    ca: Path | None = Field(None, description="PEM file of who signed the server's certificate; else the system's")

    @model_validator(mode="after")
    def _has_place(self) -> "IndicatorFeed":
        if self.kind in ("file", "directory"):
            if self.path is None:
                raise ValueError(say("settings.want_feed_path", name=self.name))
        elif not self.url.startswith("https://"):
            raise ValueError(say("settings.want_feed_url", name=self.name))
        return self

    @field_validator("name")
    @classmethod
    def _is_free(cls, value: str) -> str:
        if value == LIVE:
            raise ValueError(say("settings.feed_reserved", name=value))
        return value


class Indicators(Section):
    """`[indicators]`"""

    feeds: list[IndicatorFeed] = Field(default_factory=list, description="lists of indicators, see below")
    allow: list[str] = Field(
        default_factory=list, description="addresses, networks (CIDR) and domains that never alert"
    )
    allow_files: list[Path] = Field(default_factory=list, description="files with one such entry a line")
    built_in_allow: bool = Field(True, description="also the short list that we ship")
    most: int = Field(
        10_000_000, ge=1000, le=50_000_000, description="indicators of all lists; a list that does not fit is refused"
    )
    retro_days: float = Field(
        30, ge=0, le=36_500, description="days back in which stored events are searched for new indicators; 0: not"
    )
    retro_values: int = Field(
        2000,
        ge=1,
        le=20_000,
        description="new indicators that the store is asked for; for more, stored events are read through",
    )
    retro_events: int = Field(
        5_000_000, ge=1000, description="events that one such reading looks at, the newest first; then it ends"
    )

    @field_validator("feeds")
    @classmethod
    def _names_differ(cls, value: list[IndicatorFeed]) -> list[IndicatorFeed]:
        names = [feed.name for feed in value]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(say("settings.source_twice", names=", ".join(sorted(twice))))
        return value
