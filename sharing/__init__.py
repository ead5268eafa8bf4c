"""The stage `sharing`: alerts and the inventory enter, signed messages to the authority leave, warnings come back.

`profile.py` says who gets what, `facts.py` makes counted facts of alerts, `privacy.py` leaves in them what may leave,
`formats.py` lists how they are written, `book.py` has the messages and what became of each, `courier.py` sends them.
"""

#: A message waits for people; waits to be signed; is signed and waits to be sent; was taken; was refused for good; was
#: not taken in time; was withdrawn by a person; was built and signed, but only as a rehearsal.
HELD, APPROVED, QUEUED, SENT, REFUSED, EXPIRED, WITHDRAWN, REHEARSED = (
    "held", "approved", "queued", "sent", "refused", "expired", "withdrawn", "rehearsed",
)  # fmt: skip
STATUSES = (HELD, APPROVED, QUEUED, SENT, REFUSED, EXPIRED, WITHDRAWN, REHEARSED)
#: Those that nothing more happens to by itself.
ENDED = (SENT, REFUSED, EXPIRED, WITHDRAWN, REHEARSED)
#: What a message tells of: counts, threats by their names, an incident, or what was done about a warning.
STATISTICS, INDICATORS, INCIDENT, ACKNOWLEDGEMENT = "statistics", "indicators", "incident", "acknowledgement"
KINDS = (STATISTICS, INDICATORS, INCIDENT, ACKNOWLEDGEMENT)
