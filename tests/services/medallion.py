"""OASIS's own TAXII 2.1 server (`medallion`, its objects in memory) as a process: collections enter, an address leaves."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import trustme

from tests.conftest import eventually

#: Named by what is given: configuration, port, certificate, key, and who signed clients' certificates, or nothing.
_SERVER = """
import json, ssl, sys
from medallion import application_instance, register_blueprints, set_config
configuration = json.load(open(sys.argv[1]))
for name in ("users", "taxii", "backend"):
    set_config(application_instance, name, configuration)
register_blueprints(application_instance)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[3], sys.argv[4])
if len(sys.argv) > 5:
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(sys.argv[5])
application_instance.run(host="127.0.0.1", port=int(sys.argv[2]), ssl_context=context)
"""
MEDIA_TYPE = "application/stix+json;version=2.1"


class Medallion(NamedTuple):
    """Where it answers, and the file of who signed its certificate."""

    address: str
    authority: Path


def collection(identifier: str, title: str, objects: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Return a collection with these objects, added a second after each other."""
    manifest = [
        {"id": each["id"], "date_added": f"2024-01-02T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}.000Z",
         "version": each["modified"], "media_type": MEDIA_TYPE}
        for number, each in enumerate(objects)
    ]  # fmt: skip
    return {
        "id": identifier, "title": title, "can_read": True, "can_write": False, "media_types": [MEDIA_TYPE],
        "objects": list(objects), "manifest": manifest, **more,
    }  # fmt: skip


@contextmanager
def running(
    folder: Path,
    collections: Sequence[dict[str, Any]],
    user: str,
    password: str,
    clients: Path | None = None,
    page_size: int = 500,
) -> Iterator[Medallion]:
    """Run it with these collections below `/root/`, for one user; `clients`: who signs what clients show."""
    data = {
        "/discovery": {"title": "test", "default": "/root/", "api_roots": ["/root/"]},
        "root": {
            "information": {"title": "root", "versions": ["application/taxii+json;version=2.1"], "max_content_length": 9_999_999},
            "status": [], "collections": list(collections),
        },
    }  # fmt: skip
    (folder / "data.json").write_text(json.dumps(data), "utf-8")
    configuration = {
        "backend": {"module": "medallion.backends.memory_backend", "module_class": "MemoryBackend", "filename": str(folder / "data.json")},
        "users": {user: password}, "taxii": {"max_page_size": page_size},
    }  # fmt: skip
    (folder / "medallion.json").write_text(json.dumps(configuration), "utf-8")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "authority.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments: list[Any] = [folder / "medallion.json", port, folder / "certificate.pem", folder / "key.pem"]
    arguments += [clients] if clients else []
    with (folder / "medallion.out").open("wb") as out:
        child = subprocess.Popen([sys.executable, "-c", _SERVER, *map(str, arguments)], stdout=out, stderr=out)

    def answers() -> bool:
        assert child.poll() is None, (folder / "medallion.out").read_text("utf-8")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        eventually(answers, 30)
        yield Medallion(f"https://127.0.0.1:{port}", folder / "authority.pem")
    finally:
        child.kill()
        child.wait()
