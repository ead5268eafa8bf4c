"""`[[sources]]`: where events come from, by kind."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline.settings.kafka import Kafka
from pipeline.settings.section import Port, Section

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
DEFAULT_SOURCES: list[Any] = [
    SyslogSource(udp_port=5514, tcp_port=5514, tls_port=6514),
    HttpSource(),
]
