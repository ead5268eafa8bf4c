"""Bytes to text: UTF-8, UTF-16, Windows-1258, TCVN3, VNI, Western, noise."""

import random
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.decoders.text import to_text
from collectors.decoders.vietnamese import TCVN3, TCVN3_LETTERS, VNI, plausibility

SENTENCES = Path(__file__).with_name("vietnamese_sentences.txt").read_text("utf-8").strip().split("\n")
VOWELS = "aăâeêioôơuưy"
LOWER = "".join(
    unicodedata.normalize("NFC", vowel + tone)
    for vowel in VOWELS
    for tone in ("", "\u0300", "\u0309", "\u0303", "\u0301", "\u0323")
)
ACCENTED = "".join(letter for letter in LOWER + "đ" if not letter.isascii())

TO_TCVN3 = {letter: bytes([code]) for code, letter in TCVN3.items()}
TO_VNI: dict[str, str] = {}
for typed, letter in VNI.items():
    if letter.islower() == typed[-1].islower():
        TO_VNI.setdefault(letter, typed)
UPPER_MARKS_1258 = "\u0300\u0309\u0303\u0301\u0323"


def to_1258(text: str) -> bytes:
    """Letters composed but for the tone, as Windows writes them."""
    parts = []
    for letter in text:
        split = unicodedata.normalize("NFD", letter)
        tones = "".join(mark for mark in split if mark in UPPER_MARKS_1258)
        rest = "".join(mark for mark in split if mark not in UPPER_MARKS_1258)
        parts.append(unicodedata.normalize("NFC", rest) + tones)
    return "".join(parts).encode("windows-1258")


def to_tcvn3(text: str) -> bytes:
    return b"".join(TO_TCVN3.get(letter, letter.encode("latin-1", "replace")) for letter in text)


def to_vni(text: str) -> bytes:
    return "".join(TO_VNI.get(letter, letter) for letter in text).encode("windows-1252")


ENCODERS = {"windows-1258": to_1258, "tcvn3": to_tcvn3, "vni": to_vni}


def test_there_are_134_accented_letters() -> None:
    assert len(set(ACCENTED)) == len(ACCENTED) == 67
    assert len(set(ACCENTED + ACCENTED.upper())) == 134


@pytest.mark.parametrize("name", ["windows-1258", "vni"])
def test_every_accented_letter_survives_in_both_cases(name: str) -> None:
    text = ACCENTED + ACCENTED.upper()
    assert to_text(ENCODERS[name](text), name) == (text, name)


def test_tcvn3_has_every_small_letter_and_seven_capitals() -> None:
    assert set(TCVN3_LETTERS) == set(ACCENTED) | set("ĂÂÊÔƠƯĐ")
    assert to_text(to_tcvn3(TCVN3_LETTERS), "tcvn3") == (TCVN3_LETTERS, "tcvn3")


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_encodings_are_told_apart_on_single_sentences(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    sentences = [sentence for sentence in SENTENCES if not sentence.isascii()]
    wrong = [sentence for sentence in sentences if to_text(ENCODERS[name](sentence))[0] != sentence]
    with capsys.disabled():
        print(f"\n{name}: {len(wrong)} of {len(sentences)} sentences misread: {wrong[:5]}")
    assert len(wrong) <= 0.03 * len(sentences)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_log_lines_with_a_vietnamese_part_are_read(name: str) -> None:
    line = f"<13>Nov 24 05:17:44 pc-ketoan app[7]: {SENTENCES[0]} code=0x80070005 D:\\a.doc"
    assert to_text(ENCODERS[name](line))[0] == line


@pytest.mark.parametrize("name", ["utf-16", "utf-16-le", "utf-16-be", "utf-8", "utf-8-sig"])
def test_unicode_encodings_are_recognised(name: str) -> None:
    text = "Nov 24 05:17:44 host app: Đăng nhập thất bại"
    assert to_text(text.encode(name))[0] == text


def test_decomposed_letters_come_back_composed() -> None:
    assert to_text(unicodedata.normalize("NFD", SENTENCES[0]).encode()) == (SENTENCES[0], "utf-8")


def test_utf8_cut_inside_a_letter_is_still_utf8() -> None:
    raw = SENTENCES[0].encode()
    text, name = to_text(raw[: raw.index("ế".encode()) + 2])
    assert name == "utf-8"
    assert text is not None
    assert text.startswith("Đăng nhập thất bại cho người dùng")
    assert text.endswith("\ufffd")


WESTERN = [
    "Échec de connexion de l'utilisateur: accès refusé à la base de données",
    "Zugriff verweigert für Benutzer Müller, Gerät größer als zulässig",
    "Conexión rechazada por el administrador; contraseña incorrecta",
    "naïve café",
]


@pytest.mark.parametrize("text", WESTERN)
def test_western_text_is_kept_as_text(text: str) -> None:
    assert to_text(text.encode("latin-1"))[0] == text


@pytest.mark.parametrize("text", WESTERN)
def test_set_encoding_is_obeyed(text: str) -> None:
    assert to_text(text.encode("latin-1"), "latin-1") == (text, "latin-1")


def test_unknown_encoding_name_falls_back_to_the_guess() -> None:
    assert to_text("đ".encode(), "no-such-encoding") == ("đ", "utf-8")


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_text(seed: int) -> None:
    assert to_text(random.Random(seed).randbytes(300)) == (None, "binary")


@pytest.mark.parametrize("raw", [b"\x7fELF\x02\x01\x01\x00\x00\x00", b"\x00\x01\x02\x03", b"\x01\x02"])
def test_binary_heads_are_no_text(raw: bytes) -> None:
    assert to_text(raw)[0] is None


def test_trailing_zero_bytes_are_padding() -> None:
    assert to_text(b"hello\x00\x00") == ("hello", "utf-8")


def test_empty_is_text() -> None:
    assert to_text(b"") == ("", "utf-8")


def test_plausibility_prefers_vietnamese_to_french() -> None:
    assert plausibility(SENTENCES[0]) == 1.0
    assert plausibility(WESTERN[0]) < 0.34


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=400), st.sampled_from(["auto", "tcvn3", "vni", "windows-1258", "utf-16"]))
def test_no_bytes_raise(raw: bytes, encoding: str) -> None:
    text, name = to_text(raw, encoding)
    assert name
    if text is not None:
        assert unicodedata.is_normalized("NFC", text)
