"""The API's outer wall: every request enters with its language and a limit, every answer leaves with the headers that
tell a browser to load nothing from elsewhere; a fault of ours becomes an answer that says so."""

from collections.abc import Callable, Mapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.logs import log
from pipeline.messages import LANGUAGES, language, say, speaking

#: A request's body may not be longer, in bytes, but for what `Guard` is told of; the longest query text is 10,000
#: characters, the rest is for the DSL.
MAX_BODY_BYTES = 1_000_000
#: Scripts, styles and data from our own address alone; the pages have no script and no style in their HTML.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; object-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}


#: Makes an answer of what is wrong: of a path, a status, a sentence and headers.
Told = Callable[[str, int, str, Mapping[str, str] | None], Response]


class Guard:
    """The middleware of all routes; `larger`: paths that take longer bodies, and how long ones; one that ends in `/`
    stands for all that lie in it. `told`: the shape in which a path says that it answers nothing."""

    def __init__(self, app: ASGIApp, larger: Mapping[str, int], told: Told) -> None:
        self._app = app
        self._larger = larger
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        secure = scope["scheme"] == "https"
        with speaking(accepted_language(headers.get("accept-language", ""))):
            path: str = scope["path"]
            within = self._larger.get(path[: path.rfind("/") + 1], MAX_BODY_BYTES)
            limit = self._larger.get(path, within)
            await self._answer(scope, _Limited(headers, receive, limit), _Headed(send, secure))

    async def _answer(self, scope: Scope, receive: "_Limited", send: "_Headed") -> None:
        if receive.too_long:
            refused = _too_long(receive.limit)
            answer = self._told(scope["path"], 413, str(refused.detail), refused.headers)
            await answer(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except Exception:
            log("api").exception("fault", method=scope["method"], path=scope["path"][:500])
            if not send.started:
                await self._told(scope["path"], 500, say("api.fault"), None)(scope, receive, send)


def told_plainly(_path: str, status: int, detail: str, headers: Mapping[str, str] | None) -> Response:
    """Say what is wrong as all routes of ours do."""
    return JSONResponse({"detail": detail}, status, headers)


def _too_long(limit: int) -> HTTPException:
    return HTTPException(413, say("api.too_long", limit=limit), {"Connection": "close"})


class _Limited:
    """The receiving side, which counts the body."""

    def __init__(self, headers: Headers, receive: Receive, limit: int) -> None:
        self.limit = limit
        stated = headers.get("content-length", "")
        self.too_long = stated.isdigit() and int(stated[:20]) > limit
        self._receive = receive
        self._size = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if self._size > self.limit:
            raise _too_long(self.limit)
        return message


class _Headed:
    """The sending side, which adds the headers."""

    def __init__(self, send: Send, secure: bool) -> None:
        self.started = False
        self._secure = secure
        self._send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers: Any = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if self._secure:  # from now on never without TLS (RFC 6797); browsers heed it for names they trust
                headers.setdefault("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
        await self._send(message)


def accepted_language(header: str) -> str:
    """Return the language of an `Accept-Language` header (RFC 9110 section 12.5.4) that we speak, else the site's."""
    best, weight = "", 0.0
    for item in header[:1000].split(","):
        tag, _, parameter = item.strip().partition(";")
        name = tag.strip().lower().partition("-")[0]
        try:
            quality = float(parameter.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        if name in LANGUAGES and quality > weight:
            best, weight = name, quality
    return best or language()
