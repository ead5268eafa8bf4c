"""Packet rules: what of the language is taken and refused, and what each keyword means on real bytes."""

import gc
import gzip
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from collectors.network.capture_files import packets
from collectors.network.rules import matching
from collectors.network.rules.buffers import PAYLOAD, REQUEST, RESPONSE
from collectors.network.rules.compiling import compile_rule
from collectors.network.rules.expressions import compiler
from collectors.network.rules.grammar import Refused, lines, parse
from collectors.network.rules.header import Variables
from collectors.network.rules.http_messages import HttpSide, normal_uri
from collectors.network.rules.rule import PacketRule
from collectors.network.rules.ruleset import Loading, RuleSet, load
from collectors.network.rules.threshold import Thresholds
from collectors.network.sensor import Sensor
from tests.collectors.network.packets import (
    ACK,
    CLIENT,
    FIN,
    PSH,
    RST,
    SERVER,
    START,
    SYN,
    Talk,
    ethernet,
    ip,
    of,
    pcap,
    sensed,
    tcp,
    udp,
)
from tests.collectors.network.test_transactions import question


def compiled(text: str, **variables: str) -> PacketRule:
    return compile_rule(text, Variables(variables), compiler(), "own.rules:1")


def ruleset(*options: str, header: str = "tcp any any -> any any") -> RuleSet:
    """Rules of these options, with sids from 1."""
    rules = [compiled(f"alert {header} ({text} sid:{sid};)") for sid, text in enumerate(options, 1)]
    return RuleSet(Loading(rules, []))


def fired(rules: RuleSet, frames: Iterable[tuple[int, bytes]]) -> list[int]:
    """Return the sids of all hits, in their order."""
    return [int(event["rule.id"]) for event in of(sensed(pcap(frames), rules=rules), "network.alert")]


def sent(*payloads: bytes, side: int = 0) -> list[tuple[int, bytes]]:
    talk = Talk().opens()
    for payload in payloads:
        talk.says(side, ACK | PSH, payload)
    return talk.closes().frames


# --- the language -----------------------------------------------------------------------------------------------


def test_a_rule_is_split_into_its_parts() -> None:
    text = r'alert tcp [10.0.0.0/8, !10.1.0.0/16] any -> $HOME_NET [80,8000:8080] (msg:"a\; b"; content:"x"; sid:1;)'
    found = parse(text)
    assert (found.source, found.destination_port) == ("[10.0.0.0/8,!10.1.0.0/16]", "[80,8000:8080]")
    assert [option.keyword for option in found.options] == ["msg", "content", "sid"]
    assert compiled(text).message == "a; b"


def test_lines_may_go_on_and_comments_are_left_out() -> None:
    content = b'# alert tcp\n\nalert tcp any any -> any any \\\r\n (msg:"\xc4\x90i"; sid:1;)\n#x \\\nalert ip a\n'
    found = list(lines(content))
    assert [number for number, _ in found] == [3, 6]
    assert compiled(found[0][1]).message == "Đi"


