"""Programs that others wrote read our TAXII server and write into it, over TLS: OASIS's own client, `taxii2-client`."""

import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme
from sites import Site
from taxii2client.exceptions import AccessError
from taxii2client.v21 import ApiRoot, Collection, Server, as_pages
from taxii_partners import indicator, malware, partnered, password, put

from api.serve import Server as OurServer
from api.serve import configuration
from pipeline.listener import tcp_listener
from pipeline.tls import Served


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, str, str]]:
    """A site over TLS: itself, its address, and the file of who signed its certificate."""
    folder = tmp_path_factory.mktemp("secure-taxii")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    with partnered(folder / "site", page_size=50) as site:
        served = Served(folder / "certificate.pem", folder / "key.pem", None)
        server = OurServer(configuration(site.app, served))
        listener = tcp_listener("127.0.0.1", 0, 64)
        running = threading.Thread(target=server.run, args=([listener],), daemon=True)
        running.start()
        while not server.started:
            time.sleep(0.01)
        yield site, f"https://127.0.0.1:{listener.getsockname()[1]}", str(folder / "authority.pem")
        server.should_exit = True
        running.join(10)
        listener.close()


@pytest.fixture(autouse=True)
def _as_the_client_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """`requests` takes these before the authority that its user names."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


def test_oasis_client_discovers_reads_and_writes(secure: tuple[Site, str, str]) -> None:
    site, address, authority = secure
    many = [indicator(number) for number in range(120)]
    put(site, "tlp-green", [*many, malware(1)])
    secret = password(site, "partner", tlp_green="r", inbox="rw", tlp_red="w")
    with Server(f"{address}/taxii2/", user="partner", password=secret, verify=authority) as server:
        assert server.title == "vn" and server.default is not None
        root: ApiRoot = server.default
        assert root.versions == ["application/taxii+json;version=2.1"]
        held: dict[str, Collection] = {
            each.custom_properties.get("alias") or each.alias: each for each in root.collections
        }
        assert {alias: (each.can_read, each.can_write) for alias, each in held.items()} == {
            "tlp-green": (True, False), "tlp-red": (False, True), "inbox": (True, True),
        }  # fmt: skip
        green, inbox = held["tlp-green"], held["inbox"]
        pages = list(as_pages(green.get_objects, per_request=50))
        assert [each for page in pages for each in page["objects"]] == [*many, malware(1)]
        assert green.get_objects(type="malware")["objects"] == [malware(1)]
        assert green.get_object(many[3]["id"])["objects"] == [many[3]]
        assert green.object_versions(many[3]["id"])["versions"] == [many[3]["modified"]]
        records = [each for page in as_pages(green.get_manifest, per_request=50) for each in page["objects"]]
        after = green.get_objects(added_after=records[-3]["date_added"])["objects"]
        assert after == [many[-1], malware(1)]
        with pytest.raises(AccessError):
            green.add_objects({"objects": many[:1]})
        status = inbox.add_objects({"objects": [many[0], {**many[1], "created": "x"}]})
        assert (status.status, status.success_count, status.failure_count) == ("complete", 1, 1)
        status.refresh()
        assert status.success_count == 1
        assert inbox.get_objects()["objects"] == [many[0]]
        inbox.delete_object(many[0]["id"])
        assert inbox.get_objects() == {}


def test_a_wrong_password_and_an_unknown_authority_are_refused(secure: tuple[Site, str, str], tmp_path: Path) -> None:
    _, address, authority = secure
    with pytest.raises(requests.HTTPError, match="401"):
        Server(f"{address}/taxii2/", user="partner", password="wrong", verify=authority).refresh()
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    with pytest.raises(requests.exceptions.SSLError):
        Server(f"{address}/taxii2/", user="partner", password="x", verify=str(stranger)).refresh()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_accepted(secure: tuple[Site, str, str], version: Any) -> None:
    """TAXII 2.1 section 8.2.2: TLS 1.2 must be accepted, 1.3 should be."""
    import socket

    _, address, authority = secure
    context = ssl.create_default_context(cafile=authority)
    context.minimum_version = context.maximum_version = version
    place = ("127.0.0.1", int(address.rpartition(":")[2]))
    with socket.create_connection(place, 10) as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as tls:
        tls.sendall(b"GET /taxii2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b" 401 " in tls.recv(100)
