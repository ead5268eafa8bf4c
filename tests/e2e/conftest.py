"""A whole running pipeline in a directory of its own: `Site`."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, select

from pipeline.state.tables import stages
from tests.conftest import eventually

#: Every input on a free port of the loopback, and quick commits.
SETTINGS = """
language = "en"
observer = "may-thu"
{top}
[[sources]]
name = "syslog"
kind = "syslog"
host = "127.0.0.1"
udp_port = 0
tcp_port = 0
tls_port = 0
timezone = "Asia/Ho_Chi_Minh"
[[sources]]
name = "http"
kind = "http"
host = "127.0.0.1"
port = 0
{sources}
[api]
port = 0
[store]
commit_seconds = 0.2
"""


class Site:
    """One data directory and the pipeline that runs on it. Everything goes through the commands that users have."""

    def __init__(
        self,
        data_dir: Path,
        sources: str = "",
        top: str = "",
        state: str = "",
        environment: dict[str, str] | None = None,
        keep: bool = False,
    ) -> None:
        """`state` is the address of a PostgreSQL; `environment` are further variables; `keep` the settings as they are."""
        self.data_dir = data_dir
        self._more = {**(environment or {}), **({"HAIDANG_STATE__URL": state} if state else {})}
        self._is_file = not state
        self.process: subprocess.Popen[bytes] | None = None
        data_dir.mkdir(parents=True, exist_ok=True)
        if not keep:
            (data_dir / "haidang.toml").write_text(SETTINGS.format(sources=sources, top=top), "utf-8")
        self.engine = create_engine(
            state.replace("postgresql", "postgresql+psycopg") or f"sqlite:///{data_dir / 'state.db'}",
            pool_pre_ping=True,
        )

    def start(self) -> None:
        """Start `haidang run` and wait until every stage is ready."""
        before = time.time()
        self.launch()
        eventually(lambda: self._all_ready(before), 60)

    def launch(self) -> None:
        """Start `haidang run` and wait for nothing."""
        with (self.data_dir / "run.out").open("ab") as out:
            self.process = subprocess.Popen(
                [*_HAIDANG, "run"], env=self._environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def stop(self, seconds: float = 60) -> int:
        """Stop it as a service manager does, and return its exit status."""
        assert self.process is not None
        self.process.terminate()
        status = self.process.wait(seconds)
        self.process = None
        return status

    def kill(self) -> None:
        """End whatever runs, without leave."""
        pids = [row["pid"] for row in self.stages().values()] if self._has_state() else []
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        for pid in pids:
            if is_ours(pid, self.data_dir):
                os.kill(pid, signal.SIGKILL)
        self.engine.dispose()

    def run(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run `haidang` with these arguments on this data directory."""
        done = subprocess.run(
            [*_HAIDANG, *arguments], env=self._environment(), capture_output=True, text=True, timeout=170, check=False
        )
        assert done.returncode == 0 or not check, f"haidang {arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def count(self, query: str) -> int:
        """How many events a query finds."""
        return int(self.run("search", query, "--count").stdout)

    def search(self, query: str, size: int = 1000) -> list[dict[str, Any]]:
        """The events that a query finds."""
        return _json_lines(self.run("search", query, "--json", "--size", str(size)).stdout)

    def count_alerts(self) -> int:
        """How many copies of alerts a search finds."""
        return int(self.run("search", "--alerts", "--count").stdout)

    def alerts(self) -> list[dict[str, Any]]:
        """All alerts."""
        return _json_lines(self.run("alerts", "--json").stdout)

    def sources(self) -> dict[str, dict[str, Any]]:
        """The ledger, by source."""
        return {row["source"]: row for row in _json_lines(self.run("sources", "--json").stdout)}

    def await_count(self, query: str, expected: int, seconds: float = 20) -> None:
        """Wait until a query finds this many events."""
        seen: list[int] = []

        def enough() -> bool:
            seen.append(self.count(query))
            return seen[-1] >= expected

        try:
            eventually(enough, seconds, 0.3)
        except AssertionError:
            raise AssertionError(f"{query}: {seen[-1]} of {expected} after {seconds} s") from None
        assert seen[-1] == expected

    def stages(self) -> dict[str, dict[str, Any]]:
        """What each stage last said of itself."""
        with self.engine.connect() as connection:
            return {row["stage"]: dict(row) for row in connection.execute(select(stages)).mappings()}

    def port(self, kind: str, source: str | None = None) -> int:
        """The port of `udp`, `tcp`, `tls`, `http` or `https`, of one source or the first that has it."""
        listening = self.stages()["collectors"]["detail"]["listening"]
        for name, places in listening.items():
            for place in places:
                if place.startswith(f"{kind} ") and source in (None, name):
                    return int(place.rpartition(":")[2])
        raise AssertionError(f"nothing listens on {kind}: {listening}")

    def api(self, path: str, token: str = "") -> httpx.Response:
        """Ask the API of this site."""
        address = self.stages()["api"]["detail"]["address"]
        return httpx.get(f"{address}/api/v1{path}", headers={"Authorization": f"Bearer {token}"}, timeout=30)

    @property
    def certificate(self) -> Path:
        """The certificate of the TLS listeners, its own authority."""
        return self.data_dir / "tls" / "certificate.pem"

    def token(self, name: str) -> str:
        """A new token for a sender of this name."""
        return self.run("token", "create", name).stdout.strip()

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HAIDANG_")}
        return {**kept, "HAIDANG_DATA_DIR": str(self.data_dir), "HAIDANG_LANGUAGE": "en", **self._more}

    def _has_state(self) -> bool:
        return not self._is_file or (self.data_dir / "state.db").exists()

    def _all_ready(self, since: float) -> bool:
        assert self.process is not None
        said = (self.data_dir / "run.out").read_text("utf-8")
        assert self.process.poll() is None, said
        assert "is started again" not in said, said
        if not self._has_state():
            return False
        try:
            rows = self.stages()
        except Exception:  # the tables are being made
            return False
        ready = [name for name, row in rows.items() if row["started"] >= since and row["detail"].get("ready")]
        return {"collectors", "detectors", "response", "store", "api"} <= set(ready)


_HAIDANG = [str(Path(sys.executable).parent / "haidang")]


def _json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line]


def is_ours(pid: int, data_dir: Path) -> bool:
    """Whether this process lives and works on this data directory."""
    try:
        return f"HAIDANG_DATA_DIR={data_dir}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Make and start sites; they end with the test."""
    made: list[Site] = []

    def make(name: str = "site", **settings: str) -> Site:
        site = Site(tmp_path / name, **settings)
        made.append(site)
        site.start()
        return site

    yield make
    for site in made:
        site.kill()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for the tests of a module, which tell their events apart by words of their own."""
    shared = Site(tmp_path_factory.mktemp("site"))
    try:
        shared.start()
        yield shared
        assert shared.stop() == 0
    finally:
        shared.kill()
