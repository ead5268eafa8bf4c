"""Routes of packs, keys, vectors and backups: files and sources enter, previews and revisions leave.

Analysts see what a file that they have, or a source that is set already, would change, and try vectors; everybody sees
what the detectors use. Only administrators change something, and only they name a source: this machine reads it.
"""

import base64
import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api import uploads
from api.access import RuleChanger, RuleManager, RuleReader, State, address_of
from api.rule_changes import NAMED, change_rules, change_with_file, in_turn, revise, turns_of
from api.search import searching_of
from api.shelf import loaded_of, rulebook_of
from api.turns import Turn
from detectors.rulebook import backup, standing
from detectors.rulebook.book import ModeName
from detectors.rulebook.changes import Change, Rulebook
from pipeline.access import note
from pipeline.messages import HaidangError

router = APIRouter(prefix="/rules", tags=["rules"])
#: The paths that take a file, and how long a one (`guard`).
LARGER = {
    f"/api/v1/rules/{path}": uploads.MAX_BYTES for path in ("packs", "packs/preview", "restore", "restore/preview")
}
#: Names of keys and sources; no signs that a terminal or a log would obey.
_PLAIN = r"^[^\x00-\x1f\x7f]+$"
_Word = Annotated[str, Field(max_length=200)]
_Name = Annotated[str, Path(max_length=200)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FileBrought(_Body):
    """`file` is the name of the file that is sent. `force` makes a change that its preview would stop."""

    file: Annotated[str, Field(min_length=1, max_length=200)]
    force: bool = False


class PackBrought(FileBrought):
    """A pack needs a `name`, but for a signed bundle (`file` ends in .haidang-rules), which has its own."""

    name: _Word = ""
    version: _Word = ""
    licence: _Word = ""
    mode: ModeName | None = None


class PackFetched(_Body):
    """`source`: a folder or file of this machine (an absolute path), or an https address."""

    source: Annotated[str, Field(max_length=2000, pattern=r"^(/|[a-z]+://)[^\x00-\x1f\x7f]*$")]
    name: _Word = ""
    version: _Word = ""
    licence: _Word = ""
    mode: ModeName | None = None
    every_hours: Annotated[float, Field(ge=0, le=10_000)] | None = None
    force: bool = False


class Forced(_Body):
    """`force` makes a change that its preview would stop."""

    force: bool = False


class KeyTrusted(_Body):
    """A name, and an Ed25519 key in base64."""

    name: Annotated[str, Field(max_length=100, pattern=_PLAIN)]
    public: Annotated[str, Field(max_length=200)]


class Trial(_Body):
    """Rules by id, title or file name; all of the rulebook when left out."""

    rules: Annotated[list[_Word], Field(max_length=10_000)] = []


_Pack = Annotated[PackBrought, Query()]
_File = Annotated[FileBrought, Query()]


@router.get("/status")
def rules_status(request: Request, state: State, _user: RuleReader) -> dict[str, Any]:
    """Return which revision is in force, whether all detectors use it, and the newest one if it was taken back.

    `detectors` are the copies that live: the revision of each, its rules, how many are refused, and when a canary was
    found through them (seconds since 1970).
    """
    found = standing.standing(state)
    if found["taken_back"]:
        reason = found["taken_back"]["reason"].replace(f"{request.app.state.settings.data_dir.absolute()}/", "")
        found["taken_back"]["reason"] = reason
    return found


@router.get("/packs")
async def list_packs(request: Request, user: RuleReader) -> Response:
    """Return the packs, the folders, and the keys whose bundles are accepted. Sources are told to administrators."""

    def work() -> dict[str, Any]:
        loaded = loaded_of(request)
        origins = list(loaded.of_pack.values())
        book = loaded.revision.book
        hidden = {} if "rules.manage" in user.permissions else {"source": ""}
        packs = [{"name": n, "rules": origins.count(n), **p.model_dump(), **hidden} for n, p in book.packs.items()]
        folders = [{"folder": o, "rules": origins.count(o)} for o in sorted({*origins} - book.packs.keys()) if o]
        return {"packs": packs, "folders": folders, "keys": book.keys}

    return await searching_of(request).answer(work)


@router.post("/packs/preview")
async def preview_pack(request: Request, asked: _Pack, user: RuleChanger) -> Response:
    """Say what a pack that is sent (an archive or a signed bundle) would change. Nothing is changed."""
    return await change_with_file(request, user, lambda book, data: _uploaded(book, data, asked), make=False)


@router.post("/packs")
async def bring_pack(request: Request, asked: _Pack, user: RuleManager) -> Response:
    """Bring in a pack that is sent, or another version of it; `revision` is null where there is nothing new."""
    return await change_with_file(request, user, lambda book, data: _uploaded(book, data, asked), make=True)


@router.post("/packs/fetch/preview")
async def preview_source(request: Request, body: PackFetched, user: RuleManager) -> Response:
    """Say what a pack would change that lies at a source. Nothing is changed."""
    return await change_rules(request, user, lambda book: _fetched(book, body), make=False)


@router.post("/packs/fetch")
async def fetch_pack(request: Request, body: PackFetched, user: RuleManager) -> Response:
    """Bring in a pack from a source, where its updates will come from."""
    return await change_rules(request, user, lambda book: _fetched(book, body), make=True)


@router.post("/packs/{name}/update/preview")
async def preview_update(request: Request, name: _Name, user: RuleChanger) -> Response:
    """Say what an update of a pack from its source would change. Nothing is changed."""
    return await change_rules(request, user, lambda book: _updated(book, name), make=False)


@router.post("/packs/{name}/update")
async def update_pack(request: Request, name: _Name, body: Forced, user: RuleManager) -> Response:
    """Bring a pack to what its source has now; `revision` is null where that is nothing new."""
    return await change_rules(request, user, lambda book: _updated(book, name, body.force), make=True)


@router.delete("/packs/{name}")
async def remove_pack(request: Request, name: _Name, user: RuleManager) -> Response:
    """Remove a pack."""
    return await revise(request, user, lambda book: book.remove_pack(name))


@router.post("/keys")
async def trust_key(request: Request, body: KeyTrusted, user: RuleManager) -> Response:
    """Accept bundles that are signed with a key."""
    return await revise(request, user, lambda book: book.trust(body.name, body.public))


@router.delete("/keys/{name}")
async def distrust_key(request: Request, name: _Name, user: RuleManager) -> Response:
    """Accept no more bundles of a key; what is in use stays."""
    return await revise(request, user, lambda book: book.distrust(name))


@router.post("/reload")
async def reload_rules(request: Request, user: RuleManager) -> Response:
    """Read the folders of the settings again."""
    return await revise(request, user, lambda book: book.reload())


@router.post("/test")
async def test_rules(request: Request, body: Trial, user: RuleChanger) -> Response:
    """Try the vectors of rules; a rule that is refused, or a vector that fails, is a finding."""

    def work(turn: Turn) -> dict[str, Any]:
        rulebook = rulebook_of(request, user, turn.until)
        made = rulebook.test(body.rules)
        clean = rulebook.loaded.without_paths
        told = [{key: clean(text) for key, text in each.as_json().items()} for each in made.findings[:NAMED]]
        return {**made.counts(), "findings": told}

    return await in_turn(request, work)


@router.get("/backup")
async def take_backup(request: Request, state: State, user: RuleManager) -> Response:
    """Return the whole rulebook as a file: packs, modes, exceptions, keys. `Repr-Digest` (RFC 9530) is its SHA-256."""

    def work(_turn: Turn) -> tuple[int, bytes]:
        rulebook = rulebook_of(request, user)
        revision = rulebook.revision
        data, digest = backup.make(revision.book, rulebook.contents())
        with state.begin() as connection:
            note(connection, user.name, address_of(request), "rules_backup", revision=revision.number, sha256=digest)
        return revision.number, data

    number, data = await turns_of(request).take(searching_of(request), work)
    headers = {
        "Content-Disposition": f'attachment; filename="rulebook-{number}.haidang-backup"',
        "Repr-Digest": f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:",
    }
    return Response(data, media_type="application/octet-stream", headers=headers)


@router.post("/restore/preview")
async def preview_restore(request: Request, asked: _File, user: RuleChanger) -> Response:
    """Say what the rulebook of a backup that is sent would change. Nothing is changed."""
    return await change_with_file(request, user, lambda book, data: _restored(book, data, asked), make=False)


@router.post("/restore")
async def restore(request: Request, asked: _File, user: RuleManager) -> Response:
    """Put the rulebook of a backup that is sent in force; `revision` is null where there is nothing new."""
    return await change_with_file(request, user, lambda book, data: _restored(book, data, asked), make=True)


def _uploaded(rulebook: Rulebook, data: bytes, asked: PackBrought) -> Change:
    return rulebook.uploaded(data, **asked.model_dump())


def _fetched(rulebook: Rulebook, asked: PackFetched) -> Change:
    return rulebook.pack(asked.source, **asked.model_dump(exclude={"source"}))


def _updated(rulebook: Rulebook, name: str, force: bool = False) -> Change:
    source = rulebook.source_of(name)
    try:
        return rulebook.pack(source, name, force=force)
    except HaidangError as error:  # where it lies is told to who names it, and nobody else
        values = {**error.values, "source": name} if "source" in error.values else error.values
        raise HaidangError(error.key, **values) from error


def _restored(rulebook: Rulebook, data: bytes, asked: FileBrought) -> Change:
    book, contents = backup.opened(data, asked.file)
    return rulebook.replace(book, contents, {"file": asked.file}, asked.force)
