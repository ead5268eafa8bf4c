"""Settings as read enter; what they name and is not there, or cannot be meant, leaves as sentences.

Apart from the reading of the settings: a stage starts with them all the same, and one bad source stops no other.
"""

import ipaddress
import os
import pwd
import re
import shutil
import socket
import ssl
from collections.abc import Callable, Collection, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from pipeline.delivery.files import program_of, scripts_of, template_of, templates_of
from pipeline.messages import HaidangError, say
from pipeline.settings import (
    FilesSource,
    HttpSource,
    KafkaSource,
    NetflowSource,
    NetworkSource,
    Settings,
    Source,
    Store,
    SyslogSource,
    UnixSource,
    read_settings,
    readable_settings,
)
from pipeline.settings.delivery import Channel, KafkaChannel, ScriptChannel, WebhookChannel
from pipeline.settings.kafka import Kafka

#: Encodings that Python has no codec for, or that mean more than one.
_OWN_ENCODINGS = frozenset(("auto", "tcvn3", "vni"))
#: Bytes of a socket's path, unix(7).
_LONGEST_SOCKET_PATH = 107
_QUAD = re.compile(r"\d+(\.\d+){3}")
_SERVER = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+):\d{1,5}", re.ASCII)
_NODE = re.compile(r"https?://(?:[^\s/@]*@)?(?:\[[0-9a-fA-F:.]+\]|[\w.-]+):\d{1,5}(?:/\S*)?", re.ASCII)
#: How files of Sigma rules end.
_RULES = (".yml", ".yaml")
#: Data sets that a decoder or the sensor makes (docs/events.md), and first parts of those that come in many.
_DATASETS = frozenset(
    ("json", "key_value", "cef", "leef", "text", "apache.access", "apache.error", "nginx.access", "nginx.error")
)
_MANY_DATASETS = ("linux.", "windows.", "zeek.", "suricata.")
#: A data set of the site's own: text that no decoder knows is called so.
_OWN_DATASET = re.compile(r"(?!apache\.|nginx\.)[\w-]+(\.[\w-]+)+", re.ASCII)
_EVERYWHERE = frozenset(("", "0.0.0.0", "::"))  # noqa: S104 - compared with, not listened on
_ITSELF = frozenset(("localhost", "127.0.0.1", "::1"))


class _Listener(NamedTuple):
    place: str
    transport: str
    host: str
    port: int


def all_faults() -> list[str]:
    """Return every fault of the settings as they lie there: in what they say, and of the rest in what it means.

    Raises:
        HaidangError: the file is not there or no TOML, or the data directory is none.
    """
    settings, found = read_settings()
    if settings is not None:
        return [*found, *faults(settings)]
    rest, left_out = readable_settings()
    return found if rest is None else [*found, *faults(rest, left_out)]


def faults(settings: Settings, left_out: Collection[str] = ()) -> list[str]:
    """Return every fault, each with its place, its value and what was expected; nothing of what was `left_out`."""
    found = [
        *_tls(settings),
        *_rules(settings),
        *_indicators(settings),
        *_disk(settings),
        *_own_host("api", settings.api.host),
    ]
    if settings.store.kind == "elasticsearch":
        found += _nodes(settings.store)
    if settings.bus.kind == "kafka":
        found += _kafka("bus", settings.bus)
    for number, source in enumerate(settings.sources):
        found += _source(f"sources.{number}", source)
    for number, channel in enumerate(settings.channels):
        found += _channel(f"channels.{number}", channel, settings)
    if not {"api", "sources"} & {*left_out}:  # each may have another's port
        found += _ports(settings)
    return [fault for fault in found if re.split(r"[.\s:]", fault, maxsplit=1)[0] not in left_out]


def _fault(place: str, value: Any, key: str, **values: Any) -> str:
    return say("settings.fault", place=place, value=repr(value), expected=say(key, **values))


def _tls(settings: Settings) -> Iterator[str]:
    files = {"certificate": settings.tls.certificate, "key": settings.tls.key}
    if sum(path is None for path in files.values()) == 1:
        place = next(name for name, path in files.items() if path is None)
        yield _fault(f"tls.{place}", "", "settings.want_both_tls")
    for name, path in files.items():
        if path is not None and not _is_there(path, file=True):
            yield _fault(f"tls.{name}", str(path), "settings.want_file")
    certificate, key = files["certificate"], files["key"]
    if certificate is None or key is None or not (_is_there(certificate, file=True) and _is_there(key, file=True)):
        return
    context, name, wanted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), "certificate", "settings.want_certificate"
    try:
        context.load_verify_locations(certificate)  # tells a certificate that is none from a key that is none
        name, wanted = "key", "settings.want_key"
        context.load_cert_chain(certificate, key, password="")  # as the listeners do
    except OSError as error:  # also ssl.SSLError
        yield _fault(f"tls.{name}", str(files[name]), wanted, fault=error.strerror or error)


