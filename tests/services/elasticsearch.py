"""A real Elasticsearch node for the tests: a folder to make enters, a node on a free port of loopback leaves.

The node is the distribution that Elasticsearch makes for integration tests (Maven Central): a real node with few
modules, without `GET /`, data streams, lifecycle policies, scripts, and update and delete by query.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import need

CACHE = Path(__file__).parents[2] / ".cache" / "elasticsearch"
VERSION = "8.19.21"
ARCHIVE = CACHE / f"elasticsearch-{VERSION}.zip"
_ARTIFACT = f"org.elasticsearch.distribution.integ-test-zip:elasticsearch:{VERSION}:zip"
_SETTINGS = """cluster.name: {cluster}
{place}
http.port: {port}
http.host: 127.0.0.1
transport.host: 127.0.0.1
transport.port: {transport}
xpack.security.enabled: false
cluster.routing.allocation.disk.threshold_enabled: false
"""
_FIRST = "node.name: first\ncluster.initial_master_nodes: [first]"
_FURTHER = "node.name: further\nnode.roles: [data]\ndiscovery.seed_hosts: ['127.0.0.1:{transport}']"
_START_SECONDS = 240.0
#: Elasticsearch refuses to run as root.
_USER = "nobody"


def fetch() -> None:
    """Bring the node's archive into the cache."""
    if ARCHIVE.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    for goal in (
        ["dependency:get", f"-Dartifact={_ARTIFACT}", "-Dtransitive=false"],
        ["dependency:copy", f"-Dartifact={_ARTIFACT}", f"-DoutputDirectory={CACHE}", "-Dmdep.useBaseVersion=true"],
    ):
        subprocess.run(["mvn", "-q", "-B", *goal], cwd=CACHE, check=True, stdout=subprocess.DEVNULL)


class Elasticsearch:
    """A node of this test run. `stop` and `start` keep its data and its port.

    One that `joins` another one holds data, and leaves the cluster able to go on without it.
    """

    def __init__(self, folder: Path, joins: "Elasticsearch | None" = None) -> None:
        need(ARCHIVE.exists() and shutil.which("java") is not None, "Elasticsearch (make test as root brings it)")
        with zipfile.ZipFile(ARCHIVE) as archive:
            archive.extractall(folder)
        self._home = next(folder.glob("elasticsearch-*"))
        self._console = folder / "console"
        for program in (self._home / "bin").iterdir():
            program.chmod(0o755)
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
            self.port, self.transport = one.getsockname()[1], other.getsockname()[1]
        self.cluster = joins.cluster if joins else f"haidang-tests-{self.transport}"
        place = _FURTHER.format(transport=joins.transport) if joins else _FIRST
        settings = _SETTINGS.format(port=self.port, transport=self.transport, cluster=self.cluster, place=place)
        (self._home / "config" / "elasticsearch.yml").write_text(settings)
        (self._home / "tmp").mkdir()
        self._owner: int | None = None
        if os.geteuid() == 0:
            self._owner = pwd.getpwnam(_USER).pw_uid
            for path in (folder, *folder.rglob("*")):
                os.chown(path, self._owner, -1)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The node's address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the node and wait until it answers."""
        java = Path(shutil.which("java") or "").resolve().parents[1]
        environment = {
            "PATH": os.environ["PATH"],
            "ES_JAVA_HOME": str(java),
            "ES_JAVA_OPTS": "-Xms1g -Xmx1g",
            "ES_TMPDIR": str(self._home / "tmp"),
            "HOME": str(self._home),
        }
        with self._console.open("wb") as console:
            self._process = subprocess.Popen(
                [str(self._home / "bin" / "elasticsearch")], env=environment, cwd=self._home, user=self._owner,
                stdout=console, stderr=console, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, f"Elasticsearch ended: {self._console.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"Elasticsearch did not start: {self._console.read_text()[-3000:]}"
            time.sleep(0.2)

    def stop(self) -> None:
        """Kill the node and its helper process at once, as a power cut does."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(60)
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(
                f"{self.url}/_cluster/health?wait_for_status=yellow&timeout=1s", timeout=10
            ) as a:
                return a.status == 200
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def running(folder: Path, joins: Elasticsearch | None = None) -> Iterator[Elasticsearch]:
    """Run a node in an empty folder."""
    node = Elasticsearch(folder, joins)
    node.start()
    try:
        yield node
    finally:
        node.stop()
