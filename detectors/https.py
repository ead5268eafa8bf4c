"""HTTPS: an address enters, what lies there leaves, with bounds on its size and on the time it takes."""

import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

#: How long an address may take to answer, and the whole of it, in seconds.
_TIMEOUT, _PATIENCE = 30.0, 600.0
_NOT_CHANGED = 304


class HttpsFault(Exception):
    """What lies at an address could not be brought: it is no https, too large, or something failed (`reason`)."""

    def __init__(self, kind: Literal["no_https", "too_large", "failed"], reason: object = "") -> None:
        super().__init__(kind, reason)
        self.kind = kind
        self.reason = reason


class Answer(NamedTuple):
    """What a server answered; `changed` is False where it has nothing newer than what it was asked with."""

    body: bytes
    headers: Mapping[str, str]
    changed: bool = True


def get(
    address: str,
    limit: int,
    *,
    headers: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    ca: Path | None = None,
    patience: float | None = None,
) -> Answer:
    """Return what lies at an https address, at most `limit` bytes.

    The system's certificates decide, or those that SSL_CERT_FILE names, or `ca`. `secrets` are headers that no other
    server gets where the address sends elsewhere.

    Raises:
        HttpsFault: it is no https, does not answer, sends elsewhere than to https, or sends too much.
    """
    if urlsplit(address).scheme != "https":
        raise HttpsFault("no_https")
    try:
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _ToHttpsOnly())
        request = urllib.request.Request(address, headers=dict(headers or {}))  # noqa: S310 - https, looked at above
        for name, value in (secrets or {}).items():
            request.add_unredirected_header(name, value)
        return _read(opener, request, limit, _PATIENCE if patience is None else patience)
    except urllib.error.HTTPError as error:
        if error.code == _NOT_CHANGED:
            return Answer(b"", dict(error.headers), changed=False)
        raise HttpsFault("failed", f"{error.code} {error.reason}") from error
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise HttpsFault("failed", getattr(error, "reason", error)) from error


def _read(
    opener: urllib.request.OpenerDirector, request: urllib.request.Request, limit: int, patience: float
) -> Answer:
    started, parts, size = time.monotonic(), [], 0
    with opener.open(request, timeout=_TIMEOUT) as answer:
        while part := answer.read1(1_000_000):  # what is there, so that one who sends little by little is noticed
            parts.append(part)
            size += len(part)
            if size > limit:
                raise HttpsFault("too_large")
            if time.monotonic() - started > patience:
                raise TimeoutError(f"it took longer than {patience:.0f} seconds")
        return Answer(b"".join(parts), dict(answer.headers))


class _ToHttpsOnly(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: object, code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != "https":
            raise urllib.error.URLError(f"it sends to {newurl[:200]}, which is not https")
        made = super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
        if made is not None and urlsplit(newurl).netloc == urlsplit(req.full_url).netloc:
            made.unredirected_hdrs.update(req.unredirected_hdrs)
        return made
