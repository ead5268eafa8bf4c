"""The one error of the rule compiler."""


class RuleRefused(Exception):
    """A rule cannot be used; the text says what, which value, where and what was expected."""
