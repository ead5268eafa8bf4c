"""Sentences that are found once and read by many: in English where nobody asks, in the language of who reads them."""

import copy
import pickle
import tomllib

import pytest

from pipeline.messages import HaidangError, Sentence, said, speaking
from pipeline.toml_faults import toml_fault

#: What people get wrong, and a word of what is said of it.
BROKEN = {
    "a": ("dấu '='", "column 2"), "a = ": ("không phải giá trị", "column 5"), "a = [1": ("chưa đóng", "end of document"),
    'a = "x': ("dấu nháy", "line 1"), 'a = "C:\\đ"': ("gạch chéo ngược", "line 1"), 'a = "\x01"': ("Ký tự", "column 6"),
    "a = 1\na = 2": ("hai lần", "line 2"), "[x": ("Thiếu ']'", "line 1"), "a = 1 b": ("xuống dòng", "line 1"),
    "[x]\n[x]": ("'x' có hai lần", "line 2"), "a = {b = 1": ("ngoặc nhọn", "line 1"),
    "= 1": ("không phải khai báo", "line 1"), "a = {b = 1}\n[a]\nc = 1": ("'a'", "line 2"),
}  # fmt: skip


def test_a_sentence_is_heard_in_the_language_of_who_reads_it() -> None:
    inner = Sentence("sigma.in_selection", name="'a'", key="'b'")
    outer = Sentence("sigma.at", where=inner, why=Sentence("sigma.no_detection"))
    with speaking("vi"):
        assert outer == "selection 'a', 'b': the rule has no detection"
        assert said(outer) == "trong selection 'a', 'b': luật không có phần detection"
        assert str(HaidangError("rulebook.draft_refused", reason=outer)).endswith(said(outer))
        assert said("as it is") == "as it is"
    with speaking("en"):
        assert said(outer) == outer
    for made in (pickle.loads(pickle.dumps(outer)), copy.deepcopy(outer)):
        assert made == outer
        with speaking("vi"):
            assert said(made) == said(outer)
    moved = Sentence("sigma.identifier_taken", id="1", by="/tmp/x/a.yml").replace("/tmp/x/", "")
    with speaking("vi"):
        assert said(moved) == "mã 1 đã có luật khác dùng: a.yml"


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_wrong_with_a_toml_text_is_said_in_vietnamese_and_where(text: str) -> None:
    word, place = BROKEN[text]
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(f"{text}\n")
    made = toml_fault(caught.value)
    assert place in made
    with speaking("vi"):
        told = said(made)
    assert word.lower() in told.lower(), told
    assert "lỗi:" not in told
