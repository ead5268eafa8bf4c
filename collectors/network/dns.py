"""DNS messages (RFC 1035) over UDP and TCP enter, one transaction each question with its answer leaves.

Multicast DNS (RFC 6762) and LLMNR (RFC 4795) are the same on the wire; there a question waits for no answer.
"""

from collections.abc import Iterator
from struct import Struct, error

from collectors.network.reading import Fields, Framed, Transaction, address

PORT, MULTICAST, LLMNR = 53, 5353, 5355
_HEAD, _TYPES, _RECORD, _LENGTH = (Struct(form).unpack_from for form in ("!HHHHHH", "!HH", "!HHIH", "!H"))
#: Questions of one flow that wait for an answer, and how long each does while others go by, in microseconds.
MAX_WAITING, MAX_WAIT = 64, 10_000_000
#: Bytes of a message (RFC 1035, 4.2.2).
MAX_MESSAGE = 2 + 65_535
#: Questions of one message.
MAX_QUESTIONS = 4
#: Answers of one message that are kept; the labels of a name that are read, and its characters (RFC 1035 has 255).
MAX_ANSWERS, MAX_LABELS, MAX_NAME = 50, 128, 1_000
_KINDS = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 10: "NULL", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT", 24: "SIG",
    25: "KEY", 28: "AAAA", 33: "SRV", 35: "NAPTR", 39: "DNAME", 41: "OPT", 43: "DS", 46: "RRSIG", 47: "NSEC",
    48: "DNSKEY", 50: "NSEC3", 52: "TLSA", 64: "SVCB", 65: "HTTPS", 99: "SPF", 249: "TKEY", 250: "TSIG", 251: "IXFR",
    252: "AXFR", 255: "ANY", 256: "URI", 257: "CAA", 65399: "PRIVATE",
}  # fmt: skip
_CODES = {
    0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED", 6: "YXDOMAIN", 7: "YXRRSET",
    8: "NXRRSET", 9: "NOTAUTH", 10: "NOTZONE",
}  # fmt: skip
_CLASSES = {1: "IN", 3: "CH", 4: "HS", 254: "NONE", 255: "ANY"}
_FLAGS = ((0x0400, "AA"), (0x0200, "TC"), (0x0100, "RD"), (0x0080, "RA"))


class DnsReader:
    """One flow of DNS."""

    __slots__ = ("_framed", "_protocol", "_waiting", "done", "ordered")

    def __init__(self, protocol: str = "dns", framed: bool = False) -> None:
        """`framed`: each message has its length in front of it, as over TCP."""
        self.done = False
        self.ordered = framed
        self._protocol = protocol
        self._framed = Framed(2) if framed else None
        self._waiting: dict[tuple[str, str], tuple[int, Fields]] = {}

    def take(self, from_source: bool, data: bytes, time: int) -> Iterator[Transaction]:
        """Read the messages in `data`."""
        if self._framed is None:
            yield from self._message(data, time)
            return
        for message in self._framed.messages(from_source, data, MAX_MESSAGE):
            yield from self._message(message, time)

    def end(self) -> Iterator[Transaction]:
        """Yield the questions that nobody answered."""
        for time, fields in self._waiting.values():
            yield Transaction(time, "dns", fields)
        self._waiting.clear()

    def _message(self, message: bytes, time: int) -> Iterator[Transaction]:
        try:
            is_answer, fields = read_message(message)
        except (error, IndexError, ValueError):
            return
        fields["network.protocol"] = self._protocol
        key = fields["dns.id"], fields.get("dns.question.name", "")
        if not is_answer and self._protocol == "dns":
            self._waiting.setdefault(key, (time, fields))  # asked again: the first time counts
            yield from self._given_up(time)
            return
        asked, question = self._waiting.pop(key, (time, {}))
        yield Transaction(asked, "dns", {**question, **fields})

    def _given_up(self, now: int) -> Iterator[Transaction]:
        """Yield the questions that waited for too long, or were too many."""
        waiting = self._waiting
        while waiting and (len(waiting) > MAX_WAITING or next(iter(waiting.values()))[0] < now - MAX_WAIT):
            asked, unanswered = waiting.pop(next(iter(waiting)))
            yield Transaction(asked, "dns", unanswered)


