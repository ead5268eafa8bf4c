"""A receiver to rehearse with: signed messages enter over HTTPS, each is held to everything, receipts leave.

It verifies signature, schema, freshness and replay, keeps a book of what arrived on the disk, shows it on a page, and
answers as it is told: well, 403, 500, slowly, or with a connection that is cut. It is never anybody's default endpoint.
"""

import argparse
import base64
import hashlib
import http.client
import json
import socket
import sqlite3
import ssl
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from pipeline.logs import unlogged
from pipeline.messages import HaidangError, language, say
from pipeline.outward import Stopped, reason
from pipeline.outward.posting import Poster
from pipeline.outward.watchdog import Watchdog
from pipeline.tls import own_certificate
from sharing.cv2290.reading import LARGEST, Wrong, report_of
from sharing.cv2290.signing import verify
from sharing.keys import Key, make, opened, valid_certificate
from sharing.profile import Signing

#: A message may be so old: it was tried for 72 hours, and is allowed some more. Seconds.
_OLDEST = 80 * 3600.0
#: The sender's clock may be ahead of ours by so much, in seconds.
_AHEAD = 600.0
_TIMEOUT_SECONDS = 120.0
_SHOWN = 200
MODES = ("ok", "403", "500", "slow", "cut", "cut-after")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS arrived (
    number INTEGER PRIMARY KEY, sha256 TEXT UNIQUE NOT NULL, report TEXT NOT NULL, organ TEXT NOT NULL,
    subject TEXT NOT NULL, made REAL NOT NULL, received REAL NOT NULL, machines TEXT NOT NULL, facts INTEGER NOT NULL,
    times INTEGER NOT NULL, peer TEXT NOT NULL, data BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS acknowledged (
    number INTEGER PRIMARY KEY, sha256 TEXT UNIQUE NOT NULL, received REAL NOT NULL, times INTEGER NOT NULL,
    said TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS turned_away (
    received REAL NOT NULL, status INTEGER NOT NULL, reason TEXT NOT NULL, peer TEXT NOT NULL, size INTEGER NOT NULL
);
"""


#: With what it signs warnings.
WARNING, WARNING_KEY = "warning.pem", "warning.key"
#: Bytes of a warning that an inbox takes (`sharing/inbox.py`).
LONGEST_WARNING = 10_000_000


class Refused(Exception):
    """A message that is not taken, with the status that says so."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Book:
    """What arrived, on the disk: a receiver that is killed forgets nothing it gave a receipt for."""

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(folder / "arrived.db", check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_SCHEMA)

    def take(self, data: bytes, trusted: Sequence[x509.Certificate], peer: str, now: float) -> dict[str, Any]:
        """Take a message; return its receipt. The same bytes again have the same receipt, and are one message.

        Raises:
            Refused: it is not signed by anybody who is registered, not as the schema has it, too old, of a time that
                has not come, or the report of another message.
        """
        report = self._verified(data, trusted)
        moment = report.made.timestamp()
        if moment > now + _AHEAD or moment < now - _OLDEST:
            raise Refused(400, f"not fresh: made {report.made.isoformat()}, now {_written(now)}")
        from lxml import etree

        digest = hashlib.sha256(data).hexdigest()
        alone = hashlib.sha256(etree.tostring(report.report, method="c14n")).hexdigest()
        machines = sorted({f"{each.get('ip')} {each.get('name')}" for each in report.report.iter("Machine")})
        facts = sum(1 for each in report.report.iter() if str(each.tag).endswith("Info"))
        with self._lock:
            found = self._database.execute("SELECT sha256 FROM arrived WHERE report = ?", (alone,)).fetchone()
            if found is not None and found[0] != digest:
                raise Refused(409, "replay: this report has come in another message")
            self._database.execute(
                "INSERT INTO arrived"
                " (sha256, report, organ, subject, made, received, machines, facts, times, peer, data)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?) ON CONFLICT (sha256) DO UPDATE SET times = times + 1",
                (digest, alone, report.organ, report.subject, moment, now, json.dumps(machines), facts, peer, data),
            )
            number, received = self._database.execute(
                "SELECT number, received FROM arrived WHERE sha256 = ?", (digest,)
            ).fetchone()
        return {"receipt": number, "sha256": digest, "organ": report.organ, "received": _written(received)}

    def _verified(self, data: bytes, trusted: Sequence[x509.Certificate]) -> Any:
        try:
            return report_of(verify(data, trusted))
        except Wrong as error:
            status = 401 if error.key == "sharing.not_signed" else 413 if error.key == "sharing.too_large" else 400
            raise Refused(status, str(error)) from error

    def acknowledge(self, data: bytes, trusted: Sequence[x509.Certificate], now: float) -> dict[str, Any]:
        """Take what a site has done about a warning; the same bytes again are one.

        Raises:
            Refused: it is not signed by anybody who is registered.
        """
        try:
            said = opened_jws(data, trusted)
        except (ValueError, KeyError, TypeError, InvalidSignature) as error:
            raise Refused(401, f"no signature of anybody who is registered: {error}") from error
        digest = hashlib.sha256(data).hexdigest()
        with self._lock:
            self._database.execute(
                "INSERT INTO acknowledged (sha256, received, times, said) VALUES (?, ?, 1, ?)"
                " ON CONFLICT (sha256) DO UPDATE SET times = times + 1",
                (digest, now, said.decode()),
            )
        return {"sha256": digest, "received": _written(now)}

    def acknowledged(self) -> list[dict[str, Any]]:
        """Return what sites have done about warnings, the newest first."""
        with self._lock:
            query = f"SELECT received, times, said FROM acknowledged ORDER BY number DESC LIMIT {_SHOWN}"  # noqa: S608
            rows = self._database.execute(query).fetchall()
        return [{**json.loads(row[2]), "received": row[0], "times": row[1]} for row in rows]

    def turn_away(self, status: int, reason: str, peer: str, size: int, now: float) -> None:
        """Note what was not taken."""
        with self._lock:
            row = (now, status, reason[:1000], peer, size)
            self._database.execute("INSERT INTO turned_away VALUES (?, ?, ?, ?, ?)", row)

    def arrived(self) -> list[dict[str, Any]]:
        """Return what was taken, in the order in which it came."""
        names = ("number", "sha256", "organ", "subject", "made", "received", "machines", "facts", "times", "peer")
        with self._lock:
            rows = self._database.execute(f"SELECT {', '.join(names)} FROM arrived ORDER BY number").fetchall()  # noqa: S608
        return [{**dict(zip(names, row, strict=True)), "machines": json.loads(row[6])} for row in rows]

    def turned_away(self) -> list[dict[str, Any]]:
        """Return what was not taken, the newest first."""
        names = ("received", "status", "reason", "peer", "size")
        with self._lock:
            query = f"SELECT {', '.join(names)} FROM turned_away ORDER BY received DESC LIMIT {_SHOWN}"  # noqa: S608
            rows = self._database.execute(query).fetchall()
        return [dict(zip(names, row, strict=True)) for row in rows]

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._database.close()

    def data(self, number: int) -> bytes:
        """Return a message as it came; empty for none."""
        with self._lock:
            row = self._database.execute("SELECT data FROM arrived WHERE number = ?", (number,)).fetchone()
        return bytes(row[0]) if row else b""


def opened_jws(data: bytes, trusted: Sequence[x509.Certificate]) -> bytes:
    """Return the content of a flattened JSON Web Signature (RFC 7515 section 7.2.2) by one of those that are trusted.

    Raises:
        InvalidSignature, ValueError, KeyError, TypeError: it is none, or nobody's whom we trust.
    """
    told = json.loads(data)
    protected, payload = told["protected"], told["payload"]
    if json.loads(_decoded(protected))["alg"] != "RS256":
        raise ValueError("the algorithm must be RS256")
    signature = _decoded(told["signature"])
    for certificate in trusted:
        key = certificate.public_key()
        if isinstance(key, RSAPublicKey):
            try:
                key.verify(signature, f"{protected}.{payload}".encode(), PKCS1v15(), SHA256())
            except InvalidSignature:
                continue
            return _decoded(payload)
    raise InvalidSignature


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def detached(data: bytes, key: Key, made: float, message: str) -> str:
    """Return the detached signature of a warning (`sharing/inbox.py`), made at a moment (seconds since 1970)."""
    header = json.dumps({"alg": "RS256", "iat": int(made), "jti": message}).encode()
    protected, payload = (base64.urlsafe_b64encode(each).rstrip(b"=") for each in (header, data))
    signature = base64.urlsafe_b64encode(key.sign(protected + b"." + payload, PKCS1v15(), SHA256())).rstrip(b"=")
    return f"{protected.decode()}..{signature.decode()}"


class Simulator(ThreadingHTTPServer):
    """The receiver: messages at `/`, its page and what it is told at `/simulator`, for this machine alone."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, host: str, port: int, folder: Path, registered: Sequence[Path], client_ca: Path | None = None
    ) -> None:
        """`registered` are PEM files of those that may send; those in `folder`/registered may, too. `client_ca`: who
        connects must show a certificate that this one signed."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "registered").mkdir(exist_ok=True)
        self.folder, self._registered = folder, list(registered)
        self.book = Book(folder)
        self.mode, self.left, self.slow_seconds = "ok", 0, 5.0
        certificate, key = own_certificate(folder, host)
        self.certificate = certificate
        if not (folder / WARNING).exists():
            make(folder / WARNING, folder / WARNING_KEY, "simulator", "simulator")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._context.load_cert_chain(certificate, key)
        if client_ca is not None:
            self._context.load_verify_locations(client_ca)
            self._context.verify_mode = ssl.CERT_REQUIRED
        super().__init__((host, port), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Speak TLS in the connection's own thread: one that says nothing holds nobody else."""
        request.settimeout(_TIMEOUT_SECONDS)
        try:
            with self._context.wrap_socket(request, server_side=True) as wrapped:
                super().finish_request(wrapped, client_address)
        except OSError:
            pass  # whoever connected did not trust us, or is gone

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Write down a fault of ours in a line."""
        sys.stderr.write(f"{client_address[0]}: {sys.exc_info()[1]!r}\n")

    def trusted(self) -> list[x509.Certificate]:
        """Return the certificates of those that may send, as they are now."""
        files = [*self._registered, *sorted((self.folder / "registered").glob("*.pem"))]
        return [each for file in files for each in x509.load_pem_x509_certificates(file.read_bytes())]

    def behave(self, mode: str, count: int, seconds: float) -> None:
        """Answer so from now on, `count` times (0: until told otherwise); `slow` takes so many seconds."""
        self.mode, self.left, self.slow_seconds = mode, count, seconds

    def next_mode(self) -> str:
        """Return how to answer now."""
        mode = self.mode
        if self.left:
            self.left -= 1
            if not self.left:
                self.mode = "ok"
        return mode


class _Handler(BaseHTTPRequestHandler):
    server: Simulator
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "haidang-simulator", ""

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - its name in the library
        """Say nothing: the page does."""

    def do_GET(self) -> None:
        """Show the page, the book as JSON, or a message as it came."""
        parts = urlsplit(self.path)
        if not self._is_ours() or not parts.path.startswith("/simulator"):
            self._answer(200 if parts.path == "/" else 404, b"")
        elif parts.path == "/simulator/book":
            told: dict[str, Any] = {"mode": self.server.mode, "arrived": self.server.book.arrived()}
            told["acknowledged"] = self.server.book.acknowledged()
            away = self.server.book.turned_away()
            self._answer(200, json.dumps({**told, "turned_away": away}).encode(), "application/json")
        elif parts.path == "/simulator/message":
            number = parse_qs(parts.query).get("number", ["0"])[0]
            data = self.server.book.data(int(number) if number.isdigit() else 0)
            self._answer(200 if data else 404, data, "text/xml; charset=utf-8")
        else:
            self._answer(200, page(self.server).encode(), "text/html; charset=utf-8")

    def do_POST(self) -> None:
        """Take a message, or an order for how to answer."""
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > LARGEST:
            self.close_connection = True
            self._turn_away(Refused(413 if length.isdigit() else 411, "too large, or of no length"), 0)
            return
        data = self.rfile.read(int(length))
        if urlsplit(self.path).path == "/simulator/mode":
            self._obey(data)
            return
        mode = self.server.next_mode()
        if mode == "slow":
            time.sleep(self.server.slow_seconds)
        if mode == "cut":
            self._cut()
        elif mode in ("403", "500"):
            self._turn_away(Refused(int(mode), "as told"), len(data))
        else:
            self._take(data, answers=mode != "cut-after")

    def _take(self, data: bytes, answers: bool) -> None:
        try:
            peer = str(self.client_address[0])
            trusted, now = self.server.trusted(), time.time()
            if urlsplit(self.path).path == "/acknowledgements":
                receipt = self.server.book.acknowledge(data, trusted, now)
            else:
                receipt = self.server.book.take(data, trusted, peer, now)
        except Refused as refused:
            self._turn_away(refused, len(data))
            return
        if not answers:
            self._cut()
            return
        self._answer(200, json.dumps(receipt).encode(), "application/json")

    def _obey(self, data: bytes) -> None:
        told = {name: values[0] for name, values in parse_qs(data.decode("utf-8", "replace")).items()}
        mode = told.get("mode", "")
        try:
            count, seconds = int(told.get("count", "0")), float(told.get("seconds", "5"))
        except ValueError:
            mode, count, seconds = "", 0, 0.0
        if not self._is_ours() or mode not in MODES or not 0 <= seconds <= _TIMEOUT_SECONDS or count < 0:
            self._answer(400, ", ".join(MODES).encode())
            return
        self.server.behave(mode, count, seconds)
        self.send_response(303)
        self.send_header("Location", "/simulator")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _is_ours(self) -> bool:
        """Whether who asks sits on this machine, and no other site has sent their browser here."""
        origin = self.headers.get("Origin", "")
        from_here = not origin or urlsplit(origin).netloc == self.headers.get("Host", "")
        return self.client_address[0] in ("127.0.0.1", "::1") and from_here

    def _turn_away(self, refused: Refused, size: int) -> None:
        peer = str(self.client_address[0])
        self.server.book.turn_away(refused.status, str(refused), peer, size, time.time())
        self._answer(refused.status, str(refused).encode(), "text/plain; charset=utf-8")

    def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def _cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def page(simulator: Simulator) -> str:
    """Return the page that shows what arrived."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("sharing", "pages"), autoescape=True, trim_blocks=True)
    environment.filters["moment"] = _written
    arrived, away = simulator.book.arrived(), simulator.book.turned_away()
    told: dict[str, Any] = {"mode": simulator.mode, "modes": MODES, "count": len(arrived), "away": away}
    told["acknowledged"] = simulator.book.acknowledged()
    return environment.get_template("simulator.html").render(
        say=say, arrived=list(reversed(arrived[-_SHOWN:])), language=language(), **told
    )


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%d/%m/%Y %H:%M:%S %z")


def simulate(chosen: argparse.Namespace) -> int:
    """Run the receiver until it is stopped.

    Raises:
        HaidangError: the port cannot be listened on.
    """
    try:
        with unlogged():
            simulator = Simulator(chosen.host, chosen.port, chosen.folder.absolute(), chosen.trust, chosen.client_ca)
    except OSError as error:
        raise HaidangError(
            "sharing.simulator_port", place=f"{chosen.host}:{chosen.port}", fault=error.strerror or error
        ) from error
    port = simulator.server_address[1]
    told = {"url": f"https://{chosen.host}:{port}", "ca": simulator.certificate, "folder": simulator.folder}
    sys.stdout.write(say("sharing.simulator_ready", **told) + "\n")
    sys.stdout.flush()
    try:
        simulator.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        simulator.server_close()
    return 0


def warn(chosen: argparse.Namespace) -> int:
    """Sign a warning as the simulator does, and send it to a site's inbox; print what the site answers.

    Raises:
        HaidangError: the file or the simulator's key cannot be read.
    """
    try:
        if chosen.bundle.stat().st_size > LONGEST_WARNING:  # whoever is sent more hangs up before it has come
            raise HaidangError("inbox.large", bytes=chosen.bundle.stat().st_size, limit=LONGEST_WARNING)
        data = chosen.bundle.read_bytes()
    except OSError as error:
        raise HaidangError("sharing.unreadable", file=chosen.bundle, fault=error.strerror or error) from error
    signing = Signing(certificate=chosen.folder / WARNING, key=chosen.folder / WARNING_KEY)
    now = time.time()
    with opened(signing, valid_certificate(chosen.folder / WARNING)) as key:
        signature = detached(data, key, now, chosen.id or hashlib.sha256(data).hexdigest()[:32])
    headers = {"Content-Type": "application/stix+json;version=2.1", "X-JWS-Signature": signature}
    watchdog = Watchdog()
    poster = Poster(watchdog, _TIMEOUT_SECONDS, ["0.0.0.0/0", "::/0"], chosen.ca)
    try:
        answer = poster.post(chosen.url, data, headers)
    except (OSError, http.client.HTTPException, Stopped) as error:
        raise HaidangError("sharing.check_away", url=chosen.url, fault=reason(error)) from error
    finally:
        poster.close()
        watchdog.stop()
    sys.stdout.write(f"HTTP {answer.status} {answer.body.decode('utf-8', 'replace')}\n")
    return 0 if 200 <= answer.status < 300 else 1
