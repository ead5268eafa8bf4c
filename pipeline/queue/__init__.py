"""What becomes of alerts: who takes one, what it turned out to be, and what is kept out of the queue with a reason.

The response stage puts alerts in (`response/queue.py`); commands and the API change them here.
"""

NEW, ACKNOWLEDGED, TRUE_POSITIVE, FALSE_POSITIVE = "new", "acknowledged", "true_positive", "false_positive"
#: Kept out of the queue by a suppression; it is stored, searched and counted as every other one.
SUPPRESSED = "suppressed"
STATUSES = (NEW, ACKNOWLEDGED, TRUE_POSITIVE, FALSE_POSITIVE, SUPPRESSED)
#: What somebody has still to do something about.
OPEN = (NEW, ACKNOWLEDGED)
#: What the outbox's rows that ask for an alert's copy in the store are called.
INDEX = "index"
