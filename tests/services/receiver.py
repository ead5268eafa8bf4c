"""A real HTTPS receiver of webhooks for the tests: it keeps what it gets, and answers as a test says."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import trustme

#: What a test lets the receiver do with one request, after it was kept.
Answer = Callable[["Handler", "Request"], None]


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)

    @property
    def id(self) -> str:
        """The message's id."""
        return self.headers["webhook-id"]


class Handler(BaseHTTPRequestHandler):
    """Answers POST."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        body = self.rfile.read(length)
        if len(body) < length:  # whoever sent it was killed
            return
        request = Request(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        receiver = self.server.receiver
        with receiver.lock:
            receiver.requests.append(request)
            answer = receiver.answers.pop(0) if receiver.answers else receiver.usual
        answer(self, request)

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        """Nobody reads it."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    receiver: "Receiver"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that ends in the middle is what tests are about."""


@dataclass
class Receiver:
    """What it got, and what it does next: `answers` one after another, then `usual`."""

    port: int
    ca: Path
    requests: list[Request] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    usual: Answer = lambda handler, request: handler.say(204)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Its address, by a name that its certificate has."""
        return f"https://localhost:{self.port}/hook?site=1"

    def ids(self) -> list[str]:
        """The ids of the messages that it got, in order."""
        with self.lock:
            return [request.id for request in self.requests]


def answers(status: int, body: bytes = b"", **headers: str) -> Answer:
    """Return what answers so."""
    return lambda handler, request: handler.say(status, body, **headers)


def authority(folder: Path) -> tuple[trustme.CA, Path]:
    """Make an authority, and its certificate's file."""
    made, file = trustme.CA(), folder / "ca.pem"
    made.cert_pem.write_to_path(file)
    return made, file


@contextmanager
def receiving(folder: Path, port: int = 0) -> Iterator[Receiver]:
    """Run a receiver; its authority's certificate lies in the folder, also for the next one on this port."""
    folder.mkdir(parents=True, exist_ok=True)
    own, file = folder / "own.pem", folder / "ca.pem"
    if not own.exists():
        made, file = authority(folder)
        made.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(own)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    server = _Server(("127.0.0.1", port), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.receiver = Receiver(server.server_address[1], file)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
