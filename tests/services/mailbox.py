"""A real mail server for the tests (aiosmtpd): with STARTTLS and a log-in, it keeps what it takes and refuses as told."""

import email
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.services.receiver import authority

USER, PASSWORD = "haidang", "mật khẩu"


@dataclass
class Mailbox:
    """What it took, and what it refuses: addresses with their answers, and the answer to the next mails' content."""

    port: int = 0
    ca: Path = Path()
    mails: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    content: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.content:
            return self.content.pop(0)
        mail = email.message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append((list(envelope.rcpt_tos), mail))
        return "250 taken"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, mechanism: str, data: Any) -> AuthResult:
        """Let in whoever knows the password."""
        self.logins.append(mechanism)
        assert isinstance(data, LoginPassword)
        good = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=good, handled=False)


class _Server(Controller):
    """Ends its connections with it, which aiosmtpd leaves to the garbage collector."""

    _made: list[Any]

    def factory(self) -> Any:
        self._made = [*getattr(self, "_made", []), super().factory()]
        return self._made[-1]

    def end(self) -> None:
        """End everything."""
        ended = threading.Event()

        def close() -> None:
            for each in getattr(self, "_made", []):
                for transport in (each.transport, getattr(each, "_original_transport", None)):
                    if transport is not None:
                        transport.abort()
            self.loop.call_later(0.05, ended.set)

        self.loop.call_soon_threadsafe(close)
        ended.wait(5)
        self.stop()


@contextmanager
def mailbox(folder: Path, tls: str = "starttls") -> Iterator[Mailbox]:
    """Run a mail server that demands `starttls` and a log-in, or `tls` from the start, or nothing (`none`)."""
    made, file = authority(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.issue_cert("localhost").configure_cert(context)
    box = Mailbox(ca=file)
    more: dict[str, Any] = {"starttls": {"tls_context": context, "require_starttls": True}, "tls": {}, "none": {}}[tls]
    if tls != "none":
        more |= {"auth_required": True, "authenticator": box.authenticate, "auth_require_tls": tls == "starttls"}
    if tls == "tls":
        more["ssl_context"] = context
    with socket.create_server(("127.0.0.1", 0)) as free:
        box.port = free.getsockname()[1]
    server = _Server(box, hostname="127.0.0.1", port=box.port, ready_timeout=20, **more)
    server.start()
    try:
        yield box
    finally:
        server.end()