@pytest.mark.parametrize(
    ("text", "key", "keyword"),
    [
        ("nonsense", "no_rule", ""),
        ("alert tcp any any -> any any (sid:1)", "unended", ""),
        ("drop tcp any any -> any any (sid:1;)", "no_alert", "drop"),
        ("alert smtp any any -> any any (sid:1;)", "no_protocol", "smtp"),
        ("alert tcp any any -> any any (content:\"a\";)", "missing", "sid"),
        ("alert tcp any any -> any any (ttl:1; sid:1;)", "no_such_keyword", "ttl"),
        ("alert tcp any any -> any any (luajit:x.lua; sid:1;)", "no_such_keyword", "luajit"),
        ("alert tcp $OUR_NET any -> any any (sid:1;)", "no_variable", "$OUR_NET"),
        ("alert tcp 10.0.0.300 any -> any any (sid:1;)", "bad_value", "address"),
        ("alert tcp any 70000 -> any any (sid:1;)", "bad_value", "port"),
        ("alert tcp any any <- any any (sid:1;)", "bad_value", "<-"),
        ("alert tcp any any -> any any (nocase; sid:1;)", "no_content", "nocase"),
        ('alert tcp any any -> any any (content:"|0|"; sid:1;)', "bad_value", "content"),
        ('alert tcp any any -> any any (content:""; sid:1;)', "bad_value", "content"),
        ('alert tcp any any -> any any (msg:"open; content:"GET"; sid:1;)', "bad_value", "msg"),
        ("alert tcp any any -> any any (msg:none; sid:1;)", "bad_value", "msg"),
        ('alert tcp any any -> any any (content:"abc"; depth:2; sid:1;)', "bad_value", "depth"),
        ('alert tcp any any -> any any (content:"abc"; offset:x; sid:1;)', "bad_value", "offset"),
        ('alert tcp any any -> any any (pcre:"/(/"; sid:1;)', "bad_expression", "pcre"),
        ('alert tcp any any -> any any (pcre:"/a/E"; sid:1;)', "bad_value", "pcre"),
        ('alert tcp any any -> any any (flow:sometimes; sid:1;)', "bad_value", "flow"),
        ("alert tcp any any -> any any (flags:Q; sid:1;)", "bad_value", "flags"),
        ("alert tcp any any -> any any (threshold:type limit, count 1; sid:1;)", "bad_value", "threshold"),
        ('alert http any any -> any any (http.uri; content:"a"; http.stat_code; content:"2"; sid:1;)', "not_together",
         "http.stat_code"),
        ('alert dns any any -> any any (dns.query; content:"a"; dotprefix; sid:1;)', "after_content", "dotprefix"),
        ('alert tcp any any -> any any (content:"a"; byte_jump:x,0; sid:1;)', "bad_value", "byte_jump"),
        ('alert tcp any any -> any any (byte_jump:1,0,multiplier x; sid:1;)', "bad_value", "byte_jump"),
    ],
)  # fmt: skip
def test_what_is_refused_says_which_keyword(text: str, key: str, keyword: str) -> None:
    with pytest.raises(Refused) as fault:
        compiled(text)
    assert (fault.value.key, fault.value.keyword) == (key, keyword)
    assert keyword in str(fault.value)


def test_one_bad_rule_costs_no_other_and_the_newer_of_two_revisions_counts(tmp_path: Path) -> None:
    (tmp_path / "a.rules").write_text(
        'alert tcp any any -> any any (msg:"old"; sid:1; rev:1;)\n'
        "alert tcp any any -> any any (lua:x; sid:2;)\n"
        'alert tcp any any -> any any (msg:"new"; sid:1; rev:2;)\n'
        'alert tcp any any -> any any (msg:"again"; sid:1; rev:2;)\n'
    )
    found = load([tmp_path, tmp_path / "missing.rules"])
    assert [(rule.sid, rule.message) for rule in found.rules] == [(1, "new")]
    assert [(item.line, item.sid, item.keyword, item.kind) for item in found.refused] == [
        (2, "2", "lua", "no_such_keyword"), (4, "1", "sid", "repeated"), (0, "", "", "file"),
    ]  # fmt: skip
    assert f"{tmp_path}/a.rules:2: sid 2:" in found.refused[0].text


def test_rules_of_others_load(shared_data: Path) -> None:
    """At least 85 % is what was promised; what is refused is named."""
    for path in sorted((shared_data / "suricata-rules").glob("*.rules")):
        found = load([path])
        assert len(found.rules) >= 0.85 * (len(found.rules) + len(found.refused)), path.name
        assert all(item.keyword in item.reason and item.sid for item in found.refused)
    whole = load([shared_data / "suricata-rules"])
    assert len(whole.rules) >= 0.99 * (len(whole.rules) + len(whole.refused))
    RuleSet(whole)


# --- the header -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("addresses", "inside", "outside"),
    [
        ("any", ["192.0.2.1", "2001:db8::1"], []),
        ("192.0.2.0/24", ["192.0.2.1"], ["192.0.3.1", "2001:db8::1"]),
        ("[192.0.2.0/24,!192.0.2.7]", ["192.0.2.1"], ["192.0.2.7"]),
        ("!192.0.2.0/24", ["192.0.3.1", "2001:db8::1"], ["192.0.2.1"]),
        ("[!192.0.2.0/24,!198.51.100.0/24]", ["203.0.113.1"], ["192.0.2.1", "198.51.100.1"]),
        ("$EXTERNAL_NET", ["203.0.113.1"], ["10.1.1.1", "192.168.1.1"]),
        ("!$EXTERNAL_NET", ["10.1.1.1"], ["203.0.113.1"]),
        ("[$HOME_NET,203.0.113.5]", ["10.1.1.1", "203.0.113.5"], ["203.0.113.6"]),
        ("2001:db8::/32", ["2001:db8::1"], ["2001:db9::1", "10.0.0.1"]),
    ],
)
def test_addresses(addresses: str, inside: list[str], outside: list[str]) -> None:
    from ipaddress import ip_address

    found = Variables().addresses(addresses)
    assert all(ip_address(each).packed in found for each in inside)
    assert not any(ip_address(each).packed in found for each in outside)


