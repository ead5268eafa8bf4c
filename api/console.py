"""The console: the page that every screen begins with, and its built files, compressed as the browser takes them.

What the page shows comes from the API, so without a log-in it shows the log-in alone.
"""

import json
import re
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import HTTPException
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, Response

from api.oidc import REFUSED
from pipeline.delivery.routing import zone_of
from pipeline.messages import LANGUAGES, language, say
from pipeline.shipped import shipped_console

router = APIRouter(include_in_schema=False)
#: The build gives every file a name that has its hash, so a browser may keep it for ever.
_FOR_EVER = "public, max-age=31536000, immutable"
_TYPES = {
    ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2",
    ".json": "application/json",
}  # fmt: skip
#: Codings of the build (RFC 9110 section 8.4.1), the smaller one first.
_CODINGS = {"br": ".br", "gzip": ".gz"}
#: What the build calls its files: no folder, and none that is hidden.
_NAME = re.compile(r"\w[\w.-]{0,200}")
_ZONE = Path("/etc/localtime")


@router.get("/assets/{name}")
def asset(name: str, request: Request) -> FileResponse:
    """Return one of the console's files."""
    path = shipped_console() / "assets" / name
    if not _NAME.fullmatch(name) or path.suffix not in _TYPES or not path.is_file():
        raise HTTPException(404, say("api.no_page", path=f"/assets/{name[:200]}"))
    headers = {"Cache-Control": _FOR_EVER, "Vary": "Accept-Encoding"}
    taken = re.findall(r"[\w-]+", request.headers.get("accept-encoding", "")[:200])
    for coding, ending in _CODINGS.items():
        twin = path.with_name(path.name + ending)
        if coding in taken and twin.exists():
            return FileResponse(twin, headers={**headers, "Content-Encoding": coding}, media_type=_TYPES[path.suffix])
    return FileResponse(path, headers=headers, media_type=_TYPES[path.suffix])


@router.get("/")
@router.get("/{screen}")
@router.get("/{screen}/{rest:path}")
def page(
    request: Request, screen: str = "", rest: str = "", lang: Annotated[str, Query(max_length=10)] = ""
) -> Response:
    """Return the page of a screen; programs, which do not ask for HTML, are told that there is nothing."""
    if screen and "text/html" not in request.headers.get("accept", ""):
        raise HTTPException(404, say("api.no_page", path=f"/{screen}/{rest}".rstrip("/")[:200]))
    html = _page()
    if html is None:
        return PlainTextResponse(say("api.console_not_built") + "\n", 503)
    settings = request.app.state.settings
    spoken = lang if lang in LANGUAGES else language()
    refused = unquote(request.cookies.get(REFUSED, ""))[:1000]
    boot = {
        "language": spoken, "zone": _zone_name(str(zone_of(settings) or "")), "site": settings.observer,
        "version": version("haidang"), "provider": urlsplit(settings.oidc.issuer).netloc, "refused": refused,
    }  # fmt: skip
    # In a data block `<` could end the script element; as an escape it cannot.
    text = json.dumps(boot, ensure_ascii=False).replace("<", "\\u003c")
    response = HTMLResponse(html.replace("{{language}}", spoken).replace("{{boot}}", text))
    if refused:
        response.delete_cookie(REFUSED, httponly=True, samesite="lax", secure=request.url.scheme == "https")
    return response


def _zone_name(chosen: str) -> str:
    """Return the zone's name in the time zone database; of this machine's zone what it links to, where it does."""
    if chosen:
        return chosen
    return str(_ZONE.resolve()).partition("/zoneinfo/")[2]


def _page() -> str | None:
    path = shipped_console() / "index.html"
    try:
        return _text(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        return None


@lru_cache(1)
def _text(path: Path, _changed: int) -> str:
    """Return the page, read again where it was built again."""
    return path.read_text("utf-8")
