"""Messages about alerts: who gets which (`routing.py`), and what became of each (`book.py`).

The response stage puts them down in the transaction of the alert's row; the stage `delivery` (`response/delivery/`)
sends them.
"""

#: A message waits for its channel; has become a part of a digest and ends with it; was taken by the channel; will never
#: be, and says why; or was not needed any more.
WAITING, JOINED, SENT, DEAD, DROPPED = "waiting", "joined", "sent", "dead", "dropped"
STATUSES = (WAITING, JOINED, SENT, DEAD, DROPPED)
#: What a message is: of an alert; of one that nobody took; of many alerts; that all works; or of `notify test`.
ALERT, ESCALATION, DIGEST, HEARTBEAT, TEST = "alert", "escalation", "digest", "heartbeat", "test"
#: The rule of the alerts that `notify test` raises, and the field that names the only channel that gets one.
TEST_RULE = "haidang.notify_test"
TEST_CHANNEL = "labels.channel"
#: Rules of alerts about channels: whoever runs the site mends those, so they take nothing of the analysts' budget.
RULES_OF_CHANNELS = (TEST_RULE, "haidang.channel_failing", "haidang.message_dead")
