"""Sharing routes: profiles, messages, warnings, notices of incidents leave; what people decide, and warnings, enter."""

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from pydantic import Field
from sqlalchemy import func, select

from api.access import State, address_of, limit_of, needs, person
from api.bodies import Body, Line, Number, Text
from pipeline.identity.users import User
from pipeline.messages import HaidangError, say
from pipeline.settings import Settings
from pipeline.state.tables import share_received
from sharing import book, inbox, incidents
from sharing.checking import check
from sharing.documents.docx import write
from sharing.documents.pdf import pdf
from sharing.drafting import draft
from sharing.facts import counted
from sharing.formats import FORMATS
from sharing.profile import Named, named, profiles_of

router = APIRouter(tags=["sharing"])
_Reader = Annotated[User, Depends(needs("sharing.read"))]
_Approver = Annotated[User, Depends(needs("sharing.approve"))]
_Changer = Annotated[User, Depends(needs("sharing.change"))]
_CaseReader = Annotated[User, Depends(needs("cases.read"))]
_CaseChanger = Annotated[User, Depends(needs("cases.change"))]
_Name = Annotated[Text, Path(max_length=63)]
_Kind = Literal["", "statistics", "indicators", "incident", "acknowledgement"]
_Status = Literal["", "held", "approved", "queued", "sent", "refused", "expired", "withdrawn", "rehearsed"]
_Document = Literal["first", "initial", "report", "closing"]
#: Bodies of warnings may be longer than others.
LARGER = {"/api/v1/sharing/inbox/": inbox.LARGEST}
_XML, _PDF = "application/xml", "application/pdf"
_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_KINDS = {"cv2290": _XML, "stix-taxii": "application/json", "incident-report": _PDF}


class Reason(Body):
    """Why."""

    reason: Annotated[Line, Field(min_length=1)]


class Filling(Body):
    """Fields of an incident; an empty one is taken back."""

    values: Annotated[dict[str, Annotated[Text, Field(max_length=20_000)]], Field(min_length=1, max_length=50)]


class Submitting(Body):
    """Which notice or report goes to which receiver."""

    profile: Annotated[Text, Field(max_length=63)]
    document: _Document


@router.get("/sharing/profiles")
def list_profiles(request: Request, state: State, _user: _Reader) -> dict[str, Any]:
    """Return with whom data is shared, whether it really leaves, and how each fares; and files that are no profile."""
    good, bad = profiles_of(_settings(request))
    stands = book.standing(state, [each.name for each in good])
    return {
        "profiles": [_profile(each, stands[each.name]) for each in good],
        "faults": [{"profile": each.name, "faults": list(each.faults)} for each in bad],
    }


def _profile(each: Named, stands: dict[str, Any]) -> dict[str, Any]:
    row, profile = stands["row"], each.profile
    state = "inactive" if not profile.active else "rehearsal"
    if profile.active and row is not None and row.confirmed:
        state = "confirmed" if book.is_confirmed(row, each) else "changed"
    return {
        "profile": each.name, "title": profile.title, "format": profile.format, "state": state,
        "endpoint": profile.endpoint.url, "organ": profile.organ.name, "every_minutes": profile.schedule.every_minutes,
        "kinds": profile.content.kinds, "fields": profile.content.fields, "pseudonyms": profile.content.pseudonyms,
        "approval": profile.approval.model_dump(), "messages": stands["messages"],
        "oldest": book.written(stands["oldest"]) if stands["oldest"] else None,
        "sent": row.sent if row else 0, "error": row.error if row else "",
        "succeeded": book.written(row.succeeded) if row and row.succeeded else None,
        "confirmed_by": row.confirmed_by if row else "",
        "confirmed_at": book.written(row.confirmed_at) if row and row.confirmed_at else None,
    }  # fmt: skip


@router.get("/sharing/profiles/{name}/preview")
def preview(request: Request, state: State, _user: _Reader, name: _Name) -> dict[str, Any]:
    """Return what would leave now: counts of what was found and what may leave, and the content itself as a text."""
    settings, now = _settings(request), time.time()
    profile = named(settings, name)
    with state.begin() as connection:
        row = book.known(connection, profile.name, now)
    with state.connect().execution_options(read_only=True) as connection:
        found = draft(connection, settings, profile, row, now)
    content = found.draft.content.decode("utf-8", "replace") if found.draft is not None else ""
    leaves = counted(found.draft.facts) if found.draft is not None else {}
    return {"looked": len(found.looked), "found": counted(found.facts), "leaves": leaves, "content": content}


