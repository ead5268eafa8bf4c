"""Template sets enter, and say how records are read; bounded in number and size, forgotten when not renewed.

An exporter says a template again and again (RFC 3954 section 9, RFC 7011 section 8.4). What is known is kept over a
restart (`dump`, `load`), else records would wait for it for up to half an hour.
"""

import struct
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple

from collectors.netflow.elements import CONVERTERS, SCOPES, Convert, as_number, element
from collectors.netflow.packets import IPFIX, V9, Malformed

#: Fields of all templates of one source, and of one; real exporters have about ten templates of about thirty fields.
MOST_FIELDS_IN_ALL, MOST_FIELDS = 50_000, 250
#: Templates of one exporter's domain: one exporter that makes them up costs no other.
MOST_OF_DOMAIN = 500
VARIABLE = 65_535
#: Records of one set at the most: a datagram of 64 KB and records of 13 bytes.
MOST_RECORDS = 5_000
_PAIR = struct.Struct("!HH")
_ENTERPRISE = struct.Struct("!I")
_NATIVE = {1: "B", 2: "H", 4: "I", 8: "Q"}
_FLOATS = {4: "f", 8: "d"}

Domain = tuple[str, int, int]
"""An exporter's address, the version and the observation domain (v9: source id)."""


class Field(NamedTuple):
    """One field as a template says it."""

    enterprise: int
    number: int
    length: int
    scope: bool = False


class Template:
    """How the records of one template are read."""

    def __init__(self, version: int, fields: tuple[Field, ...], options: bool) -> None:
        self.version, self.fields, self.options = version, fields, options
        self.seen = 0.0
        names: list[str] = []
        self._converts: list[tuple[str, Convert]] = []
        self._readers: list[tuple[str, Convert, int]] = []
        formats = ["!"]
        self._fixed = all(field.length != VARIABLE for field in fields)
        for field in fields:
            name, kind = _named(version, field)
            while name in names:
                name += "_again"  # an element that a template has twice: both are kept
            names.append(name)
            convert = CONVERTERS[kind]
            one = _float if kind == "float" else as_number if kind == "unknown" and field.length in _NATIVE else convert
            self._readers.append((name, one, field.length))
            if kind in ("number", "unknown") and field.length in _NATIVE:
                formats.append(_NATIVE[field.length])
            elif kind == "float" and field.length in _FLOATS:
                formats.append(_FLOATS[field.length])
            else:
                formats.append(f"{field.length}s")
                self._converts.append((name, convert))
        self._names = tuple(names)
        self._struct = struct.Struct("".join(formats)) if self._fixed else None
        self.size = self._struct.size if self._struct else sum(f.length if f.length != VARIABLE else 1 for f in fields)

    def records(self, content: bytes) -> Iterator[dict[str, Any]]:
        """Yield the records of a data set; less than a record at its end is padding.

        Raises:
            Malformed: a field of variable length goes beyond the set, or there are too many records.
        """
        if len(content) // self.size > MOST_RECORDS:
            raise Malformed(f"a set of more than {MOST_RECORDS} records")
        if self._struct is None:
            yield from self._variable(content)
            return
        names, converts = self._names, self._converts
        for values in self._struct.iter_unpack(content[: len(content) - len(content) % self.size]):
            record: dict[str, Any] = dict(zip(names, values, strict=True))
            for name, convert in converts:
                record[name] = convert(record[name])
            yield record

    def _variable(self, content: bytes) -> Iterator[dict[str, Any]]:
        at = 0
        while len(content) - at >= self.size:
            record = {}
            for name, convert, fixed in self._readers:
                length = fixed
                if length == VARIABLE:
                    length, at = _length(content, at)
                if at + length > len(content):
                    raise Malformed(f"field {name}: {length} bytes of {len(content) - at}")
                record[name] = convert(content[at : at + length])
                at += length
            yield record


def _named(version: int, field: Field) -> tuple[str, str]:
    if field.scope and version == V9:
        return SCOPES.get(field.number, f"scope_{field.number}"), "number"
    return element(field.enterprise, field.number)


def _float(raw: bytes) -> float | str:
    kind = _FLOATS.get(len(raw))
    return float(struct.unpack("!" + kind, raw)[0]) if kind else raw.hex()


def _length(content: bytes, at: int) -> tuple[int, int]:
    """RFC 7011 section 7: one byte, or 255 and two."""
    try:
        if content[at] < 255:
            return content[at], at + 1
        return int.from_bytes(content[at + 1 : at + 3], "big"), at + 3
    except IndexError as error:
        raise Malformed("a length beyond the set") from error


