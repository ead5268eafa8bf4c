"""The pages that come with the API: a log-in, and an overview of alerts, sources and search, without scripts from outside."""

import json
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse

from pipeline.messages import LANGUAGES, catalogue

router = APIRouter(include_in_schema=False)
_STATIC = Path(__file__).parent / "static"
_PREFIX = "page."


@router.get("/")
def overview(request: Request, lang: str = "") -> HTMLResponse:
    """Return the page; what it shows comes from the API, so without a log-in it shows the log-in alone."""
    language = lang if lang in LANGUAGES else _accepted(request)
    words = {key.removeprefix(_PREFIX): text for key, text in catalogue(language).items() if key.startswith(_PREFIX)}
    data = json.dumps({"language": language, "words": words}, ensure_ascii=False).replace("<", "\\u003c")
    page = (_STATIC / "overview.html").read_text("utf-8")
    return HTMLResponse(page.replace("{{language}}", language).replace("{{data}}", data))


@router.get("/static/{name}")
def static(name: str) -> FileResponse:
    """Return one of the page's files."""
    known = {path.name: path for path in _STATIC.iterdir() if path.suffix in (".js", ".css", ".svg")}
    return FileResponse(known[name]) if name in known else FileResponse(known["favicon.svg"], 404)


def _accepted(request: Request) -> str:
    wanted = request.headers.get("accept-language", "")
    return "en" if wanted.lower().startswith("en") else "vi"
