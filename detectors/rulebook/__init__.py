"""The rulebook: which packs of rules a site uses, which rules alert, and what it excepts; changes leave as revisions.

`book.py` is what it says, `revisions.py` where it is kept, `loading.py` makes a rule set of it, `sources.py` and
`bundle.py` read packs, `checks.py` looks at rules before they are used, `changes.py` is what people do with it.
"""
