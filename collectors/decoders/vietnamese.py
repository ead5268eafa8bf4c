"""The Vietnamese 8-bit encodings that Python lacks, and a test of what Vietnamese looks like.

TCVN3 ("ABC", fonts .VnTime …): TCVN 5712:1993 as one byte a letter. The upper-case fonts
(.VnTimeH) draw the same codes as capitals, so a capital vowel with a tone has the code of its
small letter and comes back small; only Ă Â Ê Ô Ơ Ư Đ have codes of their own in VN3. The codes
that the standard's larger sets VN1/VN2 give to capitals above 0x7F are read too.

VNI Windows (fonts VNI-Times …): a base letter, then one character for the rest ("tieáng" is
"tiếng"); đ, the tones of i and "ỵ" are single characters.
"""

import re
import unicodedata
from functools import lru_cache

TONES = "\u0300\u0309\u0303\u0301\u0323"  # grave, hook, tilde, acute, dot below
_TONE_MARKS = re.compile(f"[{TONES}]")

_TCVN3_80 = (
    "ÀẢÃÁẠẶẬÈẺẼÉẸỆÌỈĨ"
    "ÍỊÒỎÕÓỌỘỜỞỠỚỢÙỦŨ"
    "\u00a0ĂÂÊÔƠƯĐăâêôơưđẰ"
    "\u0300\u0309\u0303\u0301\u0323àảãáạẲằẳẵắẴ"
    "ẮẦẨẪẤỀặầẩẫấậèỂẻẽ"
    "éẹềểễếệìỉỄẾỒĩíịò"
    "Ổỏõóọồổỗốộờởỡớợù"
    "ỖủũúụừửữứựỳỷỹýỵỐ"
)
TCVN3_LETTERS = "ĂÂÊÔƠƯĐăâêôơưđàảãáạằẳẵắặầẩẫấậèẻẽéẹềểễếệìỉĩíịòỏõóọồổỗốộờởỡớợùủũúụừửữứựỳỷỹýỵ"
"""The letters that the TCVN3 (VN3) fonts have."""
TCVN3 = {0x80 + index: letter for index, letter in enumerate(_TCVN3_80)}
"""Byte → letter, for bytes above 0x7F (a table for `str.translate` on Latin-1 text)."""

_VNI_MARKS = {
    "aAeEoOuUyY": {"ù": "\u0301", "ø": "\u0300", "û": "\u0309", "õ": "\u0303", "ï": "\u0323"},
    "aAeEoO": {
        "â": "\u0302",
        "á": "\u0302\u0301",
        "à": "\u0302\u0300",
        "å": "\u0302\u0309",
        "ã": "\u0302\u0303",
        "ä": "\u0302\u0323",
    },
    "aA": {
        "ê": "\u0306",
        "é": "\u0306\u0301",
        "è": "\u0306\u0300",
        "ú": "\u0306\u0309",
        "ü": "\u0306\u0303",
        "ë": "\u0306\u0323",
    },
}
_VNI_HORNED = {"ô": "ơ", "Ô": "Ơ", "ö": "ư", "Ö": "Ư"}
_VNI_SINGLE = {"ñ": "đ", "æ": "ỉ", "ó": "ĩ", "ò": "ị", "î": "ỵ", "í": "í", "ì": "ì"}


def _vni_table() -> dict[str, str]:
    """VNI text of one letter (one or two characters) → the letter."""
    table = dict(_VNI_HORNED)
    for small, letter in _VNI_SINGLE.items():
        table[small] = letter
        table[small.upper()] = letter.upper()
    bases = [(base, base, marks) for letters, marks in _VNI_MARKS.items() for base in letters]
    tones = _VNI_MARKS["aAeEoOuUyY"]
    bases += [(typed, letter, tones) for typed, letter in _VNI_HORNED.items()]
    for typed, letter, marks in bases:
        for mark, combining in marks.items():
            composed = unicodedata.normalize("NFC", letter + combining)
            table[typed + mark] = composed
            table[typed + mark.upper()] = composed
    return table


VNI = _vni_table()
_VNI_LETTER = re.compile("|".join(sorted(map(re.escape, VNI), key=len, reverse=True)))


def decode_tcvn3(raw: bytes) -> str:
    """Any bytes → text in NFC."""
    return unicodedata.normalize("NFC", raw.decode("latin-1").translate(TCVN3))


def decode_vni(raw: bytes) -> str:
    """Any bytes → text in NFC; what is not VNI stays as Windows-1252 has it."""
    text = raw.decode("windows-1252", "replace")
    return unicodedata.normalize("NFC", _VNI_LETTER.sub(lambda found: VNI[found[0]], text))


def decode_windows_1258(raw: bytes) -> str:
    """Any bytes → text in NFC (tones are combining marks of their own there)."""
    return unicodedata.normalize("NFC", raw.decode("windows-1258", "replace"))


_ONSET = "(?:ngh|ng|nh|ch|gh|gi|kh|ph|qu|th|tr|[bcdđghklmnpqrstvx])?"
_RHYME_TEXT = """
a ac ach ai am an ang anh ao ap at au ay ăc ăm ăn ăng ăp ăt âc âm ân âng âp ât âu ây
e ec em en eng eo ep et ê êch êm ên ênh êp êt êu
i ia ich iêc iêm iên iêng iêp iêt iêu im in inh ip it iu y yêm yên yêng yêt yêu
o oa oac oach oai oam oan oang oanh oao oap oat oay oăc oăm oăn oăng oăt oc oe oen oeo oet oi
om on ong ooc oong op ot ô ôc ôi ôm ôn ông ôp ôt ơ ơi ơm ơn ơp ơt
u ua uân uâng uât uây uc uê uêch uênh ui um un ung uôc uôi uôm uôn uông uôt up ut uơ uy uya
uych uyên uyêt uyn uynh uyp uyt uyu ư ưa ưc ưi ưm ưn ưng ươc ươi ươm ươn ương ươp ươt ươu ưt ưu
"""
_RHYMES = _RHYME_TEXT.split()
_SYLLABLE = re.compile(_ONSET + "(?:" + "|".join(sorted(_RHYMES, key=len, reverse=True)) + ")")
_WORD = re.compile(r"[^\W\d_]+")
_SIGNS = re.compile(r"[^\w\s\x00-\x7f“”‘’–—…«»°•]+")
"""Signs that Vietnamese text seldom has ("m· ®éc" is TCVN3 read as something else)."""
LONGEST_SYLLABLE = 7  # "nghiêng"


def plausibility(text: str) -> float:
    """How well the accented words of a text fit Vietnamese: right ones minus wrong ones,
    as a share of them; 0.0 where there is no accented word."""
    right = wrong = 0
    for word in _WORD.findall(text):
        if word.isascii():
            continue
        if _is_syllable(word) and (word.islower() or word.isupper() or word.istitle()):
            right += 1
        else:
            wrong += 1
    wrong += sum(map(len, _SIGNS.findall(text)))
    return (right - wrong) / (right + wrong) if right + wrong else 0.0


@lru_cache(maxsize=4096)
def _is_syllable(word: str) -> bool:
    if len(word) > LONGEST_SYLLABLE:
        return False
    parts = unicodedata.normalize("NFD", word.lower())
    toneless = _TONE_MARKS.sub("", parts)
    if len(parts) - len(toneless) > 1:
        return False
    return _SYLLABLE.fullmatch(unicodedata.normalize("NFC", toneless)) is not None
