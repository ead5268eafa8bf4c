"""The API's stage: settings enter, a web server leaves."""

import asyncio
import errno
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
from fastapi import FastAPI

from api.app import make_app
from api.searching import Searching
from pipeline import store
from pipeline.audit import head_of, note_settings
from pipeline.listener import tcp_listener
from pipeline.logs import log
from pipeline.messages import HaidangError
from pipeline.settings_file import settings_file
from pipeline.stage import HEARTBEAT_SECONDS, STATE_AWAY, Stage
from pipeline.tls import Served, api_certificate, is_served

#: Connections that are served at once; more are answered 503 at once.
_CONNECTIONS = 256
#: How long open answers may take when the stage is stopped, in seconds.
_GRACE_SECONDS = 5
#: How often the audit's last hash is written to the log, in seconds.
_HEAD_SECONDS = 3600.0


class Server(uvicorn.Server):
    """A server of our application that leaves the signals to the stage."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Handle no signal."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; streams of live changes would go on until they are cut off, so they are ended first."""
        application: Any = self.config.app
        application.state.live.close()
        await super().shutdown(sockets)


def serve(stage: Stage) -> None:
    """Answer requests until the stage is stopped.

    Raises:
        HaidangError: the address cannot be listened on.
    """
    asyncio.run(_serve(stage))


async def _serve(stage: Stage) -> None:
    settings = stage.settings.api
    reader = store.open_reader(stage.settings.data_dir, stage.settings.store)
    searching = Searching()
    served = await asyncio.to_thread(api_certificate, stage.settings) if is_served(stage.settings) else None
    config = configuration(make_app(stage.settings, stage.engine, reader, searching), served)
    listener = _listen(settings.host, settings.port)
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    shown = f"[{settings.host}]" if ":" in settings.host else settings.host
    scheme = "https" if served else "http"
    detail = {"ready": True, "address": f"{scheme}://{shown}:{listener.getsockname()[1]}"}
    if served:
        trust = {"fingerprint": served.fingerprint(), "authority": str(served.authority or served.certificate)}
        detail |= trust
        log("api").info("serves", address=detail["address"], **trust)
    await asyncio.to_thread(_tell_settings, stage)
    told = 0.0
    while not stage.stopping.is_set() and not serving.done():
        await asyncio.to_thread(lambda: stage.beat(detail=detail, now=True))
        if time.monotonic() >= told:
            await asyncio.to_thread(_tell_head, stage)
            told = time.monotonic() + _HEAD_SECONDS
        for _ in range(int(HEARTBEAT_SECONDS / 0.1)):
            if stage.stopping.is_set() or serving.done():
                break
            await asyncio.sleep(0.1)
    server.should_exit = True
    await serving
    searching.close()
    reader.close()


def _tell_settings(stage: Stage) -> None:
    """Note in the audit that the settings file is another one than at the last start; only its hash, for it may have
    passwords. Where there is none, the hash is that of nothing."""
    with suppress(*STATE_AWAY):
        note_settings(stage.engine, settings_file())


def _tell_head(stage: Stage) -> None:
    """Write the audit's last hash to the log: were rows cut off the audit's end, the log would have more."""
    with suppress(*STATE_AWAY):
        row, digest = head_of(stage.engine)
        log("api").info("audit_head", row=row, digest=digest)


def configuration(app: FastAPI, served: Served | None = None) -> uvicorn.Config:
    """Return how the application is served: over TLS (1.2 and later) where there is a certificate.

    A proxy on this machine may say whom it asks for (`X-Forwarded-For`).
    """
    certificate, key = (served.certificate, served.key) if served else (None, None)
    return uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", server_header=False, ws="none",
        limit_concurrency=_CONNECTIONS, timeout_graceful_shutdown=_GRACE_SECONDS, ssl_certfile=certificate,
        ssl_keyfile=key,
    )  # fmt: skip


def _listen(host: str, port: int) -> socket.socket:
    try:
        return tcp_listener(host, port, _CONNECTIONS)
    except (OSError, UnicodeError) as error:
        is_elsewhere = isinstance(error, (socket.gaierror, UnicodeError)) or error.errno == errno.EADDRNOTAVAIL
        key = "api.not_our_address" if is_elsewhere else "api.cannot_listen"
        fault = getattr(error, "strerror", None) or error
        raise HaidangError(key, host=host, port=port, fault=fault) from error