@router.post("/sharing/profiles/{name}/check")
def check_profile(request: Request, _user: _Changer, name: _Name) -> dict[str, Any]:
    """Return what was looked at: key, certificate, connection, clock; no threat data leaves."""
    looks = list(check(named(_settings(request), name)))
    return {"good": all(each.good for each in looks), "looks": [each._asdict() for each in looks]}


@router.post("/sharing/profiles/{name}/confirm")
def confirm(request: Request, state: State, user: _Changer, name: _Name) -> dict[str, Any]:
    """Check a profile, and let its messages really leave where nothing stands in the way."""
    profile = named(_settings(request), name)
    looks = list(check(profile))
    if not all(each.good for each in looks):
        raise HaidangError("sharing.not_confirmed", profile=name)
    book.confirm(state, profile, user.name, address_of(request))
    return {"confirmed": True, "looks": [each._asdict() for each in looks]}


@router.post("/sharing/profiles/{name}/stop")
def stop(request: Request, state: State, user: _Changer, name: _Name) -> dict[str, bool]:
    """Let nothing more of a profile leave."""
    book.stop(state, named(_settings(request), name).name, user.name, address_of(request))
    return {"confirmed": False}


@router.get("/sharing/messages")
def list_messages(
    state: State,
    _user: _Reader,
    profile: Annotated[Text, Query(max_length=63)] = "",
    status: _Status = "",
    kind: _Kind = "",
    limit: Annotated[int, Query(ge=0, le=1000)] = 50,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> dict[str, Any]:
    """Return messages, the newest first, how many fit, and how many there are of each status."""
    return book.listed(state, profile, status, kind, limit, offset)


@router.get("/sharing/messages/{number}")
def show_message(state: State, _user: _Reader, number: Number) -> dict[str, Any]:
    """Return a message with its facts, each with the alerts that say it, and its receipt."""
    return book.one(state, number)


@router.get("/sharing/messages/{number}/content")
def show_content(request: Request, state: State, _user: _Reader, number: Number, signed: bool = False) -> Response:
    """Return the bytes of a message as people agree to them, or (`signed`) as they leave."""
    told = book.one(state, number)
    content, bytes_signed = book.bytes_of(state, number)
    if signed and not bytes_signed:
        raise HaidangError("sharing.not_signed_yet", number=number)
    data = bytes_signed if signed else content
    good, _ = profiles_of(_settings(request))
    form = next((each.profile.format for each in good if each.name == told["profile"]), "")
    kind = _PDF if data.startswith(b"%PDF") else _KINDS.get(form, "application/octet-stream")
    headers = {"Content-Disposition": f'attachment; filename="message-{number}{_ENDINGS.get(kind, "")}"'}
    return Response(data, media_type=kind, headers=headers)


_ENDINGS = {_XML: ".xml", _PDF: ".pdf", "application/json": ".json"}


@router.post("/sharing/messages/{number}/approve")
def approve(request: Request, state: State, user: _Approver, number: Number) -> dict[str, str]:
    """Agree to a message that waits for people; return its status then. A token is nobody's agreement."""
    return {"status": book.approve(state, number, person(user), address_of(request))}


@router.post("/sharing/messages/{number}/withdraw")
def withdraw(request: Request, state: State, user: _Approver, number: Number, body: Reason) -> dict[str, str]:
    """Take a message back that was not sent yet."""
    book.withdraw(state, number, user.name, address_of(request), body.reason)
    return {"status": "withdrawn"}


@router.post("/sharing/messages/{number}/resend")
def resend(request: Request, state: State, user: _Approver, number: Number) -> dict[str, str]:
    """Send the same bytes again that were refused or not taken in time."""
    book.resend(state, number, user.name, address_of(request))
    return {"status": "queued"}


@router.post("/sharing/messages/{number}/carried")
def carried(request: Request, state: State, user: _Approver, number: Number, body: Reason) -> dict[str, str]:
    """Note that people have handed a document over (`reason`: to whom, under which number)."""
    book.carried(state, number, body.reason, user.name, address_of(request))
    return {"status": "sent"}


@router.get("/sharing/received")
def list_received(
    state: State,
    _user: _Reader,
    limit: Annotated[int, Query(ge=0, le=1000)] = 50,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> dict[str, Any]:
    """Return warnings that came in, the newest first, how many there are, and what was done about each.

    `feed` is the list of indicators that was made of one: alerts name it as `threat.indicator.provider`.
    """
    with state.connect().execution_options(read_only=True) as connection:
        total = connection.scalar(select(func.count()).select_from(share_received))
    found = [{**each, "feed": inbox.feed_of(each["id"])} for each in inbox.listed(state, limit, offset)]
    return {"total": total, "warnings": found}


@router.post("/sharing/inbox/{profile}", status_code=202)
async def take_warning(request: Request, state: State, profile: _Name) -> dict[str, Any]:
    """Take a warning, a STIX 2.1 bundle whose signature stands in `X-JWS-Signature` (docs/sharing.md).

    No log-in: who has signed it is what counts. 401 where it is signed by nobody who may.
    """
    address = address_of(request)
    limit_of(request.app.state.requests, f"inbox {address}")
    good, _ = profiles_of(_settings(request))
    found = next((each for each in good if each.name == profile and each.profile.active), None)
    signature = request.headers.get("x-jws-signature", "")
    if found is None or not signature:  # whoever is nobody learns of no profile
        raise HTTPException(401, say("inbox.no_signature"))
    data = await request.body()
    return _received(state, found, data, signature, address)


def _received(state: Any, found: Named, data: bytes, signature: str, address: str) -> dict[str, Any]:
    now = time.time()
    message = inbox.verified(found, data, signature, now)
    return inbox.receive(state, found.name, inbox.HTTPS, data, message, found.name, address, now)


# --- Notices and reports of an incident


@router.get("/cases/{number}/incident")
def show_incident(request: Request, state: State, _user: _CaseReader, number: Number) -> dict[str, Any]:
    """Return what is known of an incident by field, who wrote what, and what is missing for each document."""
    found = incidents.read(state, _settings(request), number)
    missing = {kind: found.missing(kind) for kind in incidents.KINDS}
    good, _ = profiles_of(_settings(request))
    takers = [each.name for each in good if each.profile.active and "incident" in FORMATS[each.profile.format].kinds]
    return {
        "fields": list(incidents.FIELDS), "values": found.values, "written": found.written, "missing": missing,
        "clocks": found.case["clocks"], "receivers": takers,
    }  # fmt: skip


@router.put("/cases/{number}/incident")
def fill_incident(request: Request, state: State, user: _CaseChanger, number: Number, body: Filling) -> dict[str, Any]:
    """Write fields of an incident; what people write wins over what the case says."""
    incidents.write(state, number, body.values, user.name, address_of(request))
    return {"written": sorted(body.values)}


@router.get("/cases/{number}/incident/{document}.{form}")
def set_incident(
    request: Request,
    state: State,
    _user: _CaseReader,
    number: Number,
    document: _Document,
    form: Literal["pdf", "docx"],
) -> Response:
    """Return a notice or report as a document."""
    settings = _settings(request)
    made = incidents.document(settings, incidents.read(state, settings, number), document, time.time())
    data, kind = (pdf(made), _PDF) if form == "pdf" else (write(made), _DOCX)
    headers = {"Content-Disposition": f'attachment; filename="case-{number}-{document}.{form}"'}
    return Response(data, media_type=kind, headers=headers)


@router.post("/cases/{number}/incident/submit")
def submit_incident(
    request: Request, state: State, user: _CaseChanger, number: Number, body: Submitting
) -> dict[str, int]:
    """Put a notice or report down for a receiver, where it waits for approval; return the message's number."""
    settings = _settings(request)
    profile = named(settings, body.profile)
    given = (number, body.document, user.name, address_of(request))
    return {"message": incidents.submit(state, settings, profile, *given)}


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings
