"""Lists that attackers' addresses really stand in, for the tests of indicators."""

import re
from pathlib import Path

from detectors.indicators.formats import read
from detectors.indicators.indicator import Indicator
from detectors.indicators.listed import Defaults, Refusal

DEFAULTS = Defaults("list", "c2", 80)


def addresses(shared: Path, rules: str) -> list[str]:
    """Return the addresses that rules of Emerging Threats name, sorted."""
    text = (shared / "suricata-rules" / rules).read_text("utf-8", "replace")
    heads = re.findall(r"^alert \w+ (\S+) \S+ -> (\S+)", text, re.MULTILINE)
    return sorted({each for head in heads for part in head for each in re.findall(r"\d+\.\d+\.\d+\.\d+", part)})


def indicators(data: bytes, form: str = "auto", defaults: Defaults = DEFAULTS) -> list[Indicator]:
    """Return the indicators of a list."""
    return [each for each in read(data, form, defaults) if isinstance(each, Indicator)]


def refusals(data: bytes, form: str = "auto") -> list[Refusal]:
    """Return what is refused of a list."""
    return [each for each in read(data, form, DEFAULTS) if isinstance(each, Refusal)]
