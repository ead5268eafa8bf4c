"""A document enters, a DOCX leaves: the same blocks as the PDF, for people who must write more into it."""

import io
import zipfile
from datetime import UTC, datetime
from typing import Any

import docx
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.oxml.ns import qn
from docx.shared import Mm, Pt, RGBColor

from sharing.documents import Chart, Document, Fields, Heading, Paragraph, Table
from sharing.documents.pdf import picture

_FONT = "Times New Roman"
_SIZE, _SMALL, _IN_TABLE = Pt(13), Pt(11), Pt(11)
_MISSING = RGBColor(0x9B, 0x1C, 0x1C)
_CENTER, _RIGHT = WD_ALIGN_PARAGRAPH.CENTER, WD_ALIGN_PARAGRAPH.RIGHT
#: Characters of a property of the file.
_MOST = 255
#: What XML 1.0 cannot hold is left out.
_UNSPEAKABLE = dict.fromkeys([*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF])
#: The first moment that a zip file can tell: the same document is the same bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write(document: Document) -> bytes:
    """Return a document as DOCX (ISO/IEC 29500): the same document, the same bytes."""
    made = docx.Document()
    _frame(made, document)
    _head(made, document)
    for block in document.blocks:
        match block:
            case Heading():
                _run(made.add_paragraph(), block.text, bold=True).paragraph_format.keep_with_next = True
            case Paragraph():
                _run(made.add_paragraph(), block.text, size=_SMALL if block.small else _SIZE)
            case Fields():
                _fields(made, block)
            case Table():
                _table(made, block)
            case Chart():
                _run(made.add_paragraph(), block.title, bold=True).paragraph_format.keep_with_next = True
                made.add_picture(io.BytesIO(picture(block)), width=Mm(160))
    _hold(made)
    _foot(made, document)
    properties = made.core_properties
    properties.title, properties.author = _speakable(document.title)[:_MOST], _speakable(document.organ)[:_MOST]
    properties.created = properties.modified = datetime.fromtimestamp(document.made, UTC).replace(tzinfo=None)
    properties.last_modified_by, properties.revision = "", 1
    return _settled(made)


def _frame(made: Any, document: Document) -> None:
    section = made.sections[0]
    section.page_width, section.page_height = Mm(210), Mm(297)
    section.top_margin = section.bottom_margin = Mm(20)
    section.left_margin, section.right_margin = Mm(30), Mm(15)
    style = made.styles["Normal"]
    style.font.name, style.font.size = _FONT, _SIZE
    style.element.rPr.rFonts.set(qn("w:eastAsia"), _FONT)
    style.paragraph_format.space_after = Pt(6)
    language = style.element.rPr.makeelement(qn("w:lang"), {qn("w:val"): f"{document.language}-VN"})
    style.element.rPr.append(language)


def _head(made: Any, document: Document) -> None:
    grid = made.add_table(2, 2)
    left, right = grid.rows[0].cells
    if document.above:
        _run(left.paragraphs[0], document.above.upper(), size=Pt(12)).alignment = _CENTER
        _run(left.add_paragraph(), document.organ.upper(), size=Pt(12), bold=True).alignment = _CENTER
    else:
        _run(left.paragraphs[0], document.organ.upper(), size=Pt(12), bold=True).alignment = _CENTER
    _run(right.paragraphs[0], document.motto[0], size=Pt(12), bold=True).alignment = _CENTER
    _run(right.add_paragraph(), document.motto[1], bold=True, underline=True).alignment = _CENTER
    left, right = grid.rows[1].cells
    _run(left.paragraphs[0], document.number).alignment = _CENTER
    _run(right.paragraphs[0], document.place_and_date, italic=True).alignment = _CENTER
    _run(made.add_paragraph(), document.title.upper(), size=Pt(14), bold=True).alignment = _CENTER
    for text, bold in ((document.subtitle, True), (document.to, False)):
        if text:
            _run(made.add_paragraph(), text, bold=bold).alignment = _CENTER


def _fields(made: Any, block: Fields) -> None:
    grid = made.add_table(0, 2)
    for name, value in block.rows:
        left, right = grid.add_row().cells
        left.width, right.width = Mm(62), Mm(103)
        _run(left.paragraphs[0], name)
        if value:
            _run(right.paragraphs[0], value)
        else:
            _run(right.paragraphs[0], block.missing, italic=True, colour=_MISSING)


def _table(made: Any, block: Table) -> None:
    if not block.rows:
        _run(made.add_paragraph(), block.empty, italic=True)
        return
    grid = made.add_table(1, len(block.head))
    grid.style = "Table Grid"
    for cell, name in zip(grid.rows[0].cells, block.head, strict=True):
        _run(cell.paragraphs[0], name, size=_IN_TABLE, bold=True)
    grid.rows[0]._tr.get_or_add_trPr().append(grid._tbl.makeelement(qn("w:tblHeader"), {}))
    for row in block.rows:
        for number, (cell, text) in enumerate(zip(grid.add_row().cells, row, strict=True)):
            paragraph = _run(cell.paragraphs[0], text, size=_IN_TABLE)
            if number in block.right:
                paragraph.alignment = _RIGHT
    made.add_paragraph()


def _hold(made: Any) -> None:
    """Keep the end of what is said with who signs, who so stands on no page alone."""
    held = list(made.paragraphs[-1:])
    if not held or not held[0].text:  # a table stands before it
        held += [each for table in made.tables[-1:] for cell in table.rows[-1].cells for each in cell.paragraphs]
    for paragraph in held:
        paragraph.paragraph_format.keep_with_next = True


def _foot(made: Any, document: Document) -> None:
    grid = made.add_table(1, 2)
    left, right = grid.rows[0].cells
    for number, text in enumerate(document.recipients):
        place = left.paragraphs[0] if not number else left.add_paragraph()
        _run(place, text if not number else f"- {text}", size=_SMALL, bold=not number, italic=not number)
    _run(right.paragraphs[0], document.signer.upper(), bold=True).alignment = _CENTER
    right.add_paragraph("\n\n\n")


def _run(
    paragraph: Any,
    text: str,
    size: Any = _SIZE,
    bold: bool = False,
    italic: bool = False,
    underline: bool = False,
    colour: RGBColor | None = None,
) -> Any:
    """Write a text into a paragraph; return the paragraph."""
    run = paragraph.add_run(_speakable(text))
    run.font.size, run.bold, run.italic, run.underline = size, bold, italic, underline
    if colour is not None:
        run.font.color.rgb = colour
    return paragraph


def _speakable(text: str) -> str:
    return text.translate(_UNSPEAKABLE)


def _settled(made: Any) -> bytes:
    """Return the file with no moment of its writing in it."""
    given, settled = io.BytesIO(), io.BytesIO()
    made.save(given)
    with zipfile.ZipFile(given) as old, zipfile.ZipFile(settled, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(entry, old.read(name))
    return settled.getvalue()
