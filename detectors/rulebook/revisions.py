"""The rulebook's history in the state: a change enters as a new revision, the book that is in force leaves.

Revisions are only ever added; the newest one that did not fail is in force, on every machine. Rolling back is marking
the newest as failed, or adding an earlier one anew. The files of packs are kept once, by their digest.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import zstandard
from sqlalchemy import Connection, Engine, delete, func, select, update
from sqlalchemy.exc import IntegrityError

from detectors.rulebook.book import Book
from pipeline.access import note
from pipeline.messages import HaidangError
from pipeline.state import insert_new
from pipeline.state.tables import rule_contents, rulebooks

#: Revisions that are kept; with older ones goes what only they need.
KEPT = 500
#: Bytes of a pack's files, written out.
MAX_CONTENT = 300_000_000

Files = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Revision:
    """One state of the rulebook, and who made it. Number 0 is the empty book of a new site."""

    number: int
    book: Book
    time: float = 0.0
    who: str = ""
    address: str = ""
    action: str = ""
    detail: Mapping[str, Any] | None = None
    failed: str = ""  # why it could not be used


def digest_of(files: Files) -> str:
    """Return the digest that names these files."""
    return hashlib.sha256(_written(files)).hexdigest()


def current(engine: Engine) -> Revision:
    """Return the revision that is in force."""
    with engine.connect().execution_options(read_only=True) as connection:
        return _current(connection)


def current_number(engine: Engine) -> int:
    """Return its number alone; cheap enough to be asked all the time."""
    with engine.connect().execution_options(read_only=True) as connection:
        return connection.scalar(select(func.max(rulebooks.c.revision)).where(rulebooks.c.failed == "")) or 0


def change(
    engine: Engine,
    who: tuple[str, str],
    action: str,
    made: Book,
    base: Revision,
    contents: Mapping[str, Files] | None,
    detail: Mapping[str, Any],
) -> Revision:
    """Put a book in force that was made from `base`. `who`: a name, and from where.

    Raises:
        HaidangError: somebody else has changed the rulebook since `base` was read.
    """
    name, address = who
    try:
        with engine.begin() as connection:
            newest: int = connection.scalar(select(func.max(rulebooks.c.revision))) or 0
            if _current(connection).number != base.number:
                raise HaidangError("rulebook.changed_meanwhile")
            row = {
                "revision": newest + 1, "time": time.time(), "who": name, "address": address, "action": action,
                "detail": dict(detail), "document": made.model_dump(mode="json"), "failed": "",
            }  # fmt: skip
            _keep(connection, contents or {})
            connection.execute(rulebooks.insert(), row)
            note(connection, name, address, f"rules_{action}", revision=newest + 1, **_short(detail))
            _forget_old(connection, newest + 1)
    except IntegrityError as error:
        raise HaidangError("rulebook.changed_meanwhile") from error
    return _revision(row)


def fail(engine: Engine, number: int, reason: str) -> bool:
    """Take a revision out of force, so that the one before it is; False when somebody else has."""
    failing = (rulebooks.c.revision == number) & (rulebooks.c.failed == "")
    with engine.begin() as connection:
        done = connection.execute(update(rulebooks).where(failing).values(failed=reason[:2000])).rowcount
        if done:
            note(connection, "haidang", "detectors", "rules_failed", revision=number, reason=reason[:2000])
    return bool(done)


def history(engine: Engine, limit: int = 50) -> list[Revision]:
    """Return the newest revisions, the newest first."""
    query = select(rulebooks).order_by(rulebooks.c.revision.desc()).limit(limit)
    with engine.connect().execution_options(read_only=True) as connection:
        return [_revision(row._mapping) for row in connection.execute(query)]


def get(engine: Engine, number: int) -> Revision:
    """Return one revision.

    Raises:
        HaidangError: it is not there (any more).
    """
    if number == 0:
        return Revision(0, Book())
    with engine.connect().execution_options(read_only=True) as connection:
        row = connection.execute(select(rulebooks).where(rulebooks.c.revision == number)).first()
    if row is None:
        raise HaidangError("rulebook.no_revision", revision=number)
    return _revision(row._mapping)


def contents(engine: Engine, digest: str) -> dict[str, str]:
    """Return the files of a pack: a path in the pack and its text.

    Raises:
        HaidangError: they are not there, or are not what the digest names.
    """
    with engine.connect().execution_options(read_only=True) as connection:
        data = connection.scalar(select(rule_contents.c.data).where(rule_contents.c.digest == digest))
    if data is None:
        raise HaidangError("rulebook.no_content", digest=digest)
    text = zstandard.ZstdDecompressor().decompress(data, max_output_size=MAX_CONTENT)
    if hashlib.sha256(text).hexdigest() != digest:
        raise HaidangError("rulebook.content_damaged", digest=digest)
    found: dict[str, str] = orjson.loads(text)
    return found


def _written(files: Files) -> bytes:
    return orjson.dumps(dict(files), option=orjson.OPT_SORT_KEYS)


def _keep(connection: Connection, found: Mapping[str, Files]) -> None:
    packer = zstandard.ZstdCompressor(level=9)
    for digest, files in found.items():
        row = {"digest": digest, "data": packer.compress(_written(files))}
        insert_new(connection, rule_contents, [row], ["digest"])


def _current(connection: Connection) -> Revision:
    query = select(rulebooks).where(rulebooks.c.failed == "").order_by(rulebooks.c.revision.desc()).limit(1)
    row = connection.execute(query).first()
    return _revision(row._mapping) if row is not None else Revision(0, Book())


def _revision(row: Mapping[Any, Any]) -> Revision:
    values: Mapping[str, Any] = dict(row)
    return Revision(
        values["revision"], Book.model_validate(values["document"]), values["time"], values["who"], values["address"],
        values["action"], values["detail"], values["failed"],
    )  # fmt: skip


def _short(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the audit says of a change: not the files' text, which the revision holds."""
    return {name: sorted(value) if name == "files" else value for name, value in detail.items()}


def _forget_old(connection: Connection, newest: int) -> None:
    """Forget old revisions now and then, and the files that none names any more. The newest one is in force."""
    if newest % 50:
        return
    connection.execute(delete(rulebooks).where(rulebooks.c.revision <= newest - KEPT))
    documents = connection.scalars(select(rulebooks.c.document)).all()
    needed = {pack["digest"] for document in documents for pack in document["packs"].values()}
    there = connection.scalars(select(rule_contents.c.digest)).all()
    gone = [digest for digest in there if digest not in needed]
    if gone:
        connection.execute(delete(rule_contents).where(rule_contents.c.digest.in_(gone)))
