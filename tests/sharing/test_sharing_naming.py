"""Indicators by their names wait for a person, each is told of once, and what is for fewer people stays here."""

import time

import orjson
from sqlalchemy import insert

from pipeline.state.tables import indicators_live
from sharing import book
from sharing.drafting import build
from tests.sharing.conftest import Party


def add(party: Party, kind: str, value: str, tlp: str = "", expires: float = 0.0) -> None:
    row = {
        "kind": kind, "value": value, "threat": "c2", "confidence": 90, "expires": expires, "family": "AsyncRAT",
        "reference": "", "tlp": tlp, "reason": "a report", "who": "an", "address": "", "added": time.time(),
    }  # fmt: skip
    with party.engine.begin() as connection:
        connection.execute(insert(indicators_live), [row])


def test_each_new_indicator_is_told_of_once_when_a_person_has_agreed(parties: Party) -> None:
    party = parties
    taxii = {"signing__certificate": None, "signing__key": None, "content__tlp": "amber"}
    named = party.profile("doi-tac", "stix-taxii", **taxii)
    add(party, "address", "186.169.47.11")
    add(party, "domain", "evil.example.net", tlp="green")
    add(party, "domain", "secret.example.net", tlp="red")
    add(party, "domain", "over.example.net", expires=1.0)
    (number,) = build(party.engine, party.settings, named)
    message = book.one(party.engine, number)
    assert (message["kind"], message["status"], message["needed"]) == ("indicators", "held", 1)
    content, _ = book.bytes_of(party.engine, number)
    objects = orjson.loads(content)["objects"]
    patterns = {each["pattern"] for each in objects if each["type"] == "indicator"}
    assert patterns == {"[ipv4-addr:value = '186.169.47.11']", "[domain-name:value = 'evil.example.net']"}
    assert b"secret" not in content and b"a report" not in content
    assert build(party.engine, party.settings, named) == []
    add(party, "domain", "later.example.net")
    (second,) = build(party.engine, party.settings, named)
    assert [each["values"]["indicator.value"] for each in book.one(party.engine, second)["facts"]] == [
        "later.example.net"
    ]
    book.withdraw(party.engine, second, "an", "test", "not sure yet")
    time.sleep(1.1)  # the same facts a second later are another message
    assert len(build(party.engine, party.settings, named)) == 1


def test_a_format_without_a_place_for_them_says_nothing_of_them(party: Party) -> None:
    add(party, "address", "186.169.47.11")
    assert build(party.engine, party.settings, party.profile()) == []
