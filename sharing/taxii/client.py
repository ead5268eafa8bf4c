"""Our client of TAXII 2.1 servers: where a partner's server is and objects enter, a receipt leaves; or what was added
there since the last time, and how far that was.

The server's certificate is always looked at; what it sends is bounded in size, in pages and in time.
"""

import ssl
import time
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

import httpx
import orjson

from pipeline.messages import HaidangError
from pipeline.settings.sharing_taxii import Peer
from sharing.taxii.receipt import PAUSE, Receipt, object_of, receipt_of

MEDIA_TYPE = "application/taxii+json;version=2.1"
_AGENT = "haidang"
#: Bytes of a body that we send, and its objects.
_LONGEST_BODY, _MOST_SENT = 8_000_000, 5_000
#: Objects that a page may have, pages that one reading takes, and objects that it brings.
_PAGE, _MOST_PAGES, _MOST_OBJECTS = 1_000, 10_000, 100_000
#: How long a server may think about what was sent before it says what became of it.
_PATIENCE = 300.0
_TAXII, _LAST_HEADER = "application/taxii+json", "x-taxii-date-added-last"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A partner's server. `url` is a collection, an API root or the discovery; `collection` an id, alias or title."""

    url: str
    collection: str = ""
    username: str = ""
    password: str = ""
    token: str = ""
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    timeout: float = 60.0
    max_bytes: int = 100_000_000


class Position(NamedTuple):
    """How far a collection was read: what was added `after` is new; `next` goes on within that, where a reading ended
    before its end."""

    after: str = ""
    next: str = ""

    def text(self) -> str:
        """Write it so that `position_of` reads it."""
        return orjson.dumps(self._asdict()).decode()


class Found(NamedTuple):
    """A collection of a partner's server."""

    url: str
    id: str
    title: str
    alias: str
    can_read: bool
    can_write: bool


class TaxiiFault(HaidangError):
    """A server cannot be reached, or does not answer as TAXII wants it; `again`: it may another time."""

    def __init__(self, key: str, again: bool = False, **values: Any) -> None:
        super().__init__(key, **values)
        self.again = again


def endpoint_of(peer: Peer) -> Endpoint:
    """Return the server that the settings name."""
    return Endpoint(
        peer.url, peer.collection, peer.username, peer.password.get_secret_value(), peer.token.get_secret_value(),
        peer.ca, peer.certificate, peer.key, peer.timeout_seconds, peer.max_mb * 1_000_000,
    )  # fmt: skip


def position_of(text: str) -> Position:
    """Read a position; what is none is the beginning: reading twice costs nothing but time."""
    try:
        said = orjson.loads(text) if text else {}
        return Position(str(said.get("after", "")), str(said.get("next", "")))
    except (orjson.JSONDecodeError, AttributeError):
        return Position()


def discover(endpoint: Endpoint) -> list[Found]:
    """Return the collections that a server shows us.

    Raises:
        TaxiiFault: it cannot be reached, or answers something else.
    """
    with _Server(endpoint) as server:
        return list(server.collections())


def push(endpoint: Endpoint, objects: bytes | Iterable[Mapping[str, Any]], patience: float = _PATIENCE) -> Receipt:
    """Send objects (or a bundle, as `sharing.stix.bundle_of` makes it) and wait for what becomes of them.

    What is too long for one request is sent in several; the first that is refused ends it, and its answer is the
    receipt. An object that arrives twice is no fault, so all may be sent again.

    Raises:
        TaxiiFault: the server cannot be reached, or has no such collection.
    """
    given = orjson.loads(objects)["objects"] if isinstance(objects, bytes) else list(objects)
    receipts: list[Receipt] = []
    with _Server(endpoint) as server:
        place = f"{server.collection()}objects/"
        for body in _bodies(given):
            receipts.append(server.add(place, body, patience))
            if receipts[-1].status >= 300:
                break
    if not receipts:
        raise TaxiiFault("taxii.nothing_to_send")
    last = receipts[-1]
    return Receipt(
        last.status, b"\n".join(each.body for each in receipts), last.time, sum(each.successes for each in receipts),
        tuple(failure for each in receipts for failure in each.failures), all(each.complete for each in receipts),
    )  # fmt: skip


