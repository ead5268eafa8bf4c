"""TAXII servers that answer as a test wants: what goes wrong between us and a server that is not ours."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme

from sharing.taxii.client import Endpoint

COLLECTION = "91a7b528-80eb-42ed-a74d-c6fbd5a26110"
_MEDIA_TYPE = "application/taxii+json;version=2.1"
Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def lying(folder: Path, answer: Answer) -> Iterator[Endpoint]:
    """A server over TLS that answers every request in one way."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"https://127.0.0.1:{server.server_address[1]}/root/collections/{COLLECTION}/"
        yield Endpoint(url, ca=folder / "authority.pem", timeout=2, max_bytes=1_000_000)
        server.shutdown()


def answering(body: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        told = {"Content-Type": _MEDIA_TYPE, "Content-Length": str(len(body))}
        for name, value in (told | {name.replace("_", "-"): value for name, value in headers.items()}).items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    return answer