def test_ports_and_the_variables_of_the_site() -> None:
    ports = Variables({"WEB": "[80,8000:8003,!8001]"}).ports("$WEB")
    assert [port for port in (79, 80, 8000, 8001, 8003, 8004) if port in ports] == [80, 8000, 8003]
    assert 65_535 in Variables().ports("1024:") and 1023 not in Variables().ports("1024:")
    assert (
        compiled("alert tcp any any -> $HOME_NET any (sid:1;)", HOME_NET="203.0.113.0/24").header.destination.any
        is False
    )


def test_direction() -> None:
    to_server, back, both = (
        RuleSet(Loading([compiled(f'alert tcp {header} (content:"x"; sid:1;)')], []))
        for header in (f"{CLIENT} any -> any any", f"{SERVER} any -> {CLIENT} any", f"{SERVER} any <> {CLIENT} any")
    )
    for rules, from_client, from_server in ((to_server, [1], []), (back, [], [1]), (both, [1], [1])):
        assert fired(rules, sent(b"x")) == from_client
        assert fired(rules, sent(b"x", side=1)) == from_server


# --- keywords ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "hit", "near"),
    [
        ('content:"ab|00|";', b"xxab\0", b"xxAB\0"),
        ('content:"abc"; nocase;', b"xABC", b"xAC"),
        (r'content:"a\;\"\\\:";', b'a;"\\:', b"a;"),
        ('content:"a"; content:!"b";', b"a", b"ab"),
        ('content:"GET "; startswith; content:"end"; endswith;', b"GET x end", b"GET x end "),
        ('content:"a"; isdataat:3,relative;', b"a123", b"a12"),
        ('content:"a"; isdataat:!1,relative;', b"xxa", b"xxax"),
        ('content:"a"; isdataat:4;', b"a1234", b"a123"),
        ('content:"a"; bsize:3<>6;', b"a123", b"a12"),
        ('content:"len"; byte_test:1,>,4,0,relative;', b"len\5", b"len\4"),
        ('content:"len"; byte_test:2,=,258,0,relative,little;', b"len\2\1", b"len\1\2"),
        ('content:"n="; byte_test:3,>=,100,0,relative,string,dec;', b"n=100", b"n=099"),
        ('content:"L"; byte_jump:1,0,relative; content:"x"; within:1;', b"L\3abcx", b"L\2abcx"),
        ('byte_extract:1,0,size; content:"x"; offset:size; depth:1;', b"\3aax", b"\2aax"),
        ('pcre:"/^a[0-9]+$/";', b"a123", b"a12b"),
        ('content:"id="; pcre:"/^[0-9]{2}/R";', b"id=1 id=22", b"22 id=1"),
        ('pcre:"/A.B/i";', b"a.b", b"a\nb"), ('pcre:"/A.B/is";', b"a\nb", b"ab"),
        ('content:"x"; pcre:!"/evil/";', b"x good", b"x evil"),
        (r'pcre:"/(?<=k)(\w+)=\1(?!z)/";', b"kab=ab", b"kab=abz"),
        ("dsize:4;", b"1234", b"12345"), ("dsize:>4;", b"12345", b"1234"), ("dsize:2<>4;", b"123", b"1234"),
        ('content:"a"; stream_size:client,>,3;', b"xxxa", b"xxa"),
    ],
)  # fmt: skip
def test_what_a_keyword_means(options: str, hit: bytes, near: bytes) -> None:
    rules = ruleset(options)
    assert fired(rules, sent(hit)) == [1]
    assert fired(rules, sent(near)) == []


