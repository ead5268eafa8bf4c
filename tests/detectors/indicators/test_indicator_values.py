"""One indicator: how it is written, what it is told to be, and what is refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.indicators.indicator import KINDS, REASONS, Indicator, RefusedIndicator, normal, of_line, url_key


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("45.9.148.3", ("address", "45.9.148.3")),
        ("45.9.148[.]3:443", ("address", "45.9.148.3")),
        ("45.9.148.0/24", ("network", "45.9.148.0/24")),
        ("45.9.148.7/24", ("network", "45.9.148.0/24")),
        ("45.9.148.3/32", ("address", "45.9.148.3")),
        ("2001:4860:4860::7777", ("address", "2001:4860:4860::7777")),
        ("2001:4860:0000::/32", ("network", "2001:4860::/32")),
        ("::ffff:45.9.148.3", ("address", "45.9.148.3")),
        ("Evil[.]Example(dot)COM.", ("domain", "evil.example.com")),
        ("*.evil.example.com", ("domain", "evil.example.com")),
        ("máy-chủ.vn", ("domain", "xn--my-ch-xqa0396e.vn")),
        ("hxxps://Evil[.]example[.]com:443/A?b=C#d", ("url", "evil.example.com/A?b=C")),
        ("http://45.9.148.3:8080", ("url", "45.9.148.3:8080/")),
        ("evil.example.com/a", ("url", "evil.example.com/a")),
        ("User@Evil.example.com", ("email", "user@evil.example.com")),
        ("AEEB74A57C1F9DF4CFC4536D26A38B8C", ("md5", "aeeb74a57c1f9df4cfc4536d26a38b8c")),
        ("t10i120400_9a86275ec70d_368bf2d64253", ("ja4", "t10i120400_9a86275ec70d_368bf2d64253")),
        ("a" * 40, ("sha1", "a" * 40)),
        ("b" * 64, ("sha256", "b" * 64)),
    ],
)
def test_a_value_has_one_way_of_being_written(text: str, expected: tuple[str, str]) -> None:
    if text == "máy-chủ.vn":
        expected = ("domain", text.encode("idna").decode())
    assert normal(text) == [expected]
    assert normal(expected[1], expected[0]) == [expected]


def test_a_range_of_addresses_becomes_networks() -> None:
    found = normal("45.9.148.1-45.9.148.6")
    assert [value for _, value in found] == ["45.9.148.1", "45.9.148.2/31", "45.9.148.4/31", "45.9.148.6"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"), ("10.1.2.3", "private"), ("192.168.0.0/16", "private"), ("127.0.0.1", "private"),
        ("224.0.0.9", "private"), ("fe80::1", "private"), ("0.0.0.0/0", "too_wide"), ("::/0", "too_wide"),
        ("1.0.0.0/7", "too_wide"), ("1.0.0.0-3.0.0.0", "too_wide"), ("com", "public_suffix"),
        ("gov.vn", "public_suffix"), ("co.uk", "public_suffix"), ("hanoi.vn", "public_suffix"),
        ("printer.local", "own_name"), ("localhost", "own_name"), ("not a domain", "no_domain"),
        ("<html>", "no_domain"), ("1.2.3.4.5", "no_address"), ("45.9.148.3/99", "no_network"),
        ("http://10.0.0.1/a", "private"), ("http://intranet/a", "own_name"), ("http://[::1/a", "no_url"),
        ("d41d8cd98f00b204e9800998ecf8427e", "empty_file"), ("x" * 3000, "too_long"), ("a@b@c.vn", "no_email"),
    ],
)  # fmt: skip
def test_what_would_alert_on_everything_or_is_none_is_refused_by_name(text: str, reason: str) -> None:
    with pytest.raises(RefusedIndicator) as caught:
        normal(text)
    assert caught.value.reason == reason
    assert reason in REASONS


def test_a_hash_of_another_length_is_none_of_its_kind() -> None:
    with pytest.raises(RefusedIndicator, match="no_hash"):
        normal("a" * 32, "sha256")
    with pytest.raises(RefusedIndicator, match="unknown_kind"):
        normal("a" * 32, "mutex")


@given(st.text(max_size=60), st.sampled_from(["", *KINDS]))
def test_whatever_a_list_says_it_is_an_indicator_or_refused(text: str, kind: str) -> None:
    try:
        found = normal(text, kind)
    except RefusedIndicator as refused:
        assert refused.reason in REASONS
        return
    for made, value in found:
        assert made in KINDS
        again = normal(value, made)
        assert again == [(made, value)]
        indicator = Indicator(made, value, "feed")
        assert of_line(indicator.line()) == indicator


def test_http_and_https_are_one_url_and_a_port_of_its_own_is_not() -> None:
    assert url_key("http://a.vn/x") == url_key("HTTPS://A.vn:443/x") == "a.vn/x"
    assert url_key("http://a.vn:443/x") != url_key("http://a.vn/x")
