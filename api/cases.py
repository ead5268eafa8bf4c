"""Case routes: what people put into cases enters; cases, their files and bundles leave."""

from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import Field

from api.access import State, address_of, needs, noted
from api.bodies import Body, Line, Name, Number, Text
from api.search import reader_of, searching_of
from pipeline import store
from pipeline.cases import bundle, entries, life, showing
from pipeline.cases.entries import By
from pipeline.identity.users import User
from pipeline.messages import say
from pipeline.settings import Cases
from pipeline.store import query as q

router = APIRouter(prefix="/cases", tags=["cases"])
Level = Literal["informational", "low", "medium", "high", "critical"]
Tlp = Literal["clear", "green", "amber", "amber+strict", "red"]
Pap = Literal["clear", "green", "amber", "red"]
Ids = Annotated[list[Annotated[str, Field(max_length=200)]], Field(min_length=1, max_length=1000)]
#: A case shows what somebody saw who sees everything: who has a data view sees none.
_Reader = Annotated[User, Depends(needs("cases.read"))]
_Changer = Annotated[User, Depends(needs("cases.change"))]
_Exporter = Annotated[User, Depends(needs("events.export"))]
#: Files may be longer than other bodies; which one it is stands in the query, so that the path is one.
LARGER = {"/api/v1/cases/files": 60_000_000}


class Opening(Body):
    """A case; with alerts (ids of alerts or groups) it needs no title."""

    title: Annotated[Text, Field(max_length=300)] = ""
    level: Level | None = None
    tlp: Tlp = "amber"
    pap: Pap = "amber"
    reportable: bool = True
    detected: Annotated[str | None, Field(max_length=100)] = None
    alerts: Annotated[list[Annotated[Text, Field(max_length=24)]], Field(max_length=1000, default_factory=list)]


class Changing(Body):
    """What is to change; `detected`, `notified` and `reported` are ISO 8601 moments or `now`; null takes the
    last two back."""

    title: Annotated[Text, Field(min_length=1, max_length=300)] | None = None
    level: Level | None = None
    tlp: Tlp | None = None
    pap: Pap | None = None
    owner: Name | None = None
    reportable: bool | None = None
    detected: Annotated[str | None, Field(max_length=100)] = None
    notified: Annotated[str | None, Field(max_length=100)] = None
    reported: Annotated[str | None, Field(max_length=100)] = None


class Closing(Body):
    """The end of a case."""

    verdict: Literal["true_positive", "false_positive"]
    summary: Annotated[Text, Field(min_length=1, max_length=50_000)]


class Reason(Body):
    """Why."""

    reason: Annotated[Line, Field(min_length=1)]


class Brought(Body):
    """Ids of alerts, groups or events."""

    ids: Ids


class Note(Body):
    """A note in Markdown."""

    text: Annotated[Text, Field(min_length=1, max_length=50_000)]


class Task(Body):
    """A task."""

    title: Annotated[Line, Field(min_length=1)]
    owner: Name = ""


class TaskChange(Body):
    """What became of a task."""

    done: bool
    owner: Name | None = None


class Observable(Body):
    """An observable."""

    kind: Literal["address", "domain", "url", "hash", "email", "host", "user", "file", "other"]
    value: Annotated[Line, Field(min_length=1)]
    tlp: Tlp = "amber"
    note: Line = ""


