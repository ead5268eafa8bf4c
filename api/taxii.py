"""The TAXII 2.1 server (OASIS, 10 June 2021): requests of partners' programs enter, envelopes of STIX objects leave.

Partners are `sharing.taxii.clients`, with rights of their own for each collection, and nobody of ours: no session and
no token of the API is one here. There is one API root.
"""

import base64
import re
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl

import orjson
from fastapi import APIRouter, Depends, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from api.access import address_of, engine_of, limit_of, noted
from api.guard import told_plainly
from pipeline.access import note
from pipeline.event import to_micros
from pipeline.logs import log
from pipeline.messages import HaidangError, Unavailable, say
from pipeline.settings import Settings
from pipeline.stage import STATE_AWAY
from sharing.taxii import adding, clients, store
from sharing.taxii.clients import Client
from sharing.taxii.store import ALL, FIRST, LAST, MOST_VALUES, MOST_VERSIONS, Collection, Page, Wanted

DISCOVERY, ROOT = "/taxii2", "/taxii2/site"
MEDIA_TYPE, STIX_TYPE = "application/taxii+json;version=2.1", "application/stix+json;version=2.1"
_SPEC_VERSION = "2.1"
_ACCEPTED = frozenset(("application/taxii+json", "application/*", "*/*"))
_SECRET_LENGTH = 200
#: Characters of a query, and lists and maps in a body for each object that it may have.
_LONGEST_QUERY, _PARTS_OF_OBJECT = 20_000, 50
#: Bodies that are read at the same time: one of the largest takes some ten times its size while it is read.
_AT_ONCE = 2
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_COLLECTION_PATH = re.compile(rf"{ROOT}/collections/[^/]+/objects/")
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_bodies = threading.BoundedSemaphore(_AT_ONCE)
#: The moment that is said where there is none (section 3.2 wants the headers all the same), and the last that there is:
#: the end of the year 9999. Microseconds since 1970.
_BEFORE_ALL, _LAST_MOMENT = 0, 253_402_300_799_999_999


class _Larger(Mapping[str, int]):
    """Paths that take longer bodies: others', and those that take what partners send, whichever collection it is."""

    def __init__(self, others: Mapping[str, int], limit: int) -> None:
        self._others = others
        self._limit = limit

    def __getitem__(self, path: str) -> int:
        return self._limit if _COLLECTION_PATH.fullmatch(path) else self._others[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._others)

    def __len__(self) -> int:
        return len(self._others)


def larger(settings: Settings, others: Mapping[str, int]) -> Mapping[str, int]:
    """Return how long a body may be where partners send objects, and where `others` say."""
    return _Larger(others, settings.sharing.taxii.max_content_mb * 1_000_000)


def told(path: str, status: int, detail: str, headers: Mapping[str, str] | None) -> Response:
    """Say what is wrong: within TAXII as it wants it (section 3.6.1), elsewhere as all routes of ours do."""
    if path != DISCOVERY and not path.startswith(f"{DISCOVERY}/"):
        return told_plainly(path, status, detail, headers)
    said = {"title": say("taxii.refused", status=status), "description": detail, "http_status": str(status)}
    return _Answer(orjson.dumps(said), status, dict(headers or {}))


class _Answer(Response):
    media_type = MEDIA_TYPE


class _Route(APIRoute):
    """Answers faults as TAXII wants it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route."""
        handler = super().get_route_handler()

        async def answered(request: Request) -> Response:
            path = request.url.path
            try:
                return await handler(request)
            except HTTPException as error:
                return told(path, error.status_code, str(error.detail), error.headers)
            except RequestValidationError:
                return told(path, 404, say("taxii.nothing_here"), None)
            except ClientDisconnect:
                return told(path, 400, say("api.unreadable"), None)
            except Unavailable as error:
                return told(path, 503, str(error), None)
            except HaidangError as error:
                if error.key != "taxii.no_collection":
                    raise
                return told(path, 404, say("taxii.nothing_here"), None)
            except STATE_AWAY as error:
                log("api").error("state_away", reason=str(error)[:300])
                return told(path, 503, say("api.state_away"), None)

        return answered