def test_the_state_and_the_side_of_a_connection() -> None:
    rules = ruleset(
        'flow:established,to_server; content:"x";', 'flow:to_client; content:"x";', 'flow:not_established; content:"x";',
        'flow:stateless; content:"x";',
    )  # fmt: skip
    assert fired(rules, sent(b"x")) == [1, 4]
    assert fired(rules, sent(b"x", side=1)) == [2, 4]
    early = Talk()
    early.says(0, SYN, b"x")
    assert fired(rules, early.frames) == [3, 4]


def test_an_answer_in_the_same_batch_does_not_establish_a_question() -> None:
    rules = ruleset('flow:established; content:"x";', header="udp any any -> any any")
    frames = [
        (START + number, ethernet(ip(*sides, 17, udp(*ports, b"x"))))
        for number, (sides, ports) in enumerate([((CLIENT, SERVER), (9, 10)), ((SERVER, CLIENT), (10, 9))])
    ]
    (event,) = of(sensed(pcap(frames), rules=rules), "network.alert")
    assert event["packet_rule.direction"] == "to_client"


def test_flags_of_packets_without_payload() -> None:
    def probe(flags: int) -> list[tuple[int, bytes]]:
        return [(START, ethernet(ip(CLIENT, SERVER, 6, tcp(40_000, 80, flags))))]

    rules = ruleset("flags:S;", "flags:FPU;", "flags:0;", "flags:*FR;", "flags:+A;", "flags:S,12;")
    assert fired(rules, probe(SYN)) == [1, 6]
    assert fired(rules, probe(FIN | PSH | 32)) == [2, 4]
    assert fired(rules, probe(0)) == [3]
    assert fired(rules, probe(RST | ACK)) == [4, 5]
    assert fired(rules, probe(SYN | 64 | 128)) == [6]


def test_icmp_by_its_type() -> None:
    rules = ruleset("itype:8; icode:0;", 'content:"abc";', header="icmp any any -> any any")
    frame = ethernet(ip(CLIENT, SERVER, 1, b"\x08\0\0\0\0\1\0\1abc"))
    assert sorted(fired(rules, [(START, frame)])) == [1, 2]
    assert fired(rules, [(START, ethernet(ip(CLIENT, SERVER, 1, b"\x0d\0\0\0\0\1\0\1xyz")))]) == []


def test_rules_about_addresses_tell_once_of_a_side() -> None:
    rules = ruleset("", header=f"ip {CLIENT} any -> any any")
    assert fired(rules, sent(b"x", b"y", b"z")) == [1]


def test_marks_of_a_connection_whatever_the_order_of_the_rules() -> None:
    rules = ruleset(
        'content:"b"; flowbits:isset,seen;', 'content:"a"; flowbits:set,seen; flowbits:noalert;',
        'content:"b"; flowbits:isnotset,seen;', 'content:"c"; flowbits:isset,other|seen;',
        'content:"d"; flowbits:unset,seen;', 'content:"e"; flowbits:isset,seen;',
    )  # fmt: skip
    assert fired(rules, sent(b"a", b"b", b"c", b"d", b"e")) == [1, 4, 5]
    assert fired(rules, sent(b"ab")) == [1]
    assert fired(rules, sent(b"b")) == [3]


def test_marks_of_an_address_end() -> None:
    rules = ruleset(
        'content:"a"; xbits:set,bad,track ip_src,expire 10; noalert;', 'content:"b"; xbits:isset,bad,track ip_src;'
    )
    first, soon, late = Talk(ports=(1, 80)).opens(), Talk(ports=(2, 80)).opens(), Talk(ports=(3, 80)).opens()
    first.says(0, ACK | PSH, b"a")
    soon.says(0, ACK | PSH, b"b", after=5_000_000)
    late.says(0, ACK | PSH, b"b", after=30_000_000)
    assert fired(rules, [*first.frames, *soon.frames, *late.frames]) == [2]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("threshold:type limit, track by_src, count 2, seconds 60;", [0, 1, 6, 7]),
        ("threshold:type threshold, track by_src, count 2, seconds 60;", [1, 3, 5, 7]),
        ("threshold:type both, track by_src, count 2, seconds 60;", [1, 7]),
        ("detection_filter:track by_src, count 3, seconds 60;", [3, 4]),
    ],
)
def test_thresholds(option: str, expected: list[int]) -> None:
    rule = compiled(f'alert tcp any any -> any any (content:"a"; {option} sid:1;)')
    counters = Thresholds()
    moments = [0, 1, 2, 3, 59, 59, 61, 62]
    if "detection" in option:
        moments = [0, 1, 2, 3, 4, 61, 62, 63]
    told = [counters.passes(rule, b"a", b"b", START + second * 1_000_000) for second in moments]
    assert [number for number, said in enumerate(told) if said] == expected


