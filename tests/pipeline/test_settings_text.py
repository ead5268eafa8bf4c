"""Texts of settings without their secrets, and back: on every example of the docs, and on what TOML allows."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.messages import HaidangError
from pipeline.settings.text import hidden, line_of_fault, restored

_DOCS = Path(__file__).parents[2] / "docs"
_EXAMPLES = [
    block for page in sorted(_DOCS.glob("*.md")) for block in re.findall(r"```toml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
]  # fmt: skip
_UGLY = '''# password = "một hai ba"
language = "vi"  # Zw9-secret
state = { url = "postgresql://a:b@h/d" }
[store]
api_key = \'\'\'
Zw9-secret\'\'\'
password = """
multi \\
   line \\"quoted\\" #no comment"""
[[channels]]
name = "mail"
kind = "mail"
"password" = 'Zw9-secret'
[[channels]]
name = "hook" # "
kind = "webhook"
url = "https://h/Zw9?token=x"
secrets = [ # two
  "eins", "zwei",  # drei
]
pasword = "misspelt"
'''


def test_the_examples_of_the_docs_come_back_as_they_were() -> None:
    assert len(_EXAMPLES) > 10
    for text in _EXAMPLES:
        shown = hidden(text)
        assert restored(shown, text) == text
        assert tomllib.loads(shown).keys() == tomllib.loads(text).keys()


def test_no_secret_is_left_wherever_toml_lets_it_stand() -> None:
    shown = hidden(_UGLY)
    for secret in ("một hai ba", "postgresql", "Zw9", "multi", "quoted", "eins", "zwei", "misspelt"):
        assert secret not in shown
    assert restored(shown, _UGLY) == _UGLY
    assert len(set(re.findall(r"\[secret \d+\]", shown))) == 10
    assert 'name = "hook" # "' in shown


def test_a_secret_goes_with_its_section_and_a_new_one_comes_in() -> None:
    first, rest = hidden(_UGLY).split("[[channels]]", 1)
    mail, hook = rest.split("[[channels]]")
    turned = restored(f"{first}[[channels]]{hook}[[channels]]{mail}", _UGLY)
    assert [each.get("password") for each in tomllib.loads(turned)["channels"]] == [None, "Zw9-secret"]
    changed = restored(re.sub(r'"password" = .*', '"password" = "new one"', hidden(_UGLY)), _UGLY)
    assert tomllib.loads(changed)["channels"][0]["password"] == "new one"
    assert tomllib.loads(changed)["store"] == tomllib.loads(_UGLY)["store"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('observer = "[secret 1]"', "settings.secret_elsewhere"),
        ('[store]\npassword = "x[secret 1]"', "settings.secret_elsewhere"),
        ('[[sources]]\nname = "[secret 2]"', "settings.secret_elsewhere"),
        ('[store]\npassword = "[secret 99]"', "settings.no_such_secret"),
        ('[store]\npassword = "[secret 0]"', "settings.no_such_secret"),
        ("# [secret 3]", "settings.no_such_secret"),
        ("a = [", "settings.text_not_toml"),
        ("a = " + "[" * 100_000, "settings.text_not_toml"),
    ],
)
def test_a_secret_is_taken_nowhere_else(text: str, key: str) -> None:
    with pytest.raises(HaidangError) as caught:
        restored(text, _UGLY)
    assert caught.value.key == key


def test_a_secret_that_is_not_written_anew_goes_to_nobody_else() -> None:
    mail = '[[channels]]\nname = "mail"\nkind = "mail"\nhost = "mx.tinh.vn"\npassword = "{}"\n'
    hook = '[[channels]]\nname = "hook"\nkind = "webhook"\nurl = "{}"\ntoken = "{}"\n'
    before = mail.format("p1") + hook.format("https://ours.vn/x", "t1")
    shown = hidden(before)
    assert restored(shown, before) == before
    for moved in (
        shown.replace("mx.tinh.vn", "evil.example"), shown.replace('kind = "mail"', 'kind = "kafka"'),
        shown.replace('url = "[secret 2]"', 'url = "https://evil.example"'),
        hook.format("https://evil.example", "[secret 1]"), "[store]\nurls = []\npassword = '[secret 1]'",
    ):  # fmt: skip
        with pytest.raises(HaidangError) as caught:
            restored(moved, before)
        assert caught.value.key == "settings.secret_moved"
    renamed = shown.replace('name = "mail"', 'name = "thư"')
    assert restored(renamed, before) == before.replace('name = "mail"', 'name = "thư"')
    anew = shown.replace("mx.tinh.vn", "mx2.tinh.vn").replace('password = "[secret 1]"', 'password = "p2"')
    assert tomllib.loads(restored(anew, before))["channels"][0]["password"] == "p2"


@given(value=st.text(min_size=1), quote=st.sampled_from(["basic", "several", "literal"]))
def test_whatever_a_password_is_it_is_hidden_and_comes_back(value: str, quote: str) -> None:
    escaped = "".join(f"\\U{ord(letter):08x}" for letter in value if not "\ud800" <= letter <= "\udfff")
    plain = re.sub(r"[^\w ]", "", value) or "x"
    literal = {"basic": f'"{escaped or "x"}"', "several": f'"""\n{escaped}x"""', "literal": f"'{plain}'"}[quote]
    text = f'[store]\npassword = {literal} # kept\nkind = "tantivy"\n'
    shown = hidden(text)
    assert shown == '[store]\npassword = "[secret 1]" # kept\nkind = "tantivy"\n' or value in ("tantivy", "x")
    assert restored(shown, text) == text


def test_a_fault_is_told_with_its_line() -> None:
    text = '''language = "xx"
[api]
port = 1

[[sources]]
name = "a"
paths = [
  "a",
]
kind = "files"
[[sources]]
name = """
b"""
kind = "syslog"
tls_port = 99999
[indicators]
[[indicators.feeds]]
name = "x"
'''
    lines = [
        line_of_fault(text, fault)
        for fault in (
            "language = 'xx': expected", "api.port = 1: expected", "sources.0.kind: x", "sources.1.tls_port = 99999: x",
            "sources.1.udp_port: x", "indicators.feeds.0.name: x", "indicators.feeds.0: x", "nothing: x", ": x",
        )
    ]  # fmt: skip
    assert lines == [1, 3, 10, 15, 11, 18, 17, None, None]
