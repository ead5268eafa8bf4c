"""Lists are brought: what the settings say of one enters, its documents leave; or that nothing has changed."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urljoin, urlsplit

import orjson

from detectors.https import Answer, HttpsFault, get
from detectors.indicators.formats import MAX_BYTES
from detectors.reading import read_bounded
from pipeline.messages import HaidangError
from pipeline.settings import IndicatorFeed

#: Files of a directory, events of a MISP feed, and pages of a TAXII server.
_MAX_FILES, _MAX_EVENTS, _MAX_PAGES = 10_000, 50_000, 10_000
#: Objects that a page of TAXII may have, and of all pages together.
_PAGE, _MAX_OBJECTS = 1_000, 2_000_000
_TAXII = "application/taxii+json;version=2.1"
_UUID = re.compile(r"[0-9a-fA-F-]{36}")
_COLLECTION = re.compile(r"/collections/[^/]+/?$")


class Document(NamedTuple):
    """One file of a list: its name, its bytes, and its format (`auto` where that is to be told)."""

    name: str
    data: bytes
    form: str


@dataclass(slots=True)
class Brought:
    """What was brought. `marks` say next time whether something has changed; they are whole once all was read."""

    documents: Iterator[Document]
    marks: dict[str, Any] = field(default_factory=dict)
    changed: bool = True


def bring(feed: IndicatorFeed, marks: Mapping[str, Any]) -> Brought:
    """Bring a list, or find that it is as `marks` say.

    Raises:
        HaidangError: it cannot be read, is too large, or the server does not answer as it should.
    """
    if feed.kind in ("file", "directory"):
        return _files(feed, marks)
    server = _Server(feed)
    return {"https": _https, "misp": _misp, "taxii": _taxii}[feed.kind](server, marks)


def _files(feed: IndicatorFeed, marks: Mapping[str, Any]) -> Brought:
    assert feed.path is not None
    path = feed.path.expanduser()
    try:
        paths = [path] if feed.kind == "file" else _in_directory(path)
        seen = repr([(each.name, each.stat().st_mtime_ns, each.stat().st_size) for each in paths])
    except OSError as error:
        raise HaidangError("indicators.cannot_read", source=path, fault=error.strerror or error) from error
    made = {"files": blake2b(seen.encode(), digest_size=16).hexdigest()}
    return Brought((Document(each.name, read_file(each), feed.format) for each in paths), made, made != dict(marks))


def _in_directory(folder: Path) -> list[Path]:
    paths = sorted(each for each in folder.iterdir() if not each.name.startswith(".") and each.is_file())
    if len(paths) > _MAX_FILES:
        raise HaidangError("indicators.too_many", source=folder, limit=_MAX_FILES)
    return paths


def read_file(path: Path) -> bytes:
    """Return what is in a list's file.

    Raises:
        HaidangError: it cannot be read, or is larger than we read.
    """
    return read_bounded(path, MAX_BYTES, "indicators")


class _Server:
    """The server of a list; it alone gets our secrets, and all that it sends together is bounded."""

    def __init__(self, feed: IndicatorFeed) -> None:
        self.feed = feed
        self._left = MAX_BYTES
        token, password = feed.token.get_secret_value(), feed.password.get_secret_value()
        self._secrets: dict[str, str] = {}
        if token:
            self._secrets["Authorization"] = token if feed.kind == "misp" else f"Bearer {token}"
        elif feed.username:
            from base64 import b64encode

            self._secrets["Authorization"] = f"Basic {b64encode(f'{feed.username}:{password}'.encode()).decode()}"

    def get(self, address: str, headers: Mapping[str, str] | None = None) -> Answer:
        is_own = urlsplit(address).netloc == urlsplit(self.feed.url).netloc
        try:
            answer = get(
                address, self._left, headers={"User-Agent": "haidang", **(headers or {})},
                secrets=self._secrets if is_own else None, ca=self.feed.ca,
            )  # fmt: skip
        except HttpsFault as error:
            if error.kind == "too_large":
                raise HaidangError("indicators.too_large", source=address, limit=MAX_BYTES // 1_000_000) from error
            fault = error.reason or "no https"
            raise HaidangError("indicators.cannot_read", source=address, fault=fault) from error
        self._left -= len(answer.body)
        return answer

    def json(self, address: str, headers: Mapping[str, str] | None = None) -> tuple[Any, Answer]:
        answer = self.get(address, headers)
        if not answer.changed:
            return None, answer
        try:
            return orjson.loads(answer.body), answer
        except orjson.JSONDecodeError as error:
            raise HaidangError("indicators.damaged", source=address, fault=error) from error


def _asked_with(marks: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that ask only for what is newer (RFC 9110 section 13)."""
    names = {"If-None-Match": "etag", "If-Modified-Since": "modified"}
    return {header: str(marks[name]) for header, name in names.items() if marks.get(name)}


