"""Markdown that people write enters, HTML that can do nothing leaves: no HTML of theirs, no scripts, no pictures.

CommonMark with tables (markdown-it-py). Pictures are left out, for their address is asked the moment a note is looked
at; links have an address that a browser may follow and tell the other side nothing of where they stood.
"""

from functools import cache
from typing import Any

from markdown_it import MarkdownIt

_MAX_NESTING = 20


def to_html(text: str) -> str:
    """Return a note as HTML."""
    return str(_renderer().render(text))


@cache
def _renderer() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "maxNesting": _MAX_NESTING}).enable("table").disable("image")
    made.add_render_rule("link_open", _link)
    return made


def _link(self: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    tokens[index].attrSet("rel", "noopener noreferrer nofollow")
    tokens[index].attrSet("target", "_blank")
    return str(self.renderToken(tokens, index, options, env))
