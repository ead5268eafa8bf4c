"""Settings: one TOML file and `HAIDANG_*` variables enter, a typed, checked object leaves, read once at start.

Environment over file over default. The file is `HAIDANG_CONFIG`, else `haidang.toml` in the data directory.
`HAIDANG_API__PORT=9000` is `[api] port`. `docs/settings.md` lists them all (a test holds it to this file).
"""

import difflib
import json
import os
import re
import socket
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

from pydantic import (
    BaseModel,
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from pipeline.messages import HaidangError, say
from pipeline.settings_behaviours import Behaviours, Section, valid_networks
from pipeline.settings_delivery import CHANNELS, Channel, Delivery, Route, Shift
from pipeline.settings_file import default_data_dir, settings_file
from pipeline.settings_indicators import IndicatorFeed, Indicators
from pipeline.settings_kafka import Kafka
from pipeline.settings_sharing import Sharing
from pipeline.settings_sharing_taxii import Peer
from pipeline.toml_faults import toml_fault

__all__ = [
    "CANARY",
    "RESERVED_SOURCES",
    "SOURCES",
    "SOURCE_NAME",
    "Access",
    "Api",
    "Behaviours",
    "Bus",
    "Canary",
    "Delivery",
    "FilesSource",
    "HttpSource",
    "IndicatorFeed",
    "Indicators",
    "KafkaSource",
    "NetflowSource",
    "NetworkSource",
    "Oidc",
    "Peer",
    "Settings",
    "Sharing",
    "Source",
    "State",
    "Store",
    "SyslogSource",
    "Tls",
    "UnixSource",
    "Watch",
    "default_data_dir",
    "load_settings",
    "settings_file",
]

Port = Annotated[int, Field(ge=0, le=65535)]
#: What the pipeline itself counts under in the ledger; no source of events may be called so.
CANARY = "haidang.canary"
RESERVED_SOURCES = frozenset(("alerts", "haidang", CANARY))
SOURCE_NAME = r"^[a-z0-9][a-z0-9_.-]{0,62}$"
SourceName = Annotated[str, Field(pattern=SOURCE_NAME)]


class SyslogSource(Section):
    """A syslog listener. A port of 0 takes any free one; leave a port out to not listen there."""

    name: SourceName = "syslog"
    kind: Literal["syslog"] = "syslog"
    host: str = Field("0.0.0.0", description="address to listen on")  # noqa: S104 - devices of the site send to it
    udp_port: Port | None = Field(None, description="UDP port (RFC 5426)")
    tcp_port: Port | None = Field(None, description="TCP port, both framings of RFC 6587")
    tls_port: Port | None = Field(None, description="TLS port (RFC 5425)")
    dataset: str | None = Field(None, description="decoder of the message; found by content when left out")
    timezone: str = Field("local", description="zone of time stamps without an offset: a name, `UTC` or `local`")
    encoding: str = Field("auto", description="auto, utf-8, utf-16, windows-1258, tcvn3, vni …")
    max_connections: int = Field(2000, ge=1, description="TCP and TLS connections at once; more are refused")


class FilesSource(Section):
    """Files that grow, by pattern; also `.evtx` files."""

    name: SourceName
    kind: Literal["files"] = "files"
    paths: list[str] = Field(min_length=1, description="glob patterns, `**` for any depth")
    dataset: str | None = Field(None, description="decoder; found by content when left out")
    timezone: str = Field("local", description="zone of time stamps without an offset")
    encoding: str = Field("auto", description="as for syslog")
    multiline: str | None = Field(None, description="regular expression of a record's first line; others are joined")
    from_start: bool = Field(True, description="read files found for the first time from their start")
    poll_seconds: float = Field(1.0, gt=0, le=60, description="how often the files are looked at")


class HttpSource(Section):
    """JSON lines (or a JSON array) by HTTP POST to `/v1/events`, a token for each sender."""

    name: SourceName = "http"
    kind: Literal["http"] = "http"
    host: str = Field("0.0.0.0", description="address to listen on")  # noqa: S104 - devices of the site send to it
    port: Port = Field(8089, description="port to listen on")
    tls: bool = Field(False, description="serve HTTPS with the certificate of `[tls]`")
    dataset: str | None = Field(None, description="decoder of lines that are no JSON")
    timezone: str = Field("local", description="zone of time stamps without an offset")
    encoding: str = Field("auto", description="as for syslog")
    max_request_bytes: int = Field(64_000_000, ge=1000, description="a request's size after unpacking, in bytes")


class KafkaSource(Kafka):
    """A topic of Kafka that other programs write, one event a record."""

    name: SourceName
    kind: Literal["kafka"] = "kafka"
    topic: str = Field(pattern=r"^[A-Za-z0-9._-]{1,100}$", description="the topic's name")
    canary: bool = Field(False, description="write our canaries into the topic, too; its other readers see them")
    from_start: bool = Field(True, description="begin with the oldest record; else with those that come from now on")
    dataset: str | None = Field(None, description="decoder; found by content when left out")
    timezone: str = Field("local", description="zone of time stamps without an offset")
    encoding: str = Field("auto", description="as for syslog")


class UnixSource(Section):
    """A socket of this machine to which another program writes lines: Suricata's EVE."""

    name: SourceName
    kind: Literal["unix"] = "unix"
    path: Path = Field(description="the socket's path; its folder must be there")
    type: Literal["stream", "datagram"] = Field(
        "stream", description="as the writer has it: `unix_stream`, `unix_dgram`"
    )
    mode: str = Field("660", pattern=r"^[0-7]{3}$", description="who may write to it, in octal digits")
    dataset: str | None = Field(None, description="decoder; found by content when left out")
    timezone: str = Field("local", description="zone of time stamps without an offset")
    encoding: str = Field("auto", description="as for syslog")


class NetflowSource(Section):
    """NetFlow v5, v9 and IPFIX over UDP."""

    name: SourceName = "netflow"
    kind: Literal["netflow"] = "netflow"
    host: str = Field("0.0.0.0", description="address to listen on")  # noqa: S104 - devices of the site send to it
    port: Port = Field(2055, description="UDP port; many exporters send to 2055, IPFIX to 4739")
    sampling: int = Field(
        1, ge=1, le=1_000_000, description="one packet in so many is counted, where the exporter does not say it"
    )
    pair_seconds: float = Field(
        5, ge=0, le=300, description="how long a flow waits for its other direction, in seconds; 0: not at all"
    )
    wait_minutes: float = Field(
        30, ge=0, le=1440, description="how long records wait for their template, in minutes; then they are dropped"
    )
    template_hours: float = Field(
        12, gt=0, le=720, description="hours after which a template that was not renewed is forgotten"
    )


class NetworkSource(Section):
    """What goes over network interfaces, such as the mirror port of a switch: connections and what they say."""

    name: SourceName = "network"
    kind: Literal["network"] = "network"
    interfaces: list[str] = Field(min_length=1, description="interfaces to watch, as `ip link` names them")
    promiscuous: bool = Field(True, description="also see what is for other machines")
    ring_mb: int = Field(32, ge=2, le=4096, description="memory of an interface for packets that wait, in MB")
    max_flows: int = Field(200_000, ge=1000, le=10_000_000, description="connections at once; of more, the oldest end")
    rules: list[Path] = Field(
        default_factory=lambda: [Path("haidang")],
        description="[packet rules](packet-rules.md): files, folders (their `*.rules`), patterns; `haidang`: ours",
    )
    variables: dict[str, str] = Field(
        default_factory=dict, description="packet rules: variables such as `HOME_NET`, beside those of Suricata"
    )
    filter: str = Field("", max_length=2000, description="only packets that this filter takes, written as for tcpdump")
    fanout: int | None = Field(
        None, ge=0, le=65_535, description="processes with the same number share an interface, each flow whole in one"
    )
    evidence_mb: int = Field(
        200,
        ge=0,
        le=1_000_000,
        description="megabytes of packets recorded of each interface for alerts to come; 0: none",
    )
    evidence_kept_mb: int = Field(
        500, ge=1, le=1_000_000, description="megabytes of packets kept with alerts, in all; the oldest go first"
    )


Source = Annotated[
    SyslogSource | FilesSource | HttpSource | KafkaSource | UnixSource | NetflowSource | NetworkSource,
    Field(discriminator="kind"),
]
#: Every kind of source, in the order of the docs.
SOURCES = (SyslogSource, FilesSource, HttpSource, KafkaSource, UnixSource, NetflowSource, NetworkSource)


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


class Bus(Kafka):
    kind: Literal["sqlite", "kafka"] = Field("sqlite", description="`sqlite`: files of the data directory; or `kafka`")
    limit_mb: int = Field(2000, ge=10, description="unread compressed megabytes of a topic before intake is held")
    topic_prefix: str = Field(
        "haidang.", pattern=r"^[A-Za-z0-9._-]{0,100}$", description="Kafka: what our topics' names begin with"
    )
    partitions: int = Field(6, ge=1, le=10_000, description="Kafka: partitions of a topic that we make")
    replicas: int = Field(1, ge=1, le=10, description="Kafka: copies of a topic that we make; 3 on a cluster")
    retention_hours: float = Field(
        168, gt=0, description="Kafka: hours after which a topic that we make drops what nobody has read"
    )


_POSTGRESQL = re.compile(r"postgres(ql)?://[^/\s]*/[^/?#\s]+(\?\S*)?")


class State(Section):
    url: SecretStr = Field(
        SecretStr(""),
        description="PostgreSQL as `postgresql://user:password@host/database`; a file of the data directory when empty",
    )

    @field_validator("url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not _POSTGRESQL.fullmatch(value.get_secret_value()):
            raise ValueError(say("settings.want_postgresql"))
        return value


class Store(Section):
    kind: Literal["tantivy", "elasticsearch"] = Field(
        "tantivy", description="`tantivy`: files of the data directory; or `elasticsearch`"
    )
    retention_days: int = Field(
        400, ge=1, description="days that an event is kept, counted from the later of its time and its receipt"
    )
    max_gb: float = Field(
        0, ge=0, description="gigabytes of all events, above which the oldest go, if the level allows it; 0: no limit"
    )
    commit_seconds: float = Field(
        1.0, gt=0, le=60, description="events are searchable at the latest this many seconds after they come"
    )
    memory_mb: int = Field(100, ge=20, le=4000, description="memory of the index writer, in megabytes")
    urls: list[str] = Field(default_factory=list, description="Elasticsearch: its nodes, as `https://host:9200`")
    index_prefix: str = Field(
        "haidang-", pattern=r"^[a-z0-9][a-z0-9._-]{0,100}$", description="Elasticsearch: how our indexes' names begin"
    )
    shards: int = Field(1, ge=1, le=1000, description="Elasticsearch: primary shards of a day's index")
    replicas: int = Field(1, ge=0, le=10, description="Elasticsearch: copies of each shard; 0 with a single node")
    ca: Path | None = Field(None, description="Elasticsearch: PEM file of who signed the nodes' certificates")
    api_key: SecretStr = Field(SecretStr(""), description="Elasticsearch: API key; better as HAIDANG_STORE__API_KEY")
    username: str = Field("", description="Elasticsearch: user, where no API key is set")
    password: SecretStr = Field(SecretStr(""), description="Elasticsearch: password; better as HAIDANG_STORE__PASSWORD")


class Detectors(Section):
    rules: list[Path] = Field(
        default_factory=list, description="folders of Sigma rules; the rules we ship when left out"
    )
    lateness_seconds: float = Field(
        300, ge=0, le=86_400, description="correlations: how late an event may come and still take part, in seconds"
    )
    correlation_groups: int = Field(
        100_000, ge=100, description="correlations: groups that each rule holds; the one longest without an event goes"
    )
    correlation_events: int = Field(
        10_000, ge=100, description="correlations: events that each group holds; the oldest go"
    )
    correlation_evidence_mb: int = Field(
        200, ge=1, description="correlations: megabytes of events that are held to be shown in alerts"
    )
    sensor_alerts: list[str] = Field(
        default_factory=lambda: ["network.alert", "suricata.alert", "zeek.notice"],
        description="data sets whose own alerts become alerts; an empty list turns it off",
    )
    behaviours: Behaviours = Field(default_factory=Behaviours)


class Canary(Section):
    minutes: float = Field(
        5, ge=0, le=1440, description="how often a canary goes through each input, in minutes; 0 sends none"
    )
    late_seconds: float = Field(60, gt=0, le=3600, description="seconds after which one not through is an alert")


class Watch(Section):
    quiet_sources: bool = Field(True, description="a source that is silent against its habit is an alert")
    clock_seconds: float = Field(60, gt=0, description="a host whose clock is off by more seconds is an alert")


class Queue(Section):
    """`[queue]`"""

    group_hours: float = Field(
        24, gt=0, le=720, description="alerts of a rule about an entity are one group if none comes so much later"
    )
    risk_alert: int = Field(
        250, ge=0, description="risk of an entity within 24 hours from which on it is an alert; 0: never"
    )
    daily_budget: int = Field(
        40, ge=1, description="groups of alerts that an analyst can look into in a day; what goes past it is listed"
    )
    analysts: int = Field(1, ge=1, description="analysts that are on duty in a day")
    keep_days: float = Field(
        400, ge=1, description="days after which closed groups leave the queue; never before the level lets events go"
    )


class Cases(Section):
    """`[cases]`"""

    notice_hours: float = Field(24, gt=0, description="hours from the detection within which the first notice is due")
    report_hours: float = Field(72, gt=0, description="hours from the detection within which the report is due")
    warn_hours: float = Field(4, ge=0, description="hours before either is due, in which it is an alert")
    file_mb: int = Field(20, ge=1, le=60, description="megabytes of a file in a case; of all its files 20 times that")


class Devices(Section):
    """`[devices]`"""

    enabled: bool = Field(True, description="whether devices are told apart by what is seen of them")
    most: int = Field(50_000, ge=100, le=5_000_000, description="devices that are known at a time")
    keep_days: float = Field(400, ge=1, description="a device that was not seen for so many days is forgotten")
    units: dict[str, list[str]] = Field(
        default_factory=dict, description="units of the organization, each with its networks (CIDR)"
    )

    @field_validator("units")
    @classmethod
    def _are_networks(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        for networks in value.values():
            valid_networks(networks)
        return value


class Limits(Section):
    decode_bytes: int = Field(131_072, ge=1000, le=500_000, description="a longer line is cut, in bytes")
    dead_letter_mb: int = Field(
        100, ge=1, le=100_000, description="megabytes of lines that could not be stored, kept for `haidang deadletter`"
    )
    udp_buffer_mb: int = Field(
        500, ge=1, le=1_000_000, description="megabytes of a source's datagrams that wait on the disk to be decoded"
    )
    disk_reserve_mb: int = Field(
        1000, ge=1, le=10_000_000, description="megabytes of the disk that stay free: with less, intake is held"
    )


_PREFIX = "haidang_"
_DEFAULT_SOURCES: list[Any] = [
    SyslogSource(udp_port=5514, tcp_port=5514, tls_port=6514),
    HttpSource(),
]


class Settings(BaseSettings):
    """All settings of one data directory."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
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
    sources: list[Source] = Field(default_factory=lambda: list(_DEFAULT_SOURCES), description="where events come from")
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

    @field_validator("channels")
    @classmethod
    def _channels_differ(cls, value: list[Channel]) -> list[Channel]:
        _no_name_twice([channel.name for channel in value], "settings.name_twice")
        return value

    @model_validator(mode="wrap")
    @classmethod
    def _lead_somewhere(cls, given: Any, read: ModelWrapValidatorHandler["Settings"]) -> "Settings":
        """Look at where shifts and routes lead, whatever else is wrong: all faults are told at once."""
        found: list[Any] = []
        try:
            settings = read(given)
        except ValidationError as error:
            found = list(error.errors())
        if isinstance(given, Mapping):
            found += _leading_nowhere(given)
        if found:
            raise ValidationError.from_exception_data(cls.__name__, found)
        return settings

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("sources")
    @classmethod
    def _names_differ(cls, value: list[Source]) -> list[Source]:
        names = [source.name for source in value]
        _no_name_twice(names, "settings.source_twice")
        if taken := RESERVED_SOURCES.intersection(names):
            raise ValueError(say("settings.source_reserved", names=", ".join(sorted(taken))))
        return value

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


def _no_name_twice(names: list[str], key: str) -> None:
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(say(key, names=", ".join(sorted(twice))))


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
                    fault = ValueError(_no_such(name, wanted, known[wanted]))
                    place = (section, number, setting)
                    yield {"type": "value_error", "loc": place, "input": name, "ctx": {"error": fault}}


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


def load_settings() -> Settings:
    """Read the settings.

    Raises:
        HaidangError: every fault at once, each with its place, its value and what was expected.
    """
    file = settings_file()
    settings, faults = read_settings()
    if settings is None or faults:
        raise HaidangError("settings.invalid", file=file, faults="\n".join(f"  {fault}" for fault in faults))
    return settings


def read_settings() -> tuple[Settings | None, list[str]]:
    """Return the settings, where they are some, and every fault in them as a sentence that begins with its place.

    Raises:
        HaidangError: the file is not there or no TOML, or the data directory is none.
    """
    file = settings_file()
    if os.environ.get("HAIDANG_CONFIG") and not file.is_file():
        raise HaidangError("settings.is_folder" if file.is_dir() else "settings.no_file", file=file)
    _check_data_dir(default_data_dir())
    settings = None
    try:
        faults = [*_unknown_variables(), *_misplaced(file)]
        settings = Settings(data_dir=default_data_dir())
    except ValidationError as error:
        faults += [_fault(item) for item in error.errors()]
    except tomllib.TOMLDecodeError as error:
        raise HaidangError("settings.not_toml", file=file, fault=toml_fault(error)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise HaidangError("settings.unreadable", file=file, fault=error) from error
    except SettingsError:
        faults += _not_json()
    return settings, faults


#: Sections that name each other: without one the others say nothing.
_LINKED = frozenset(("channels", "roster", "routes"))


def readable_settings() -> tuple[Settings | None, frozenset[str]]:
    """Return the settings with what stands at the top and has a fault left out, and its names; None where nothing can
    be read.

    Raises:
        HaidangError: as `read_settings`.
    """
    try:
        return Settings(data_dir=default_data_dir()), frozenset()
    except ValidationError as error:
        faulty = frozenset(str(item["loc"][0]) for item in error.errors())
    except SettingsError:
        return None, frozenset()
    faulty |= _LINKED if faulty & _LINKED else frozenset()

    class Readable(Settings):
        @model_validator(mode="wrap")
        @classmethod
        def _lead_somewhere(cls, given: Any, read: ModelWrapValidatorHandler["Readable"]) -> "Readable":
            return read({name: value for name, value in given.items() if name not in faulty})

    return Readable(data_dir=default_data_dir()), faulty


def secret_settings() -> frozenset[str]:
    """Return the places of settings whose values are secrets: `state.url`, `channels.password`; of lists without the
    number."""
    places: list[tuple[str, type[BaseModel]]] = [("", Settings), *_sections(Settings)]
    places += [(place, kind) for place, kinds in _LISTS.items() for kind in kinds]
    return frozenset(
        f"{place}.{name}".lstrip(".")
        for place, section in places
        for name, field in section.model_fields.items()
        if field.annotation in (SecretStr, list[SecretStr])
    )


def _check_data_dir(folder: Path) -> None:
    """Refuse a data directory that is a file, or lies in one; one that is not there yet is made by what needs it."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir():
        raise HaidangError("settings.data_dir_no_folder", folder=folder, there=there)


def _unknown_variables() -> Iterator[str]:
    """Yield a fault for each variable that means a setting and misses it; what pydantic-settings passes over.

    A name that resembles no setting is left alone: Kubernetes makes `HAIDANG_PORT_8088_TCP` and the like of its own.
    """
    known = {*Settings.model_fields, "config"}
    for variable in sorted(os.environ):
        name, nested, _ = variable.lower().removeprefix(_PREFIX).partition("__")
        if variable.lower().startswith(_PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.6 if nested else 0.85)
            if near or nested:
                yield _unknown(variable, [f"{_PREFIX}{close}".upper() for close in near])


def _misplaced(file: Path) -> Iterator[str]:
    """Yield a fault for what the file cannot say: where the file lies."""
    if file.exists() and "data_dir" in tomllib.loads(file.read_text("utf-8")):
        yield say("settings.data_dir_in_file")


def _not_json() -> Iterator[str]:
    """Yield a fault for each variable that should be JSON and is not: those of lists and of whole sections."""
    sections = {name.replace(".", "__"): section for name, section in _sections(Settings)}
    lists = {name for name in _LISTS if "." not in name} | {
        f"{place}__{name}"
        for place, section in sections.items()
        for name, field in section.model_fields.items()
        if get_origin(field.annotation) is list
    }
    for variable, value in sorted(os.environ.items()):
        name = variable.lower().removeprefix(_PREFIX)
        if variable.lower().startswith(_PREFIX) and name in lists | sections.keys():
            try:
                json.loads(value)
            except ValueError:
                yield say("settings.fault", place=variable, value=_shown(value), expected=say("settings.want_json"))


#: The lists of sections, and what each may hold.
_LISTS: dict[str, tuple[type[BaseModel], ...]] = {
    "sources": SOURCES, "indicators.feeds": (IndicatorFeed,), "channels": CHANNELS, "routes": (Route,),
    "roster": (Shift,), "sharing.taxii.peers": (Peer,),
}  # fmt: skip
#: Our words for pydantic's kinds of fault.
_EXPECTED = {
    "int_parsing": "settings.want_int", "int_type": "settings.want_int", "int_from_float": "settings.want_int",
    "float_parsing": "settings.want_number", "float_type": "settings.want_number",
    "finite_number": "settings.want_number", "int_parsing_size": "settings.want_int",
    "bool_parsing": "settings.want_bool", "bool_type": "settings.want_bool",
    "string_type": "settings.want_text", "path_type": "settings.want_text", "list_type": "settings.want_list",
    "missing": "settings.want_value", "too_short": "settings.want_value", "literal_error": "settings.want_one_of",
    "greater_than_equal": "settings.want_ge", "less_than_equal": "settings.want_le", "greater_than": "settings.want_gt",
    "union_tag_invalid": "settings.want_kind", "union_tag_not_found": "settings.want_kind",
    "string_pattern_mismatch": "settings.want_name", "model_type": "settings.want_section",
    "model_attributes_type": "settings.want_section", "string_too_long": "settings.want_shorter",
    "string_too_short": "settings.want_longer", "too_long": "settings.want_fewer", "dict_type": "settings.want_section",
}  # fmt: skip


def faults_of(error: ValidationError, meant: Callable[[tuple[Any, ...]], list[str]]) -> list[str]:
    """Return every fault of a table in a file of its own; `meant` says which name an unknown one may stand for."""
    return [_fault(item, meant) for item in error.errors()]


def _fault(item: Any, meant: Callable[[tuple[Any, ...]], list[str]] | None = None) -> str:
    loc = item["loc"]
    place = _place_of(loc)
    if item["type"] == "extra_forbidden":
        return _unknown(place, (meant or _meant)(loc))
    context = item.get("ctx", {})
    key = _EXPECTED.get(item["type"])
    if item["type"] == "value_error":
        return f"{place}: {context['error']}"
    limits = {"limit": _kinds(loc)} if key == "settings.want_kind" else _limits(context)
    expected = say(key, **limits) if key else item["msg"]
    value = "-" if item["type"] == "missing" else _shown_at(loc, item["input"])  # else what stands around it
    return say("settings.fault", place=place, value=value, expected=expected)


def _place_of(loc: tuple[Any, ...]) -> str:
    """Return a place as files name it: where entries of a list have kinds, pydantic names theirs behind the number."""
    section = next((name for name, kinds in _LISTS.items() if name == loc[0] and len(kinds) > 1), None)
    return ".".join(str(part) for number, part in enumerate(loc) if section is None or number != 2)


def _kinds(loc: tuple[Any, ...]) -> str:
    """Return the kinds that a list's entries may have."""
    kinds = _LISTS[next(name for name in _LISTS if name == loc[0])]
    return ", ".join(str(kind.model_fields["kind"].default) for kind in kinds)


#: Settings whose values are secrets, also where they are no text and so are refused.
_SECRETS = ("password", "token", "secrets", "url", "api_key", "client_secret")


def _shown_at(loc: tuple[Any, ...], value: Any) -> str:
    """Show a value; of what may be a secret, also within a section, that there is one."""
    if isinstance(value, dict):
        return _shown({name: "…" if name in _SECRETS else each for name, each in value.items()})
    return "…" if any(part in _SECRETS for part in loc) else _shown(value)


def _unknown(place: str, near: list[str]) -> str:
    hint = say("settings.did_you_mean", name=near[0]) if near else ""
    return say("settings.unknown", place=place, hint=hint)


def _limits(context: dict[str, Any]) -> dict[str, Any]:
    limit = next((context[name] for name in ("ge", "le", "gt", "expected", "max_length") if name in context), "")
    return {"limit": str(limit).replace(" or ", ", ")}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _meant(loc: tuple[Any, ...]) -> list[str]:
    """Return the setting that a misspelt or misplaced one means, if any; one of another section with its section."""
    name, section = str(loc[-1]), _section_of(loc)
    known = _known_names()
    elsewhere = {each: place for place, names in reversed(known.items()) if place != section for each in names}
    if name not in elsewhere and (near := difflib.get_close_matches(name, known[section], n=1)):
        return near
    near = difflib.get_close_matches(name, elsewhere, n=1)
    return [f"{elsewhere[each]}.{each}".lstrip(".") for each in near]


def _known_names() -> dict[str, list[str]]:
    """Return the settings of each section, of one in another by both names; those at the top under ""."""
    sections = {name: list(section.model_fields) for name, section in _sections(Settings)}
    lists = {place: sorted({name for kind in kinds for name in kind.model_fields}) for place, kinds in _LISTS.items()}
    return {"": list(Settings.model_fields), **sections, **lists}


def _section_of(loc: tuple[Any, ...]) -> str:
    """Return the section of a setting's place, of a list the list: `sources` of `sources.0.syslog.port`."""
    place = ".".join(map(str, loc[:-1]))
    return next((name for name in _LISTS if place.startswith(f"{name}.")), place)


def _sections(of: type[BaseModel], above: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield every section with its name."""
    for name, field in of.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield f"{above}{name}", field.annotation
            yield from _sections(field.annotation, f"{above}{name}.")
