"""E-mail: messages enter, a mail of text and HTML for each leaves through the site's mail server (RFC 5321, 5322)."""

import base64
import contextlib
import html
import smtplib
import socket
import ssl
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

from pipeline.delivery import DIGEST, HEARTBEAT
from pipeline.delivery.book import Outcome
from pipeline.messages import say
from pipeline.outward import reason, secret_of
from pipeline.outward.posting import tls_context
from pipeline.outward.watchdog import Watchdog, is_open
from pipeline.settings.delivery import EmailChannel
from response.delivery.message import Message, one_line
from response.delivery.sender import Sender, failed

#: Bytes that one answer of a mail server may have.
_LONGEST_ANSWER = 65_536
_LONGEST_SUBJECT = 200
_COLORS = {"critical": "#b00020", "high": "#d9480f", "medium": "#b07900", "low": "#2b6cb0"}
_PERMANENT, _LOGGED_IN, _READY = 500, 235, 220
#: How many pieces of news one connection carries; some servers end it after more.
_MAILS_A_CONNECTION = 100


class Mail(Sender):
    """One mail server and who gets what through it."""

    def __init__(self, channel: EmailChannel, watchdog: Watchdog) -> None:
        self._channel, self._watchdog = channel, watchdog
        self._server: _Smtp | None = None
        self._context: ssl.SSLContext | None = None
        self._mails = 0

    def send(self, messages: Sequence[Message]) -> Iterator[Outcome]:
        """Send mails one after another over a connection that is kept for a while."""
        for message in messages:
            with self._watchdog.within(self._channel.timeout_seconds, self._socket) as watched:
                try:
                    outcome = self._sent(message)
                except (OSError, smtplib.SMTPException, ValueError) as error:
                    self._forget()
                    slow = say("delivery.too_slow", seconds=round(self._channel.timeout_seconds))
                    outcome = Outcome("failed", slow, away=True) if watched.cut else _of_fault(error)
            yield outcome

    def close(self) -> None:
        """Say good-bye to the server."""
        if self._server is not None:
            with self._watchdog.within(2.0, self._socket), contextlib.suppress(OSError, smtplib.SMTPException):
                self._server.quit()
            self._forget()

    def _sent(self, message: Message) -> Outcome:
        server = self._connect()
        to = message.row.body.get("to") or self._channel.to
        mail = mail_of(message, self._channel.sender, self._channel.to)
        self._mails += 1
        try:
            refused = server.send_message(mail, self._channel.sender, to)
        except smtplib.SMTPRecipientsRefused as error:
            refused = error.recipients
        later = sorted(address for address, (code, _) in refused.items() if code < _PERMANENT)
        told = "; ".join(f"{address}: {_said(answer)}" for address, answer in refused.items())
        if later:  # the others have it, or never will
            return Outcome("failed", told, left={"to": later})
        if len(refused) == len(to):
            return Outcome("refused", told)
        said = say("delivery.mailed", addresses=", ".join(address for address in to if address not in refused))
        return Outcome("sent", f"{said}. {say('delivery.not_mailed', told=told)}" if refused else said)

    def _connect(self) -> "_Smtp":
        if self._server is not None and (self._mails >= _MAILS_A_CONNECTION or not is_open(self._server.sock)):
            self.close()
        if self._server is None:
            self._mails = 0
            self._server = _Smtp(self._channel)
            self._server.open(self._tls(), secret_of(self._channel.password, self._channel.password_file))
        return self._server

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = tls_context(self._channel.ca)
        return self._context

    def _socket(self) -> socket.socket | None:
        return self._server.sock if self._server is not None else None

    def _forget(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None


class _Smtp(smtplib.SMTP):
    """A connection whose answers are bounded, and that never says a password where others can read it."""

    def __init__(self, channel: EmailChannel) -> None:
        super().__init__(local_hostname=socket.gethostname(), timeout=channel.timeout_seconds)
        self._channel = channel

    def open(self, context: ssl.SSLContext, password: str) -> None:
        """Connect, encrypt and log in, as the settings say."""
        channel = self._channel
        self._host = channel.host  # what the certificate must be of
        if channel.security == "tls":
            plain = socket.create_connection((channel.host, channel.port), channel.timeout_seconds)
            self.sock = plain
            self.sock = context.wrap_socket(plain, server_hostname=channel.host)
            self.file = None
            code, said = self.getreply()
        else:
            code, said = self.connect(channel.host, channel.port)
        if code != _READY:
            raise smtplib.SMTPConnectError(code, said)
        self.ehlo_or_helo_if_needed()
        if channel.security == "starttls":
            self.starttls(context=context)
            self.ehlo()
        if channel.username:
            self._log_in(channel.username, password)

    def _log_in(self, user: str, password: str) -> None:
        """Log in (RFC 4954) with UTF-8, which smtplib does not: passwords are Vietnamese words here."""
        known = self.esmtp_features.get("auth", "").upper().split()
        if "PLAIN" in known:
            code, said = self.docmd("AUTH", "PLAIN " + _base64(f"\0{user}\0{password}"))
        elif "LOGIN" in known:
            self.docmd("AUTH", "LOGIN")
            self.docmd(_base64(user))
            code, said = self.docmd(_base64(password))
        else:
            raise smtplib.SMTPNotSupportedError(say("delivery.no_login", known=" ".join(known) or "-"))
        if code != _LOGGED_IN:
            raise smtplib.SMTPAuthenticationError(code, said)

    def getreply(self) -> tuple[int, bytes]:
        """Read an answer of bounded size."""
        if self.file is None and self.sock is not None:
            self.file = _Bounded(self.sock.makefile("rb"))
        if self.file is not None:
            self.file.left = _LONGEST_ANSWER
        return super().getreply()


class _Bounded:
    """A file of which only so many bytes are read."""

    def __init__(self, file: Any) -> None:
        self._file, self.left = file, 0

    def readline(self, limit: int = -1) -> bytes:
        """Read a line."""
        line: bytes = self._file.readline(limit)
        self.left -= len(line)
        if self.left < 0:
            raise smtplib.SMTPServerDisconnected(say("delivery.endless_answer"))
        return line

    def close(self) -> None:
        """Close it."""
        self._file.close()


def mail_of(message: Message, sender: str, to: Sequence[str]) -> EmailMessage:
    """Return the mail of a message: its subject and its addresses are one line each, whatever logs say."""
    domain = sender.rpartition("@")[2]
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = one_line(message.title(), _LONGEST_SUBJECT)
    mail["From"] = Address("Hải Đăng", addr_spec=sender)
    mail["To"] = [Address(addr_spec=address) for address in to]
    mail["Date"] = format_datetime(datetime.fromtimestamp(message.row.created, UTC).astimezone(message.zone))
    mail["Message-ID"] = f"<{message.id}@{domain}>"
    if message.row.thread:
        root = f"<{message.row.thread}.group@{domain}>"
        mail["In-Reply-To"] = root
        mail["References"] = root
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Haidang-Kind"] = message.kind
    if message.level in ("high", "critical"):
        mail["Importance"] = "high"
    lines = message.lines()
    mail.set_content(f"{message.title()}\n\n" + "\n".join(lines).strip() + "\n", charset="utf-8", cte="base64")
    mail.add_alternative(_html(message, lines), subtype="html", charset="utf-8", cte="base64")
    return mail


def _html(message: Message, lines: Sequence[str]) -> str:
    color = _COLORS.get(message.level, "#4b5563")
    fields = ""
    if message.kind not in (DIGEST, HEARTBEAT):
        known = message.fields(message.alerts[0])
        rows = "".join(
            f'<tr><td style="padding:2px 12px 2px 0;color:#6b7280">{html.escape(name)}</td>'
            f'<td style="padding:2px 0;font-family:monospace">{html.escape(value)}</td></tr>'
            for name, value in known
        )
        fields = f'<table style="border-collapse:collapse">{rows}</table>'
        told = {f"{name}: {value}" for name, value in known}
        lines = [line for line in lines if line not in told]
    text = "".join(f"<p>{html.escape(line)}</p>" for line in lines if line)
    return (
        f'<!DOCTYPE html><html lang="{message.language}"><body style="font-family:sans-serif;color:#111827">'
        f'<h2 style="border-left:6px solid {color};padding-left:10px;font-size:18px">{html.escape(message.title())}'
        f"</h2>{fields}{text}</body></html>"
    )


def _of_fault(error: Exception) -> Outcome:
    """Say what a fault means: the content of one mail was refused for good, or the server cannot be used now."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return Outcome("failed", say("delivery.login_refused", answer=_said((error.smtp_code, error.smtp_error))), True)
    if isinstance(error, smtplib.SMTPDataError):
        said = _said((error.smtp_code, error.smtp_error))
        return Outcome("refused" if error.smtp_code >= _PERMANENT else "failed", said)
    if isinstance(error, smtplib.SMTPSenderRefused):
        return Outcome("failed", _said((error.smtp_code, error.smtp_error)), away=True)
    if isinstance(error, smtplib.SMTPResponseException):
        return Outcome("failed", _said((error.smtp_code, error.smtp_error)), away=True)
    if isinstance(error, ssl.SSLError | OSError):
        return failed(error)
    return Outcome("failed", reason(error), away=True)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _said(answer: tuple[int, Any]) -> str:
    code, text = answer
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return one_line(f"{code} {' '.join(words.split())}", 500)