def read_message(message: bytes) -> tuple[bool, Fields]:
    """Return whether a message is an answer, and its fields.

    Raises:
        ValueError, struct.error, IndexError: it is none.
    """
    identifier, flags, asked, answers, _, _ = _HEAD(message)
    if not 0 <= asked <= MAX_QUESTIONS or (flags >> 11 & 15) > 6:
        raise ValueError("no DNS message")
    fields: Fields = {"dns.id": str(identifier)}
    at = 12
    for number in range(asked):
        name, at = _name(message, at)
        kind, group = _TYPES(message, at)
        at += 4
        if number == 0:
            fields["dns.question.name"] = name
            fields["dns.question.type"] = _KINDS.get(kind, f"TYPE{kind}")
            fields["dns.question.class"] = _CLASSES.get(group & 0x7FFF, f"CLASS{group}")
    fields["dns.header_flags"] = [name for bit, name in _FLAGS if flags & bit]
    fields["dns.z"] = flags >> 4 & 7
    is_answer = bool(flags & 0x8000)
    if is_answer:
        fields["dns.response_code"] = _CODES.get(flags & 15, f"RCODE{flags & 15}")
        fields["event.outcome"] = "success" if not flags & 15 else "failure"
        fields.update(_answers(message, at, answers))
    return is_answer, fields


def questions(message: bytes) -> list[bytes]:
    """Return the names that a question asks for as they stand there, in no case but their own; none of an answer."""
    try:
        _, flags, count, _, _, _ = _HEAD(message)
        if flags & 0x8000 or count > MAX_QUESTIONS:
            return []
        names: list[bytes] = []
        at = 12
        for _ in range(count):
            labels: list[bytes] = []
            while length := message[at]:
                if length >= 0x40 or len(labels) >= MAX_LABELS:
                    return names  # a question has no pointers
                labels.append(message[at + 1 : at + 1 + length])
                at += 1 + length
            names.append(b".".join(labels))
            at += 5
    except (error, IndexError):
        return []
    return names


def _answers(message: bytes, at: int, count: int) -> Fields:
    """Read the answers, as far as they can be read."""
    data: list[str] = []
    kinds: list[str] = []
    addresses: list[str] = []
    try:
        for _ in range(min(count, MAX_ANSWERS)):
            _, at = _name(message, at)
            kind, _, _, length = _RECORD(message, at)
            at += 10
            if at + length > len(message):
                break
            value = _value(message, at, length, kind)
            if kind in (1, 28):
                addresses.append(value)
            data.append(value)
            kinds.append(_KINDS.get(kind, f"TYPE{kind}"))
            at += length
    except (error, IndexError, ValueError):
        pass  # the rest is cut off
    found = {"dns.answers.data": data, "dns.answers.type": kinds, "dns.resolved_ip": addresses}
    return {name: values for name, values in found.items() if values}


def _value(message: bytes, at: int, length: int, kind: int) -> str:
    raw = message[at : at + length]
    if kind in (1, 28) and length in (4, 16):
        return address(raw)
    if kind in (2, 5, 12, 39):
        return _name(message, at)[0]
    if kind == 15 and length > 2:
        return _name(message, at + 2)[0]
    if kind == 33 and length > 6:
        return f"{_name(message, at + 6)[0]}:{_LENGTH(message, at + 4)[0]}"
    if kind == 16:
        return _strings(raw)
    return raw[:256].hex()


def _strings(raw: bytes) -> str:
    parts, at = [], 0
    while at < len(raw):
        parts.append(_readable(raw[at + 1 : at + 1 + raw[at]]))
        at += 1 + raw[at]
    return "".join(parts)[:MAX_NAME]


def _name(message: bytes, at: int) -> tuple[str, int]:
    """Return a name in lower case without the dot at its end, and where it ends; pointers only lead back."""
    labels: list[str] = []
    end, limit = 0, at
    for _ in range(MAX_LABELS):
        length = message[at]
        if length == 0:
            return ".".join(labels).lower()[:MAX_NAME], end or at + 1
        if length >= 0xC0:
            end = end or at + 2
            at = (length & 0x3F) << 8 | message[at + 1]
            if at >= limit:
                raise ValueError("a pointer forward")
            limit = at
        elif length < 0x40:
            if at + 1 + length > len(message):
                raise ValueError("a label that is cut off")
            labels.append(_readable(message[at + 1 : at + 1 + length]))
            at += 1 + length
        else:
            raise ValueError("a label of an unknown kind")
    raise ValueError("too many labels")


def _readable(raw: bytes) -> str:
    """Return bytes as text; what is no printable ASCII stands as `\\xNN`."""
    if raw.isascii() and (found := raw.decode("ascii")).isprintable():
        return found
    return "".join(chr(one) if 32 <= one < 127 else f"\\x{one:02x}" for one in raw)
