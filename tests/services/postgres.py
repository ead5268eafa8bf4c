"""A real PostgreSQL for the tests: a folder to make enters, a server on a free port of loopback leaves."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

from tests.conftest import need

#: Where Debian keeps the server's programs, newest first.
_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
_SETTINGS = ("fsync=off", "listen_addresses=127.0.0.1", "unix_socket_directories=", "log_min_messages=fatal")
_START_SECONDS = 120.0


class Postgres:
    """A server of this test run. `stop` and `start` keep its data and its port."""

    def __init__(self, folder: Path) -> None:
        found = next((place for place in _FOLDERS if (place / "initdb").exists()), None)
        need(found is not None, "PostgreSQL (package postgresql)")
        assert found is not None
        self._programs = found
        self._data = folder / "data"
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        folder.mkdir()
        if self._as:
            shutil.chown(folder, "postgres")
        self._run("initdb", "-D", str(self._data), "-U", "haidang", "-A", "trust", "-E", "UTF8", "--no-sync")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = [part for setting in _SETTINGS for part in ("-c", setting)]
        self._process = subprocess.Popen(
            [*self._as, str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self.port), *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "PostgreSQL did not start"
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server at once: what is connected is cut off."""
        if self._process is not None:
            self._run("pg_ctl", "stop", "-D", str(self._data), "-m", "immediate")
            self._process.wait(60)
            self._process = None

    def url(self, database: str) -> str:
        """Return the address of a database."""
        return f"postgresql://haidang@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Make an empty database and return its address."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as, str(self._programs / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd="/")


@contextmanager
def running(folder: Path) -> Iterator[Postgres]:
    """Run a server in an empty folder."""
    server = Postgres(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
