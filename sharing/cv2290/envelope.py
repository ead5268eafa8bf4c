"""Facts of a period enter, an unsigned envelope leaves as bytes: the same facts make the same but for the time."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any

from lxml import etree

from pipeline.messages import HaidangError
from sharing.facts import CONNECTION, MALWARE, PROTECTION, SYSTEM, UPDATE, VULNERABILITY, Fact
from sharing.profile import Profile

#: What XML 1.0 cannot hold (section 2.2), which a name of malware may yet have in it.
_UNSPEAKABLE = {
    **dict.fromkeys([*range(0x20), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF], "\N{REPLACEMENT CHARACTER}"),
    **{ord(sign): sign for sign in "\t\n\r"},
}  # fmt: skip
_LONGEST = 1000
#: What of `From` comes from the profile's `[organ]`, in the order of the letter.
_FROM = (
    ("OrganId", "id"), ("OrganName", "name"), ("OrganAdd", "address"), ("Email", "email"),
    ("Telephone", "telephone"), ("Fax", "fax"), ("Website", "website"),
)  # fmt: skip
#: Sections by machine: the element, its facts, the element of one of them ("": straight in the machine's), and the
#: parts of it with the fields they come from.
_SECTIONS: Sequence[tuple[str, str, str, Sequence[tuple[str, str]]]] = (
    ("Malware", MALWARE, "MalwareInfo", (
        ("MalwareName", "malware.name"), ("MalwareType", "malware.type"), ("MalwareBehavior", "malware.behavior"),
        ("TypeOfDevice", "machine.kind"), ("NumberFile", "malware.files"),
    )),
    ("Connection", CONNECTION, "ConnectionInfo", (
        ("Program", "connection.program"), ("Md5", "connection.md5"), ("Sha2", "connection.sha256"),
        ("TargetIP", "connection.target"),
    )),
    ("Vulnerability", VULNERABILITY, "VulnerabilityInfo", (
        ("Name", "vulnerability.name"), ("OSName", "machine.os"),
    )),
    ("OS", SYSTEM, "", (("OSName", "machine.os"), ("LastUpdate", "machine.last_update"))),
    ("Update", UPDATE, "", (("NumberMachineNotUpdateOn15Day", "update.missing"),)),
    ("QualityFeature", PROTECTION, "", (
        ("AutoProtect", "protection.auto_protect"), ("EnableFirewall", "protection.firewall"),
    )),
)  # fmt: skip
_HASHES = frozenset(("Md5", "Sha2"))
_NUMBERS = frozenset(("NumberFile", "NumberMachineNotUpdateOn15Day"))
#: Kinds of facts that the format has a place for.
KINDS = tuple(kind for _, kind, _, _ in _SECTIONS)


def build(profile: Profile, facts: Sequence[Fact], moment: datetime) -> bytes:
    """Return the envelope of facts (as `privacy.Filter` left them) at a moment, whose zone is the one it is told in.

    Raises:
        HaidangError: what came out is not as the schema has it.
    """
    prefix, namespace = profile.cv2290.prefix, profile.cv2290.namespace
    root = etree.Element("edXMLEnvelope", nsmap={prefix: namespace})

    def within(parent: Any, name: str, value: str = "") -> Any:
        made = etree.SubElement(parent, f"{{{namespace}}}{name}")
        if value:
            made.text = speakable(value)
        return made

    header = within(within(root, "edXMLHeader"), "MessageHeader")
    sender = within(header, "From")
    for name, field in _FROM:
        within(sender, name, getattr(profile.organ, field))
    within(header, "Subject", f"{profile.cv2290.subject} {moment:%d-%m-%Y %H:%M:%S}")
    report = etree.SubElement(within(root, "edXMLBody"), "AVReport", name=speakable(profile.cv2290.product))
    _put(report, "Datetime", int(moment.timestamp()))
    for section, kind, part, names in _SECTIONS:
        _put_section(report, section, part, names, [fact for fact in facts if fact.kind == kind])
    check(report)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8"))


def check(report: Any) -> None:
    """Hold a report to the schema.

    Raises:
        HaidangError: it is not as the schema has it; the text says where.
    """
    schema = _schema()
    alone = etree.fromstring(etree.tostring(report))  # a validator looks at whole documents
    if not schema.validate(alone):
        raise HaidangError("sharing.not_as_schema", fault=str(schema.error_log.last_error))


@cache
def _schema() -> Any:
    return etree.XMLSchema(etree.fromstring((files("sharing.cv2290") / "schema.xsd").read_bytes()))


def _put_section(report: Any, section: str, part: str, names: Sequence[tuple[str, str]], facts: Sequence[Fact]) -> None:
    if not facts:
        return
    place = etree.SubElement(report, section)
    if section == "Update":
        for name, field in names:
            _put(place, name, sum(int(fact.values.get(field, 0)) for fact in facts))
        return
    ordered = sorted(facts, key=lambda fact: (_machine(fact), fact.key))
    for (ip, name), of_machine in groupby(ordered, key=_machine):
        told = list(of_machine)
        for some in [told] if part else [[fact] for fact in told]:
            machine = etree.SubElement(place, "Machine", ip=ip, name=name)
            for fact in some:
                holder = etree.SubElement(machine, part) if part else machine
                for element, field in names:
                    _put(holder, element, fact.values.get(field, 0 if element in _NUMBERS else ""))


def _machine(fact: Fact) -> tuple[str, str]:
    return speakable(str(fact.values.get("machine.ip", ""))), speakable(str(fact.values.get("machine.name", "")))


def _put(parent: Any, name: str, value: str | int) -> None:
    make: Callable[..., Any] = etree.SubElement
    made = make(parent, name)
    text = speakable(str(value))
    made.text = (text.lower() if name in _HASHES else text) or None


def speakable(text: str) -> str:
    """Return a text with signs replaced that XML cannot hold, cut where it is too long."""
    return text[:_LONGEST].translate(_UNSPEAKABLE)
