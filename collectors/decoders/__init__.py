"""Text of one record in, flat ECS fields out: pure, no I/O, no clock, never an exception.

A syslog header is read first where there is one; then the decoder that the settings name, or the
one whose program wrote the message, or the first of DECODERS that knows its content.
"""

from datetime import datetime

from collectors.decoders import (
    auditd,
    cef,
    json_event,
    key_value,
    leef,
    linux_auth,
    linux_system,
    netfilter,
    syslog_header,
    timestamp,
    web_access,
    web_error,
    zeek,
)
from collectors.decoders.contract import REGEX_LIMIT, Context, Decoder, Fields, Hints
from collectors.decoders.json_event import decode_object
from collectors.decoders.windows import decode_windows

__all__ = ["DECODERS", "Fields", "Hints", "decode", "decode_object", "decode_windows"]

_NONE: frozenset[str] = frozenset()
_HTTPD = frozenset(("httpd", "apache2", "apache", "nginx"))

DECODERS: tuple[Decoder, ...] = (
    Decoder(("json",), _NONE, json_event.looks_like, json_event.decode),
    Decoder(("cef",), _NONE, cef.looks_like, cef.decode),
    Decoder(("leef",), _NONE, leef.looks_like, leef.decode),
    Decoder(("linux.netfilter",), _NONE, netfilter.looks_like, netfilter.decode),
    Decoder(
        ("linux.auditd",),
        frozenset(("audit", "auditd", "audispd")),
        auditd.looks_like,
        auditd.decode,
    ),
    Decoder((), _NONE, linux_auth.looks_like, linux_auth.decode),
    Decoder((), linux_auth.PROGRAMS, None, linux_auth.decode),
    Decoder((), linux_system.SYSTEMD_PROGRAMS, None, linux_system.decode_systemd),
    Decoder((), linux_system.CRON_PROGRAMS, None, linux_system.decode_cron),
    Decoder((), linux_system.KERNEL_PROGRAMS, None, linux_system.decode_kernel),
    Decoder((), linux_system.SERVICE_PROGRAMS, None, linux_system.decode_service),
    Decoder(web_access.DATASETS, _HTTPD, web_access.looks_like, web_access.decode),
    Decoder(("apache.error", "nginx.error"), _HTTPD, web_error.looks_like, web_error.decode),
    Decoder(("key_value",), _NONE, key_value.looks_like, key_value.decode),
)
"""Tried in this order: content that cannot be mistaken first, key=value last."""

_BY_DATASET = {name: decoder for decoder in DECODERS for name in decoder.datasets}
_BY_PROGRAM: dict[str, tuple[Decoder, ...]] = {
    program: tuple(decoder for decoder in DECODERS if program in decoder.programs)
    for decoder in DECODERS
    for program in decoder.programs
}
_BY_CONTENT = tuple((decoder.looks_like, decoder) for decoder in DECODERS if decoder.looks_like is not None)

SNIFFED = 1000
"""Characters by which a decoder is chosen; no format needs more to show itself."""


def decode(text: str, hints: Hints, received: datetime) -> Fields:
    """The fields of one record: always `event.dataset` and `message`, `@timestamp` where the text
    or its header says when, `error.message` where a part could not be read.

    `received` is aware; it is the year's anchor for stamps without one."""
    try:
        return _decode(text, hints, received)
    except Exception as error:  # a fault of ours costs this record's fields, never the record
        return {
            "event.dataset": "text",
            "message": text,
            "error.message": f"decoder failed: {type(error).__name__}: {error}",
        }


def _decode(text: str, hints: Hints, received: datetime) -> Fields:
    layout = hints.layout
    if layout is not None and layout.tsv and not zeek.is_json(text):
        return zeek.decode_line(text, layout)
    fields: Fields = {}
    body = text
    program = None
    dataset = hints.dataset
    if hints.syslog or _may_have_header(text, dataset):
        header = syslog_header.parse(text[:REGEX_LIMIT], hints.timezone, received)
        if header is not None:
            fields, at = header
            body = text[at:]
            program = fields.get("process.name")
            fields["event.dataset"] = "linux.syslog"
            if body.startswith("message repeated "):
                body, fields["log.syslog.repeated"] = syslog_header.unrepeat(body)
    fields["message"] = body
    context = Context(program, hints.timezone, received, dataset, layout)
    found = _by_settings(body, dataset, context) if dataset else _by_content(body, context)
    if found is not None:
        fields.update(found)
    elif "event.dataset" not in fields:
        fields["event.dataset"] = "text"
    if "@timestamp" not in fields:
        stamp = timestamp.leading(body, hints.timezone)
        if stamp is not None:
            fields["@timestamp"] = stamp
    return fields


def _may_have_header(text: str, dataset: str | None) -> bool:
    """Without word from the transport the line's first characters tell; a data set that the
    settings name comes with a header only if it is Linux's."""
    if dataset == "text" or (dataset in _BY_DATASET and not dataset.startswith("linux.")):
        return text[:1] == "<" and syslog_header.looks_like(text)
    return syslog_header.looks_like(text)


def _by_settings(body: str, dataset: str, context: Context) -> Fields | None:
    """The named decoder; names without one of their own (linux.*, windows.*) by content."""
    if dataset == "text":
        return {"event.dataset": "text"}
    decoder = _BY_DATASET.get(dataset)
    if decoder is None:
        found = _by_content(body, context)
        if found is None and not dataset.startswith(("linux.", "windows.")):
            return {"event.dataset": dataset}
        return found
    found = _run(decoder, body, context)
    if found is None:
        return {"event.dataset": dataset, "error.message": f"not a record of the kind {dataset}"}
    return found


def _by_content(body: str, context: Context) -> Fields | None:
    tried = _BY_PROGRAM.get(context.program or "", ())
    for decoder in tried:
        found = _run(decoder, body, context)
        if found is not None:
            return found
    head = body[:SNIFFED]
    for looks_like, decoder in _BY_CONTENT:
        if looks_like(head):
            found = _run(decoder, body, context)
            if found is not None:
                return found
    return None


def _run(decoder: Decoder, body: str, context: Context) -> Fields | None:
    if decoder.decode is not json_event.decode and len(body) > REGEX_LIMIT:
        found = decoder.decode(body[:REGEX_LIMIT], context)
        if found is not None and "message" in found:
            found["message"] += body[REGEX_LIMIT:]
        return found
    return decoder.decode(body, context)