def _nodes(store: Store) -> Iterator[str]:
    """Yield a fault for addresses of Elasticsearch that its client does not take."""
    if not store.urls:
        yield _fault("store.urls", store.urls, "settings.want_nodes")
    for number, url in enumerate(store.urls):
        if not _NODE.fullmatch(url):
            yield _fault(f"store.urls.{number}", _without_login(url), "settings.want_nodes")


def _without_login(url: str) -> str:
    return re.sub(r"//.*@", "//…@", url)


def _kafka(place: str, cluster: Kafka) -> Iterator[str]:
    if not cluster.servers:
        yield _fault(f"{place}.servers", cluster.servers, "settings.want_servers")
    for number, server in enumerate(cluster.servers):
        if not _SERVER.fullmatch(server):
            yield _fault(f"{place}.servers.{number}", server, "settings.want_servers")
    files = {"ca": cluster.ca, "certificate": cluster.certificate, "key": cluster.key}
    for name, path in files.items():
        if path is not None and not cluster.security.endswith("tls"):
            yield _fault(f"{place}.{name}", str(path), "settings.want_no_tls", security=cluster.security)
        elif path is not None and not _is_there(path, file=True):
            yield _fault(f"{place}.{name}", str(path), "settings.want_file")
    if (cluster.certificate is None) != (cluster.key is None):
        yield _fault(f"{place}.{'certificate' if cluster.key else 'key'}", "", "settings.want_both_tls")
    sasl = {"username": bool(cluster.username), "password": bool(cluster.password.get_secret_value())}
    for name, given in sasl.items():
        if cluster.security.startswith("sasl") and not given:
            yield _fault(f"{place}.{name}", "", "settings.want_sasl", security=cluster.security)
        elif given and not cluster.security.startswith("sasl"):
            shown = cluster.username if name == "username" else "…"
            yield _fault(f"{place}.{name}", shown, "settings.want_no_sasl", security=cluster.security)


def _rules(settings: Settings) -> Iterator[str]:
    for number, path in enumerate(settings.detectors.rules):
        if not _is_there(path) or (path.is_file() and path.suffix not in _RULES):
            yield _fault(f"detectors.rules.{number}", str(path), "settings.want_folder_of_rules")


def _indicators(settings: Settings) -> Iterator[str]:
    for number, path in enumerate(settings.indicators.allow_files):
        if not _is_there(path, file=True):
            yield _fault(f"indicators.allow_files.{number}", str(path), "settings.want_file")
    for number, feed in enumerate(settings.indicators.feeds):
        place = f"indicators.feeds.{number}"
        if feed.path is not None and not _is_there(feed.path, file=feed.kind == "file"):
            wanted = "settings.want_file" if feed.kind == "file" else "settings.want_folder"
            yield _fault(f"{place}.path", str(feed.path), wanted)
        if feed.ca is not None and not _is_there(feed.ca, file=True):
            yield _fault(f"{place}.ca", str(feed.ca), "settings.want_file")


def _disk(settings: Settings) -> Iterator[str]:
    there = next(place for place in (settings.data_dir, *settings.data_dir.parents) if place.exists())
    total = shutil.disk_usage(there).total // 1_000_000
    if settings.limits.disk_reserve_mb >= total:
        yield _fault(
            "limits.disk_reserve_mb", settings.limits.disk_reserve_mb, "settings.want_smaller_reserve", total=total
        )


def _is_there(path: Path, file: bool = False) -> bool:
    try:
        return path.is_file() if file else path.exists()
    except OSError:
        return False


def _packet_rules(place: str, source: NetworkSource) -> Iterator[str]:
    for number, path in enumerate(source.rules):
        if not re.search(r"[*?\[]|^haidang$", str(path)) and not (
            _is_there(path, file=True) or _is_there(path, file=False)
        ):
            yield _fault(f"{place}.rules.{number}", str(path), "settings.want_packet_rules")


def _source(place: str, source: Source) -> Iterator[str]:
    if isinstance(source, NetworkSource):
        yield from _packet_rules(place, source)
        return
    if isinstance(source, NetflowSource):
        yield from _host(place, source.host)
        return
    if not _is_zone(source.timezone):
        yield _fault(f"{place}.timezone", source.timezone, "settings.want_zone")
    if not is_encoding(source.encoding):
        yield _fault(f"{place}.encoding", source.encoding, "settings.want_encoding")
    if source.dataset is not None and not _is_dataset(source.dataset):
        yield _fault(f"{place}.dataset", source.dataset, "settings.want_dataset", names=", ".join(sorted(_DATASETS)))
    if isinstance(source, FilesSource):
        if source.multiline is not None:
            try:
                re.compile(source.multiline.encode())  # as the collectors do
            except re.error as error:
                yield _fault(f"{place}.multiline", source.multiline, "settings.want_pattern", fault=error)
    elif isinstance(source, KafkaSource):
        yield from _kafka(place, source)
    elif isinstance(source, UnixSource):
        yield from _socket(place, source.path)
    else:
        yield from _host(place, source.host)
    if isinstance(source, SyslogSource) and (source.udp_port, source.tcp_port, source.tls_port) == (None, None, None):
        yield _fault(place, source.name, "settings.want_a_port")