def test_counters_are_bounded() -> None:
    rule = compiled(
        'alert tcp any any -> any any (content:"a"; threshold:type limit, track by_src, count 1, seconds 60; sid:1;)'
    )
    counters = Thresholds(most=100)
    for number in range(1_000):
        counters.passes(rule, number.to_bytes(4, "big"), b"", START)
    assert (len(counters), counters.evicted) == (100, 900)


# --- streams ----------------------------------------------------------------------------------------------------


def test_a_content_across_packets_is_found_at_the_beginning_of_a_stream_and_behind_it_in_each_packet() -> None:
    rules = ruleset('content:"evil"; content:"again"; distance:0;', 'content:"tail";')
    assert fired(rules, sent(b"xxev", b"ilxx", b"aga", b"in")) == [1]
    filler = b"z" * 1_000
    long = [filler] * (matching.MAX_HEAD // 1_000 + 1)
    assert fired(rules, sent(*long, b"xxtailxx")) == [2]
    assert fired(rules, sent(*long, b"xxta", b"ilxx")) == []


def test_a_stream_rule_tells_again_of_new_bytes_only() -> None:
    rules = ruleset('content:"wrong password";')
    assert fired(rules, sent(b"wrong password", b"try", b"wrong password", b"x")) == [1, 1]


def test_what_is_encrypted_is_not_looked_at() -> None:
    from tests.collectors.network.test_packet_rules_shipped import HELLO, handshake

    rules = ruleset('content:"secret";')
    talk = Talk().opens()
    talk.says(0, ACK | PSH, HELLO)
    talk.says(1, ACK | PSH, handshake(7) + b"\x14\3\3\0\1\1")
    talk.says(0, ACK | PSH, b"\x17\3\3\0\6secret")
    assert fired(rules, talk.frames) == []
    assert fired(rules, sent(b"\x17\3\3\0\6secret")) == [1]


def test_nothing_is_held_of_connections_that_have_ended_and_no_more_than_is_allowed() -> None:
    rules = ruleset('content:"a"; content:"never";', 'http.request_body; content:"x";')
    talks = [Talk(ports=(1_000 + number, 80)).opens() for number in range(50)]
    for talk in talks:
        talk.says(0, ACK | PSH, b"POST / HTTP/1.1\r\nContent-Length: 9000\r\n\r\n" + b"a" * 1_000)
    data = pcap(frame for talk in talks for frame in talk.frames)
    sensor = Sensor(lambda *_: None, rules=rules)
    assert sensor.matcher is not None
    sensor.take(data, packets(data))
    assert 50_000 < sensor.matcher.held < 60_000
    sensor.finish()
    assert sensor.matcher.held == 0
    poor = matching.Matcher(rules, lambda *_: None, most_held=10_000)
    sensor = Sensor(lambda *_: None, rules=rules)
    sensor.matcher = poor
    sensor.take(data, packets(data))
    assert poor.held < 12_000
    assert poor.counts.unheld >= 39


def test_a_connection_that_has_ended_is_freed_at_once() -> None:
    """Live, the search for cycles is rare (`collect_rarely`)."""
    rules = ruleset('content:"a";', "flags:S;", header=f"tcp {CLIENT} any -> any any")
    sensor = Sensor(lambda *_: None, rules=rules)
    gc.collect()
    gc.disable()
    try:
        for number in range(20):
            talk = Talk(ports=(1_000 + number, 80)).opens()
            talk.says(0, ACK | PSH, b"GET / HTTP/1.1\r\n\r\na")
            data = pcap(talk.closes().frames)
            sensor.take(data, packets(data))
        sensor.finish()
        assert not [each for each in gc.get_objects() if isinstance(each, matching.Watched | matching.WatchedSide)]
    finally:
        gc.enable()


# --- buffers ----------------------------------------------------------------------------------------------------

REQUEST_BYTES = (
    b"POST /a/../%62//c?q=%2e1 HTTP/1.1\r\nHost: WWW.Example.vn:8080\r\nUser-Agent: tool/1\r\nCookie: k=v\r\n"
    b"X-One:  two\r\nReferer: http://r/\r\nAccept: */*\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nbody=1"
)
ANSWER_BYTES = (
    b"HTTP/1.1 404 Not Found\r\nServer: box\r\nSet-Cookie: s=1\r\nLocation: /x\r\nContent-Length: 4\r\n\r\nbody"
)


@pytest.mark.parametrize(
    ("buffer", "value"),
    [
        ("http.method", "POST"), ("http.uri", "/b/c?q=.1"), ("http.uri.raw", "/a/../%62//c?q=%2e1"),
        ("http.host", "www.example.vn"), ("http.host.raw", "WWW.Example.vn:8080"), ("http.user_agent", "tool/1"),
        ("http.cookie", "k=v"), ("http.referer", "http://r/"), ("http.accept", "*/*"),
        ("http.content_type", "text/plain"), ("http.content_len", "6"), ("http.protocol", "HTTP/1.1"),
        ("http.request_line", "POST /a/../%62//c?q=%2e1 HTTP/1.1"), ("http.request_body", "body=1"),
        ("http.request_header", "X-One: two"),
        ("http.header_names", "|0d 0a|Host|0d 0a|User-Agent|0d 0a|Cookie|0d 0a|X-One|0d 0a|Referer|0d 0a|Accept|0d 0a|"
         "Content-Type|0d 0a|Content-Length|0d 0a 0d 0a|"),
    ],
)  # fmt: skip
def test_buffers_of_a_request(buffer: str, value: str) -> None:
    rules = ruleset(f'{buffer}; content:"{value}"; startswith; endswith;')
    assert fired(rules, sent(REQUEST_BYTES)) == [1]
    assert fired(rules, sent(REQUEST_BYTES[:70], REQUEST_BYTES[70:])) == [1]
    assert fired(rules, sent(b"PUT /other HTTP/1.0\r\nHost: x\r\n\r\n")) == []


@pytest.mark.parametrize(
    ("buffer", "value"),
    [
        ("http.stat_code", "404"), ("http.stat_msg", "Not Found"), ("http.server", "box"), ("http.cookie", "s=1"),
        ("http.location", "/x"), ("http.response_body", "body"), ("file.data", "body"),
        ("http.response_line", "HTTP/1.1 404 Not Found"), ("http.response_header", "Server: box"),
    ],
)  # fmt: skip
def test_buffers_of_a_response(buffer: str, value: str) -> None:
    rules = ruleset(
        f'{buffer}; content:"{value}"; startswith; endswith;',
        f'flow:to_server; {buffer}; content:"{value}";'
        if buffer in ("http.cookie", "file.data")
        else 'content:"never";',
    )
    assert fired(rules, sent(ANSWER_BYTES, side=1)) == [1]
    assert fired(rules, sent(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", side=1)) == []


def test_the_cookie_is_no_part_of_the_header_but_of_the_raw_one() -> None:
    rules = ruleset(
        'http.header; content:"k=v";', 'http.header.raw; content:"k=v";', 'http.header; content:"X-One: two|0d 0a|";'
    )
    assert fired(rules, sent(REQUEST_BYTES)) == [2, 3]


def test_the_old_form_means_the_same() -> None:
    rules = ruleset(
        'content:"/b/c"; http_uri; content:"tool"; http_user_agent; content:"post"; nocase; http_method;',
        'content:"/b/"; http_uri; content:"c"; http_uri; within:1;', 'pcre:"/^\\/b\\/c/U";', 'content:"/b/c";',
        "urilen:9;",
    )  # fmt: skip
    assert fired(rules, sent(REQUEST_BYTES)) == [1, 2, 3, 5]


def test_a_body_is_put_together_and_unpacked() -> None:
    packed = gzip.compress(b"find the needle here")
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (packed[:7], packed[7:])) + b"0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
    rules = ruleset('file.data; content:"needle";', 'file_data; content:"needle"; http.stat_code; content:"200";')
    assert fired(rules, sent(head + chunks, side=1)) == [1, 2]
    assert fired(rules, sent(head, chunks[:9], chunks[9:], side=1)) == [1, 2]


def test_several_requests_of_one_connection() -> None:
    rules = ruleset('http.uri; content:"/two"; startswith;')
    one, two = (b"POST /%s HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET /" % name for name in (b"one", b"two"))
    assert fired(rules, sent(one + two)) == [1]
    assert fired(rules, sent(one, two)) == [1]
    assert fired(rules, sent(one[:-2], one[-2:] + two)) == [1]


def test_no_body_grows_without_end() -> None:
    side = HttpSide()
    messages = list(side.take(b"HTTP/1.1 200 OK\r\n\r\n"))
    for _ in range(1_000):
        messages += side.take(b"x" * 1_000)
        assert side.held <= 40_000
    assert [message.kind for message in messages] == [RESPONSE, "response_body"]
    for _ in range(1_000):
        assert list(side.take(b"GET /" + b"a" * 1_000)) == []
        assert side.held <= 40_000
    assert [message.kind for message in side.take(b"GET / HTTP/1.1\r\n\r\n")] == [REQUEST]


@pytest.mark.parametrize(
    ("target", "normal"),
    [
        (b"http://h/x/y", b"/x/y"), (b"/a/./b", b"/a/b"), (b"/../../etc", b"/etc"), (b"/a\\b", b"/a/b"),
        (b"/%2e%2e/x", b"/x"), (b"/%25%36%31", b"/%61"), (b"*", b"*"), (b"/a/..", b"/"), (b"/a?b=../c", b"/a?b=../c"),
    ],
)  # fmt: skip
def test_uris_are_made_normal_once(target: bytes, normal: bytes) -> None:
    assert normal_uri(target) == normal


def test_names_that_are_asked_for() -> None:
    rules = ruleset(
        'dns.query; content:"Example.VN"; nocase; endswith;', 'dns.query; content:"example.vn";',
        'dns.query; dotprefix; content:".example.vn"; nocase; endswith;', 'dns_query; content:"xample"; bsize:10;',
        header="dns any any -> any any",
    )  # fmt: skip

    def asked(name: str) -> list[tuple[int, bytes]]:
        return [(START, ethernet(ip(CLIENT, SERVER, 17, udp(5000, 53, question(name)))))]

    assert fired(rules, asked("Example.VN")) == [1, 3, 4]
    assert fired(rules, asked("www.example.vn")) == [1, 2, 3]
    assert fired(rules, asked("anexample.vn")) == [1, 2]
    message = question("www.example.vn")
    talk = Talk(ports=(5000, 53)).opens()
    talk.says(0, ACK | PSH, len(message).to_bytes(2, "big") + message[:9])
    talk.says(0, ACK | PSH, message[9:])
    assert fired(rules, talk.frames) == [1, 2, 3]


def test_fingerprints_and_certificates(shared_data: Path) -> None:
    from collectors.network.rules.tls_messages import read

    found = of(sensed((shared_data / "pcap" / "ndpi" / "tls_long_cert.pcap").read_bytes()), "network.tls")
    told = found[0]
    rules = ruleset(
        f'ja3.hash; content:"{told["tls.client.ja3"]}";', f'ja4.hash; content:"{told["tls.client.ja4"]}";',
        f'ja3s.hash; content:"{told["tls.server.ja3s"]}";', f'tls.sni; content:"{told["tls.client.server_name"]}";',
        'tls.certs; content:"|30 82|"; startswith;', 'tls.cert_subject; content:"CN=";',
        f'tls.cert_fingerprint; content:"{told["tls.server.hash.sha1"][:2]}:"; startswith; bsize:59;',
        header="tls any any -> any any",
    )  # fmt: skip
    alerts = of(
        sensed((shared_data / "pcap" / "ndpi" / "tls_long_cert.pcap").read_bytes(), rules=rules), "network.alert"
    )
    assert {event["rule.id"] for event in alerts} == {"1", "2", "3", "4", "5", "6", "7"}
    assert read(11, b"\0\0\3\0\0\7") is not None  # a certificate that is cut off has no names
    assert read(1, b"\3") is None


def test_a_hit_is_an_event_that_says_what_was_found_where() -> None:
    rules = RuleSet(Loading([compiled(
        'alert tcp any any -> any 443 (msg:"Dấu hiệu"; flow:established,to_server; content:"evil"; content:"|00 01|"; distance:1; '
        "reference:cve,2020-1472; reference:url,example.org/x; classtype:trojan-activity; priority:2; sid:77; rev:3; "
        "metadata:signature_severity Major, mitre_technique_id T1210;)".encode().decode("latin-1")
    )], []))  # fmt: skip
    (event,) = of(sensed(pcap(sent(b"some evil x\0\1 rest")), rules=rules), "network.alert")
    assert (event["event.kind"], event["rule.id"], event["rule.name"], event["rule.version"]) == (
        "alert",
        "77",
        "Dấu hiệu",
        "3",
    )
    assert (event["rule.category"], event["event.severity"]) == ("A Network Trojan was detected", 2)
    assert event["rule.reference"] == ["https://nvd.nist.gov/vuln/detail/CVE-2020-1472", "https://example.org/x"]
    assert (event["source.ip"], event["destination.port"], event["packet_rule.direction"]) == (CLIENT, 443, "to_server")
    assert event["packet_rule.matches"] == [
        {"buffer": "payload", "offset": 5, "content": "evil"}, {"buffer": "payload", "offset": 11, "content": ".."},
    ]  # fmt: skip
    assert event["packet_rule.payload.text"] == "some evil x.. rest"
    assert bytes.fromhex(event["packet_rule.payload.hex"]) == b"some evil x\0\1 rest"
    assert event["network.community_id"].startswith("1:")
    assert (event["packet_rule.severity"], event["packet_rule.techniques"]) == ("Major", ["T1210"])


def test_other_rules_are_asked_from_when_they_are_given_and_no_connection_is_lost() -> None:
    talk = Talk().opens()
    talk.says(0, ACK | PSH, b"one")
    first = pcap(talk.frames)
    talk.frames = []
    talk.says(0, ACK | PSH, b"two one")
    talk.closes()
    second = pcap(talk.frames)
    found: list[dict[str, Any]] = []
    sensor = Sensor(lambda fields, _: found.append(fields), rules=ruleset('content:"one";'))
    sensor.take(first, packets(first))
    sensor.use(ruleset('content:"none";', 'content:"two";'))
    sensor.take(second, packets(second))
    sensor.finish()
    assert [event["rule.id"] for event in of(found, "network.alert")] == ["1", "2"]
    assert len(of(found, "network.flow")) == 1


def test_a_candidate_list_has_only_rules_whose_content_is_there() -> None:
    rules = ruleset('content:"alpha";', 'content:"BETA"; nocase;', 'content:!"x"; content:"gamma";')
    assert [rule.sid for rule in rules.candidates(PAYLOAD, b"xx beta ALPHA")] == [1, 2]


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (b"PASS bi-mat\r\n", "PASS ******.."),
        (b"x\r\npass  a b", "x..pass  * b"),
        (b"GET / HTTP/1.1\r\nAuthorization: Basic YTpi\r\n", "GET / HTTP/1.1..Authorization: Basic ****.."),
        (b"a=1&password=h%20i&b=2", "a=1&password=*****&b=2"),
        (b"COMPASS north", "COMPASS north"),
    ],
)
def test_passwords_are_never_kept(payload: bytes, shown: str) -> None:
    rules = ruleset('pcre:"/.+/s";')
    (event,) = of(sensed(pcap(sent(payload)), rules=rules), "network.alert")
    assert event["packet_rule.payload.text"] == shown
    assert event["packet_rule.matches"][0]["content"] == shown
    assert bytes.fromhex(event["packet_rule.payload.hex"]).count(b"*") == shown.count("*")


def test_a_broken_rule_is_refused_and_nothing_else_happens(shared_data: Path) -> None:
    """Thousands of real rules with signs changed, left out and put in: each loads or is refused with words."""
    chance = random.Random(20261129)
    texts = [
        text
        for path in sorted((shared_data / "suricata-rules").glob("*.rules"))
        for _, text in lines(path.read_bytes())
    ]
    variables, expressions = Variables(), compiler()
    refused = 0
    for _ in range(6_000):
        text = list(chance.choice(texts)[:1_500])
        for _ in range(chance.choice((1, 1, 2, 4))):
            at = chance.randrange(len(text))
            text[at : at + chance.randrange(3)] = chance.choice(
                ('"', ";", ":", "|", "!", "\\", ",", "(", ")", "[", "]", "x", "-9", "", "0", "/R")
            )
        try:
            compile_rule("".join(text), variables, expressions, "broken.rules:1")
        except Refused as fault:
            refused += 1
            assert str(fault)
    assert 1_000 < refused < 5_900
