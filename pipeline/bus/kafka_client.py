"""Settings of a Kafka cluster enter, a connected client leaves, or a sentence that says why not and what to do.

kafka-python tells only its log why it cannot connect, and goes on trying; so its log is listened to here.
"""

import contextlib
import logging
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from kafka import errors  # type: ignore[import-untyped]
from kafka.net.compat import KafkaNetClient  # type: ignore[import-untyped]
from pydantic import SecretStr

from pipeline.messages import HaidangError

#: How long a broker that does not answer is waited for, in seconds; it may be starting with us.
CONNECT_SECONDS = 10.0
#: How long one try takes; what no later try will mend is said after the first, in seconds.
_TRY_SECONDS = 2.0
#: How long the answer to one request is waited for, in seconds.
REQUEST_SECONDS = 4.0
#: The longest pause before a broker that was away is tried again, in seconds.
_RECONNECT_SECONDS = 1.0
_PROTOCOLS = {"plaintext": "PLAINTEXT", "tls": "SSL", "sasl_plaintext": "SASL_PLAINTEXT", "sasl_tls": "SASL_SSL"}
#: What the library's log says, and what it means; the first that is found counts. All but the last need a person.
_REASONS = (
    ("SaslAuthenticationFailed", "kafka.password"),
    ("UnsupportedSaslMechanism", "kafka.mechanism"),
    ("CERTIFICATE_VERIFY_FAILED", "kafka.certificate"),
    ("CERTIFICATE_REQUIRED", "kafka.own_certificate"),
    ("SSL: ", "kafka.no_tls"),
    ("Invalid frame length", "kafka.wants_tls"),
    ("", "kafka.unreachable"),
)
#: Lines of its log that are kept; the first ones tell most.
_HEARD = 500
#: What it says at the end of a try, which tells nothing.
_GIVES_UP = "Unable to bootstrap"
T = TypeVar("T")


class Cluster(Protocol):
    """The settings of a connection: `[bus]`, or a source of the kind `kafka`."""

    @property
    def servers(self) -> list[str]:
        """Brokers to start from."""

    @property
    def security(self) -> str:
        """`plaintext`, `tls`, `sasl_plaintext` or `sasl_tls`."""

    @property
    def ca(self) -> Path | None:
        """Who signed the brokers' certificates; those that the system trusts when left out."""

    @property
    def certificate(self) -> Path | None:
        """Our own certificate."""

    @property
    def key(self) -> Path | None:
        """Its key."""

    @property
    def mechanism(self) -> str:
        """SASL mechanism."""

    @property
    def username(self) -> str:
        """SASL user."""

    @property
    def password(self) -> SecretStr:
        """SASL password."""


class _Listener(logging.Handler):
    """Keeps what the library's log said since the start of a try to connect."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(TypeError, ValueError):
            if len(self.heard) < _HEARD:
                self.heard.append(record.getMessage())


_listener = _Listener()
_library = logging.getLogger("kafka")
_library.addHandler(_listener)
_library.propagate = False  # what it says of every try to connect again is no line of our log
_library.setLevel(logging.WARNING)
_connecting = threading.Lock()


def connect(make: Callable[..., T], cluster: Cluster, seconds: float = CONNECT_SECONDS, **more: Any) -> T:
    """Return `make(…)`, a client of kafka-python, connected.

    Raises:
        HaidangError: there is no broker after `seconds`, or it will not have us.
    """
    options = _options(cluster)
    deadline = time.monotonic() + seconds
    with _connecting:
        _listener.heard.clear()
        while True:
            try:
                return _made(make, {**options, **more})
            except (errors.KafkaError, OSError) as error:
                fault = _fault(cluster, [f"{type(error).__name__}: {error}", *_listener.heard])
                if fault.key != "kafka.unreachable" or time.monotonic() + _TRY_SECONDS > deadline:
                    raise fault from error


def _made(make: Callable[..., T], options: dict[str, Any]) -> T:
    """Return the client; one that cannot connect is closed, which its constructor leaves undone."""
    clients: list[Any] = []

    def network(*arguments: Any, **named: Any) -> Any:
        clients.append(KafkaNetClient(*arguments, **named))
        return clients[-1]

    try:
        return make(kafka_client=network, bootstrap_timeout_ms=int(_TRY_SECONDS * 1000), **options)
    except BaseException:
        for client in clients:
            with contextlib.suppress(Exception):
                client.close()
        raise


def _fault(cluster: Cluster, heard: list[str]) -> HaidangError:
    causes = [text for text in reversed(heard) if _GIVES_UP not in text] or heard
    key, text = next((key, text) for sign, key in _REASONS for text in causes if sign in text)
    return HaidangError(
        key, servers=", ".join(cluster.servers), username=cluster.username, mechanism=cluster.mechanism,
        security=cluster.security, ca=cluster.ca or "-", reason=_short(text),
    )  # fmt: skip


def _short(text: str) -> str:
    return text.rpartition("Error: ")[2].partition(" (_ssl.c")[0].rstrip(")")[:300]


def _options(cluster: Cluster) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap_servers": list(cluster.servers),
        "client_id": "haidang",
        "security_protocol": _PROTOCOLS[cluster.security],
        "request_timeout_ms": int(REQUEST_SECONDS * 1000),
        "reconnect_backoff_max_ms": int(_RECONNECT_SECONDS * 1000),
    }
    if cluster.security in ("tls", "sasl_tls"):
        options["ssl_context"] = _context(cluster)
    if cluster.security in ("sasl_plaintext", "sasl_tls"):
        options |= {
            "sasl_mechanism": cluster.mechanism,
            "sasl_plain_username": cluster.username,
            "sasl_plain_password": cluster.password.get_secret_value(),
        }
    return options


def _context(cluster: Cluster) -> ssl.SSLContext:
    path = cluster.ca
    try:
        context = ssl.create_default_context(cafile=cluster.ca)
        if cluster.certificate is not None:
            path = cluster.certificate
            context.load_cert_chain(cluster.certificate, cluster.key)
    except (OSError, ssl.SSLError) as error:
        raise HaidangError("kafka.file", file=path, fault=error) from error
    return context
