"""What leaves the site for another system: bytes and an address enter, what the other side said leaves.

`posting.py` speaks HTTP, `watchdog.py` ends what takes too long.
"""

import socket
import ssl
from pathlib import Path

from pydantic import SecretStr

from pipeline.messages import say

_LONGEST_SECRET = 20_000
_LONGEST_REASON = 500
#: What OpenSSL says of bytes that are no TLS.
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG")
#: What the other side says where it asks for a certificate of ours, and has none or not the one it wants.
_OUR_CERTIFICATE = (
    "TLSV13_ALERT_CERTIFICATE_REQUIRED", "TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_BAD_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED", "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
)  # fmt: skip
#: What it finds wrong with certificates (openssl-verification-options(1), X509_V_ERR_…): of another time, another name.
_OF_ANOTHER_TIME, _OF_ANOTHER_NAME = (9, 10), (62, 64)


class Stopped(Exception):
    """A channel cannot be used as it is: a secret's file is not there, its login is refused."""


def secret_of(value: SecretStr, file: Path | None) -> str:
    """Return a secret: of the settings, or of a file as it is now.

    Raises:
        Stopped: the file cannot be read.
    """
    if file is None:
        return value.get_secret_value()
    try:
        with file.expanduser().open("rb") as opened:
            return opened.read(_LONGEST_SECRET).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Stopped(say("delivery.no_secret", file=file, fault=_words(error))) from error


def reason(error: BaseException) -> str:
    """Say what is wrong, in a line; of what people often meet also what to do."""
    said = " ".join((_words(error) or type(error).__name__).split())[:_LONGEST_REASON]
    advice = _advice(error)
    return say(advice, said=said) if advice else said


def _advice(error: BaseException) -> str:
    """Return the key of our words for a fault, or ""."""
    if isinstance(error, socket.gaierror):
        return "outward.no_name"
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _OF_ANOTHER_NAME:
            return "outward.other_name"
        return "outward.other_time" if error.verify_code in _OF_ANOTHER_TIME else "outward.not_trusted"
    if isinstance(error, ssl.SSLError) and error.reason in _OUR_CERTIFICATE:
        return "outward.our_certificate"
    return "outward.no_tls" if isinstance(error, ssl.SSLError) and error.reason in _NO_TLS else ""


def _words(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)