router = APIRouter(route_class=_Route, include_in_schema=False)


def partner(request: Request) -> Client:
    """Return who asks. Answers 401 for nobody, 406 where they do not take TAXII, 429 where they ask too often."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    name, secret = None, ""
    if scheme.lower() == "bearer":
        secret = given.strip()[:_SECRET_LENGTH]
    elif scheme.lower() == "basic":
        name, secret = _name_and_password(given.strip())
    client = clients.client_of(engine_of(request), secret, name) if secret else None
    if client is None:
        if secret:
            limit_of(request.app.state.log_ins, f"taxii {address_of(request)}")
            noted(
                request,
                (name or "")[:100],
                "denied",
                method=request.method,
                path=request.url.path[:200],
                reason="taxii",
            )
        raise HTTPException(401, say("taxii.who"), {"WWW-Authenticate": 'Basic realm="TAXII", charset="UTF-8", Bearer'})
    limit_of(request.app.state.requests, f"taxii {client.name}")
    if not _takes_taxii(request.headers.get("accept", "")):
        raise HTTPException(406, say("taxii.not_acceptable", expected=MEDIA_TYPE))
    return client


def _name_and_password(given: str) -> tuple[str, str]:
    """Read RFC 7617; two empty texts for what is none."""
    try:
        name, colon, secret = base64.b64decode(given[: 4 * _SECRET_LENGTH], validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return (name[:_SECRET_LENGTH], secret[:_SECRET_LENGTH]) if colon else ("", "")


def _takes_taxii(header: str) -> bool:
    """Say whether an `Accept` header names what we answer with (section 1.6.8, RFC 7231 section 5.3.2)."""
    for item in header[:2_000].split(","):
        kind, *parameters = (part.strip().lower() for part in item.split(";"))
        told = dict(part.replace(" ", "").partition("=")[::2] for part in parameters)
        refused = told.get("q", "1").strip("0.") == "" and told.get("q", "1") != ""
        if kind in _ACCEPTED and told.get("version", _SPEC_VERSION).strip('"') == _SPEC_VERSION and not refused:
            return True
    return False


Partner = Annotated[Client, Depends(partner)]
_Name = Annotated[str, Path(max_length=300)]


@router.get(f"{DISCOVERY}/")
def discovery(request: Request, _client: Partner) -> Response:
    """Say what server this is and where its API root lies (section 4.1)."""
    settings = _settings(request)
    said = {"title": _title(settings), "description": say("taxii.discovery"), "default": f"{ROOT}/"}
    contact = settings.sharing.taxii.contact
    return _json({**said, **({"contact": contact} if contact else {}), "api_roots": [f"{ROOT}/"]})


@router.get(f"{ROOT}/")
def api_root(request: Request, _client: Partner) -> Response:
    """Say what the API root takes (section 4.2)."""
    settings = _settings(request)
    most = settings.sharing.taxii.max_content_mb * 1_000_000
    return _json({"title": _title(settings), "versions": [MEDIA_TYPE], "max_content_length": most})


@router.get(f"{ROOT}/status/{{identifier}}/")
def status(request: Request, client: Partner, identifier: _Name) -> Response:
    """Say what became of what this client has sent (section 4.3)."""
    body = adding.status_of(engine_of(request), identifier, client.name)
    if body is None:
        raise _nothing()
    return _Answer(body)


@router.get(f"{ROOT}/collections/")
def collections(request: Request, client: Partner) -> Response:
    """Return the collections that this client may read or write (section 5.1)."""
    seen = [_shown(each, client) for each in store.ensure(engine_of(request)) if client.rights.get(each.alias)]
    return _json({"collections": seen} if seen else {})


@router.get(f"{ROOT}/collections/{{name}}/")
def collection(request: Request, client: Partner, name: _Name) -> Response:
    """Return one of them (section 5.2)."""
    return _json(_shown(_collection(request, client, name), client))


@router.get(f"{ROOT}/collections/{{name}}/manifest/")
def manifest(request: Request, client: Partner, name: _Name) -> Response:
    """Return which objects there are (section 5.3)."""
    found, wanted = _page(request, _readable(request, client, name), bodies=False)
    records = [
        {"id": row.id, "date_added": store.from_added(row.added), "version": row.version, "media_type": STIX_TYPE}
        for row in found.rows
    ]
    return _paged({"objects": records} if records else {}, found, wanted)


@router.get(f"{ROOT}/collections/{{name}}/objects/")
def objects(request: Request, client: Partner, name: _Name) -> Response:
    """Return objects (section 5.4)."""
    return _envelope(*_page(request, _readable(request, client, name)))


@router.post(f"{ROOT}/collections/{{name}}/objects/")
async def add_objects(request: Request, client: Partner, name: _Name) -> Response:
    """Take objects, each by itself, and say what became of it (section 5.5)."""
    found = await run_in_threadpool(_writable, request, client, name)
    kind, *parameters = (part.strip().lower() for part in request.headers.get("content-type", "").split(";"))
    version = dict(part.replace(" ", "").partition("=")[::2] for part in parameters).get("version", _SPEC_VERSION)
    if kind != "application/taxii+json" or version.strip('"') != _SPEC_VERSION:
        raise HTTPException(415, say("taxii.unsupported", expected=MEDIA_TYPE))
    body = await request.body()
    return await run_in_threadpool(_added, request, client, found, body)


def _added(request: Request, client: Client, found: Collection, body: bytes) -> Response:
    limits = _settings(request).sharing.taxii
    if not _bodies.acquire(blocking=False):
        raise HTTPException(429, say("api.busy"), {"Retry-After": "5"})
    try:
        sent = _objects_of(body, limits.max_objects)
        made = adding.add(engine_of(request), found, sent, client.name, limits.collection_objects, limits.keep_days)
    finally:
        _bodies.release()
    counts = {name: made[name] for name in ("success_count", "failure_count")}
    with engine_of(request).begin() as connection:
        note(
            connection,
            client.name,
            address_of(request),
            "taxii_added",
            collection=found.alias,
            status=made["id"],
            **counts,
        )
    return _json(made, 202)


def _objects_of(body: bytes, most: int) -> list[Any]:
    """Return the objects of an envelope. Answers 422 for what is none, or has too many."""
    if body.count(b"{") + body.count(b"[") > most * _PARTS_OF_OBJECT:
        raise HTTPException(422, say("taxii.too_many", limit=most))
    try:
        envelope = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise HTTPException(422, say("taxii.not_json", fault=str(error)[:200])) from error
    sent = envelope.get("objects") if isinstance(envelope, dict) else None
    if not isinstance(sent, list) or not sent:
        raise HTTPException(422, say("taxii.no_envelope"))
    if len(sent) > most:
        raise HTTPException(422, say("taxii.too_many", limit=most))
    return sent


@router.get(f"{ROOT}/collections/{{name}}/objects/{{identifier}}/")
def one_object(request: Request, client: Partner, name: _Name, identifier: _Name) -> Response:
    """Return versions of one object (section 5.6)."""
    found = _readable(request, client, name)
    wanted = _wanted(request, ("version", "spec_version"), ids=(identifier,))
    made = _looked_up(request, found, wanted)
    named = any(isinstance(version, int) for version in wanted.versions)
    if not made.rows and (named or not _is_there(request, found, identifier)):
        raise _nothing()  # also a version that was removed (section 5.7)
    return _envelope(made, wanted)


@router.delete(f"{ROOT}/collections/{{name}}/objects/{{identifier}}/")
def remove_object(request: Request, client: Partner, name: _Name, identifier: _Name) -> Response:
    """Remove an object, or the versions that are named (section 5.7)."""
    found = _collection(request, client, name)
    if not (client.may(found.alias, "r") and client.may(found.alias, "w")):
        raise HTTPException(403, say("taxii.not_allowed", collection=found.alias))
    wanted = _wanted(request, ("version", "spec_version"), ids=(identifier,), versions=(ALL,))
    with engine_of(request).begin() as connection:
        removed = store.remove(connection, found, identifier, wanted.versions) if wanted.limit else 0
        if removed:
            note(connection, client.name, address_of(request), "taxii_removed", collection=found.alias, id=identifier)
    if not removed:
        raise _nothing()
    return _Answer(b"")


@router.get(f"{ROOT}/collections/{{name}}/objects/{{identifier}}/versions/")
def versions(request: Request, client: Partner, name: _Name, identifier: _Name) -> Response:
    """Return which versions of an object there are (section 5.8)."""
    found = _readable(request, client, name)
    wanted = _wanted(request, ("spec_version",), ids=(identifier,), versions=(ALL,))
    made = _looked_up(request, found, wanted, bodies=False)
    if not made.rows and not _is_there(request, found, identifier):
        raise _nothing()
    return _paged({"versions": [row.version for row in made.rows]} if made.rows else {}, made, wanted)


@router.api_route(DISCOVERY, methods=_METHODS)
@router.api_route(f"{DISCOVERY}/{{path:path}}", methods=_METHODS)
def elsewhere(request: Request, _client: Partner) -> Response:
    """Say that there is nothing: every path of TAXII ends in a slash (section 3.1), and takes few methods."""
    raise HTTPException(404, say("taxii.no_path", path=request.url.path[:200]))


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _title(settings: Settings) -> str:
    return settings.sharing.taxii.title or settings.organization


def _nothing() -> HTTPException:
    return HTTPException(404, say("taxii.nothing_here"))


def _collection(request: Request, client: Client, name: str) -> Collection:
    """Return a collection. Answers 404 also where a client has no right to it: it need not know that it is there."""
    found = store.named(store.ensure(engine_of(request)), name)
    if not client.rights.get(found.alias):
        raise _nothing()
    return found


def _readable(request: Request, client: Client, name: str) -> Collection:
    found = _collection(request, client, name)
    if not client.may(found.alias, "r"):
        raise HTTPException(403, say("taxii.not_allowed", collection=found.alias))
    return found


def _writable(request: Request, client: Client, name: str) -> Collection:
    found = _collection(request, client, name)
    if not client.may(found.alias, "w"):
        raise HTTPException(403, say("taxii.not_allowed", collection=found.alias))
    return found


def _shown(found: Collection, client: Client) -> dict[str, Any]:
    title = f"TLP:{found.tlp.upper()}" if found.alias != store.INBOX else say("taxii.inbox")
    about = say("taxii.about_inbox") if found.alias == store.INBOX else say("taxii.about", level=found.tlp.upper())
    return {
        "id": found.id, "title": title, "description": about, "alias": found.alias,
        "can_read": client.may(found.alias, "r"), "can_write": client.may(found.alias, "w"), "media_types": [STIX_TYPE],
    }  # fmt: skip


def _page(request: Request, found: Collection, bodies: bool = True) -> tuple[Page, Wanted]:
    wanted = _wanted(request, ("id", "type", "version", "spec_version"))
    return _looked_up(request, found, wanted, bodies), wanted


def _looked_up(request: Request, found: Collection, wanted: Wanted, bodies: bool = True) -> Page:
    if not wanted.limit:  # of another version of STIX, of which we have nothing
        return Page([], False)
    with engine_of(request).connect().execution_options(read_only=True) as connection:
        return store.page(connection, found, wanted, bodies)


def _is_there(request: Request, found: Collection, identifier: str) -> bool:
    with engine_of(request).connect().execution_options(read_only=True) as connection:
        return store.has(connection, found, identifier)


def _wanted(
    request: Request, fields: tuple[str, ...], ids: tuple[str, ...] = (), versions: tuple[str | int, ...] = (LAST,)
) -> Wanted:
    """Read the filters (section 3.4). Answers 400 for what is malformed; fields that the endpoint has not are ignored,
    as section 3.4 allows. A limit of 0 stands for nothing at all."""
    asked = _parameters(request)
    size = _settings(request).sharing.taxii.page_size
    limit = min(_number(asked, "limit", size), size)
    if limit < 1:
        raise _malformed("limit", asked["limit"])
    after = -1
    if (text := asked.get("added_after")) is not None:
        after = _micros(text, "added_after")
    if (position := _number(asked, "next", -1)) > _LAST_MOMENT:
        raise _malformed("next", asked["next"])
    match = {name: _values(asked, name) for name in fields}
    if _SPEC_VERSION not in (match.get("spec_version") or (_SPEC_VERSION,)):
        limit = 0
    if match.get("version"):
        versions = _versions(match["version"])
    return Wanted(max(after, position), match.get("id") or ids, match.get("type", ()), versions, limit)


def _parameters(request: Request) -> dict[str, str]:
    query = request.scope["query_string"]
    if len(query) > _LONGEST_QUERY:
        raise HTTPException(400, say("taxii.long_query", limit=_LONGEST_QUERY))
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise HTTPException(400, say("api.unreadable")) from error
    names = [name for name, _ in pairs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise HTTPException(400, say("taxii.twice", name=twice[:100]))
    return dict(pairs)


def _malformed(name: str, value: str) -> HTTPException:
    return HTTPException(400, say("taxii.malformed", name=name, value=value[:100]))


def _number(asked: Mapping[str, str], name: str, without: int) -> int:
    value = asked.get(name)
    if value is None:
        return without
    if not _NUMBER.fullmatch(value):
        raise _malformed(name, value)
    return int(value)


def _micros(text: str, name: str) -> int:
    if not _TIME.fullmatch(text):
        raise _malformed(name, text)
    try:
        return to_micros(text)
    except (ValueError, OverflowError) as error:
        raise _malformed(name, text) from error


def _values(asked: Mapping[str, str], field: str) -> tuple[str, ...]:
    name = f"match[{field}]"
    if (text := asked.get(name)) is None:
        return ()
    found = tuple(text.split(","))
    if len(found) > MOST_VALUES or not all(found) or "\0" in text:
        raise _malformed(name, text)
    return tuple(dict.fromkeys(found))


def _versions(said: tuple[str, ...]) -> tuple[str | int, ...]:
    if len(said) > MOST_VERSIONS or (ALL in said and len(said) > 1):
        raise _malformed("match[version]", ",".join(said))
    return tuple(each if each in (ALL, FIRST, LAST) else _micros(each, "match[version]") for each in said)


def _json(said: Mapping[str, Any], status: int = 200) -> Response:
    return _Answer(orjson.dumps(said), status)


def _envelope(found: Page, wanted: Wanted) -> Response:
    """Return objects as they are kept, without reading them anew."""
    head = {"more": True, "next": str(found.rows[-1].added)} if found.more else {}
    parts = [orjson.dumps(head)[1:-1]] if head else []
    if found.rows:
        parts.append(b'"objects":[' + b",".join(row.body for row in found.rows) + b"]")
    return _Answer(b"{" + b",".join(parts) + b"}", headers=_moments(found, wanted))


def _paged(said: dict[str, Any], found: Page, wanted: Wanted) -> Response:
    more = {"more": True, "next": str(found.rows[-1].added)} if found.more else {}
    return _Answer(orjson.dumps({**more, **said}), headers=_moments(found, wanted))


def _moments(found: Page, wanted: Wanted) -> dict[str, str]:
    """Return when the first and the last were added; where there are none, the moment after which was asked, so that
    who goes on from there misses nothing."""
    after = max(wanted.after, _BEFORE_ALL)
    first, last = (found.rows[0].added, found.rows[-1].added) if found.rows else (after, after)
    return {
        "X-TAXII-Date-Added-First": store.from_added(first), "X-TAXII-Date-Added-Last": store.from_added(last),
    }  # fmt: skip