@router.get("")
def list_cases(
    request: Request,
    state: State,
    _user: _Reader,
    status: Literal["open", "closed", "all"] = "open",
    owner: Annotated[str, Query(max_length=100)] = "",
    limit: Annotated[int, Query(ge=0, le=1000)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> dict[str, Any]:
    """Return cases, the ones that changed last first, each with its clocks."""
    wanted = "" if status == "all" else status
    with state.connect().execution_options(read_only=True) as connection:
        return showing.listed(connection, _settings(request), wanted, owner, limit, offset)


@router.post("", status_code=201)
def open_case(request: Request, state: State, user: _Changer, opening: Opening) -> dict[str, int]:
    """Open a case, with alerts that are escalated into it."""
    detected = _moment(opening.detected, "detected")
    wanted = life.Wanted(
        opening.title, opening.level or "", opening.tlp, opening.pap, opening.reportable, detected, opening.alerts
    )
    return {"id": life.open_case(state, wanted, _by(request, user))}


@router.post("/files", status_code=201)
async def add_file(
    request: Request,
    state: State,
    user: _Changer,
    case: Annotated[int, Query(ge=1, le=2**31 - 1)],
    name: Annotated[Text, Query(min_length=1, max_length=255)],
) -> dict[str, Any]:
    """Put a file into a case; the body is the file. Returns its number and its SHA-256."""
    by, limit = _by(request, user), _settings(request).file_mb * 1_000_000
    async with request.app.state.uploads.received(request) as file:
        data = file.read()
    number, digest = entries.add_file(state, case, name, data, limit, by)
    return {"number": number, "sha256": digest}


@router.get("/{case}")
def one(request: Request, state: State, user: _Reader, case: Number) -> dict[str, Any]:
    """Return a case with its alerts, events, notes (also as safe HTML), files, observables, tasks and timeline."""
    with state.connect().execution_options(read_only=True) as connection:
        found = showing.one(connection, case, _settings(request))
    noted(request, user.name, "case_read", case=case)
    return found


@router.patch("/{case}", status_code=204)
def change(request: Request, state: State, user: _Changer, case: Number, changing: Changing) -> None:
    """Change what a case says of itself."""
    changes = changing.model_dump(exclude_unset=True)
    for name in ("detected", "notified", "reported"):
        if changes.get(name) is not None:
            changes[name] = _moment(changes[name], name)
    life.change(state, case, changes, _by(request, user))


@router.post("/{case}/close", status_code=204)
def close(request: Request, state: State, user: _Changer, case: Number, closing: Closing) -> None:
    """Close a case; its alerts get its verdict."""
    life.close(state, case, closing.verdict, closing.summary, _by(request, user))


@router.post("/{case}/reopen", status_code=204)
def reopen(request: Request, state: State, user: _Changer, case: Number, reason: Reason) -> None:
    """Open a closed case again."""
    life.reopen(state, case, reason.reason, _by(request, user))


@router.post("/{case}/alerts")
def add_alerts(request: Request, state: State, user: _Changer, case: Number, brought: Brought) -> dict[str, int]:
    """Escalate alerts, with the groups in which they are, into a case."""
    return {"changed": life.add_alerts(state, case, brought.ids, _by(request, user))}


@router.post("/{case}/events")
async def add_events(request: Request, state: State, user: _Changer, case: Number, brought: Brought) -> Response:
    """Put copies of events, by their ids, into a case."""
    reader, by = reader_of(request), _by(request, user)

    def work() -> dict[str, int]:
        found = []
        for identifier in brought.ids:
            event = reader.get(store.EVENTS, identifier)
            if event is None:
                raise HTTPException(404, say("api.no_event", id=identifier))
            found.append(event)
        return {"added": entries.add_events(state, case, found, by)}

    return await searching_of(request).answer(work)


@router.post("/{case}/notes", status_code=201)
def add_note(request: Request, state: State, user: _Changer, case: Number, note: Note) -> dict[str, int]:
    """Add a note."""
    return {"number": entries.add_note(state, case, note.text, _by(request, user))}


@router.post("/{case}/tasks", status_code=201)
def add_task(request: Request, state: State, user: _Changer, case: Number, task: Task) -> dict[str, int]:
    """Add a task."""
    return {"number": entries.add_task(state, case, task.title, task.owner, _by(request, user))}


@router.put("/{case}/tasks/{number}", status_code=204)
def set_task(
    request: Request, state: State, user: _Changer, case: Number, number: Number, change: TaskChange
) -> None:  # fmt: skip
    """Say that a task is done, or not, or whose it is."""
    entries.set_task(state, case, number, change.done, change.owner, _by(request, user))


@router.post("/{case}/observables", status_code=201)
def add_observable(request: Request, state: State, user: _Changer, case: Number, added: Observable) -> dict[str, int]:
    """Add an observable."""
    by = _by(request, user)
    return {"number": entries.add_observable(state, case, added.kind, added.value, added.tlp, added.note, by)}


@router.delete("/{case}/entries/{number}", status_code=204)
def remove(
    request: Request,
    state: State,
    user: _Changer,
    case: Number,
    number: Number,
    reason: Annotated[Text, Query(min_length=1, max_length=1000)],
) -> None:
    """Take a note, event, file, observable or task away; the timeline says so."""
    entries.remove(state, case, number, reason, _by(request, user))


@router.get("/{case}/files/{number}")
def file(request: Request, state: State, user: _Changer, case: Number, number: Number) -> Response:
    """Return a file of a case as it came; nothing opens it by itself."""
    with state.connect().execution_options(read_only=True) as connection:
        body, data = entries.file_of(connection, case, number)
    noted(request, user.name, "case_file_read", case=case, sha256=body["sha256"])
    answer = _attached(data, f"case-{case}-{number}.bin", "application/octet-stream")
    name = quote(body["name"] + ".bin", safe="")  # no system opens it by itself
    answer.headers["Content-Disposition"] += f"; filename*=UTF-8''{name}"
    return answer


@router.get("/{case}/bundle")
def export(request: Request, state: State, user: _Exporter, case: Number) -> Response:
    """Return a case as a zip file with a manifest of hashes; the header `Haidang-Manifest` has that of the manifest."""
    data, digest = bundle.bytes_of(state, case, _settings(request), _by(request, user))
    answer = _attached(data, f"haidang-case-{case}.zip", "application/zip")
    answer.headers["Haidang-Manifest"] = digest
    return answer


def _attached(data: bytes, name: str, kind: str) -> Response:
    return Response(data, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _by(request: Request, user: User) -> By:
    return By(user.name, address_of(request))


def _settings(request: Request) -> Cases:
    settings: Cases = request.app.state.settings.cases
    return settings


def _moment(text: str | None, name: str) -> float | None:
    return q.moment(text, name) / 1_000_000 if text is not None else None
