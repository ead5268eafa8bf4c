"""All settings of a data directory as one object: sections enter, which may name each other, a checked whole leaves."""

import difflib
import socket
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ModelWrapValidatorHandler, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from pipeline.messages import say
from pipeline.settings.access import Access, Api, Oidc, Tls
from pipeline.settings.delivery import Channel, Delivery, Route, Shift
from pipeline.settings.detection import Canary, Detectors, Devices, Watch
from pipeline.settings.indicators import Indicators
from pipeline.settings.queue import Cases, Queue
from pipeline.settings.services import Bus, Limits, State, Store
from pipeline.settings.sharing import Sharing
from pipeline.settings.sources import DEFAULT_SOURCES, RESERVED_SOURCES, SOURCES, Source
from pipeline.settings_file import settings_file

PREFIX = "haidang_"


class Settings(BaseSettings):
    """All settings of one data directory."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    data_dir: Path = Field(description="where everything is kept (only from the environment: HAIDANG_DATA_DIR)")
    language: Literal["auto", "vi", "en"] = Field("auto", description="language of commands, pages and messages")
    organization: str = Field("vn", description="`organization.id` of this site's events")
    observer: str = Field(default_factory=socket.gethostname, description="`observer.name` of this machine's events")
    level: int | None = Field(
        None, ge=1, le=5, description="level of the information system, which demands how long events are kept"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="detail of the program's own log"
    )
    sources: list[Source] = Field(default_factory=lambda: list(DEFAULT_SOURCES), description="where events come from")
    api: Api = Field(default_factory=Api)
    access: Access = Field(default_factory=Access)
    oidc: Oidc = Field(default_factory=Oidc)
    tls: Tls = Field(default_factory=Tls)
    bus: Bus = Field(default_factory=Bus)
    state: State = Field(default_factory=State)
    store: Store = Field(default_factory=Store)
    detectors: Detectors = Field(default_factory=Detectors)
    indicators: Indicators = Field(default_factory=Indicators)
    canary: Canary = Field(default_factory=Canary)
    watch: Watch = Field(default_factory=Watch)
    queue: Queue = Field(default_factory=Queue)
    cases: Cases = Field(default_factory=Cases)
    devices: Devices = Field(default_factory=Devices)
    limits: Limits = Field(default_factory=Limits)
    sharing: Sharing = Field(default_factory=Sharing)
    delivery: Delivery = Field(default_factory=Delivery)
    channels: list[Channel] = Field(default_factory=list, description="ways to reach people and other systems")
    roster: list[Shift] = Field(default_factory=list, description="who is on duty when")
    routes: list[Route] = Field(default_factory=list, description="which alerts go to which channels")

    @model_validator(mode="wrap")
    @classmethod
    def _look_at_names(cls, given: Any, read: ModelWrapValidatorHandler["Settings"]) -> "Settings":
        """Look at the names that sections have and lead to, whatever else is wrong: all faults are told at once."""
        found: list[Any] = []
        try:
            settings = read(given)
        except ValidationError as error:
            found = list(error.errors())
        if isinstance(given, Mapping):
            found += [*_named_wrongly(given), *_leading_nowhere(given)]
        if found:
            raise ValidationError.from_exception_data(cls.__name__, found)
        return settings

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del dotenv_settings, file_secret_settings
        file = settings_file()
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=file))


#: What sources are called that say only their kind.
_SOURCE_NAMES = {kind.model_fields["kind"].default: kind.model_fields["name"].default for kind in SOURCES}


def _named_wrongly(given: Mapping[str, Any]) -> Iterator[InitErrorDetails]:
    """Yield a fault for names that two channels or two sources share, and for sources called as the pipeline itself."""
    channels = _names(_said(each, "name", "") for each in _entries(given, "channels"))
    sources = _names(
        _said(each, "name", _SOURCE_NAMES.get(str(_said(each, "kind", "")))) for each in _entries(given, "sources")
    )
    for section, key, names in (
        ("channels", "settings.name_twice", {name for name, count in channels.items() if count > 1}),
        ("sources", "settings.source_twice", {name for name, count in sources.items() if count > 1}),
        ("sources", "settings.source_reserved", RESERVED_SOURCES & sources.keys()),
    ):
        if names:
            yield _wrong((section,), given[section], say(key, names=", ".join(sorted(names))))


def _names(said: Iterable[Any]) -> Counter[str]:
    return Counter(name for name in said if isinstance(name, str) and name)


def _wrong(place: tuple[int | str, ...], value: Any, text: str) -> InitErrorDetails:
    return {"type": "value_error", "loc": place, "input": value, "ctx": {"error": ValueError(text)}}


#: What names a channel or a roster, and where; of these the last are single names.
_LEADING = (
    ("roster", "channels", "channels"), ("routes", "channels", "channels"), ("routes", "escalate_to", "channels"),
    ("routes", "on_duty", "roster"),
)  # fmt: skip


def _leading_nowhere(given: Mapping[str, Any]) -> Iterator[InitErrorDetails]:
    """Yield a fault for each name that no `[[channels]]` or `[[roster]]` has, of settings as they came: what is wrong
    otherwise keeps its name."""
    channels = [_said(each, "name", "") for each in _entries(given, "channels")]
    rosters = [_said(each, "roster", Shift.model_fields["roster"].default) for each in _entries(given, "roster")]
    known = {"channels": channels, "roster": rosters}
    for section, setting, wanted in _LEADING:
        for number, entry in enumerate(_entries(given, section)):
            said = _said(entry, setting, [])
            for name in said if isinstance(said, list) else [said]:
                if isinstance(name, str) and name and name not in known[wanted]:
                    yield _wrong((section, number, setting), name, _no_such(name, wanted, known[wanted]))


def _entries(given: Mapping[str, Any], section: str) -> list[Any]:
    found = given.get(section)
    return found if isinstance(found, list) else []


def _said(entry: Any, setting: str, otherwise: Any) -> Any:
    """Return what an entry says, which is a table or has been read already."""
    return entry.get(setting, otherwise) if isinstance(entry, Mapping) else getattr(entry, setting, otherwise)


def _no_such(name: str, section: str, known: list[Any]) -> str:
    names = sorted({each for each in known if isinstance(each, str) and each})
    near = difflib.get_close_matches(name, names, n=1)
    hint = say("settings.did_you_mean", name=near[0]) if near else ""
    return say("settings.no_such", name=name, section=section, known=", ".join(names) or "-", hint=hint)
