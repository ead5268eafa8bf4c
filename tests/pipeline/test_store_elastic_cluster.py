"""Elasticsearch behind TLS with an API key, and a cluster of which a node is killed."""

import http.client
import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from pipeline.messages import HaidangError, Unavailable
from pipeline.settings import Store
from pipeline.store import EVENTS
from pipeline.store.elastic_reader import ElasticReader
from pipeline.store.elastic_writer import ElasticWriter
from tests.contract.store import event, numbers, put
from tests.services.elasticsearch import Elasticsearch, running
from tests.services.kafka import unknown_ca

_KEY = "a2V5LWlkOmtleS1zZWNyZXQ="


class _Door(http.server.BaseHTTPRequestHandler):
    """What stands before a cluster: it lets in who has the key, and hands on to the node."""

    protocol_version = "HTTP/1.1"
    node_port = 0

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers["Authorization"] != f"ApiKey {_KEY}":
            self._answer(401, "application/json", b'{"error":{"type":"security_exception"},"status":401}')
            return
        node = http.client.HTTPConnection("127.0.0.1", self.node_port, timeout=60)
        kept = {name: self.headers[name] for name in ("Content-Type", "Accept") if self.headers[name]}
        node.request(self.command, self.path, body, kept)
        answer = node.getresponse()
        self._answer(answer.status, answer.headers.get("Content-Type", "application/json"), answer.read())
        node.close()

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _pass_on

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def secured(elasticsearch: Elasticsearch, tmp_path: Path) -> Iterator[Store]:
    """Settings of a cluster that takes TLS and a key only."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    door = type("_DoorOfNode", (_Door,), {"node_port": elasticsearch.port})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), door) as server:
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield Store(
            kind="elasticsearch", urls=[f"https://localhost:{server.server_port}"], ca=tmp_path / "ca.pem",
            api_key=_KEY, index_prefix=f"secured{server.server_port}-", replicas=0,
        )  # fmt: skip
        server.shutdown()
        thread.join()


def test_a_cluster_behind_tls_takes_who_has_the_key(secured: Store) -> None:
    writer, reader = ElasticWriter(secured), ElasticReader(secured)
    put(writer, event(1, n=1), event(2, n=2))
    assert numbers(reader, {"match_all": {}}) == {1, 2}
    writer.close()
    reader.close()


def test_a_wrong_key_and_a_wrong_authority_are_said(secured: Store, tmp_path: Path) -> None:
    with pytest.raises(HaidangError, match="refuses us") as refused:
        ElasticWriter(secured.model_copy(update={"api_key": type(secured.api_key)("d3Jvbmc6c2VjcmV0")}))
    assert "d3Jvbmc6c2VjcmV0" not in str(refused.value)
    with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
        ElasticWriter(secured.model_copy(update={"ca": unknown_ca(tmp_path)}))


@pytest.mark.slow
def test_a_node_of_a_cluster_that_is_killed_costs_nothing(services: Path) -> None:
    with running(services / "first") as first, running(services / "further", joins=first) as further:
        settings = Store(
            kind="elasticsearch", urls=[further.url, first.url], index_prefix="several-", shards=2, replicas=1
        )
        writer, reader = ElasticWriter(settings), ElasticReader(settings)
        put(writer, *(event(number, n=number) for number in range(40)))
        writer._client.cluster.health(wait_for_status="green", timeout="60s", index="several-events-*")
        further.stop()
        put(writer, *(event(number, n=number) for number in range(20, 80)))
        assert numbers(reader, {"match_all": {}}) == set(range(80))
        assert reader.get(EVENTS, event(79)["event.id"]) is not None
        writer.close()
        reader.close()