#: Settings of channels that name a file.
_FILES = ("ca", "certificate", "key", "password_file", "url_file", "token_file", "secrets_file")


def _channel(place: str, channel: Channel, settings: Settings) -> Iterator[str]:
    if isinstance(channel, KafkaChannel):
        yield from _kafka(place, channel)
        return
    for name in _FILES:
        path = getattr(channel, name, None)
        if path is not None and not _is_there(path, file=True):
            yield _fault(f"{place}.{name}", str(path), "settings.want_file")
    if isinstance(channel, WebhookChannel) and channel.template is not None:
        folder = templates_of(settings)
        if not _is_given(template_of, folder, str(channel.template)):
            yield _fault(f"{place}.template", str(channel.template), "settings.want_template_file", folder=folder)
    if isinstance(channel, ScriptChannel):
        folder = scripts_of(settings)
        if not _is_given(program_of, folder, channel.program, _our_user(settings)):
            yield _fault(f"{place}.program", channel.program, "settings.want_script", folder=folder)
        if channel.user and channel.user not in {each.pw_name for each in pwd.getpwall()}:
            yield _fault(f"{place}.user", channel.user, "settings.want_user")


def _is_given(asked: Callable[..., Path], *arguments: Any) -> bool:
    """Whether a file may be used, as those judge who will use it."""
    try:
        asked(*arguments)
    except HaidangError:
        return False
    return True


def _our_user(settings: Settings) -> int:
    """Return whom the stages run as: the owner of the data directory, since the check may be root's."""
    try:
        return settings.data_dir.stat().st_uid
    except OSError:
        return os.geteuid()


def _socket(place: str, path: Path) -> Iterator[str]:
    if (
        not path.is_absolute()
        or len(str(path).encode()) > _LONGEST_SOCKET_PATH
        or not path.parent.is_dir()
        or (path.exists() and not path.is_socket())
    ):
        yield _fault(f"{place}.path", str(path), "settings.want_socket", most=_LONGEST_SOCKET_PATH)


def _is_zone(name: str) -> bool:
    if name == "local" or name.upper() in ("UTC", "Z"):
        return True
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _is_dataset(name: str) -> bool:
    return name in _DATASETS or name.startswith(_MANY_DATASETS) or _OWN_DATASET.fullmatch(name) is not None


def is_encoding(name: str) -> bool:
    """Say whether `to_text` of the collectors' decoders knows an encoding of this name."""
    name = name.strip().lower()
    if name in _OWN_ENCODINGS:
        return True
    try:
        "a".encode(name)
    except (LookupError, ValueError):  # also for a codec that makes no text, such as `hex`
        return False
    return True


def _host(place: str, host: str) -> Iterator[str]:
    if _QUAD.fullmatch(host) or ":" in host:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            yield _fault(f"{place}.host", host, "settings.want_address")


def _own_host(place: str, host: str) -> Iterator[str]:
    """Yield a fault for what is no address of this machine, which nothing can listen on."""
    if found := [*_host(place, host)]:
        yield from found
        return
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as tried:
            tried.bind((host, 0))
    except (OSError, UnicodeError) as error:  # also where the name cannot be found, or is none
        fault = getattr(error, "strerror", None) or error
        yield _fault(f"{place}.host", host, "settings.want_own_address", fault=fault)


def _ports(settings: Settings) -> Iterator[str]:
    for first, second in combinations(_listeners(settings), 2):
        same = (first.transport, first.port) == (second.transport, second.port)
        if same and first.port and _overlap(first.host, second.host):
            yield _fault(second.place, second.port, "settings.want_other_port", other=first.place)


def _listeners(settings: Settings) -> Iterator[_Listener]:
    yield _Listener("api.port", "tcp", settings.api.host, settings.api.port)
    for number, source in enumerate(settings.sources):
        place = f"sources.{number}"
        if isinstance(source, HttpSource):
            yield _Listener(f"{place}.port", "tcp", source.host, source.port)
        elif isinstance(source, NetflowSource):
            yield _Listener(f"{place}.port", "udp", source.host, source.port)
        elif isinstance(source, SyslogSource):
            for name, transport, port in (
                ("udp_port", "udp", source.udp_port),
                ("tcp_port", "tcp", source.tcp_port),
                ("tls_port", "tcp", source.tls_port),
            ):
                if port is not None:
                    yield _Listener(f"{place}.{name}", transport, source.host, port)


def _overlap(one: str, other: str) -> bool:
    both = {one, other}
    if len(both) == 1 or both <= _ITSELF - {"::1"} or both <= _ITSELF - {"127.0.0.1"}:
        return True
    six = {":" in host for host in both if _QUAD.fullmatch(host) or ":" in host}
    return bool(both & _EVERYWHERE) and len(six) < 2  # IPv4 and IPv6 do not meet
