"""A rule in its parts enters, one with a meaning leaves; a keyword that is not known here refuses it by name."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from collectors.network.headers import ICMP, ICMP6, TCP, UDP
from collectors.network.rules import packet_tests
from collectors.network.rules.buffers import (
    ALIASES,
    BUFFERS,
    DNS,
    FROM_SOURCE,
    INCLUDES,
    MODIFIERS,
    PAYLOAD,
    SEVERAL,
    TRANSFORMS,
)
from collectors.network.rules.classes import CLASSES, DEFAULT_PRIORITY
from collectors.network.rules.contents import (
    ByteExtract,
    ByteJump,
    ByteTest,
    Content,
    DataAt,
    Expression,
    Number,
    Read,
    Size,
    Test,
    link,
)
from collectors.network.rules.expressions import BUFFERS as OF_PCRE
from collectors.network.rules.expressions import Compiler, split
from collectors.network.rules.grammar import Option, Parsed, Refused, content_bytes, parse, plain, quoted
from collectors.network.rules.header import Header, Variables
from collectors.network.rules.rule import Bit, Group, Packet, PacketRule, PacketTest, Threshold

_TRANSPORTS: Mapping[str, frozenset[int] | None] = {
    "ip": None, "ip4": None, "ip6": None, "tcp": frozenset((TCP,)), "tcp-pkt": frozenset((TCP,)),
    "tcp-stream": frozenset((TCP,)), "udp": frozenset((UDP,)), "icmp": frozenset((ICMP, ICMP6)),
    "icmpv4": frozenset((ICMP,)), "icmpv6": frozenset((ICMP6,)),
}  # fmt: skip
#: Protocols that the sensor itself recognises, and what carries them.
APPS: Mapping[str, frozenset[int]] = {
    "http": frozenset((TCP,)), "http1": frozenset((TCP,)), "tls": frozenset((TCP,)), "ssl": frozenset((TCP,)),
    "ssh": frozenset((TCP,)), "smb": frozenset((TCP,)), "dcerpc": frozenset((TCP,)), "rdp": frozenset((TCP,)),
    "dns": frozenset((TCP, UDP)), "krb5": frozenset((TCP, UDP)), "dhcp": frozenset((UDP,)),
}  # fmt: skip
_SAME_APPS = {"http1": "http", "ssl": "tls"}
#: Keywords that say something of the rule and nothing of packets.
_ABOUT = frozenset(("metadata", "reference", "classtype", "rev", "priority", "msg", "gid", "sid", "target", "rawbytes"))
_DIRECTIONS = {"to_server": True, "from_client": True, "to_client": False, "from_server": False}
_TRACKS = frozenset(("by_src", "by_dst", "by_both", "by_rule"))
_BIT_ACTIONS = frozenset(("set", "unset", "toggle", "isset", "isnotset"))
_X_TRACKS = {"ip_src": "by_src", "ip_dst": "by_dst", "ip_pair": "by_both"}
_NUMBER = re.compile(r"-?(?:0x[0-9a-fA-F]+|\d+)")
#: How long a mark on an address stays where the rule does not say it, in seconds (Suricata's default).
_X_SECONDS = 30


class _Buffer(NamedTuple):
    """A buffer with what is done to it; of those that a message has several of, each time it is named is another."""

    name: str
    transforms: tuple[str, ...] = ()
    number: int = 0


_OF_PAYLOAD = _Buffer("pkt_data")


def compile_rule(text: str, variables: Variables, expressions: Compiler, place: str) -> PacketRule:
    """Return the rule of a line; `place` is the file and line.

    Raises:
        Refused: it is not one of ours; the text says which keyword, and why.
    """
    return _Compiling(parse(text), variables, expressions).rule(place)


class _About(NamedTuple):
    sid: int
    gid: int
    revision: int
    message: str
    category: str
    priority: int
    references: list[str]
    metadata: dict[str, list[str]]


@dataclass(slots=True)
class _Compiling:
    parsed: Parsed
    variables: Variables
    expressions: Compiler
    tests: list[PacketTest] = field(default_factory=list)
    groups: dict[_Buffer, list[Test]] = field(default_factory=dict)
    bits: list[Bit] = field(default_factory=list)
    thresholds: list[Threshold] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    buffer: _Buffer = _OF_PAYLOAD
    last: _Buffer = _OF_PAYLOAD
    content: Content | None = None
    to_server: bool | None = None
    app: str = ""
    silent: bool = False
    per_packet: bool = False
    only: str = ""

    def rule(self, place: str) -> PacketRule:
        """Put it together."""
        parsed = self.parsed
        if parsed.action != "alert":
            raise Refused("no_alert", parsed.action)
        about = self._about()
        protocols = self._protocol(parsed.protocol)
        for option in parsed.options:
            self._take(option)
        header = self._header()
        kinds = self._kinds()
        groups = tuple(Group(key.name, key.transforms, tuple(tests)) for key, tests in self.groups.items() if tests)
        for group in groups:
            link(group.tests)
        fast, anchored = self._fast(groups, kinds)
        marks = tuple(bit for bit in self.bits if bit.action in ("set", "unset", "toggle"))
        contents = [test for group in groups for test in group.tests if isinstance(test, Content)]
        streams = protocols in (None, _TRANSPORTS["tcp"]) and not self.per_packet and self.only != "packets"
        return PacketRule(
            sid=about.sid, gid=about.gid, revision=about.revision, message=about.message, category=about.category,
            priority=about.priority, references=about.references, metadata=about.metadata, header=header,
            protocols=protocols, app=self.app, kinds=kinds, groups=groups,
            to_server=self.to_server, packet_tests=tuple(self.tests),
            checks=tuple(bit for bit in self.bits if bit not in marks), marks=marks,
            silent=self.silent, thresholds=tuple(self.thresholds), fast=fast, place=place, per_packet=self.per_packet,
            on_streams=streams, anchored=anchored,
            on_packets=not streams or protocols is None or (
                not self.app and self.only != "streams" and any(content.anchored for content in contents)
            ),
        )  # fmt: skip

    def _about(self) -> _About:
        """Read what the rule says of itself."""
        given: dict[str, str] = {}
        references, metadata = [], dict[str, list[str]]()
        for keyword, value in self.parsed.options:
            if keyword == "reference":
                references.append(_reference(value))
            elif keyword == "metadata":
                for item in value.split(","):
                    name, _, what = item.strip().partition(" ")
                    metadata.setdefault(plain(name), []).append(plain(what.strip()))
            elif keyword == "msg":
                given[keyword] = quoted(Option(keyword, value))[1]
            elif keyword in _ABOUT:
                given[keyword] = value
        for keyword, default in (("sid", None), ("gid", "1"), ("rev", "0"), ("priority", "1")):
            value = given.setdefault(keyword, default or "")
            if not value:
                raise Refused("missing", keyword, example=f"{keyword}:1000001;")
            if not value.isdecimal() or len(value) > 10:
                raise Refused("bad_value", keyword, value=value, expected="1000001")
        words, priority = CLASSES.get(
            given.get("classtype", "").lower(), (given.get("classtype", ""), DEFAULT_PRIORITY)
        )
        if any(option.keyword == "priority" for option in self.parsed.options):
            priority = int(given["priority"])
        return _About(
            int(given["sid"]), int(given["gid"]), int(given["rev"]),
            plain(given.get("msg", "")) or f"sid {given['sid']}", words, priority, references, metadata,
        )  # fmt: skip

    def _protocol(self, name: str) -> frozenset[int] | None:
        if name in _TRANSPORTS:
            self.only = {"tcp-pkt": "packets", "tcp-stream": "streams"}.get(name, "")
            if name in ("ip4", "ip6"):
                size = 4 if name == "ip4" else 16
                self.tests.append(lambda packet: len(packet.source) == size)
            return _TRANSPORTS[name]
        if name not in APPS:
            raise Refused("no_protocol", name, known=", ".join([*_TRANSPORTS, *APPS]))
        self.app = _SAME_APPS.get(name, name)
        return APPS[name]

    def _header(self) -> Header:
        parsed, variables = self.parsed, self.variables
        return Header(
            variables.addresses(parsed.source), variables.ports(parsed.source_port),
            variables.addresses(parsed.destination), variables.ports(parsed.destination_port), parsed.both_ways,
        )  # fmt: skip

    def _take(self, option: Option) -> None:
        try:
            self._mean(option)
        except Refused:
            raise
        except ValueError as fault:  # a number that is none
            raise Refused("bad_value", option.keyword, value=option.value[:60], expected="12") from fault

    def _mean(self, option: Option) -> None:
        keyword = option.keyword
        if keyword in _ABOUT:
            return
        name = ALIASES.get(keyword, keyword)
        if name in BUFFERS:
            self._no_value(option)
            number = sum(buffer.name == name for buffer in self.groups) if name in SEVERAL else 0
            self.buffer = self.last = _Buffer(name, (), number)
            self.content = None
        elif keyword in TRANSFORMS:
            self._no_value(option)
            if self.groups.get(self.buffer):
                raise Refused("after_content", keyword)
            self.buffer = self.last = self.buffer._replace(transforms=(*self.buffer.transforms, keyword))
            self.content = None
        elif keyword in MODIFIERS:
            self._move(option, MODIFIERS[keyword])
        elif keyword in packet_tests.TESTS:
            make, each = packet_tests.TESTS[keyword]
            self.tests.append(make(option))
            self.per_packet = self.per_packet or each
        elif keyword in _OF_CONTENT:
            if self.content is None:
                raise Refused("no_content", keyword)
            _OF_CONTENT[keyword](self, option, self.content)
        elif keyword in _KEYWORDS:
            _KEYWORDS[keyword](self, option)
        else:
            raise Refused("no_such_keyword", keyword)

    def _add(self, test: Test, buffer: _Buffer | None = None) -> None:
        if buffer is None:
            # In the old form a relative test stays where the last match was moved to.
            buffer = self.last if test.relative and self.buffer == _OF_PAYLOAD else self.buffer
        self.groups.setdefault(buffer, []).append(test)
        self.last = buffer

    def _no_value(self, option: Option) -> None:
        if option.value:
            raise Refused("bad_value", option.keyword, value=option.value[:40], expected=f"{option.keyword};")

    def _move(self, option: Option, buffer: str) -> None:
        """Move the last content into a buffer, as the old form says it."""
        content = self.content
        if content is None:
            raise Refused("no_content", option.keyword)
        self._no_value(option)
        for tests in self.groups.values():
            tests[:] = [test for test in tests if id(test) != id(content)]
        self._add(content, _Buffer(buffer))

    def number(self, option: Option, text: str) -> Number:
        """Return a number, or the name of one that was read."""
        text = text.strip()
        if _NUMBER.fullmatch(text):
            return int(text, 0) if "x" in text.lower() else int(text)
        if text in self.names:
            return text
        raise Refused("bad_value", option.keyword, value=text[:40], expected="12")

    def _content(self, option: Option) -> None:
        negated, text = quoted(option)
        self.content = Content(content_bytes(option.keyword, text), negated)
        self._add(self.content)

    def _pcre(self, option: Option) -> None:
        negated, text = quoted(option)
        expression, letters = split(text)
        buffer = self.buffer
        if named := [letter for letter in letters if letter in OF_PCRE]:
            if len(named) > 1:
                raise Refused("bad_value", "pcre", value=f"/{letters}", expected=f"/{named[0]}")
            buffer = _Buffer(OF_PCRE[named[0]])
        kept = "".join(letter for letter in letters if letter not in OF_PCRE and letter != "R")
        self._add(Expression(self.expressions(expression, kept), negated, "R" in letters), buffer)
        self.content = None

    def _is_data_at(self, option: Option) -> None:
        parts = [part.strip() for part in option.value.split(",")]
        count = parts[0].removeprefix("!")
        if set(parts[1:]) - {"relative", "rawbytes"}:
            raise Refused("bad_value", option.keyword, value=option.value[:40], expected="10,relative")
        self._add(DataAt(self.number(option, count), parts[0].startswith("!"), "relative" in parts))

    def _size(self, option: Option) -> None:
        self._add(Size(*packet_tests.limits(option)))

    def _uri_length(self, option: Option) -> None:
        value, _, form = option.value.partition(",")
        if form.strip() not in ("", "norm", "raw"):
            raise Refused("bad_value", option.keyword, value=option.value[:40], expected=">100,norm")
        least, most, negated = packet_tests.limits(Option(option.keyword, value.strip()))
        self._add(Size(least, most, negated), _Buffer("http.uri.raw" if form.strip() == "raw" else "http.uri"))

    def _flow(self, option: Option) -> None:
        for word in (part.strip() for part in option.value.split(",")):
            if word in _DIRECTIONS:
                self.to_server = _DIRECTIONS[word]
            elif word == "established":
                self.tests.append(_is_established)
            elif word == "not_established":
                self.tests.append(lambda packet: not packet.established)
            elif word in ("only_stream", "no_stream"):
                self.only = "streams" if word == "only_stream" else "packets"
            elif word != "stateless":
                raise Refused("bad_value", option.keyword, value=word[:40], expected="established,to_server")

    def _flowbits(self, option: Option) -> None:
        action, _, names = (part.strip() for part in option.value.partition(","))
        if action == "noalert" and not names:
            self.silent = True
            return
        if action not in _BIT_ACTIONS or not names:
            raise Refused("bad_value", option.keyword, value=option.value[:40], expected="set,name")
        self.bits.append(Bit(action, tuple(name.strip() for name in names.split("|"))))

    def _no_alert(self, option: Option) -> None:
        self._no_value(option)
        self.silent = True

    def _xbits(self, option: Option) -> None:
        parts = [part.strip() for part in option.value.split(",")]
        words = dict(part.split(None, 1) for part in parts[2:] if " " in part)
        track, expire = _X_TRACKS.get(words.get("track", "")), words.get("expire", str(_X_SECONDS))
        if len(parts) < 3 or parts[0] not in _BIT_ACTIONS or track is None or not expire.isdecimal():
            raise Refused("bad_value", option.keyword, value=option.value[:60], expected="set,name,track ip_src")
        self.bits.append(Bit(parts[0], (parts[1],), track, int(expire)))

    def _threshold(self, option: Option) -> None:
        words = {}
        for part in option.value.split(","):
            name, _, value = part.strip().partition(" ")
            words[name] = value.strip()
        kind = words.pop("type", "") if option.keyword == "threshold" else "detection_filter"
        track, count, seconds = words.pop("track", ""), words.pop("count", ""), words.pop("seconds", "")
        good = kind in ("limit", "threshold", "both", "detection_filter") and track in _TRACKS and not words
        if not good or not count.isdecimal() or not seconds.isdecimal() or not int(count):
            expected = "type limit, track by_src, count 1, seconds 60"
            raise Refused("bad_value", option.keyword, value=option.value[:80], expected=expected)
        self.thresholds.append(Threshold(kind, track, int(count), int(seconds)))

    def _app(self, option: Option) -> None:
        name = option.value.strip().lower()
        negated = name.startswith("!")
        name = _SAME_APPS.get(name.lstrip("!").strip(), name.lstrip("!").strip())
        if name not in APPS:
            raise Refused("bad_value", option.keyword, value=option.value[:40], expected=", ".join(APPS))
        self.tests.append(lambda packet: (packet.app == name) != negated)

    def _byte_test(self, option: Option) -> None:
        count, compared, value, offset, *more = _parts(option, 4)
        negated, operator = compared.startswith("!"), compared.lstrip("!") or "="
        if operator not in ("<", ">", "=", "<=", ">=", "&", "^"):
            raise Refused("bad_value", option.keyword, value=compared, expected="< > = <= >= & ^")
        read, words = self._read(option, count, offset, more)
        mask = _mask(option, words)
        _none_left(option, words)
        self._add(ByteTest(read, operator, self.number(option, value), negated, mask))

    def _byte_jump(self, option: Option) -> None:
        count, offset, *more = _parts(option, 2)
        read, words = self._read(option, count, offset, more)
        jump = ByteJump(
            read, int(words.pop("multiplier", "1")), words.pop("from_beginning", None) is not None,
            words.pop("from_end", None) is not None, words.pop("align", None) is not None,
            int(words.pop("post_offset", "0")), _mask(option, words),
        )  # fmt: skip
        _none_left(option, words)
        self._add(jump)

    def _byte_extract(self, option: Option) -> None:
        count, offset, name, *more = _parts(option, 3)
        read, words = self._read(option, count, offset, more)
        extract = ByteExtract(read, name, int(words.pop("multiplier", "1")), _mask(option, words))
        _none_left(option, words)
        self.names.add(name)
        self._add(extract)

    def _read(self, option: Option, count: str, offset: str, more: list[str]) -> tuple[Read, dict[str, str]]:
        words = {name: value.strip() for name, _, value in (part.partition(" ") for part in more)}
        base = 0
        if words.pop("string", None) is not None:
            base = next(
                (size for name, size in (("hex", 16), ("oct", 8), ("dec", 10)) if words.pop(name, None) is not None), 10
            )
        if not count.isdecimal() or not 0 < int(count) <= (23 if base else 8):
            raise Refused("bad_value", option.keyword, value=count, expected="1–8")
        little, big = words.pop("little", None), words.pop("big", None)
        relative = words.pop("relative", None) is not None
        _ = big  # the order of bytes where nothing is said
        return Read(int(count), self.number(option, offset), relative, little is not None, base), words

    def _kinds(self) -> tuple[str, ...]:
        """Return the kinds of messages that have all buffers that the rule asks for."""
        wanted = [buffer.name for buffer in self.groups if buffer.name != "pkt_data"]
        if not wanted:
            return (PAYLOAD,)
        possible = {kind for kinds in BUFFERS.values() for kind in kinds} - {PAYLOAD}
        for name in wanted:
            has = set(BUFFERS[name])
            possible &= has | {body for body, head in INCLUDES.items() if head in has}
        possible -= {body for body, head in INCLUDES.items() if head in possible}  # the head alone is enough
        if self.to_server is not None and DNS not in possible:
            possible = {kind for kind in possible if (kind in FROM_SOURCE) == self.to_server}
        if not possible:
            raise Refused("not_together", wanted[-1], names=", ".join(dict.fromkeys(wanted)))
        return tuple(sorted(possible))

    def _fast(self, groups: tuple[Group, ...], kinds: tuple[str, ...]) -> tuple[bytes | None, bool]:
        """Return the content to look for first: the one that says so, else the longest; and whether places count."""
        best: tuple[bool, int, bytes] | None = None
        anchored = False
        for group in groups:
            if (group.buffer == "pkt_data") != (kinds == (PAYLOAD,)):
                continue
            if not all(TRANSFORMS[each][1] for each in group.transforms):
                continue
            for test in group.tests:
                if not isinstance(test, Content):
                    continue
                anchored = anchored or test.anchored
                needle = test.needle.lstrip(b".") if "dotprefix" in group.transforms else test.needle
                rank = test.fast, len(needle), needle
                if not test.negated and needle and (best is None or rank[:2] > best[:2]):
                    best = rank
        return best[2] if best else None, anchored


def _is_established(packet: Packet) -> bool:
    return packet.established


def _reference(value: str) -> str:
    system, _, name = value.partition(",")
    name = plain(name.strip())
    prefix = {"url": "https://", "cve": "https://nvd.nist.gov/vuln/detail/CVE-"}.get(system.strip().lower(), "")
    if prefix == "https://" and "://" in name:
        return name
    return prefix + name.removeprefix("CVE-") if prefix else f"{system.strip()}:{name}"


def _parts(option: Option, least: int) -> list[str]:
    parts = [part.strip() for part in option.value.split(",")]
    if len(parts) < least:
        raise Refused("bad_value", option.keyword, value=option.value[:60], expected=f"≥ {least} × …,…")
    return parts


def _mask(option: Option, words: dict[str, str]) -> int:
    text = words.pop("bitmask", "0")
    try:
        return int(text, 16)
    except ValueError as fault:
        raise Refused("bad_value", option.keyword, value=text, expected="bitmask 0x0fff") from fault


def _none_left(option: Option, words: dict[str, str]) -> None:
    for name in words:
        raise Refused("bad_value", option.keyword, value=name, expected="relative, little, big, string, hex, bitmask")


def _nocase(_rule: _Compiling, _option: Option, content: Content) -> None:
    content.nocase, content.needle = True, content.needle.lower()


def _fast_pattern(_rule: _Compiling, option: Option, content: Content) -> None:
    if not re.fullmatch(r"(only|\d+\s*,\s*\d+)?", option.value):
        raise Refused("bad_value", option.keyword, value=option.value[:40], expected="fast_pattern;")
    content.fast = True


def _starts(_rule: _Compiling, _option: Option, content: Content) -> None:
    content.starts = True


def _ends(_rule: _Compiling, _option: Option, content: Content) -> None:
    content.ends = True


def _place(name: str) -> "Callable[[_Compiling, Option, Content], None]":
    def put(rule: _Compiling, option: Option, content: Content) -> None:
        value = rule.number(option, option.value)
        if name in ("depth", "within") and isinstance(value, int) and value < len(content.needle):
            raise Refused("bad_value", name, value=option.value, expected=f"≥ {len(content.needle)}")
        setattr(content, name, value)

    return put


#: Keywords that say more of the content before them.
_OF_CONTENT: "dict[str, Callable[[_Compiling, Option, Content], None]]" = {
    "nocase": _nocase, "fast_pattern": _fast_pattern, "startswith": _starts, "endswith": _ends,
    **{name: _place(name) for name in ("offset", "depth", "distance", "within")},
}  # fmt: skip
_KEYWORDS: "dict[str, Callable[[_Compiling, Option], None]]" = {
    "content": _Compiling._content, "pcre": _Compiling._pcre, "isdataat": _Compiling._is_data_at,
    "bsize": _Compiling._size, "urilen": _Compiling._uri_length, "flow": _Compiling._flow,
    "flowbits": _Compiling._flowbits, "xbits": _Compiling._xbits, "noalert": _Compiling._no_alert,
    "threshold": _Compiling._threshold, "detection_filter": _Compiling._threshold,
    "app-layer-protocol": _Compiling._app, "byte_test": _Compiling._byte_test, "byte_jump": _Compiling._byte_jump,
    "byte_extract": _Compiling._byte_extract,
}  # fmt: skip
