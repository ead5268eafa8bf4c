"""What becomes of alerts: who takes one, what it turned out to be, and what is kept out of the queue with a reason.

The response stage puts alerts in (`response/queue.py`); commands and the API change them here.
"""

NEW, ACKNOWLEDGED, ESCALATED = "new", "acknowledged", "escalated"
TRUE_POSITIVE, FALSE_POSITIVE = "true_positive", "false_positive"
#: Kept out of the queue by a suppression; it is stored, searched and counted as every other one.
SUPPRESSED = "suppressed"
STATUSES = (NEW, ACKNOWLEDGED, ESCALATED, TRUE_POSITIVE, FALSE_POSITIVE, SUPPRESSED)
#: What somebody has still to do something about.
OPEN = (NEW, ACKNOWLEDGED)
#: What nobody has to do anything about any more.
CLOSED = (TRUE_POSITIVE, FALSE_POSITIVE)
#: What `alerts.group_id` says of an alert that stands in no group, for a suppression has kept it out.
NO_GROUP = "-"
#: What the outbox's rows that ask for an alert's copy in the store are called.
INDEX = "index"
