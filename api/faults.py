"""What is wrong with a request enters, a text in the language of the one who asks leaves, always as `{"detail": …}`."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from pipeline.logs import log
from pipeline.messages import HaidangError, Unavailable, say
from pipeline.stage import STATE_AWAY
from pipeline.store import SearchError
from pipeline.store.query_string import QueryFault

#: Kinds of Pydantic's faults and our sentences for them; any other one is `api.invalid`.
_SENTENCES = {
    "missing": "api.missing",
    "json_invalid": "api.not_json",
    "literal_error": "api.want_one_of",
    "int_parsing": "api.want_int",
    "int_type": "api.want_int",
    "greater_than_equal": "api.want_ge",
    "less_than_equal": "api.want_le",
    "greater_than": "api.want_gt",
    "less_than": "api.want_lt",
    "float_parsing": "api.want_number",
    "float_type": "api.want_number",
    "finite_number": "api.want_number",
    "bool_parsing": "api.want_bool",
    "bool_type": "api.want_bool",
    "list_type": "api.want_list",
    "too_short": "api.want_more",
    "too_long": "api.want_fewer",
    "date_type": "api.want_date",
    "date_parsing": "api.want_date",
    "date_from_datetime_parsing": "api.want_date",
    "date_from_datetime_inexact": "api.want_date",
    "string_type": "api.want_text",
    "string_too_short": "api.want_longer",
    "extra_forbidden": "api.unknown_field",
    "string_too_long": "api.want_shorter",
    "dict_type": "api.want_object",
    "model_attributes_type": "api.want_object",
}
#: Where a fault has the limit that was not kept.
_LIMITS = ("ge", "gt", "le", "lt", "min_length", "max_length", "expected")
#: Faults of things that are named and not there.
_NOT_THERE = ("rule", "exception", "revision", "pack", "key")
#: Whose faults are the asker's to mend.
_MENDABLE = (
    "rulebook.", "rights.", "user.", "token.", "oidc.", "devices.", "indicators.", "queue.", "suppressions.", "cases.",
    "delivery.", "saved.", "settings.", "sharing.", "incidents.", "reports.", "systems.", "inbox.",
)  # fmt: skip
#: The answers to these; any other one is 400.
_STATUSES = {
    **{f"rulebook.no_{name}": 404 for name in _NOT_THERE},
    "user.unknown": 404, "user.exists": 409, "user.name_taken": 409, "user.last_manager": 409,
    "user.no_session": 404, "user.no_step": 401, "oidc.not_set": 404,
    "oidc.not_begun": 401, "oidc.refused": 401, "oidc.bad_token": 401, "oidc.no_role": 403, "rights.none": 404,
    "rights.in_use": 409, "rights.too_much": 403, "token.unknown": 404, "token.exists": 409,
    "cases.none": 404, "cases.no_entry": 404, "cases.closed": 409, "cases.not_closed": 409, "cases.elsewhere": 409,
    "cases.too_long": 413, "cases.no_room": 413, "cases.full": 413,
    "delivery.no_channel": 404, "delivery.no_message": 404, "delivery.waits_already": 409, "delivery.not_dead": 409,
    "delivery.of_gone_channel": 409, "delivery.not_running": 503, "queue.no_alert": 404, "suppressions.none": 404,
    "devices.no_device": 404, "devices.nothing_by_hand": 404, "devices.list_too_long": 413,
    "devices.list_too_many": 413,
    "rulebook.changed_meanwhile": 409, "rulebook.too_large": 413, "rulebook.too_many": 413,
    "settings.changed_meanwhile": 409, "settings.no_revision": 404, "settings.not_writable": 409,
    "settings.of_cluster": 409, "settings.not_supervised": 409,
    "settings.text_too_long": 413, "settings.not_written": 503, "settings.unreadable": 409,
    "saved.none": 404, "saved.not_yours": 403, "saved.is_ready": 403, "saved.may_not_share": 403,
    "saved.changed_meanwhile": 409, "saved.too_large": 413, "saved.no_room": 413,
    "indicators.no_live": 404, "indicators.unknown": 404,
    "sharing.no_profile": 404, "sharing.no_message": 404, "sharing.not_held": 409, "sharing.agreed_already": 409,
    "sharing.ended": 409, "sharing.not_failed": 409, "sharing.not_carried": 409, "sharing.not_signed_yet": 409,
    "sharing.not_confirmed": 409, "sharing.bad_profile": 409, "incidents.same": 409, "reports.none_such": 404,
    "systems.none": 404, "systems.large": 413, "inbox.no_signature": 401, "inbox.unsigned": 401,
    "inbox.nobody": 401, "inbox.bad_signature": 401,
    "inbox.no_algorithm": 401, "inbox.not_fresh": 401, "inbox.no_id": 401, "inbox.closed": 401,
    "inbox.replayed": 409, "inbox.large": 413, "inbox.many": 413,
}  # fmt: skip


def answer_faults(app: FastAPI) -> None:
    """Register the answers."""
    app.add_exception_handler(SearchError, _search)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Unavailable, _unavailable)
    app.add_exception_handler(HaidangError, _mendable)
    for kind in STATE_AWAY:
        app.add_exception_handler(kind, _state_away)


async def _search(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse(told(error), 400)


def told(error: Exception) -> dict[str, Any]:
    """Return what is said of a search that cannot be done: of a fault in a query text also its `position` there
    (characters from 0) and the `reason`."""
    if isinstance(error, QueryFault):
        return {"detail": str(error), "position": error.position, "reason": error.reason}
    return {"detail": str(error)}


async def _unavailable(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 503)


async def _mendable(_request: Request, error: Exception) -> JSONResponse:
    """What whoever changes something can mend: what is not there, was changed meanwhile, or makes no sense."""
    key = error.key if isinstance(error, HaidangError) else ""
    if not key.startswith(_MENDABLE):
        raise error
    return JSONResponse({"detail": str(error)}, _STATUSES.get(key, 400))


async def _state_away(_request: Request, error: Exception) -> JSONResponse:
    """Say no more than that: whoever asks may not even be logged in."""
    log("api").error("state_away", reason=str(error)[:300])
    return JSONResponse({"detail": say("api.state_away")}, 503)


async def _validation(_request: Request, error: Exception) -> JSONResponse:
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    return JSONResponse({"detail": " ".join(_sentence(fault) for fault in faults[:10])}, 422)


def _sentence(fault: dict[str, Any]) -> str:
    """Name the place and what is expected there; never the value, which may be a password."""
    place = ".".join(str(part) for part in fault["loc"][1:]) or str(fault["loc"][0])
    context = fault.get("ctx", {})
    limit = str(next((context[name] for name in _LIMITS if name in context), ""))
    if "expected" in context:  # pydantic's own list: 'a', 'b' or 'c'
        limit = limit.replace("' or '", f"' {say('api.or')} '")
    return say(_SENTENCES.get(fault["type"], "api.invalid"), place=place[:100], limit=limit)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    status = getattr(error, "status_code", 500)
    plain = {404: "api.no_page", 405: "api.wrong_method", 400: "api.unreadable"}
    detail = str(getattr(error, "detail", ""))
    if status in plain and detail in ("Not Found", "Method Not Allowed", "There was an error parsing the body"):
        detail = say(plain[status], path=request.url.path[:200], method=request.method)
    return JSONResponse({"detail": detail}, status, getattr(error, "headers", None))
