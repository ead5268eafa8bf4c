"""Standard Webhooks (https://github.com/standard-webhooks/standard-webhooks, spec 1.0): a message enters, the headers
that prove whose it is leave.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.messages import say
from pipeline.outward import Stopped

_SYMMETRIC, _ASYMMETRIC = "whsec_", "whsk_"
#: Bytes that a symmetric secret should have, and those of an ed25519 seed, with or without its public half.
_LEAST, _MOST = 24, 64
_SEED = 32


def signed(identifier: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """Return the headers of a message; a signature for each secret, so that one can be replaced by another.

    Raises:
        Stopped: a secret is none.
    """
    headers = {"webhook-id": identifier, "webhook-timestamp": str(timestamp)}
    if secrets:
        content = f"{identifier}.{timestamp}.".encode() + body
        headers["webhook-signature"] = " ".join(_signature(content, secret) for secret in secrets)
    return headers


def _signature(content: bytes, secret: str) -> str:
    if secret.startswith(_ASYMMETRIC):
        key = _decoded(secret, _ASYMMETRIC)
        if len(key) not in (_SEED, 2 * _SEED):
            raise Stopped(say("delivery.bad_secret"))
        made = Ed25519PrivateKey.from_private_bytes(key[:_SEED]).sign(content)
        return f"v1a,{base64.b64encode(made).decode()}"
    key = _decoded(secret, _SYMMETRIC)
    if not _LEAST <= len(key) <= _MOST:
        raise Stopped(say("delivery.bad_secret"))
    return f"v1,{base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()}"


def _decoded(secret: str, prefix: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(prefix), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Stopped(say("delivery.bad_secret")) from error
