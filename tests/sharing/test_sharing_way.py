"""The way of a message: alerts become facts, facts a signed message, the simulated authority takes it once, and says so."""

import time
from ipaddress import ip_address
from typing import Any

import pytest
from lxml import etree
from sqlalchemy import select

from pipeline.messages import HaidangError
from pipeline.state.tables import alerts, audit, share_profiles
from sharing import book
from sharing.cv2290.reading import report_of
from sharing.cv2290.signing import verify
from sharing.drafting import build, draft
from sharing.privacy import pseudonym
from tests.conftest import eventually
from tests.sharing.conftest import SERVER, Party, c2_alert


def steps(party: Party) -> list[str]:
    with party.engine.connect() as connection:
        return [each for each in connection.scalars(select(audit.c.action).order_by(audit.c.id)) if "sharing" in each]


def arrived(party: Party) -> list[dict[str, Any]]:
    return party.simulator.book.arrived()


def report(party: Party, number: int = 1) -> Any:
    root = verify(party.simulator.book.data(number), party.simulator.trusted())
    return report_of(root).report


def test_a_contact_becomes_a_receipt_with_nobody_touching_anything(parties: Party) -> None:
    party = parties
    party.confirm(party.profile(content__pseudonyms=[]))
    party.run()
    eventually(
        lambda: (party.folder.parent / "run" / "x").exists() or book.standing(party.engine, ["bo"])["bo"]["row"], 10
    )
    party.raise_alerts(c2_alert(1), c2_alert(2), c2_alert(2) | {"event.id": "again", "alert.count": 3})
    eventually(lambda: len(arrived(party)) == 1, 30)
    eventually(lambda: party.messages(status="sent"), 10)
    (message,) = party.messages()
    assert message["receipt"]["status"] == 200 and '"receipt": 1' in message["receipt"]["body"]
    machines = report(party).findall("Connection/Machine")
    assert [(each.get("ip"), each.get("name")) for each in machines] == [("10.0.0.11", "PC-1"), ("10.0.0.12", "PC-2")]
    info = {each.tag: each.text for each in machines[1][0]}
    assert info == {"Program": "svchost.exe", "Md5": "ab" * 16, "Sha2": "cd" * 32, "TargetIP": SERVER}
    assert steps(party) == ["sharing_confirmed", "sharing_built", "sharing_signed", "sharing_sent"]
    facts = book.one(party.engine, 1)["facts"]
    assert sorted(each for fact in facts for each in fact["alerts"]) == sorted(
        [c2_alert(1)["event.id"], c2_alert(2)["event.id"], "again"]
    )


def test_nothing_leaves_before_a_person_has_confirmed_and_again_after_a_change(party: Party) -> None:
    named = party.profile()
    build(party.engine, party.settings, named)  # begins to be looked at
    party.raise_alerts(c2_alert(1))
    assert build(party.engine, party.settings, named) == [1]
    party.run()
    eventually(lambda: party.messages(status="rehearsed"), 20)
    party.stop()
    party.confirm(named)
    party.raise_alerts(c2_alert(2))
    other = party.profile(content__pseudonyms=[])  # another digest
    assert build(party.engine, party.settings, other) == [2]
    party.run()
    eventually(lambda: len(party.messages(status="rehearsed")) == 2, 20)
    assert arrived(party) == []


def test_only_the_fields_of_the_profile_leave_and_names_as_pseudonyms(party: Party) -> None:
    named = party.confirm(party.profile(content__fields=["machine.name", "connection.target", "connection.sha256"]))
    build(party.engine, party.settings, named)
    party.raise_alerts(c2_alert(1), c2_alert(2))
    build(party.engine, party.settings, named)
    party.run()
    eventually(lambda: party.messages(status="sent"), 20)
    sent = party.simulator.book.data(1)
    for private in (b"PC-1", b"10.0.0.11", "Nguyễn".encode(), b"svchost", b"ab" * 16):
        assert private not in sent
    with party.engine.begin() as connection:
        key = bytes(book.known(connection, "bo", 0.0).pseudonym_key)
    names = [each.get("name") for each in report(party).findall("Connection/Machine")]
    assert sorted(names) == sorted(pseudonym(key, "machine.name", each) for each in ("PC-1", "PC-2"))
    assert ip_address(pseudonym(key, "machine.ip", "10.0.0.11")).is_reserved


def test_the_preview_is_what_is_sent_but_for_signature_and_time(party: Party) -> None:
    named = party.confirm(party.profile())
    build(party.engine, party.settings, named)
    party.raise_alerts(c2_alert(1))
    with party.engine.connect() as connection:
        now = time.time()
        row = connection.execute(select(share_profiles)).one()
        seen = draft(connection, party.settings, named, row, now).draft
    assert seen is not None
    build(party.engine, party.settings, named)
    content, _ = book.bytes_of(party.engine, 1)
    assert _without_time(content) == _without_time(seen.content)
    party.run()
    eventually(lambda: party.messages(status="sent"), 20)
    root = etree.fromstring(party.simulator.book.data(1))
    header = root[0][0]
    header.remove(header[-1])  # the signature
    assert etree.tostring(root, xml_declaration=True, encoding="UTF-8") == content
    assert book.bytes_of(party.engine, 1)[1] == party.simulator.book.data(1)


def _without_time(content: bytes) -> bytes:
    root = etree.fromstring(content)
    for each in root.iter("Datetime", "{*}Subject"):
        each.text = ""
    return etree.tostring(root)


def test_two_different_people_must_agree_where_the_profile_says_so(party: Party) -> None:
    named = party.confirm(party.profile(approval__statistics=2))
    build(party.engine, party.settings, named)
    party.raise_alerts(c2_alert(1))
    (number,) = build(party.engine, party.settings, named)
    assert book.approve(party.engine, number, "an", "test") == "held"
    with pytest.raises(HaidangError, match="an"):
        book.approve(party.engine, number, "an", "test")
    party.run()
    time.sleep(2.5)
    assert arrived(party) == []
    assert book.approve(party.engine, number, "binh", "test") == "approved"
    eventually(lambda: party.messages(status="sent"), 20)
    assert [each["who"] for each in party.messages()[0]["approvals"]] == ["an", "binh"]
    with pytest.raises(HaidangError):
        book.withdraw(party.engine, number, "an", "test", "too late")


def test_what_was_withdrawn_never_leaves_and_what_people_call_false_is_not_told(party: Party) -> None:
    named = party.confirm(party.profile(approval__statistics=1))
    build(party.engine, party.settings, named)
    party.raise_alerts(c2_alert(1), c2_alert(2))
    with party.engine.begin() as connection:
        false = alerts.c.id == c2_alert(2)["event.id"]
        connection.execute(alerts.update().where(false).values(status="false_positive"))
    (number,) = build(party.engine, party.settings, named)
    assert len(book.one(party.engine, number)["facts"]) == 1
    with pytest.raises(HaidangError):
        book.withdraw(party.engine, number, "an", "test", " ")
    book.withdraw(party.engine, number, "an", "test", "a rehearsal")
    with pytest.raises(HaidangError):
        book.approve(party.engine, number, "an", "test")
    party.run()
    time.sleep(2.5)
    assert arrived(party) == [] and party.messages()[0]["status"] == "withdrawn"
