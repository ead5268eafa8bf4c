"""One site for all tests of the API, and a client that may read it."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from sites import Site, day, serving

from pipeline.queue import grouping


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all tests that only read it, or that use users of their own."""
    folder = tmp_path_factory.mktemp("site")
    with serving(folder, day) as made:
        yield made


@pytest.fixture
def viewer(site: Site) -> Iterator[httpx.Client]:
    """A client that may read."""
    with site.client(site.token(f"viewer-{secrets.token_hex(6)}", "viewer")) as client:
        yield client


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Site]:
    """A site of its own, its alerts in groups: for tests that change it."""
    with serving(tmp_path / "own", day) as made:
        grouping.catch_up(made.engine, 24)
        yield made


@pytest.fixture
def both(own: Site) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """An analyst of a site of its own, and somebody who may only look."""
    with ExitStack() as held:
        yield tuple(  # type: ignore[misc]  # two of them
            held.enter_context(own.client(own.token(name, role))) for name, role in (("a", "analyst"), ("v", "viewer"))
        )
