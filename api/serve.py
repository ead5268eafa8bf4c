"""The API's stage: settings enter, a web server leaves."""

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn

from api.app import make_app
from pipeline import store
from pipeline.messages import HaidangError
from pipeline.stage import HEARTBEAT_SECONDS, Stage


class Server(uvicorn.Server):
    """A server that leaves the signals to the stage."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Handle no signal."""
        yield


def serve(stage: Stage) -> None:
    """Answer requests until the stage is stopped.

    Raises:
        HaidangError: the address cannot be listened on.
    """
    asyncio.run(_serve(stage))


async def _serve(stage: Stage) -> None:
    settings = stage.settings.api
    reader = store.open_reader(stage.settings.data_dir)
    app = make_app(stage.settings, stage.engine, reader)
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", server_header=False)
    listener = _listen(settings.host, settings.port)
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    shown = f"[{settings.host}]" if ":" in settings.host else settings.host
    detail = {"ready": True, "address": f"http://{shown}:{listener.getsockname()[1]}"}
    while not stage.stopping.is_set() and not serving.done():
        await asyncio.to_thread(stage.beat, 0, detail, True)
        for _ in range(int(HEARTBEAT_SECONDS / 0.1)):
            if stage.stopping.is_set() or serving.done():
                break
            await asyncio.sleep(0.1)
    server.should_exit = True
    await serving
    reader.close()


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise HaidangError("api.cannot_listen", host=host, port=port, fault=error.strerror or error) from error
    return listener
