"""The one error of the rule compiler."""

from typing import Any

from pipeline.messages import Sentence


class RuleRefused(Exception):
    """A rule cannot be used; `why` says what, which value, where and what was expected; `at` are the keys that lead to
    it in the detection: a selection, and what is in it, or the condition."""

    def __init__(self, key: str, /, **values: Any) -> None:
        self.why = Sentence(f"sigma.{key}", **values)
        self.at: tuple[str, ...] = ()
        super().__init__(self.why)
