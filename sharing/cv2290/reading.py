"""Bytes of others enter, the root of a document leaves: nothing is fetched, expanded, or held that is too large."""

import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from lxml import etree

from pipeline.messages import HaidangError
from sharing.cv2290.envelope import check

#: Bytes of a message: 100,000 facts take about 30 MB.
LARGEST = 64_000_000
#: A document type can define entities that grow, or are read from elsewhere (XML 1.0 sections 2.8 and 4.4): refused.
_DOCTYPE = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)


class Wrong(HaidangError):
    """A message that cannot be taken as it is."""


class Report(NamedTuple):
    """What a message says: whose it is, when it was made, and its report."""

    organ: str
    subject: str
    made: datetime
    report: Any


def parse(data: bytes) -> Any:
    """Return the root of a document.

    Raises:
        Wrong: it is too large, no XML in UTF-8, or has a document type.
    """
    if len(data) > LARGEST:
        raise Wrong("sharing.too_large", bytes=len(data), limit=LARGEST)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data[:4096]:
        raise Wrong("sharing.not_utf8")
    if _DOCTYPE.search(data):
        raise Wrong("sharing.doctype")
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False,
        huge_tree=False, remove_pis=True, remove_comments=False,
    )  # fmt: skip
    try:
        return etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Wrong("sharing.no_xml", fault=str(error)[:300]) from error


def report_of(root: Any) -> Report:
    """Return what a verified envelope says.

    Raises:
        Wrong: it is none, or its report is not as the schema has it.
    """
    message = "{*}edXMLHeader/{*}MessageHeader/"
    organ, subject = (root.findtext(message + name) or "" for name in ("{*}From/{*}OrganId", "{*}Subject"))
    bodies = root.findall("{*}edXMLBody/AVReport")
    if len(bodies) != 1 or len(root) != 2:
        raise Wrong("sharing.no_report")
    try:
        check(bodies[0])
    except HaidangError as error:
        raise Wrong(error.key, **error.values) from error
    try:
        made = datetime.fromtimestamp(int(bodies[0].findtext("Datetime")), UTC)
    except (ValueError, OverflowError, OSError) as error:  # of no year that there is
        raise Wrong("sharing.no_moment", value=str(bodies[0].findtext("Datetime"))[:50]) from error
    return Report(organ, subject, made, bodies[0])
