"""Our TAXII client reads and writes OASIS's own server (`medallion`), and is not led astray by servers that lie."""

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import trustme

from sharing.taxii.client import Endpoint, Position, TaxiiFault, discover, poll, position_of, push
from tests.services import medallion
from tests.services.medallion import Medallion
from tests.sharing.taxii.lying import Answer, answering, lying

PASSWORD = "a-password-of-this-test"
READ, WRITE, HIDDEN = (f"91a7b528-80eb-42ed-a74d-c6fbd5a2611{number}" for number in range(3))
_TIME = "2024-01-01T00:00:00.000Z"


def indicator(number: int, **more: Any) -> dict[str, Any]:
    return {
        "type": "indicator", "spec_version": "2.1", "id": f"indicator--00000000-0000-4000-8001-{number:012}",
        "created": _TIME, "modified": _TIME, "pattern": f"[domain-name:value = 'h{number}.evil.com']",
        "pattern_type": "stix", "valid_from": _TIME, **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Medallion]:
    """A collection with 230 indicators, an empty one that takes more, and one that nobody may read."""
    many = [indicator(number) for number in range(230)]
    held = [
        medallion.collection(READ, "many", many), medallion.collection(WRITE, "new", [], can_write=True),
        medallion.collection(HIDDEN, "hidden", [], can_read=False),
    ]  # fmt: skip
    with medallion.running(tmp_path_factory.mktemp("medallion"), held, "us", PASSWORD, page_size=50) as running:
        yield running


def endpoint(server: Medallion, path: str = "/taxii2/", collection: str = "", **more: Any) -> Endpoint:
    given = {"username": "us", "password": PASSWORD, "ca": server.authority, **more}
    return Endpoint(f"{server.address}{path}", collection, **given)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/taxii2/", "/taxii2", "/root/"])
def test_collections_are_found_from_the_discovery_or_the_root(server: Medallion, path: str) -> None:
    found = discover(endpoint(server, path))
    assert {each.title: (each.can_read, each.can_write) for each in found} == {
        "many": (True, False), "new": (True, True), "hidden": (False, False),
    }  # fmt: skip
    assert {each.id for each in found} == {READ, WRITE, HIDDEN}


@pytest.mark.slow
@pytest.mark.parametrize(("path", "name"), [("/taxii2/", "many"), ("/root/", READ), (f"/root/collections/{READ}/", "")])
def test_all_pages_are_read_once_and_later_only_what_is_new(server: Medallion, path: str, name: str) -> None:
    place = endpoint(server, path, name)
    objects, position = poll(place)
    assert [each["id"] for each in objects] == [indicator(number)["id"] for number in range(230)]
    again, later = poll(place, position)
    assert (again, later) == ([], position)


@pytest.mark.slow
def test_a_reading_in_parts_misses_nothing_also_where_the_server_has_forgotten_it(server: Medallion) -> None:
    place = endpoint(server, "/root/", "many")
    first, position = poll(place, most=100)
    assert len(first) == 100 and position_of(position).next
    rest, end = poll(place, position)
    assert [each["id"] for each in first + rest] == [indicator(number)["id"] for number in range(230)]
    assert not position_of(end).next
    repeated, end_again = poll(place, position)  # medallion forgets `next` once it was used
    assert len(repeated) >= len(rest) and end_again == end


@pytest.mark.slow
def test_objects_are_sent_and_what_became_of_each_is_in_the_receipt(server: Medallion) -> None:
    place = endpoint(server, "/taxii2/", "new")
    before = time.time()
    sent = [indicator(number, name="Mã độc") for number in range(5000, 5003)]
    receipt = push(place, sent)
    assert (receipt.status, receipt.successes, receipt.failures, receipt.complete) == (202, 3, (), True)
    assert receipt.is_good and before <= receipt.time <= time.time()
    assert json.loads(receipt.body)["status"] == "complete"
    bundle = json.dumps({"type": "bundle", "id": "bundle--1", "objects": [*sent, indicator(5003)]}).encode()
    again = push(place, bundle)  # medallion calls what it has already a failure
    assert (again.successes, len(again.failures), again.is_good) == (1, 3, False)
    objects, _ = poll(place)
    assert [each["id"] for each in objects] == [indicator(number)["id"] for number in range(5000, 5004)]


