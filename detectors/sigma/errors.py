"""The one error of the rule compiler."""

from typing import Any

from pipeline.messages import Sentence


class RuleRefused(Exception):
    """A rule cannot be used; `why` says what, which value, where and what was expected."""

    def __init__(self, key: str, /, **values: Any) -> None:
        self.why = Sentence(f"sigma.{key}", **values)
        super().__init__(self.why)
