"""The API: requests enter, JSON leaves. Routes are in the files beside this one; here they become one application."""

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path

import fastapi_offline
from fastapi import Depends, FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from sqlalchemy import Engine

from api import alerts, login, pages, search, status
from api.access import Viewer, needs
from pipeline import store
from pipeline.settings import Settings
from pipeline.store import SearchError

_SWAGGER = Path(fastapi_offline.__file__).parent / "static"
#: What the API's own page loads, from our own address: it works with no internet.
_SWAGGER_FILES = ("swagger-ui-bundle.js", "swagger-ui.css")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}


def make_app(settings: Settings, engine: Engine, reader: store.Reader) -> FastAPI:
    """Put the application together."""
    app = FastAPI(
        title="Hải Đăng", version=version("haidang"), openapi_url=None, docs_url=None, redoc_url=None,
        description="Search, alerts, sources and health of a Hải Đăng site.",
    )  # fmt: skip
    app.state.settings, app.state.engine, app.state.reader = settings, engine, reader
    for router in (login.router, search.router, alerts.router, status.router):
        app.include_router(router, prefix="/api/v1")
    app.include_router(pages.router)
    app.middleware("http")(_with_headers)
    app.exception_handler(SearchError)(_search_error)
    _add_documentation(app)
    return app


def _add_documentation(app: FastAPI) -> None:
    @app.get("/openapi.json", include_in_schema=False)
    def openapi(_user: Viewer) -> JSONResponse:
        return JSONResponse(app.openapi())

    @app.get("/docs", include_in_schema=False)
    def docs(_user: Viewer) -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json", title="Hải Đăng API", swagger_favicon_url="/static/favicon.svg",
            swagger_js_url="/docs/swagger-ui-bundle.js", swagger_css_url="/docs/swagger-ui.css",
        )  # fmt: skip

    for name in _SWAGGER_FILES:
        app.get(f"/docs/{name}", include_in_schema=False, dependencies=[Depends(needs("viewer"))])(
            _file(_SWAGGER / name)
        )


def _file(path: Path) -> Callable[[], FileResponse]:
    return lambda: FileResponse(path)


async def _with_headers(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


async def _search_error(_request: Request, error: Exception) -> JSONResponse:
    position = getattr(error, "position", None)
    return JSONResponse({"detail": str(error), "position": position}, 400)
