"""Names of fields, for whoever writes a query: a collection enters, its fields with type and kind leave."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.search import Reader, reader_of, searching_of
from pipeline import store
from pipeline.identity.views import Sight
from pipeline.store.fields import leaves

router = APIRouter(tags=["search"])
#: Names of one answer: more than any real site has, and a bound on what a sender of odd names can fill.
_MOST = 10_000
#: Of how many events, the newest in view, whoever has a data view learns the names.
_LOOKED_AT = 1_000
#: What the Elastic Common Schema (8.x, field reference) means by the last part of a name, and by that of `hash.*`.
_KINDS = {
    "ip": "ip", "resolved_ip": "ip", "mac": "mac", "port": "port", "pid": "process", "domain": "domain",
    "registered_domain": "domain", "subdomain": "domain", "top_level_domain": "domain", "hostname": "host",
    "bytes": "bytes", "packets": "count", "duration": "duration", "path": "path", "executable": "path",
    "command_line": "command", "original": "text", "full": "url", "email": "email", "md5": "hash", "sha1": "hash",
    "sha256": "hash", "sha512": "hash", "ja3": "hash", "country_iso_code": "country", "status_code": "code",
    "start": "time", "end": "time", "created": "time", "ingested": "time", "accessed": "time", "mtime": "time",
}  # fmt: skip
#: Names whose last part says too little.
_NAMED = {
    "@timestamp": "time", "host.name": "host", "user.name": "user", "user.target.name": "user",
    "user.effective.name": "user", "process.name": "process", "process.parent.name": "process", "file.name": "file",
    "dns.question.name": "domain", "rule.name": "rule", "rule.id": "rule", "service.name": "service",
    "organization.id": "unit", "labels.source": "source", "observer.name": "host",
}  # fmt: skip


@router.get("/fields")
async def fields(
    request: Request, user: Reader, index: Annotated[Literal["events", "alerts"], Query()] = "events"
) -> Response:
    """Return every field that can be searched, by name, with its type: `date`, `keyword`, `number` or `text`.

    `kind` is what ECS means by it (`ip`, `port`, `user`, …), where it is known. Whoever has a data view learns the
    names that the newest `events` in it have; `truncated`: there are more events, or more names, than were looked at.
    """
    return await searching_of(request).answer(lambda: fields_of(reader_of(request), index, user.sight))


def fields_of(reader: store.Reader, index: str, sight: Sight) -> dict[str, Any]:
    """Return the fields of an index that somebody may know of."""
    known = reader.fields(index)
    looked_at, more = None, False
    if sight.is_limited():
        found = reader.search(index, {"query": sight.narrowed(index, None), "size": _LOOKED_AT})["hits"]
        looked_at, more = len(found["hits"]), found["total"]["value"] > len(found["hits"])
        seen = {name for hit in found["hits"] for item in hit["_source"].items() for name, _ in leaves(*item)}
        known = [field for field in known if field.name in seen]
    told = [_told(field) for field in known[:_MOST]]
    return {"fields": told, "events": looked_at, "truncated": more or len(known) > _MOST}


def _told(field: store.Field) -> dict[str, str]:
    kind = _NAMED.get(field.name) or _KINDS.get(field.name.rpartition(".")[2])
    told = {"name": field.name, "type": field.type}
    return told if kind is None else {**told, "kind": kind}
