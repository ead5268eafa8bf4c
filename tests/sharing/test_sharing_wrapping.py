"""Messages that attackers make: bombs, entities from elsewhere, signatures around something else, replays, other times."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from sharing.cv2290 import envelope
from sharing.cv2290.reading import Wrong, parse, report_of
from sharing.cv2290.signing import sign, verify
from sharing.facts import CONNECTION, MALWARE, PROTECTION, SYSTEM, UPDATE, VULNERABILITY, Fact
from sharing.keys import certificate_of, opened
from sharing.profile import Signing, load
from sharing.simulator import Refused, Simulator
from tests.sharing.conftest import Party, signing_key

FACTS = [
    Fact(MALWARE, {"machine.name": "PC-1", "machine.ip": "10.0.0.1", "malware.name": "Trojan <Ñ>\x00", "malware.files": 2}),
    Fact(CONNECTION, {"machine.name": "PC-1", "machine.ip": "10.0.0.1", "connection.target": "203.0.113.9"}),
    Fact(VULNERABILITY, {"machine.name": "PC-2", "vulnerability.name": "CVE-2026-1", "machine.os": "Windows 11"}),
    Fact(SYSTEM, {"machine.name": "PC-2", "machine.os": "Windows 11", "machine.last_update": "2026-11-01"}),
    Fact(UPDATE, {"update.missing": 3}),
    Fact(PROTECTION, {"machine.name": "PC-2", "protection.auto_protect": "1", "protection.firewall": "0"}),
]  # fmt: skip


class Signed:
    """A party's signer: makes signed messages of any content."""

    def __init__(self, party: Party) -> None:
        self.profile = party.profile().profile
        self.certificate = certificate_of(self.profile.signing)

    def content(self, moment: datetime | None = None, facts: list[Fact] = FACTS) -> bytes:
        return envelope.build(self.profile, facts, moment or datetime.now(UTC).replace(microsecond=0))

    def message(self, moment: datetime | None = None, facts: list[Fact] = FACTS) -> bytes:
        with opened(self.profile.signing, self.certificate) as key:
            return sign(self.content(moment, facts), key, self.certificate)


@pytest.fixture
def signed(party: Party) -> Signed:
    return Signed(party)


def test_the_shape_is_that_of_the_letter(signed: Signed) -> None:
    root = etree.fromstring(signed.message())
    assert etree.QName(root).localname == "edXMLEnvelope"
    namespace = "{http://www.mic.gov.vn/TBT/QCVN_102_2016}"
    sender = root.find(f"{namespace}edXMLHeader/{namespace}MessageHeader/{namespace}From")
    assert [etree.QName(each).localname for each in sender] == [
        "OrganId", "OrganName", "OrganAdd", "Email", "Telephone", "Fax", "Website",
    ]  # fmt: skip
    assert all(each.prefix == "edXML" for each in sender)
    signature = root[0][0][-1]
    ds = "{http://www.w3.org/2000/09/xmldsig#}"
    assert signature.tag == f"{ds}Signature"
    assert (
        signature.find(f".//{ds}SignatureMethod").get("Algorithm")
        == "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
    )
    assert signature.find(f".//{ds}DigestMethod").get("Algorithm") == "http://www.w3.org/2001/04/xmlenc#sha256"
    transforms = [each.get("Algorithm") for each in signature.iter(f"{ds}Transform")]
    assert transforms[-1] == "http://www.w3.org/2001/10/xml-exc-c14n#"
    assert "UBND" in signature.findtext(f".//{ds}X509SubjectName")
    report = root.find(f"{namespace}edXMLBody/AVReport")
    assert [each.tag for each in report] == [
        "Datetime", "Malware", "Connection", "Vulnerability", "OS", "Update", "QualityFeature",
    ]  # fmt: skip
    assert report.findtext("Malware/Machine/MalwareInfo/MalwareName") == "Trojan <Ñ>\N{REPLACEMENT CHARACTER}"


def test_the_same_facts_are_the_same_bytes(signed: Signed) -> None:
    moment = datetime(2026, 11, 30, 8, 0, tzinfo=UTC)
    assert signed.content(moment) == signed.content(moment, FACTS[::-1])
    assert signed.message(moment) == signed.message(moment)
    assert signed.content(moment) != signed.content(moment + timedelta(seconds=1))


