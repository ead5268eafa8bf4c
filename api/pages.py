"""The API's description as a page that tries it out; nothing from outside."""

from functools import cache
from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import HTTPException
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response

from api.access import Anyone, current_user, user_of
from pipeline.messages import say

router = APIRouter(include_in_schema=False)
_STATIC = Path(__file__).parent / "static"
_SWAGGER = Path(fastapi_offline.__file__).parent / "static"
#: What the API's description loads besides our own files: it works with no internet.
_SWAGGER_FILES = ("swagger-ui-bundle.js", "swagger-ui.css")


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
def _static_files() -> dict[str, Path]:
    return {path.name: path for path in _STATIC.iterdir() if path.suffix in (".js", ".css", ".svg")}
