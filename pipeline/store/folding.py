"""Folding: a text enters, what is compared of it leaves: without case and diacritics, the same in every store."""

from functools import cache

from tantivy import Filter, TextAnalyzer, TextAnalyzerBuilder, Tokenizer


@cache
def folded() -> TextAnalyzer:
    """Return what is done to an exact value before it is indexed or looked up."""
    return TextAnalyzerBuilder(Tokenizer.raw()).filter(Filter.lowercase()).filter(Filter.ascii_fold()).build()


@cache
def words() -> TextAnalyzer:
    """Return what splits a text into its words: runs of letters and digits (Unicode), folded."""
    return TextAnalyzerBuilder(Tokenizer.simple()).filter(Filter.lowercase()).filter(Filter.ascii_fold()).build()