class Templates:
    """The templates of all exporters of one source."""

    def __init__(self, lifetime_seconds: float) -> None:
        self._lifetime = lifetime_seconds
        self._known: OrderedDict[tuple[Domain, int], Template] = OrderedDict()
        self._of_domain: dict[Domain, int] = {}
        self._fields = 0
        self.changed = False

    def __len__(self) -> int:
        return len(self._known)

    def get(self, domain: Domain, number: int, now: float) -> Template | None:
        """Return a template that is known and was renewed."""
        found = self._known.get((domain, number))
        if found is not None and now - found.seen > self._lifetime:
            self._forget((domain, number))
            return None
        return found

    def learn(self, domain: Domain, content: bytes, options: bool, now: float) -> list[int]:
        """Take the templates of a set; return the numbers of those that are new or say something new.

        Raises:
            Malformed: the set is broken; what came before the fault is known.
        """
        learnt = []
        at = 0
        while len(content) - at >= 4:
            number, count = _PAIR.unpack_from(content, at)
            if number == 0 and count == 0:
                break  # padding
            if domain[1] == IPFIX and count == 0:  # a withdrawal (RFC 7011 section 8.1)
                at += 4
                self._forget((domain, number))
                continue
            if number < 256:
                raise Malformed(f"template {number}: its number is below 256")
            fields, at = _fields(domain[1], content, at, options)
            if self._put((domain, number), Template(domain[1], fields, options), now):
                learnt.append(number)
        return learnt

    def dump(self) -> list[dict[str, Any]]:
        """Return all that is known, as JSON can hold it."""
        return [
            {"domain": list(domain), "number": number, "seen": template.seen, "options": template.options,
             "fields": [list(field) for field in template.fields]}
            for (domain, number), template in self._known.items()
        ]  # fmt: skip

    def load(self, rows: list[dict[str, Any]]) -> None:
        """Take what `dump` has given."""
        for row in rows:
            host, version, domain = row["domain"]
            fields = tuple(Field(*field) for field in row["fields"])
            _check(fields)
            template = Template(int(version), fields, bool(row["options"]))
            self._put(((str(host), int(version), int(domain)), int(row["number"])), template, float(row["seen"]))
        self.changed = False

    def _put(self, key: tuple[Domain, int], template: Template, now: float) -> bool:
        known = self._known.get(key)
        if known is not None and (known.fields, known.options) == (template.fields, template.options):
            known.seen = now
            self._known.move_to_end(key)
            return False
        self._forget(key)
        self._make_room(key[0], len(template.fields))
        self._of_domain[key[0]] = self._of_domain.get(key[0], 0) + 1
        self._fields += len(template.fields)
        template.seen = now
        self._known[key] = template
        self.changed = True
        return True

    def _make_room(self, domain: Domain, fields: int) -> None:
        if self._of_domain.get(domain, 0) >= MOST_OF_DOMAIN:
            self._forget(next(key for key in self._known if key[0] == domain))
        while self._fields + fields > MOST_FIELDS_IN_ALL:
            self._forget(next(iter(self._known)))

    def _forget(self, key: tuple[Domain, int]) -> None:
        gone = self._known.pop(key, None)
        if gone is not None:
            self.changed = True
            self._fields -= len(gone.fields)
            left = self._of_domain[key[0]] - 1
            if left:
                self._of_domain[key[0]] = left
            else:
                del self._of_domain[key[0]]


def _fields(version: int, content: bytes, at: int, options: bool) -> tuple[tuple[Field, ...], int]:
    try:
        if not options:
            _, count = _PAIR.unpack_from(content, at)
            scopes, at = 0, at + 4
        elif version == V9:  # lengths in bytes of the scopes' and the options' fields
            _, scope_bytes, option_bytes = struct.unpack_from("!HHH", content, at)
            scopes, count, at = scope_bytes // 4, (scope_bytes + option_bytes) // 4, at + 6
        else:
            _, count, scopes = struct.unpack_from("!HHH", content, at)
            at += 6
        if not 0 < count <= MOST_FIELDS:
            raise Malformed(f"a template of {count} fields")
        fields = []
        for place in range(count):
            number, length = _PAIR.unpack_from(content, at)
            at += 4
            enterprise = 0
            if version == IPFIX and number & 0x8000:
                (enterprise,) = _ENTERPRISE.unpack_from(content, at)
                at += 4
                number &= 0x7FFF
            fields.append(Field(enterprise, number, length, place < scopes))
    except struct.error as error:
        raise Malformed("a template that ends in the middle") from error
    if version == V9 and any(field.length == VARIABLE for field in fields):
        raise Malformed("a template of v9 with a field of variable length")
    found = tuple(fields)
    _check(found)
    return found, at


def _check(fields: tuple[Field, ...]) -> None:
    if len(fields) > MOST_FIELDS:
        raise Malformed(f"a template of {len(fields)} fields")
    size = sum(field.length for field in fields if field.length != VARIABLE)
    if not fields or size > VARIABLE or all(field.length == 0 for field in fields):
        raise Malformed(f"a template of records of {size} bytes")
