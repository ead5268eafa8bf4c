"""What every decoder takes and gives: a message and its context in, flat ECS fields out."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple

from collectors.decoders.zeek_layout import Layout

Fields = dict[str, Any]
"""Flat ECS keys -> str | int | float | bool | list of those."""

REGEX_LIMIT = 65_536
"""Characters of one record that are parsed; what is behind stays in `message`, unparsed.

No real header or field list is longer, and it bounds the time that one record can cost."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What the source's settings and the transport say about a record."""

    dataset: str | None = None
    """Decoder chosen by the settings ("apache.access", "cef", "json" …); None = by content."""
    timezone: tzinfo = UTC
    """Of time stamps without an offset."""
    syslog: bool = False
    """The record came over a syslog transport or its file is a syslog file: expect a header
    (with or without <PRI>)."""
    layout: Layout | None = None
    """What the name or the header of a file of Zeek's says of its lines."""


class Context(NamedTuple):
    """What a decoder may know beside the message itself."""

    program: str | None
    """The syslog tag without its pid ("sshd"), if there was a header."""
    timezone: tzinfo
    received: datetime
    dataset: str | None
    """The data set that the settings name."""
    layout: Layout | None = None
    """What a file of Zeek's says of its lines."""


class Decoder(NamedTuple):
    """One kind of message: how it is recognised and how it is read."""

    datasets: tuple[str, ...]
    """Values of `event.dataset` by which the settings choose it."""
    programs: frozenset[str]
    """Syslog programs whose messages it reads."""
    looks_like: Callable[[str], bool] | None
    """Cheap test of a message's content; None = chosen by program or settings only."""
    decode: Callable[[str, Context], Fields | None]
    """The message's fields, at least `event.dataset`; None = not this kind after all."""