def _marks(answer: Answer) -> dict[str, Any]:
    found = {name.lower(): value for name, value in answer.headers.items()}
    return {
        "etag": found.get("etag", "")[:500], "modified": found.get("last-modified", "")[:100],
        "digest": blake2b(answer.body, digest_size=16).hexdigest(),
    }  # fmt: skip


def _https(server: _Server, marks: Mapping[str, Any]) -> Brought:
    answer = server.get(server.feed.url, _asked_with(marks))
    if not answer.changed:
        return Brought(iter(()), dict(marks), changed=False)
    made = _marks(answer)
    name = urlsplit(server.feed.url).path.rpartition("/")[2] or server.feed.name
    document = Document(name, answer.body, server.feed.format)
    return Brought(iter((document,)), made, made["digest"] != marks.get("digest"))


def _misp(server: _Server, marks: Mapping[str, Any]) -> Brought:
    """A feed of MISP: `manifest.json` names the events, each a file beside it."""
    base = server.feed.url.removesuffix("manifest.json").rstrip("/") + "/"
    manifest, answer = server.json(f"{base}manifest.json", _asked_with(marks))
    if not answer.changed:
        return Brought(iter(()), dict(marks), changed=False)
    if not isinstance(manifest, dict) or not all(_UUID.fullmatch(name) for name in manifest):
        raise HaidangError("indicators.not_format", source=f"{base}manifest.json", format="MISP")
    if len(manifest) > _MAX_EVENTS:
        raise HaidangError("indicators.too_many", source=base, limit=_MAX_EVENTS)
    made = _marks(answer)
    events = (Document(f"{name}.json", server.get(f"{base}{name}.json").body, "misp") for name in sorted(manifest))
    return Brought(events, made, made["digest"] != marks.get("digest"))


def _taxii(server: _Server, _marks_before: Mapping[str, Any]) -> Brought:
    """TAXII 2.1 (OASIS): the settings name a collection, an API root, or the discovery of a server."""
    return Brought(_collections(server))


def _collections(server: _Server) -> Iterator[Document]:
    for address in _addresses(server):
        objects: list[Any] = []
        for page in _pages(server, f"{address.rstrip('/')}/objects/"):
            objects += page
            if len(objects) > _MAX_OBJECTS:
                raise HaidangError("indicators.too_many", source=address, limit=_MAX_OBJECTS)
        name = address.rstrip("/").rpartition("/")[2]
        yield Document(name, orjson.dumps({"type": "bundle", "objects": objects}), "stix")


def _addresses(server: _Server) -> Iterator[str]:
    url = server.feed.url
    if _COLLECTION.search(urlsplit(url).path):
        yield url
        return
    found, _ = server.json(url, {"Accept": _TAXII})
    if not isinstance(found, dict):
        raise HaidangError("indicators.not_format", source=url, format="TAXII 2.1")
    roots = [url]
    if isinstance(found.get("api_roots"), list):
        roots = [urljoin(url, root) for root in found["api_roots"] if isinstance(root, str)][:100]
    for root in roots:
        place = f"{root.rstrip('/')}/collections/"
        listed, _ = server.json(place, {"Accept": _TAXII})
        named = listed.get("collections") if isinstance(listed, dict) else None
        for each in named if isinstance(named, list) else ():
            if isinstance(each, dict) and isinstance(each.get("id"), str) and each.get("can_read") is True:
                yield f"{place}{quote(each['id'], safe='')}"


def _pages(server: _Server, address: str) -> Iterator[list[Any]]:
    query: dict[str, str] = {"limit": str(_PAGE)}
    for _ in range(_MAX_PAGES):
        page, answer = server.json(f"{address}?{urlencode(query)}", {"Accept": _TAXII})
        if not isinstance(page, dict):
            raise HaidangError("indicators.not_format", source=address, format="TAXII 2.1")
        objects = page.get("objects")
        yield objects if isinstance(objects, list) else []
        if page.get("more") is not True:
            return
        last = {name.lower(): value for name, value in answer.headers.items()}.get("x-taxii-date-added-last")
        if isinstance(page.get("next"), str):
            query["next"] = page["next"]
        elif last and query.get("added_after") != last:
            query["added_after"] = last
        else:
            raise HaidangError("indicators.not_format", source=address, format="TAXII 2.1: `more` without `next`")
    raise HaidangError("indicators.too_many", source=address, limit=_MAX_PAGES)
