"""One site for all tests of the API, and a client that may read it."""

from collections.abc import Iterator

import httpx
import pytest
from sites import Site, day, serving


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One site for all tests that only read it, or that use users of their own."""
    folder = tmp_path_factory.mktemp("site")
    with serving(folder, day) as made:
        yield made


@pytest.fixture
def viewer(site: Site, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A client that may read."""
    with site.client(site.token(f"viewer {request.node.name}", "viewer")) as client:
        yield client
