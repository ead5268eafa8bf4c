"""A site with a TAXII server, and partners' programs that ask it over a socket."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from sites import PATIENTLY, Site, serving

from pipeline.settings.sharing import Sharing
from pipeline.settings.sharing_taxii import Taxii
from sharing.taxii import clients, store

TAXII = "application/taxii+json;version=2.1"
ROOT = "/taxii2/site"
OTHER = "identity--00000000-0000-4000-8000-00000000000a"


@contextmanager
def partnered(folder: Path, **limits: Any) -> Iterator[Site]:
    """Serve a site with nothing in it; `limits` are settings of `[sharing.taxii]`."""
    with serving(folder, lambda _settings, _engine: [], sharing=Sharing(taxii=Taxii(**limits))) as site:
        yield site


def password(site: Site, name: str, **rights: str) -> str:
    """Return the password of a new client; `tlp_green="r"` is a right to `tlp-green`."""
    given = {alias.replace("_", "-"): right for alias, right in rights.items()}
    with site.engine.begin() as connection:
        return clients.add(connection, name, given, 30, ("test", "here"))


@contextmanager
def asking(site: Site, name: str, secret: str) -> Iterator[httpx.Client]:
    """Give a client that takes TAXII."""
    headers = {"Accept": TAXII, "Accept-Language": "en"}
    with httpx.Client(base_url=site.address, auth=(name, secret), headers=headers, **PATIENTLY) as client:
        yield client


def put(site: Site, alias: str, objects: Iterable[dict[str, Any]]) -> None:
    """Put objects into a collection, each in a transaction of its own."""
    for each in objects:
        with site.engine.begin() as connection:
            store.put(connection, store.named(store.collections(connection), alias), [each])


def indicator(number: int, modified: str = "2026-01-01T00:00:00.000Z", **more: Any) -> dict[str, Any]:
    """Return an indicator."""
    return {
        "type": "indicator", "spec_version": "2.1", "id": f"indicator--00000000-0000-4000-8000-{number:012x}",
        "created": "2026-01-01T00:00:00.000Z", "modified": modified, "pattern_type": "stix",
        "pattern": f"[domain-name:value = 'h{number}.example.com']", "valid_from": "2026-01-01T00:00:00Z", **more,
    }  # fmt: skip


def malware(number: int) -> dict[str, Any]:
    """Return a kind of malware."""
    return {
        "type": "malware", "spec_version": "2.1", "id": f"malware--00000000-0000-4000-8000-{number:012x}",
        "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z", "is_family": True, "name": "M",
    }  # fmt: skip


def address(value: str, number: int) -> dict[str, Any]:
    """Return an observable, which has no version."""
    return {"type": "ipv4-addr", "id": f"ipv4-addr--00000000-0000-4000-8000-{number:012x}", "value": value}