def test_what_was_changed_after_the_signature_is_not_taken(signed: Signed, party: Party) -> None:
    message, trusted = signed.message(), party.simulator.trusted()
    assert report_of(verify(message, trusted)).organ == "G10.22"
    for old, new in ((b"203.0.113.9", b"203.0.113.8"), (b"G10.22", b"G10.23"), (b"PC-1", b"PC-9")):
        with pytest.raises(Wrong):
            verify(message.replace(old, new), trusted)
    with pytest.raises(Wrong):
        verify(message, [certificate_of(Signing(certificate=signing_key(party.folder, "another")))])
    with pytest.raises(Wrong):
        verify(signed.content(), trusted)


def test_a_signature_around_something_else_is_not_taken(signed: Signed, party: Party) -> None:
    trusted = party.simulator.trusted()
    for wrap in (_second_body, _moved_signature, _two_signatures, _wrapped_root, _forged_beside):
        with pytest.raises(Wrong):
            report_of(verify(wrap(signed), trusted))


def _second_body(signed: Signed) -> bytes:
    root = etree.fromstring(signed.message())
    root.append(etree.fromstring(etree.tostring(root[1])))
    return etree.tostring(root)


def _moved_signature(signed: Signed) -> bytes:
    root = etree.fromstring(signed.message())
    root.append(root[0][0][-1])
    return etree.tostring(root)


def _two_signatures(signed: Signed) -> bytes:
    root = etree.fromstring(signed.message())
    root[0][0].append(etree.fromstring(etree.tostring(root[0][0][-1])))
    return etree.tostring(root)


def _wrapped_root(signed: Signed) -> bytes:
    inner = etree.fromstring(signed.message())
    outer = etree.fromstring(signed.content(facts=[]))
    outer[0][0].append(inner[0][0][-1])
    outer.append(inner)
    return etree.tostring(outer)


def _forged_beside(signed: Signed) -> bytes:
    """The signed envelope lies in an Object of the signature, and a forged one stands around it."""
    ds = "http://www.w3.org/2000/09/xmldsig#"
    inner = etree.fromstring(signed.message())
    signature = inner[0][0][-1]
    forged = etree.fromstring(signed.content(facts=FACTS[:1]))
    holder = etree.SubElement(signature, f"{{{ds}}}Object")
    forged[0][0].append(signature)
    inner.set("Id", "real")
    holder.append(inner)
    for reference in signature.iter(f"{{{ds}}}Reference"):
        reference.set("URI", "#real")
    return etree.tostring(forged)


_BOMB = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + b"".join(
    b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9)
) + b"]><x>&j;</x>"  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        _BOMB,
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
        b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><x/>',
        b"<!doctype x><x/>",
        "<!DOCTYPE x><x/>".encode("utf-16"),
        b"<a>" * 100_000,
        b"",
        b"\x00" * 100,
        b"<x>" + b"a" * 11_000_000 + b"</x>",
        b"PK\x03\x04",
    ],
    ids=["bomb", "file", "dtd", "small", "utf16", "deep", "empty", "zeros", "long", "zip"],
)
def test_bombs_and_rubbish_are_refused_at_once(data: bytes) -> None:
    begun = time.monotonic()
    with pytest.raises(Wrong):
        parse(data)
    assert time.monotonic() - begun < 5


def test_the_simulator_holds_a_message_to_time_and_to_its_book(
    signed: Signed, party: Party, simulator: Simulator
) -> None:
    trusted, now = simulator.trusted(), time.time()

    def take(message: bytes, at: float = now) -> dict[str, Any]:
        return simulator.book.take(message, trusted, "127.0.0.1", at)

    here = datetime.fromtimestamp(int(now), UTC)
    message = signed.message(here)
    assert take(message)["receipt"] == 1 and take(message)["receipt"] == 1
    assert [each["times"] for each in simulator.book.arrived()] == [2]
    for moment in (here + timedelta(days=1), here - timedelta(days=4)):
        with pytest.raises(Refused, match="not fresh"):
            take(signed.message(moment))
    with opened(signed.profile.signing, signed.certificate) as key:  # the same report under another subject
        again = sign(signed.content(here).replace(b"Anti Virus", b"Anti-Virus"), key, signed.certificate)
    with pytest.raises(Refused, match="replay") as refused:
        take(again)
    assert refused.value.status == 409


def test_a_message_of_many_facts_is_built_in_parts_of_a_limit(party: Party) -> None:
    file = party.profile(schedule__most_facts=1).file
    assert load(file).profile.schedule.most_facts == 1
    assert Path(file).is_file()
