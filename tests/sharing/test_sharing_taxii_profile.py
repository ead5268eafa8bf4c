"""A profile of the format `stix-taxii`: what a site has seen is in a partner's collection by itself, once, and nothing
private in it."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from pipeline.messages import HaidangError
from sharing.drafting import build
from sharing.profile import Endpoint
from sharing.stix.format import _log_in, objects_url
from sharing.taxii.client import Endpoint as Server
from sharing.taxii.client import poll
from tests.conftest import eventually
from tests.services import medallion
from tests.services.medallion import Medallion
from tests.sharing.conftest import Party, c2_alert
from tests.sharing.taxii.lying import answering, lying
from tests.sharing.test_sharing_faults import courier_of

PASSWORD = "a-password-of-this-test"
HELD = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"


@pytest.fixture
def partner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Medallion]:
    held = [medallion.collection(HELD, "new", [], can_write=True)]
    with medallion.running(tmp_path_factory.mktemp("partner"), held, "us", PASSWORD) as server:
        yield server


@pytest.mark.slow
def test_contacts_with_c2_servers_are_in_the_partners_collection_by_themselves(
    party: Party, partner: Medallion
) -> None:
    party.folder.mkdir(parents=True, exist_ok=True)
    (party.folder / "password").write_text(f"{PASSWORD}\n", "utf-8")
    told = {
        "url": f"{partner.address}/root/",
        "collection": HELD,
        "username": "us",
        "password_file": "password",
        "ca": str(partner.authority),
    }
    named = party.profile(
        "doi-tac",
        "stix-taxii",
        signing__certificate=None,
        signing__key=None,
        **{f"endpoint__{name}": value for name, value in told.items()},
    )
    party.confirm(named)
    party.raise_alerts(*(c2_alert(number) for number in range(3)))
    party.run()
    eventually(lambda: [each["status"] for each in party.messages()] == ["sent"], 40)
    party.stop()
    (message,) = party.messages()
    receipt = json.loads(message["receipt"]["body"])
    assert message["receipt"]["status"] == 202 and receipt["failure_count"] == 0
    objects, _ = poll(Server(f"{partner.address}/root/", HELD, "us", PASSWORD, ca=partner.authority))
    assert {each["type"] for each in objects} >= {
        "identity",
        "indicator",
        "malware",
        "relationship",
        "sighting",
        "observed-data",
    }
    assert sum(each["type"] == "sighting" for each in objects) == 3
    assert {each["name"] for each in objects if each["type"] == "malware"} == {"AsyncRAT"}
    text = json.dumps(objects, ensure_ascii=False)
    assert not any(secret in text for secret in ("PC-1", "10.0.0.", "Nguyễn", "svchost"))


def pending(request: BaseHTTPRequestHandler, count: int, **told: Any) -> bytes:
    """A status that is asked for `count` times before it says what became of the objects."""
    seen: list[str] = request.server.__dict__.setdefault("seen", [])
    seen.append(f"{request.command} {request.path}")
    counts = {"total_count": 1, "success_count": 0, "failure_count": 0, "pending_count": 1}
    done = {"status": "complete", "pending_count": 0, **told} if len(seen) > count else {}
    return json.dumps({"id": "7", "status": "pending", **counts, **done}).encode()


@pytest.mark.parametrize(
    ("count", "told", "status", "says"),
    [
        (2, {"success_count": 1}, "sent", "complete"),
        (2, {"failure_count": 1, "failures": [{"id": "x--1", "message": "no room"}]}, "refused", "x--1: no room"),
        (99, {}, "queued", "pending"),
        (0, {"status": "?"}, "queued", "?"),
    ],
)
def test_a_message_has_arrived_when_the_collection_says_so_of_all_its_objects(
    party: Party, tmp_path: Path, count: int, told: dict[str, Any], status: str, says: str
) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        answering(pending(request, count, **told), 202 if request.command == "POST" else 200)(request)

    with lying(tmp_path, answer) as place:
        ends = {"url": place.url, "ca": str(place.ca), "timeout_seconds": 3}
        named = party.confirm(
            party.profile("doi-tac", "stix-taxii", signing__certificate=None, signing__key=None,
                          **{f"endpoint__{name}": value for name, value in ends.items()})
        )  # fmt: skip
        build(party.engine, party.settings, named)
        party.raise_alerts(c2_alert(1))
        build(party.engine, party.settings, named)
        sender = courier_of(party, named)
        sender.sign()
        sender.send()
    (message,) = party.messages()
    assert message["status"] == status and says in message["answer"], message


def test_where_objects_are_added_and_with_which_log_in(tmp_path: Path) -> None:
    assert (
        objects_url(Endpoint(url="https://a.example/root", collection="x"))
        == "https://a.example/root/collections/x/objects/"
    )
    assert (
        objects_url(Endpoint(url="https://a.example/root/collections/x/"))
        == "https://a.example/root/collections/x/objects/"
    )
    assert _log_in(Endpoint(url="https://a.example/")) == {}
    with pytest.raises(HaidangError, match="none"):
        _log_in(Endpoint(url="https://a.example/", username="us", password_file=tmp_path / "none"))
