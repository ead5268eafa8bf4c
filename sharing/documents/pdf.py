"""A document enters, a PDF leaves; set by Typst, which reads what the document says as data, never as markup."""

from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

import orjson
import typst

from pipeline.messages import HaidangError
from sharing.documents import Chart, Document

#: Dots of a picture for each inch.
_PPI = 200.0


def pdf(document: Document) -> bytes:
    """Return a document as PDF: the same document, the same bytes.

    Raises:
        HaidangError: it cannot be set.
    """
    inputs = {"document": orjson.dumps(document.plain()).decode()}
    try:
        made = typst.compile(
            _template("document.typ"), format="pdf", sys_inputs=inputs,
            timestamp=datetime.fromtimestamp(document.made, UTC),
        )  # fmt: skip
    except typst.TypstError as error:
        raise HaidangError("sharing.not_set", title=document.title, fault=error) from error
    assert isinstance(made, bytes)
    return made


def picture(chart: Chart) -> bytes:
    """Return a chart as PNG."""
    inputs = {"chart": orjson.dumps({"labels": chart.labels, "values": chart.values}).decode()}
    made = typst.compile(_template("chart.typ"), format="png", ppi=_PPI, sys_inputs=inputs)
    assert isinstance(made, bytes)
    return made


@cache
def _template(name: str) -> bytes:
    return (files("sharing.documents") / name).read_bytes()
