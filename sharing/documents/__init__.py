"""Documents that people sign: what they say enters as a list of blocks, a PDF or a DOCX leaves, the same in both.

`pdf.py` sets them with Typst, `docx.py` writes them for a word processor, `charts.py` draws. The frame is that of
administrative documents (Nghị định 30/2020/NĐ-CP, appendix I): motto, number, place and date, title, who signs.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a part."""

    text: str
    kind: Literal["heading"] = "heading"


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph; `small` for what explains."""

    text: str
    small: bool = False
    kind: Literal["paragraph"] = "paragraph"


@dataclass(frozen=True, slots=True)
class Fields:
    """Names and values, such as a form has them; a value that is "" is shown as missing."""

    rows: Sequence[tuple[str, str]]
    missing: str  # what is shown where nothing is known
    kind: Literal["fields"] = "fields"


@dataclass(frozen=True, slots=True)
class Table:
    """A table; `right` names columns of numbers. Without rows `empty` is said."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[int] = ()
    empty: str = ""
    kind: Literal["table"] = "table"


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars, one for each label; `title` says what they count."""

    title: str
    labels: Sequence[str]
    values: Sequence[int]
    kind: Literal["chart"] = "chart"


Block = Heading | Paragraph | Fields | Table | Chart


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it is set. `made` is when, in seconds since 1970, so that the same document is the same bytes."""

    title: str
    subtitle: str
    above: str  # the body above ours
    organ: str
    number: str
    place_and_date: str
    recipients: Sequence[str]
    signer: str
    motto: tuple[str, str]
    to: str  # "Kính gửi: …"
    made: int
    language: str = "vi"
    blocks: Sequence[Block] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)
