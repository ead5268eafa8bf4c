"""A case leaves the site as one zip file: what it says, its alerts, events, notes and files, and a manifest of hashes.

`verify` holds a bundle to its manifest; the manifest's own SHA-256 is what the one who made it tells the other side.
"""

import hashlib
import io
import re
import time
import zipfile
from pathlib import Path
from typing import IO, Any

import orjson
from sqlalchemy import Engine, select

from pipeline.access import note as audit
from pipeline.archives import NO_ARCHIVE
from pipeline.cases import showing
from pipeline.cases.entries import By, file_of
from pipeline.event import from_micros
from pipeline.messages import HaidangError
from pipeline.queue.showing import shown
from pipeline.settings import Cases
from pipeline.state.tables import alert_groups, alerts

_MANIFEST = "manifest.json"
#: Alerts of a case that a bundle has, the newest; the manifest says when there were more.
_MOST_ALERTS = 10_000
_MAX_BYTES = 4_000_000_000
_MAX_MEMBERS = 100_000
_CHUNK = 1_000_000


def export(engine: Engine, case: int, settings: Cases, target: IO[bytes], by: By) -> str:
    """Write a case's bundle; return the SHA-256 of its manifest. It is audited.

    Raises:
        HaidangError: there is no such case.
    """
    with engine.connect().execution_options(read_only=True) as connection:
        told = showing.one(connection, case, settings)
    hashes: dict[str, dict[str, Any]] = {}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:

        def write(name: str, data: bytes) -> None:
            made.writestr(name, data)
            hashes[name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}

        write("case.json", orjson.dumps({name: told[name] for name in told if name not in _LISTS}, option=_INDENT))
        for name in _LISTS:
            if name not in ("alerts", "notes"):
                write(f"{name}.ndjson", _lines(told[name]))
        write("groups.ndjson", _lines(told["alerts"]))
        with engine.connect().execution_options(read_only=True) as connection:
            groups = select(alert_groups.c.id).where(alert_groups.c.case_id == case)
            query = select(alerts).where(alerts.c.group_id.in_(groups)).order_by(alerts.c.time.desc(), alerts.c.id)
            rows = connection.execute(query.limit(_MOST_ALERTS + 1)).all()
            write("alerts.ndjson", _lines([shown(row) for row in rows[:_MOST_ALERTS]]))
            for entry in told["notes"]:
                write(f"notes/{entry['number']}.md", _note(entry).encode())
            for entry in told["files"]:
                write(_place(entry), file_of(connection, case, entry["number"])[1])
        manifest = {
            "haidang": "case", "version": 1, "case": case, "title": told["title"], "tlp": told["tlp"],
            "pap": told["pap"], "made": from_micros(time.time_ns() // 1000), "by": by.who,
            "all_alerts": len(rows) <= _MOST_ALERTS, "files": hashes,
        }  # fmt: skip
        data = orjson.dumps(manifest, option=_INDENT)
        made.writestr(_MANIFEST, data)
    digest = hashlib.sha256(data).hexdigest()
    with engine.begin() as connection:
        audit(connection, by.who, by.address, "case_exported", case=case, manifest=digest)
    return digest


def verify(source: Path | IO[bytes]) -> tuple[dict[str, Any], str]:
    """Return a bundle's manifest and its SHA-256.

    Raises:
        HaidangError: it is no bundle, or something in it is not what the manifest says; the text says which file.
    """
    try:
        with zipfile.ZipFile(source) as bundle:
            infos = {info.filename: info for info in bundle.infolist()}
            if len(infos) > _MAX_MEMBERS or sum(info.file_size for info in infos.values()) > _MAX_BYTES:
                raise HaidangError("cases.bundle_large", limit=_MAX_BYTES // 1_000_000)
            data = bundle.read(_MANIFEST)
            manifest = orjson.loads(data)
            listed = manifest["files"]
            for name in sorted({*infos, *listed} - {_MANIFEST}):
                if name not in listed:
                    raise HaidangError("cases.bundle_extra", name=name[:200])
                if name not in infos or _digest(bundle, name) != listed[name]["sha256"]:
                    raise HaidangError("cases.bundle_differs", name=name[:200])
    except (*NO_ARCHIVE, KeyError, TypeError) as error:
        raise HaidangError("cases.no_bundle", fault=str(error) or repr(error)) from error
    return manifest, hashlib.sha256(data).hexdigest()


def bytes_of(engine: Engine, case: int, settings: Cases, by: By) -> tuple[bytes, str]:
    """Return a case's bundle and the SHA-256 of its manifest."""
    target = io.BytesIO()
    digest = export(engine, case, settings, target, by)
    return target.getvalue(), digest


_INDENT = orjson.OPT_INDENT_2
_LISTS = ("alerts", "events", "notes", "files", "observables", "tasks", "timeline")


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


def _note(entry: dict[str, Any]) -> str:
    return f"<!-- {entry['who']}, {entry['time']} -->\n\n{entry['text']}\n"


def _place(entry: dict[str, Any]) -> str:
    """Return a name within the bundle that no system reads as anything else."""
    name = re.sub(r"[^\w.-]+", "_", entry["name"]).strip(".")[-100:] or "file"
    return f"files/{entry['number']}-{name}"


def _digest(bundle: zipfile.ZipFile, name: str) -> str:
    digest = hashlib.sha256()
    with bundle.open(name) as member:
        while chunk := member.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
