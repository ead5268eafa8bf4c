"""Cases: what people work on together, from the alerts that began it to the report that ends it.

`life.py` opens, changes and closes them, `entries.py` puts things into them, `clocks.py` watches the law's terms,
`showing.py` is what others see, `bundle.py` is what leaves the site.
"""

OPEN, CLOSED = "open", "closed"
#: FIRST's Traffic Light Protocol 2.0 and MISP's Permissible Actions Protocol.
TLP = ("clear", "green", "amber", "amber+strict", "red")
PAP = ("clear", "green", "amber", "red")
LEVELS = ("informational", "low", "medium", "high", "critical")
#: What a case holds.
ALERTS, EVENT, NOTE, FILE = "alerts", "event", "note", "file"
OBSERVABLE, TASK, CHANGE = "observable", "task", "change"
KINDS = (ALERTS, EVENT, NOTE, FILE, OBSERVABLE, TASK, CHANGE)