@pytest.mark.slow
def test_what_a_server_refuses_is_told_with_its_words(server: Medallion) -> None:
    receipt = push(endpoint(server, f"/root/collections/{READ}/"), [indicator(1)])
    assert (receipt.status, receipt.is_good) == (403, False) and b"Forbidden" in receipt.body
    with pytest.raises(TaxiiFault, match="answered 401") as caught:
        poll(endpoint(server, "/root/", "many", password="wrong"))
    assert not caught.value.again
    with pytest.raises(TaxiiFault, match=r"no such collection.*many, new, hidden"):
        poll(endpoint(server, "/root/", "nothing"))
    with pytest.raises(TaxiiFault, match="nothing to send"):
        push(endpoint(server, "/root/", "new"), [])


@pytest.mark.slow
def test_a_server_signed_by_somebody_else_gets_nothing(server: Medallion, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    with pytest.raises(TaxiiFault, match="certificate") as caught:
        poll(endpoint(server, "/root/", "many", ca=stranger))
    assert caught.value.again
    with pytest.raises(TaxiiFault, match="https"):
        poll(Endpoint(server.address.replace("https", "http"), "many"))
    with pytest.raises(TaxiiFault, match=r"none.pem"):
        poll(endpoint(server, "/root/", "many", ca=tmp_path / "none.pem"))


@pytest.mark.slow
def test_our_certificate_is_shown_where_a_server_asks_for_it(tmp_path: Path) -> None:
    ours = trustme.CA()
    ours.cert_pem.write_to_path(str(tmp_path / "ours.pem"))
    issued = ours.issue_cert("site.example")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "site.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "site.key"))
    held = [medallion.collection(READ, "many", [indicator(1)])]
    with medallion.running(tmp_path, held, "us", PASSWORD, tmp_path / "ours.pem") as running:
        with pytest.raises(TaxiiFault, match="cannot be reached"):
            poll(endpoint(running, "/root/"))
        shown = {"certificate": tmp_path / "site.pem", "key": tmp_path / "site.key"}
        assert len(poll(endpoint(running, "/root/", **shown))[0]) == 1


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (answering(b'{"more":true,"next":"a","objects":[{}]}'), "more"),
        (answering(b'{"more":true,"next":"a"}'), "more"),
        (answering(b'{"more":true,"objects":[{}]}'), "more"),
        (answering(b'{"more":true,"objects":[{}]}', X_TAXII_Date_Added_Last="2024-01-01T00:00:00.000000Z"), "more"),
        (answering(b"[]"), "does not answer as"),
        (answering(b"<html>"), "does not answer as"),
        (answering(b'{"objects":' + b"[" * 5000 + b"]" * 5000 + b"}"), "does not answer as"),
        (answering(b"{}", Content_Type="text/html"), "does not answer as"),
        (answering(b'{"title":"x"}', 503), "answered 503: x"),
        (answering(b" " * 2_000_000), "more than 1 MB"),
        (answering(b"", 302, Location="https://elsewhere.example/"), "answered 302"),
    ],
)
def test_servers_that_lie_are_given_up(tmp_path: Path, answer: Answer, told: str) -> None:
    with lying(tmp_path, answer) as place, pytest.raises(TaxiiFault, match=told):
        poll(place)


def test_a_server_that_sends_drop_by_drop_is_given_up(tmp_path: Path) -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "application/taxii+json;version=2.1")
        request.end_headers()
        for _ in range(100):
            request.wfile.write(b" ")
            time.sleep(0.2)

    with lying(tmp_path, drip) as place, pytest.raises(TaxiiFault, match="longer than 2 s") as caught:
        poll(place)
    assert caught.value.again


def test_a_status_that_stays_pending_is_no_success(tmp_path: Path) -> None:
    status = json.dumps(
        {"id": "x", "status": "pending", "total_count": 1, "success_count": 0, "failure_count": 0, "pending_count": 1}
    )
    with lying(tmp_path, answering(status.encode(), 202)) as place:
        receipt = push(place, [indicator(1)], patience=0.1)
    assert (receipt.status, receipt.complete, receipt.is_good) == (202, False, False)


@pytest.mark.parametrize("text", ["", "x", "[]", "null", '{"after":1}', '{"next":"n"}'])
def test_any_text_is_a_position(text: str) -> None:
    assert position_of(position_of(text).text()) == position_of(text)
    assert position_of(Position("a", "b").text()) == Position("a", "b")
