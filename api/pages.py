"""The pages that come with the API: the overview with its log-in, and the API's description; nothing from outside."""

import json
from functools import cache
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

import fastapi_offline
from fastapi import APIRouter, Depends, Query, Request
from fastapi.exceptions import HTTPException
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response

from api.access import Anyone, current_user, user_of
from api.oidc import REFUSED
from pipeline.messages import LANGUAGES, catalogue, language, say

router = APIRouter(include_in_schema=False)
_STATIC = Path(__file__).parent / "static"
_SWAGGER = Path(fastapi_offline.__file__).parent / "static"
#: What the API's description loads besides our own files: it works with no internet.
_SWAGGER_FILES = ("swagger-ui-bundle.js", "swagger-ui.css")
_PREFIX = "page."


@router.get("/")
def overview(request: Request, lang: Annotated[str, Query(max_length=10)] = "") -> HTMLResponse:
    """Return the page; what it shows comes from the API, so without a log-in it shows the log-in alone."""
    spoken = lang if lang in LANGUAGES else language()
    words = {key.removeprefix(_PREFIX): text for key, text in catalogue(spoken).items() if key.startswith(_PREFIX)}
    user = user_of(request)
    provider = request.app.state.settings.oidc.issuer
    data = {
        "language": spoken,
        "words": words,
        "user": user.name if user else None,
        "provider": urlsplit(provider).netloc,
        "refused": unquote(request.cookies.get(REFUSED, ""))[:1000],
    }
    # In a data block `<` could end the script element; as an escape it cannot.
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    response = HTMLResponse(_overview().replace("{{language}}", spoken).replace("{{data}}", text))
    if data["refused"]:
        response.delete_cookie(REFUSED, httponly=True, samesite="lax", secure=request.url.scheme == "https")
    return response


@router.get("/static/{name}")
def static(name: str) -> FileResponse:
    """Return one of the pages' files."""
    path = _static_files().get(name)
    if path is None:
        raise HTTPException(404, say("api.no_page", path=f"/static/{name[:200]}"))
    return FileResponse(path)


@router.get("/openapi.json")
def openapi(request: Request, _user: Anyone) -> JSONResponse:
    """Return the API's description (OpenAPI 3.1)."""
    return JSONResponse(request.app.openapi())


@router.get("/docs")
def docs(request: Request) -> Response:
    """Return the page that shows the description and tries it out; a browser without a log-in is sent to it."""
    if user_of(request) is None and "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("/", 303)
    current_user(request)
    return FileResponse(_STATIC / "docs.html")


@router.get("/docs/{name}", dependencies=[Depends(current_user)])
def docs_file(name: str) -> FileResponse:
    """Return one of Swagger UI's files."""
    if name not in _SWAGGER_FILES:
        raise HTTPException(404, say("api.no_page", path=f"/docs/{name[:200]}"))
    return FileResponse(_SWAGGER / name)


@cache
def _overview() -> str:
    return (_STATIC / "overview.html").read_text("utf-8")


@cache
def _static_files() -> dict[str, Path]:
    return {path.name: path for path in _STATIC.iterdir() if path.suffix in (".js", ".css", ".svg")}
