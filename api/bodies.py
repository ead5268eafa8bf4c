"""What bodies of requests have in common: texts that every database can keep, numbers of rows."""

from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _storable(text: str) -> str:
    """Return a text as it is.

    Raises:
        ValueError: it has a NUL, which PostgreSQL keeps in no text, or half a character (a lone surrogate).
    """
    if "\0" in text or (not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)):
        raise ValueError("NUL or a lone surrogate")
    return text


Text = Annotated[str, AfterValidator(_storable)]
Line = Annotated[str, AfterValidator(_storable), Field(max_length=1000)]
Name = Annotated[str, AfterValidator(_storable), Field(max_length=100)]
#: A row's number in a path.
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]


class Body(BaseModel):
    """A body with these fields and no others."""

    model_config = ConfigDict(extra="forbid")
