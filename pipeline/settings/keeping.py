"""The settings file in people's hands: what it says leaves without its secrets; a new text enters, is looked at, and
takes the old one's place, which is kept.

A text is written only for the version that its writer has seen, and only where a site is one machine: the files of
several are their administrators'. What is kept lies in the state encrypted, for it has the secrets.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.fernet import InvalidToken
from sqlalchemy import Connection, Engine, delete, select

from pipeline import supervisor
from pipeline.access import note
from pipeline.identity.second_factor import cipher
from pipeline.messages import HaidangError
from pipeline.settings import Settings, read_settings
from pipeline.settings import text as texts
from pipeline.settings.check import all_faults
from pipeline.settings_file import instead, settings_file
from pipeline.stage import SUPERVISOR_VARIABLE, only_one
from pipeline.state.tables import settings_revisions
from pipeline.supervisor import is_supervised, stages_of

#: So many texts are kept.
REVISIONS = 50
#: Makes the new text, within the transaction, of the one that is there.
_Made = Callable[[Connection, str], str]
#: The stage that asks for a restart, and ends itself when it has answered.
_ASKER = "api"
_LOCK, _LOCK_SECONDS = "settings", 10.0
_PREFIX = "HAIDANG_"
#: Variables that are no settings of the file's.
_NO_SETTINGS = ("HAIDANG_CONFIG", "HAIDANG_DATA_DIR", SUPERVISOR_VARIABLE)


def standing(engine: Engine, settings: Settings) -> dict[str, Any]:
    """Return the file as it is: `text` without secrets, its `digest`, whether it may be written here and else why not,
    the settings that variables override, those that are in the file and not yet in force (`waiting`: null where the
    file has faults), and the texts that were there, the newest first."""
    file = settings_file()
    text = _text_of(file)
    why_not = _why_not(file, settings)
    told: dict[str, Any] = {"text": None, "fault": None, "waiting": None}
    try:
        told["text"] = texts.hidden(text)
        new, _ = read_settings()
        told["waiting"] = texts.changes(settings, new) if new is not None else None
    except HaidangError as error:
        told["fault"] = str(error)
    return {
        "file": str(file), "there": file.is_file(), "digest": _digest(text), **told, "writable": why_not is None,
        "why_not": None if why_not is None else str(why_not), "overridden": overridden(), "history": history(engine),
    }  # fmt: skip


def overridden() -> list[dict[str, str]]:
    """Return the variables that come before the file, with the setting of each."""
    return [
        {"variable": name, "setting": name.removeprefix(_PREFIX).lower().replace("__", ".")}
        for name in sorted(os.environ)
        if name.startswith(_PREFIX) and name not in _NO_SETTINGS
    ]


def history(engine: Engine) -> list[dict[str, Any]]:
    """Return the texts that are kept, the newest first, without what is in them."""
    columns = settings_revisions.c
    shown = (columns.id, columns.time, columns.who, columns.reason, columns.digest)
    with engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(select(*shown).order_by(columns.id.desc())).mappings().all()
    return [
        {"revision": row["id"], **{name: row[name] for name in ("time", "who", "reason", "digest")}} for row in rows
    ]


def check(settings: Settings, text: str) -> dict[str, Any]:
    """Look at a text that might come in the file's place: `good`, `problems` (`line`, `text`), and what it would
    change (`changes`); variables override it as they do the file."""
    found = _looked_at(settings, text, _text_of(settings_file()))
    return {"good": not found[1], "problems": found[1], "changes": found[2]}


def check_kept(engine: Engine, settings: Settings, revision: int) -> dict[str, Any]:
    """Look at a text that was kept as `check` looks at a text.

    Raises:
        HaidangError: there is none of this number.
    """
    with engine.connect().execution_options(read_only=True) as connection:
        text = _kept(connection, settings, revision)
    found = _looked_at(settings, texts.hidden(text), text)
    return {"good": not found[1], "problems": found[1], "changes": found[2]}


def put(
    engine: Engine, settings: Settings, text: str, digest: str, reason: str, who: str, address: str
) -> dict[str, Any]:
    """Put a text in the file's place; `digest` is that of the version that was seen.

    Raises:
        HaidangError: the file may not be written here, was changed meanwhile, or the text has problems.
    """
    return _put(
        engine, settings, digest, reason, who, address, lambda _connection, before: texts.restored(text, before)
    )


def roll_back(
    engine: Engine, settings: Settings, revision: int, digest: str, reason: str, who: str, address: str
) -> dict[str, Any]:
    """Put a text that was kept in the file's place again.

    Raises:
        HaidangError: there is none of this number, or as `put`.
    """
    return _put(
        engine, settings, digest, reason, who, address, lambda connection, _: _kept(connection, settings, revision)
    )


def restart(engine: Engine, settings: Settings, reason: str, who: str, address: str) -> dict[str, list[str]]:
    """End the stages of this machine but the one that asks, so that they start again with the file as it is; return
    those (`restarts`), and those that the file needs and that only a new `haidang run` starts (`missing`).

    Raises:
        HaidangError: the file has faults, or nobody would start the stages again.
    """
    if not is_supervised() or _of_cluster(settings):
        raise HaidangError("settings.not_supervised")
    new, problems, _ = _looked_at(settings, texts.hidden(_text_of(settings_file())), _text_of(settings_file()))
    if new is None or problems:
        told = "\n".join(f"  {each['text']}" for each in problems)
        raise HaidangError("settings.invalid", file=settings_file(), faults=told)
    with engine.begin() as connection:
        note(connection, who, address, "stages_restarted", reason=reason)
    told_to = supervisor.restart(settings.data_dir, list(supervisor.STAGES))
    running = (*told_to, _ASKER)
    return {"restarts": [*told_to, _ASKER], "missing": [name for name in stages_of(new) if name not in running]}


def _of_cluster(settings: Settings) -> bool:
    return bool(settings.state.url.get_secret_value()) or settings.bus.kind != "sqlite"


def _put(
    engine: Engine, settings: Settings, digest: str, reason: str, who: str, address: str, made: _Made
) -> dict[str, Any]:
    file = settings_file()
    if (why_not := _why_not(file, settings)) is not None:
        raise why_not
    with only_one(settings.data_dir, _LOCK, _LOCK_SECONDS):
        before = _text_of(file)
        if _digest(before) != digest:
            raise HaidangError("settings.changed_meanwhile", file=file)
        with engine.begin() as connection:
            text = made(connection, before)
            new, problems, changed = _looked_at(settings, texts.hidden(text), text)
            if problems:
                told = "\n".join(f"  {each['text']}" for each in problems)
                raise HaidangError("settings.invalid", file=file, faults=told)
            _remember(connection, settings, before, "", "")
            _remember(connection, settings, text, who, reason)
            names = [each["setting"] for each in changed]
            told_of = {"file": str(file), "reason": reason, "digest": _digest(text), "before": digest}
            note(connection, who, address, "settings_written", **told_of, settings=names[:200])
            _write(file, text)
    return {"digest": _digest(text), "changes": changed, "takes_over": [], "restart": stages_of(new)}


def _looked_at(settings: Settings, text: str, before: str) -> tuple[Settings | None, list[dict[str, Any]], list[Any]]:
    """Return what a text without secrets says with those of `before`, its problems, and what it changes of the file."""
    if len(text) > texts.MOST:
        raise HaidangError("settings.text_too_long", limit=texts.MOST)
    try:
        whole = texts.restored(text, before)
    except HaidangError as error:
        line = _line_of(text, error) or texts.line_of_fault(text, str(error))
        return None, [{"line": line, "text": str(error)}], []
    try:
        new, found = _read(whole)
    except HaidangError as error:
        return None, [{"line": _line_of(text, error), "text": str(error)}], []
    problems = [{"line": texts.line_of_fault(text, each), "text": each} for each in found]
    if new is None:
        return None, problems, []
    try:
        old = _read(_text_of(settings_file()))[0] or settings
    except HaidangError:  # the file is broken: what is in force was read before that
        old = settings
    return new, problems, texts.changes(old, new)


def _read(text: str) -> tuple[Settings | None, list[str]]:
    """Return the settings of a text, where they are some, and every fault in what they say and mean."""
    with _lying(text) as file, instead(file):
        return read_settings()[0], all_faults()


@contextmanager
def _lying(text: str) -> Iterator[Path]:
    """A file with this text, for as long as it is looked at; nobody else reads it."""
    with tempfile.TemporaryDirectory(prefix="haidang-settings-") as folder:
        file = Path(folder) / "haidang.toml"
        file.write_text(text, "utf-8", newline="")
        yield file


def _text_of(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise HaidangError("settings.unreadable", file=file, fault=error) from error


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _why_not(file: Path, settings: Settings) -> HaidangError | None:
    """Return why the file is not written from here, or None."""
    if _of_cluster(settings):
        return HaidangError("settings.of_cluster")
    folder = file.parent
    writable = folder.is_dir() and os.access(folder, os.W_OK)
    if file.exists():  # a file that is closed to all is meant so, also where root could write it
        writable = writable and file.is_file() and os.access(file, os.W_OK) and bool(file.stat().st_mode & 0o222)
    return None if writable else HaidangError("settings.not_writable", file=file)


def _write(file: Path, text: str) -> None:
    """Put the whole text in the file's place, or leave it as it is; who may read it stays."""
    target = file.resolve()
    there = target.stat() if target.exists() else None
    descriptor, draft = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as written:
            written.write(text)
            written.flush()
            if there is not None:
                os.fchmod(written.fileno(), there.st_mode & 0o777)
                if os.geteuid() == 0:
                    os.fchown(written.fileno(), there.st_uid, there.st_gid)
            os.fsync(written.fileno())
        Path(draft).replace(target)
    except OSError as error:
        Path(draft).unlink(missing_ok=True)
        raise HaidangError("settings.not_written", file=file, fault=error.strerror or error) from error
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _remember(connection: Connection, settings: Settings, text: str, who: str, reason: str) -> None:
    """Keep a text, where it is not the one that was kept last, and forget the oldest."""
    columns = settings_revisions.c
    last = connection.execute(select(columns.id, columns.digest).order_by(columns.id.desc()).limit(1)).first()
    if last is not None and last.digest == _digest(text):
        return
    row = {
        "time": time.time(), "who": who, "reason": reason, "digest": _digest(text),
        "text": cipher(settings).encrypt(text.encode()).decode(),
    }  # fmt: skip
    connection.execute(settings_revisions.insert(), row)
    kept = select(columns.id).order_by(columns.id.desc()).limit(REVISIONS)
    oldest = min(connection.scalars(kept).all())
    connection.execute(delete(settings_revisions).where(columns.id < oldest))


def _line_of(text: str, error: HaidangError) -> int | None:
    return texts.line_of_toml(text, str(error.values.get("fault", "")))


def _kept(connection: Connection, settings: Settings, revision: int) -> str:
    columns = settings_revisions.c
    text = connection.scalar(select(columns.text).where(columns.id == revision))
    if text is None:
        raise HaidangError("settings.no_revision", revision=revision)
    try:
        return cipher(settings).decrypt(text.encode()).decode()
    except InvalidToken as error:
        raise HaidangError("settings.no_revision", revision=revision) from error