def poll(endpoint: Endpoint, position: str = "", most: int = _MOST_OBJECTS) -> tuple[list[Any], str]:
    """Return what was added since a position (about `most` objects) and the new one; "" is the beginning.

    Nothing is left out: where a server has forgotten where we were, what was new is read again from its beginning.

    Raises:
        TaxiiFault: the server cannot be reached, has no such collection, or pages for ever.
    """
    start = position_of(position)
    with _Server(endpoint) as server:
        place = f"{server.collection()}objects/"
        try:
            return server.read(place, start, most)
        except TaxiiFault as fault:
            if not start.next or fault.key != "taxii.answered" or fault.again:
                raise
            return server.read(place, Position(start.after), most)


@dataclass
class _Server:
    """The server of an endpoint; all that it sends together is bounded."""

    endpoint: Endpoint
    left: int = field(init=False)

    def __enter__(self) -> "_Server":
        given = self.endpoint
        if urlsplit(given.url).scheme != "https":
            raise TaxiiFault("taxii.no_https", url=given.url[:200])
        try:
            context = ssl.create_default_context(cafile=str(given.ca) if given.ca else None)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if given.certificate:
                context.load_cert_chain(given.certificate, given.key, password="")  # one is refused, not asked
        except OSError as error:
            files = " ".join(str(each) for each in (given.ca, given.certificate, given.key) if each)
            raise TaxiiFault("taxii.bad_files", files=files, fault=error) from error
        self.left = given.max_bytes
        self._origin = urlsplit(given.url).netloc
        self._client = httpx.Client(verify=context, timeout=given.timeout, headers=self._headers())
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def _headers(self) -> dict[str, str]:
        given = self.endpoint
        headers = {"Accept": MEDIA_TYPE, "User-Agent": _AGENT, "Accept-Encoding": "identity"}
        if given.token:
            headers["Authorization"] = f"Bearer {given.token}"
        elif given.username:
            headers["Authorization"] = f"Basic {b64encode(f'{given.username}:{given.password}'.encode()).decode()}"
        return headers

    def ask(
        self, method: str, url: str, query: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, httpx.Headers, bytes]:
        """Return status, headers and body of an answer of this server; no other one gets our password."""
        if urlsplit(url).netloc != self._origin:
            raise TaxiiFault("taxii.elsewhere", url=url[:200], host=self._origin)
        headers = {"Content-Type": MEDIA_TYPE} if body is not None else {}
        started, parts = time.monotonic(), bytearray()
        try:
            with self._client.stream(method, url, params=query, content=body, headers=headers) as answer:
                for part in answer.iter_raw():
                    parts += part
                    self.left -= len(part)
                    if self.left < 0:
                        raise TaxiiFault("taxii.too_large", url=url[:200], limit=self.endpoint.max_bytes // 1_000_000)
                    if time.monotonic() - started > self.endpoint.timeout:
                        raise TaxiiFault("taxii.too_slow", True, url=url[:200], seconds=round(self.endpoint.timeout))
                return answer.status_code, answer.headers, bytes(parts)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            fault = str(error) or type(error).__name__
            raise TaxiiFault("taxii.cannot_reach", True, url=url[:200], fault=fault[:300]) from error

    def json(self, url: str, query: Mapping[str, str] | None = None) -> tuple[dict[str, Any], httpx.Headers]:
        """Return a resource of TAXII."""
        status, headers, body = self.ask("GET", url, query)
        if status != 200:
            again = status == 429 or status >= 500
            raise TaxiiFault("taxii.answered", again, url=url[:200], status=status, said=_said(body))
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict) or not headers.get("content-type", "").startswith(_TAXII):
            raise TaxiiFault("taxii.no_taxii", url=url[:200])
        return found, headers

    def collections(self) -> Iterator[Found]:
        """Yield the collections of all API roots of the server, or of the one that is meant."""
        url = _slashed(self.endpoint.url)
        if urlsplit(url).path.rstrip("/").rpartition("/")[0].endswith("/collections"):
            said, _ = self.json(url)
            yield _found(url, said)
            return
        said, _ = self.json(url)
        roots = [url]
        if isinstance(said.get("api_roots"), list):
            roots = [urljoin(url, root) for root in said["api_roots"][:100] if isinstance(root, str)]
        for root in roots:
            if urlsplit(root).netloc != self._origin:
                continue  # another server's, which does not get our password
            place = f"{_slashed(root)}collections/"
            listed = self.json(place)[0].get("collections")
            for each in listed if isinstance(listed, list) else []:
                if isinstance(each, dict) and isinstance(each.get("id"), str):
                    yield _found(f"{place}{quote(each['id'], safe='')}/", each)

    def collection(self) -> str:
        """Return the address of the collection that is meant, without asking for it where that can be told."""
        url, wanted = _slashed(self.endpoint.url), self.endpoint.collection
        if urlsplit(url).path.rstrip("/").rpartition("/")[0].endswith("/collections"):
            return url
        found = list(self.collections())
        fits = [each for each in found if not wanted or wanted in (each.id, each.alias, each.title)]
        if len(fits) != 1:
            known = ", ".join(each.title or each.id for each in found) or "-"
            raise TaxiiFault("taxii.which_collection", wanted=wanted or "-", known=known[:500])
        return fits[0].url

    def add(self, place: str, body: bytes, patience: float) -> Receipt:
        """Send one envelope, and ask what became of it until that is said."""
        status, _, answer = self.ask("POST", place, body=body)
        deadline = time.monotonic() + patience
        found = receipt_of(status, answer)
        while (asked := found.where_next(place)) and time.monotonic() < deadline:
            time.sleep(min(PAUSE, patience))
            told, _, answer = self.ask("GET", asked)
            if told != 200:
                break
            found = receipt_of(status, answer)
        return found

    def read(self, place: str, start: Position, most: int) -> tuple[list[Any], str]:
        """Read pages from a position on."""
        objects: list[Any] = []
        before: list[Any] = []
        query = {"limit": str(_PAGE)}
        query |= {"added_after": start.after} if start.after else {}
        query |= {"next": start.next} if start.next else {}
        for _ in range(_MOST_PAGES):
            page, headers = self.json(place, query)
            found = page.get("objects")
            new = found if isinstance(found, list) else []
            objects += new
            last = headers.get(_LAST_HEADER, "")
            if page.get("more") is not True:
                return objects, Position(max(start.after, last)).text()
            if isinstance(page.get("next"), str) and page["next"]:
                if not new or (new == before and page["next"] == query.get("next")):
                    break  # it would go on like that for ever; `next` alone may stay the same (medallion's does)
                query["next"], before = page["next"], new
            elif last and last != query.get("added_after"):
                query["added_after"] = last
                query.pop("next", None)
            else:
                break
            if len(objects) >= most:
                return objects, Position(query.get("added_after", ""), query.get("next", "")).text()
        raise TaxiiFault("taxii.endless", url=place[:200])


def _bodies(objects: list[Any]) -> Iterator[bytes]:
    """Yield envelopes of what fits into one request each."""
    held: list[bytes] = []
    size = 0
    for each in objects:
        line = orjson.dumps(each, option=orjson.OPT_SORT_KEYS)
        if held and (size + len(line) > _LONGEST_BODY or len(held) == _MOST_SENT):
            yield b'{"objects":[' + b",".join(held) + b"]}"
            held, size = [], 0
        held.append(line)
        size += len(line) + 1
    if held:
        yield b'{"objects":[' + b",".join(held) + b"]}"


def _found(url: str, said: Mapping[str, Any]) -> Found:
    identifier, title, alias = (str(said.get(name) or "")[:300] for name in ("id", "title", "alias"))
    return Found(url, identifier, title, alias, said.get("can_read") is True, said.get("can_write") is True)


def _slashed(url: str) -> str:
    return url if url.endswith("/") else f"{url}/"


def _said(body: bytes) -> str:
    said = object_of(body)
    return str(said.get("description") or said.get("title") or "")[:300]
