"""A real Kafka broker for the tests: an empty folder enters, a broker (KRaft, one node) on free ports of loopback leaves.

It listens four times: in the clear, with TLS, and with a password over TLS (SCRAM) and in the clear (PLAIN).
"""

import base64
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from pipeline.settings import Bus as BusSettings
from tests.conftest import need

VERSION = "4.1.0"
JARS = Path(__file__).parents[2] / ".cache" / f"kafka-{VERSION}"
USER, PASSWORD = "haidang", 'Hải Đăng\'s "secret"'
#: Of `PLAIN`, whose password stands in a settings file of Java's own quoting.
PLAIN_PASSWORD = "a plain secret"
_START_SECONDS = 240.0
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>tests</groupId><artifactId>tests</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
<version>2.24.3</version></dependency></dependencies></project>
"""
_LISTENERS = {
    "CLEAR": "PLAINTEXT", "TLS": "SSL", "SCRAM": "SASL_SSL", "PASSWORD": "SASL_PLAINTEXT", "CONTROLLER": "PLAINTEXT",
}  # fmt: skip
_PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=CLEAR
listeners={listeners}
advertised.listeners={advertised}
listener.security.protocol.map={protocols}
log.dirs={folder}/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
broker.heartbeat.interval.ms=200
broker.session.timeout.ms=1500
log.initial.task.delay.ms=500
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512
listener.name.scram.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.scram.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.password.sasl.enabled.mechanisms=PLAIN
listener.name.password.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
  user_{user}="{password}";
"""


def fetch() -> None:
    """Bring the broker's jars into the cache."""
    if JARS.is_dir():
        return
    JARS.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=JARS.parent) as folder:
        (Path(folder) / "pom.xml").write_text(_POM)
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={folder}/libs", "-DincludeScope=runtime"]
        subprocess.run(["mvn", "-q", "-B", *goal], cwd=folder, check=True, stdout=sys.stderr)
        (Path(folder) / "libs").rename(JARS)


class Kafka:
    """A broker of this test run. `stop` and `start` keep its data and its ports."""

    def __init__(self, folder: Path) -> None:
        need(JARS.is_dir() and shutil.which("java") is not None, "Kafka (make test as root brings it)")
        folder.mkdir(exist_ok=True)
        self._folder = folder
        with ExitStack() as held:
            sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in _LISTENERS]
            self._ports = {name: opened.getsockname()[1] for name, opened in zip(_LISTENERS, sockets, strict=True)}
        self.ca = folder / "ca.pem"
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(self.ca)
        own = self.authority.issue_cert("127.0.0.1", "localhost")
        key = load_pem_private_key(own.private_key_pem.bytes(), None)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "broker.pem").write_bytes(pem + b"".join(part.bytes() for part in own.cert_chain_pems))
        places = {name: f"{name}://127.0.0.1:{port}" for name, port in self._ports.items()}
        (folder / "server.properties").write_text(
            _PROPERTIES.format(
                folder=folder, controller=self._ports["CONTROLLER"], listeners=",".join(places.values()),
                advertised=",".join(place for name, place in places.items() if name != "CONTROLLER"),
                protocols=",".join(f"{name}:{protocol}" for name, protocol in _LISTENERS.items()),
                user=USER, password=PLAIN_PASSWORD,
            )
        )  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        cluster = "h" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]  # with "-" first it is an option
        users = [
            part
            for kind in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for part in ("--add-scram", f"{kind}=[name={USER},password={PASSWORD}]")
        ]
        formatted = self._java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._settings), *users)
        assert formatted.wait(60) == 0, self.said()

    @property
    def servers(self) -> list[str]:
        """The address in the clear."""
        return [f"127.0.0.1:{self._ports['CLEAR']}"]

    @property
    def tls_servers(self) -> list[str]:
        """The address with TLS."""
        return [f"127.0.0.1:{self._ports['TLS']}"]

    @property
    def scram_servers(self) -> list[str]:
        """The address with a password, over TLS."""
        return [f"127.0.0.1:{self._ports['SCRAM']}"]

    @property
    def password_servers(self) -> list[str]:
        """The address with a password, in the clear."""
        return [f"127.0.0.1:{self._ports['PASSWORD']}"]

    def settings(self, **changed: object) -> BusSettings:
        """Return settings of a bus on this broker, with topics that no other test has."""
        prefix = f"test-{uuid.uuid4().hex[:12]}."
        defaults = {"kind": "kafka", "servers": self.servers, "topic_prefix": prefix, "partitions": 3}
        return BusSettings.model_validate({**defaults, **changed})

    def start(self) -> None:
        """Start the broker and wait until it takes connections."""
        self._process = self._java("kafka.Kafka", str(self._settings))
        deadline = time.monotonic() + _START_SECONDS
        while "Kafka Server started" not in self.said():
            assert self._process.poll() is None, self.said()
            assert time.monotonic() < deadline, f"Kafka did not start: {self.said()}"
            time.sleep(0.1)

    def stop(self) -> None:
        """Kill the broker at once; what it has acknowledged is there when it starts again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(60)
            self._process = None

    def said(self) -> str:
        """Return the end of the broker's log since its last start."""
        return (self._folder / "log").read_text("utf-8", "replace")[-20_000:]

    @property
    def _settings(self) -> Path:
        return self._folder / "server.properties"

    def _java(self, *arguments: str) -> "subprocess.Popen[bytes]":
        log_settings = self._folder / "log4j2.properties"
        log_settings.write_text(
            "appender.console.type=Console\nappender.console.name=console\n"
            "appender.console.layout.type=PatternLayout\nappender.console.layout.pattern=%d %p %c %m%n\n"
            "rootLogger.level=INFO\nrootLogger.appenderRef.console.ref=console\n"
        )
        command = [
            "java", "-Xmx512m", "-Xms256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dfile.encoding=UTF-8",
            f"-Dlog4j2.configurationFile={log_settings}", "-cp", f"{JARS}/*", *arguments,
        ]  # fmt: skip
        with (self._folder / "log").open("wb") as output:
            environment = {**os.environ, "LC_ALL": "C.UTF-8"}
            return subprocess.Popen(command, stdout=output, stderr=output, cwd=self._folder, env=environment)


@contextmanager
def running(folder: Path) -> Iterator[Kafka]:
    """Run a broker in an empty folder."""
    broker = Kafka(folder)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


def unknown_ca(folder: Path) -> Path:
    """Return the file of an authority that signed nothing."""
    path = folder / "other.pem"
    trustme.CA().cert_pem.write_to_path(path)
    ssl.create_default_context(cafile=path)
    return path
