"""The tables of the state. A change here goes with a migration in `migrations/`; a test holds the two together."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    false,
)

metadata = MetaData()

#: The next offset a consumer reads; written in the transaction of what the records before it caused.
positions = Table(
    "positions",
    metadata,
    Column("consumer", String(100), nullable=False),
    Column("topic", String(100), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    PrimaryKeyConstraint("consumer", "topic", "partition"),
)

#: How many events a stage took in, gave out or dropped, by source and minute (minutes since 1970); whole days once they
#: are old (`pipeline/ledger.py`). The index holds all columns, in the order in which they are summed.
ledger = Table(
    "ledger",
    metadata,
    Column("minute", Integer, nullable=False),
    Column("stage", String(50), nullable=False),
    Column("source", String(100), nullable=False),
    Column("outcome", String(10), nullable=False),  # in, out, dropped
    Column("reason", String(100), nullable=False, default=""),
    Column("events", BigInteger, nullable=False),
    PrimaryKeyConstraint("minute", "stage", "source", "outcome", "reason"),
    Index("ledger_sums", "source", "stage", "outcome", "reason", "minute", "events"),
)

#: What each stage last said of itself, on each machine (`pipeline/instance.py`).
stages = Table(
    "stages",
    metadata,
    Column("stage", String(50), nullable=False),
    Column("instance", String(100), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", Float, nullable=False),
    Column("seen", Float, nullable=False),
    Column("backlog_events", BigInteger, nullable=False, default=0),
    Column("detail", JSON, nullable=False),
    PrimaryKeyConstraint("stage", "instance"),
)

#: The copies of a consumer that live, each until it should have been heard of again (seconds since 1970).
members = Table(
    "members",
    metadata,
    Column("consumer", String(100), nullable=False),
    Column("topic", String(100), nullable=False),
    Column("instance", String(100), nullable=False),
    Column("until", Float, nullable=False),
    PrimaryKeyConstraint("consumer", "topic", "instance"),
)

#: Which copy of a consumer reads which partition; only its owner saves a position there (`pipeline/shares.py`).
leases = Table(
    "leases",
    metadata,
    Column("consumer", String(100), nullable=False),
    Column("topic", String(100), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("instance", String(100), nullable=False),
    Column("until", Float, nullable=False),
    PrimaryKeyConstraint("consumer", "topic", "partition"),
)

#: Lines that a stage could do nothing with, for a person to look at (`pipeline/deadletters.py`).
dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("time", Float, nullable=False),
    Column("stage", String(50), nullable=False),
    Column("topic", String(100), nullable=False),
    Column("source", String(100), nullable=False),
    Column("reason", String(100), nullable=False),
    Column("detail", Text, nullable=False),
    Column("line", LargeBinary, nullable=False),
    Column("size", Integer, nullable=False),
    Index("dead_letters_time", "time"),
)

#: What the correlations of a partition of the topic `hits` hold (`detectors/correlate.py`), in numbered pieces; written
#: in the transaction of the position up to which it was read.
correlations = Table(
    "correlations",
    metadata,
    Column("partition", Integer, nullable=False),
    Column("piece", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    PrimaryKeyConstraint("partition", "piece"),
)

#: What the behaviours hold (`detectors/behave.py`), of the site (scope "") and of an import, in numbered pieces;
#: written in the transaction of the position up to which events were read.
behaviours = Table(
    "behaviours",
    metadata,
    Column("scope", String(50), nullable=False),
    Column("piece", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    PrimaryKeyConstraint("scope", "piece"),
)

#: The rulebook's revisions (`detectors/rulebook/`): the newest that did not fail is in force. Only ever added to.
rulebooks = Table(
    "rulebooks",
    metadata,
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("time", Float, nullable=False),
    Column("who", String(100), nullable=False),
    Column("address", String(100), nullable=False),
    Column("action", String(50), nullable=False),
    Column("detail", JSON, nullable=False),
    Column("document", JSON, nullable=False),
    Column("failed", Text, nullable=False, default=""),
)

#: The files of packs of rules, by the SHA-256 of their JSON; compressed with zstd.
rule_contents = Table(
    "rule_contents",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

#: How often each rule has matched, by the day it was counted (days since 1970); a rule that is observed, too.
rule_hits = Table(
    "rule_hits",
    metadata,
    Column("rule_id", String(200), nullable=False),
    Column("day", Integer, nullable=False),
    Column("alerts", BigInteger, nullable=False),
    Column("observed", BigInteger, nullable=False),
    PrimaryKeyConstraint("rule_id", "day"),
)

#: Lists of indicators (`detectors/indicators/`), and under `live` those that people add one by one: which version of
#: each is in force, and what became of the last refresh. `requested`: somebody wants it refreshed now.
indicator_feeds = Table(
    "indicator_feeds",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("place", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("detail", JSON, nullable=False),  # how many of each kind, what was refused and why
    Column("marks", JSON, nullable=False),  # what the server said of its version (ETag, Last-Modified)
    Column("changed", Float, nullable=False),
    Column("refreshed", Float, nullable=False),
    Column("tried", Float, nullable=False),
    Column("requested", Float, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("error", Text, nullable=False),
)

#: The indicators of a list's version as JSON lines, in numbered pieces compressed with zstd.
indicator_pieces = Table(
    "indicator_pieces",
    metadata,
    Column("feed", String(63), nullable=False),
    Column("version", Integer, nullable=False),
    Column("piece", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    PrimaryKeyConstraint("feed", "version", "piece"),
)

#: Indicators that people or programs have added one by one.
indicators_live = Table(
    "indicators_live",
    metadata,
    Column("kind", String(20), nullable=False),
    Column("value", Text, nullable=False),
    Column("threat", String(20), nullable=False),
    Column("confidence", Integer, nullable=False),
    Column("expires", Float, nullable=False),  # seconds since 1970, 0: never
    Column("family", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("tlp", String(20), nullable=False),
    Column("reason", Text, nullable=False),
    Column("who", String(100), nullable=False),
    Column("address", String(100), nullable=False),
    Column("added", Float, nullable=False),
    PrimaryKeyConstraint("kind", "value"),
)

#: Searches of stored events for indicators that came after them, and how far each is.
indicator_searches = Table(
    "indicator_searches",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("created", Float, nullable=False),
    Column("feed", String(63), nullable=False),
    Column("kind", String(10), nullable=False),  # values, reading
    Column("since", BigInteger, nullable=False),  # microseconds since 1970
    Column("until", BigInteger, nullable=False),
    Column("lines", LargeBinary, nullable=False),  # the indicators as JSON lines, zstd; empty: all of them
    Column("count", BigInteger, nullable=False),
    Column("state", String(10), nullable=False),  # waiting, done, bounded, failed
    Column("done", BigInteger, nullable=False),  # values: indicators; reading: the time down to which was read
    Column("examined", BigInteger, nullable=False),
    Column("found", BigInteger, nullable=False),
    Column("ended", Float, nullable=False),
    Column("error", Text, nullable=False),
)

#: How far a file of a source was read. `file_id` is what the ids of its events are made from.
files = Table(
    "files",
    metadata,
    Column("source", String(100), nullable=False),
    Column("file_id", String(24), nullable=False),
    Column("path", Text, nullable=False),
    Column("device", BigInteger, nullable=False),
    Column("inode", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("fingerprint", String(24), nullable=False, default=""),
    Column("fingerprint_bytes", Integer, nullable=False, default=0),
    Column("seen", Float, nullable=False),
    PrimaryKeyConstraint("source", "file_id"),
)

#: The last canary of each input of each machine, how far it came and when (`pipeline/canaries.py`).
canaries = Table(
    "canaries",
    metadata,
    Column("instance", String(100), nullable=False),
    Column("source", String(100), nullable=False),
    Column("kind", String(10), nullable=False),  # udp, tcp, tls, http, https, files, kafka
    Column("id", String(32), nullable=False),
    Column("text", Text, nullable=False),  # as it was sent
    Column("sent", Float, nullable=False),
    Column("received", Float),
    Column("examined", Float),
    Column("alerted", Float),
    Column("stored", Float),
    Column("fault", Text, nullable=False),  # why it could not be sent
    Column("judged", String(32), nullable=False, default=""),  # the id that was looked at last
    Column("good", Float, nullable=False, default=0.0),  # when the last one was sent that came through in time
    Column("seconds", Float, nullable=False, default=0.0),  # how long it took
    Column("failures", Integer, nullable=False, default=0),
    Column("failed", Boolean, nullable=False, default=False),
    PrimaryKeyConstraint("instance", "source", "kind"),
)

#: Each source's silence up to now, and whether an alert was raised on it (`pipeline/habits.py`).
silences = Table(
    "silences",
    metadata,
    Column("source", String(100), primary_key=True),
    Column("minute", Integer, nullable=False),  # up to which minute since 1970 it was looked at
    Column("first", Integer, nullable=False),  # the first minute with events
    Column("last", Integer, nullable=False),  # the last one
    Column("silent", Integer, nullable=False),  # minutes of silence since, while we listened
    Column("longest", Integer, nullable=False),  # the longest silence of this hour
    Column("raised", Boolean, nullable=False, default=False),
)

#: The longest silence of each source in each of the last weeks' hours (since 1970), in minutes, as long as it was then.
habits = Table(
    "habits",
    metadata,
    Column("source", String(100), nullable=False),
    Column("hour", Integer, nullable=False),
    Column("longest", Integer, nullable=False),
    PrimaryKeyConstraint("source", "hour"),
)

#: How far the clock of each sending host is off, in seconds; more than 0 is behind ours (`pipeline/clocks.py`).
clocks = Table(
    "clocks",
    metadata,
    Column("source", String(100), nullable=False),
    Column("host", String(200), nullable=False),
    Column("behind", Float, nullable=False),
    Column("steady", Boolean, nullable=False),  # for some minutes, so that it is a clock and no delay
    Column("seen", Float, nullable=False),
    Column("raised", Boolean, nullable=False, default=False),
    PrimaryKeyConstraint("source", "host"),
)

#: What has been seen in our networks: one row a device, as `detectors/devices/` knows it.
devices = Table(
    "devices",
    metadata,
    Column(
        "id", String(300), primary_key=True
    ),  # mac:…, name:… where the MAC is a random one, ip:… where none is known
    Column("mac", String(17), nullable=False),
    Column("address", String(45), nullable=False),  # the last one
    Column("names", JSON, nullable=False),
    Column("maker", String(200), nullable=False),
    Column("os", String(200), nullable=False),
    Column("kind", String(20), nullable=False),  # pipeline.devices.KINDS
    Column("confidence", Float, nullable=False),
    Column("evidence", JSON, nullable=False),  # lists: what it is of, what was seen, the weight of each kind
    Column("unit", String(200), nullable=False),  # organization.id of the events
    Column("first_seen", BigInteger, nullable=False),  # microseconds since 1970
    Column("last_seen", BigInteger, nullable=False),
    Column("merged_into", String(300), nullable=False),  # the device that it turned out to be; "" as a rule
    Index("devices_last_seen", "last_seen"),
)

#: Which device had an address from when to when, microseconds since 1970.
device_addresses = Table(
    "device_addresses",
    metadata,
    Column("address", String(45), nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("device", String(300), nullable=False),
    PrimaryKeyConstraint("address", "since"),
)

#: What people say of devices; it wins over what was seen. The key is a device's id, `mac:…`, `ip:…` or `name:…`.
assets = Table(
    "assets",
    metadata,
    Column("key", String(300), primary_key=True),
    Column("kind", String(20), nullable=False),  # "" where they do not say
    Column("label", String(200), nullable=False),
    Column("unit", String(200), nullable=False),
    Column("owner", String(200), nullable=False),
    Column("note", Text, nullable=False),
    Column("who", String(100), nullable=False),
    Column("time", Float, nullable=False),
)

#: Alerts that say a machine spoke with a C2 server: what the counts by kind of device are made of.
c2_contacts = Table(
    "c2_contacts",
    metadata,
    Column("alert", String(24), primary_key=True),
    Column("time", BigInteger, nullable=False),  # microseconds since 1970
    Column("source", String(45), nullable=False),
    Column("destination", String(45), nullable=False),
    Column("host", String(255), nullable=False),
    Column("target", String(300), nullable=False),  # the server: name, else address
    Column("family", String(200), nullable=False),
    Column("rule_id", String(200), nullable=False),
    Column("unit", String(200), nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("blocked", Boolean, nullable=False),
    Column("lookup", Boolean, nullable=False),  # only its name was asked for
    Index("c2_contacts_time", "time"),
)

#: Packets of alerts, as a sensor's machine saw them.
evidence = Table(
    "evidence",
    metadata,
    Column("alert", String(24), nullable=False),
    Column("interface", String(100), nullable=False),
    Column("packets", Integer, nullable=False),
    Column("cut", Boolean, nullable=False),  # there were more than found room
    Column("size", Integer, nullable=False),
    Column("created", Float, nullable=False),
    Column("data", LargeBinary, nullable=False),  # a pcap file, zstd
    PrimaryKeyConstraint("alert", "interface"),
    Index("evidence_created", "created"),
)

#: The alert is the row; the store holds a copy for search.
alerts = Table(
    "alerts",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("time", BigInteger, nullable=False),  # of the event, microseconds since 1970
    Column("created", Float, nullable=False),
    Column("rule_id", String(200), nullable=False),
    Column("rule_name", Text, nullable=False),
    Column("level", String(20), nullable=False),
    Column("status", String(20), nullable=False, default="new"),
    Column("source", String(100), nullable=False),
    Column("document", JSON, nullable=False),  # the whole alert, docs/alerts.md
    Column("owner", String(100), nullable=False, default="", server_default=""),
    Column("note", Text, nullable=False, default="", server_default=""),
    Column("changed", Float),  # by somebody
    Column("suppression", String(24), nullable=False, default="", server_default=""),
    Column("group_id", String(24), nullable=False, default="", server_default=""),  # "": not grouped yet, "-": never
    Index("alerts_time", "time"),
    Index("alerts_status", "status", "level", "time"),
    Index("alerts_rule", "rule_id", "time"),
    Index("alerts_group", "group_id", "time"),
    Index("alerts_created", "created"),
)

#: Alerts of one rule about one entity, none of them long after the one before: what analysts work on. The numbers are
#: of its alerts by status, of which `status` follows (`pipeline/queue/grouping.py`).
alert_groups = Table(
    "alert_groups",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("same", String(24), nullable=False),  # of rule, entity, source, unit: by one value they are found at once
    Column("rule_id", String(200), nullable=False),
    Column("rule_name", Text, nullable=False),
    Column("entity", String(300), nullable=False),  # host:…, user:…, address:… or part:… of the pipeline
    Column("source", String(200), nullable=False),  # labels.source and organization.id of its alerts: who may see one
    Column("unit", String(200), nullable=False),  # of them may see all
    Column("level", String(20), nullable=False),  # the highest of its alerts
    Column("severity", Integer, nullable=False),  # its number
    Column("first", BigInteger, nullable=False),  # microseconds since 1970
    Column("last", BigInteger, nullable=False),
    Column("opened", Float, nullable=False),  # when it came into the queue, the last time
    Column("reopened", Integer, nullable=False),  # how often it came back after somebody had closed it
    Column("status", String(20), nullable=False),
    Column("owner", String(100), nullable=False),
    Column("note", Text, nullable=False),
    Column("new", BigInteger, nullable=False),
    Column("acknowledged", BigInteger, nullable=False),
    Column("escalated", BigInteger, nullable=False),
    Column("true_positive", BigInteger, nullable=False),
    Column("false_positive", BigInteger, nullable=False),
    Column("risk", Integer, nullable=False),  # of the entity, at the last alert
    Column("latest", String(24), nullable=False),  # the last alert
    Column("case_id", Integer, nullable=False, default=0, server_default="0"),  # 0: in none
    Index("alert_groups_same", "same", "last"),
    Index("alert_groups_rule", "rule_id", "last"),
    Index("alert_groups_last", "status", "last"),
    Index("alert_groups_risk", "status", "risk", "last"),
    Index("alert_groups_opened", "status", "opened"),
    Index("alert_groups_level", "status", "level"),
    Index("alert_groups_entity", "entity", "last"),
    Index("alert_groups_case", "case_id"),
)

#: How many groups there are of each status and level: to count a million takes longer than anybody waits for a page.
group_counts = Table(
    "group_counts",
    metadata,
    Column("status", String(20), nullable=False),
    Column("level", String(20), nullable=False),
    Column("number", BigInteger, nullable=False),
    PrimaryKeyConstraint("status", "level"),
)

#: What became of groups: came, came back, grew worse, and what people did; only ever added to.
group_history = Table(
    "group_history",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("group_id", String(24), nullable=False),
    Column("time", Float, nullable=False),
    Column("who", String(100), nullable=False),  # "" for the pipeline
    Column("address", String(100), nullable=False),
    Column("action", String(20), nullable=False),  # opened, reopened, raised, or a status
    Column("rule_id", String(200), nullable=False),
    Column("alerts", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
    Index("group_history_group", "group_id", "id"),
    Index("group_history_time", "action", "time"),
)

#: What each entity was alerted on: one row for an hour and a rule (`pipeline/queue/risk.py`).
entity_risks = Table(
    "entity_risks",
    metadata,
    Column("entity", String(300), nullable=False),
    Column("hour", Integer, nullable=False),  # since 1970, of the events
    Column("rule_id", String(200), nullable=False),
    Column("group_id", String(24), nullable=False),
    Column("points", Integer, nullable=False),  # of the rule's highest level
    Column("alerts", BigInteger, nullable=False),
    Column("tactics", Text, nullable=False),  # of ATT&CK, with spaces between
    PrimaryKeyConstraint("entity", "hour", "rule_id"),
    Index("entity_risks_hour", "hour"),
)

#: Cases: what people work on together, with the clocks of the law. Times are seconds since 1970.
cases = Table(
    "cases",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("title", Text, nullable=False),
    Column("status", String(10), nullable=False),  # open, closed
    Column("level", String(20), nullable=False),
    Column("tlp", String(20), nullable=False),
    Column("pap", String(10), nullable=False),
    Column("owner", String(100), nullable=False),
    Column("created", Float, nullable=False),
    Column("creator", String(100), nullable=False),
    Column("detected", Float, nullable=False),  # from which on the clocks run
    Column("reportable", Boolean, nullable=False),  # whether the law's clocks run at all
    Column("notified", Float),  # when the first notice was given
    Column("reported", Float),  # when the report was
    Column("closed", Float),
    Column("verdict", String(20), nullable=False),
    Column("summary", Text, nullable=False),
    Column("changed", Float, nullable=False),
    Index("cases_status", "status", "changed"),
)

#: What a case holds, in the order in which it came: groups of alerts, events, notes, files, observables, tasks, and
#: changes of the case itself. What is taken away stays, marked so.
case_entries = Table(
    "case_entries",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("case_id", Integer, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("time", Float, nullable=False),
    Column("who", String(100), nullable=False),
    Column("address", String(100), nullable=False),
    Column("at", BigInteger, nullable=False),  # when what it tells of happened, microseconds since 1970
    Column("body", JSON, nullable=False),
    Column("removed", Boolean, nullable=False),
    Index("case_entries_case", "case_id", "kind", "id"),
)

#: The files of cases, each once in a case.
case_files = Table(
    "case_files",
    metadata,
    Column("case_id", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),  # zstd
    PrimaryKeyConstraint("case_id", "sha256"),
)

#: What is kept out of the queue.
suppressions = Table(
    "suppressions",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("rule", String(200), nullable=False),  # its id or name; `*` at its end stands for any rest
    Column("where", JSON, nullable=False),  # fields and values
    Column("reason", Text, nullable=False),
    Column("who", String(100), nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("last", Float),
)

#: Effects that a transaction has decided and that somebody must still carry out.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(20), nullable=False),  # index
    Column("body", JSON, nullable=False),
)

#: Messages to people and other systems, and what became of each (`pipeline/delivery/`). A message's id never changes.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("channel", String(63), nullable=False),
    Column("kind", String(20), nullable=False),  # alert, escalation, digest, heartbeat, test
    Column("status", String(10), nullable=False),  # waiting, joined, sent, dead, dropped
    Column("level", String(20), nullable=False),
    Column("alert", String(24), nullable=False),  # "" where it is about none, or about many
    Column("thread", String(24), nullable=False),  # the alert's group: messages of one are shown together
    Column("digest", String(32), nullable=False),  # the message that this one has become a part of
    Column("route", String(100), nullable=False),
    Column("body", JSON, nullable=False),  # what is no alert's: the figures of a heartbeat, who is still to get it
    Column("created", Float, nullable=False),
    Column("due", Float, nullable=False),  # when it is tried next
    Column("planned", Float, nullable=False),  # when that was decided: later than now where the clock went back
    Column("attempts", Integer, nullable=False),
    Column("tried", Float, nullable=False),  # 0: never
    Column("ended", Float, nullable=False),
    Column("answer", Text, nullable=False),  # what the channel said last
    Index("deliveries_due", "channel", "status", "due"),
    Index("deliveries_alert", "alert"),
    Index("deliveries_digest", "digest"),
    Index("deliveries_created", "created"),
)

#: How each channel fares, as its worker last saw it.
channels = Table(
    "channels",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("sent", BigInteger, nullable=False),  # messages, in all
    Column("succeeded", Float, nullable=False),  # when it last took one; 0: never
    Column("failed", Float, nullable=False),
    Column("failures", Integer, nullable=False),  # in a row
    Column("error", Text, nullable=False),  # of the last failure
    Column("paused_until", Float, nullable=False),
    Column("heartbeat", String(10), nullable=False),  # the day of the last one
)

#: Searches, ranges of time, dashboards and maps that people keep (`pipeline/saved/`).
saved = Table(
    "saved",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("kind", String(20), nullable=False),  # search, range, dashboard, map
    Column("name", String(200), nullable=False),
    Column("description", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),  # JSON, zstd
    Column("size", Integer, nullable=False),  # of the JSON, in bytes
    Column("owner", String(100), nullable=False),
    Column("shared", JSON, nullable=False),  # private, everyone, or a list of role:NAME
    Column("revision", Integer, nullable=False),
    Column("created", Float, nullable=False),
    Column("changed", Float, nullable=False),
    Column("changed_by", String(100), nullable=False),
    Index("saved_owner", "owner"),
)

#: The last revisions of each, the one in force among them.
saved_revisions = Table(
    "saved_revisions",
    metadata,
    Column("saved", String(24), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("time", Float, nullable=False),
    Column("who", String(100), nullable=False),
    Column("name", String(200), nullable=False),
    Column("description", Text, nullable=False),
    Column("shared", JSON, nullable=False),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("saved", "revision"),
)

#: What the console remembers for each user: JSON that means nothing to us.
preferences = Table(
    "preferences",
    metadata,
    Column("user", String(100), primary_key=True),
    Column("body", Text, nullable=False),
    Column("changed", Float, nullable=False),
)

#: Profiles of those that threat data is shared with (`sharing/`), as far as they change: what of them people have
#: confirmed, until when facts were gathered, and how they fare.
share_profiles = Table(
    "share_profiles",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("confirmed", String(64), nullable=False),  # digest of what was confirmed; "": nothing, all is rehearsal
    Column("confirmed_by", String(100), nullable=False),
    Column("confirmed_at", Float, nullable=False),
    Column("pseudonym_key", LargeBinary, nullable=False),
    Column("began", Float, nullable=False),  # what was before is not shared
    Column("built_until", Float, nullable=False),
    Column("sent", BigInteger, nullable=False),
    Column("succeeded", Float, nullable=False),  # when it last took one; 0: never
    Column("failed", Float, nullable=False),
    Column("failures", Integer, nullable=False),  # in a row
    Column("error", Text, nullable=False),  # of the last failure
    Column("position", Text, nullable=False),  # until where warnings were read
)

#: Messages to them; bytes that were signed are never changed. What became of each is in the audit, step by step.
share_messages = Table(
    "share_messages",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("profile", String(63), nullable=False),
    Column("kind", String(20), nullable=False),  # statistics, indicators, incident, acknowledgement
    Column("key", String(100), nullable=False),  # what it is about: the same is built once
    Column("status", String(10), nullable=False),
    Column("since", Float, nullable=False),
    Column("until", Float, nullable=False),
    Column("facts", JSON, nullable=False),  # kind, values and alerts of each, as they leave
    Column("content", LargeBinary, nullable=False),  # as people saw it
    Column("signed", LargeBinary, nullable=False),  # as it leaves
    Column("digest", String(64), nullable=False),  # SHA-256 of the content
    Column("approvals", JSON, nullable=False),  # who has agreed, and when
    Column("needed", Integer, nullable=False),  # how many must
    Column("created", Float, nullable=False),
    Column("queued", Float, nullable=False),  # since when it waits to be sent; 0: not yet
    Column("due", Float, nullable=False),
    Column("planned", Float, nullable=False),  # when that was decided: later than now where the clock went back
    Column("attempts", Integer, nullable=False),
    Column("tried", Float, nullable=False),
    Column("ended", Float, nullable=False),
    Column("code", Integer, nullable=False),  # HTTP status of the last answer; 0: none
    Column("answer", Text, nullable=False),
    Column("receipt", JSON, nullable=False),  # status, time, body and its SHA-256 of the answer that took it
    Index("share_messages_same", "profile", "kind", "key", unique=True),
    Index("share_messages_due", "profile", "status", "number"),
    Index("share_messages_created", "created"),
)

#: Which alerts were looked at for which profile, and the message that tells of them; 0: none does.
share_alerts = Table(
    "share_alerts",
    metadata,
    Column("profile", String(63), nullable=False),
    Column("alert", String(24), nullable=False),
    Column("message", Integer, nullable=False),
    Column("created", Float, nullable=False),
    PrimaryKeyConstraint("profile", "alert"),
    Index("share_alerts_message", "message"),
)

#: Warnings that came in: kept as they came, made a case and a list of indicators of, and answered.
share_received = Table(
    "share_received",
    metadata,
    Column("id", String(64), primary_key=True),  # SHA-256 of what came: the same is taken once
    Column("profile", String(63), nullable=False),
    Column("way", String(10), nullable=False),  # https, taxii, file
    Column("message", String(100), nullable=False),  # the sender's own id of it
    Column("title", String(300), nullable=False),
    Column("tlp", String(20), nullable=False),
    Column("received", Float, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("case_id", Integer, nullable=False),  # 0: none yet
    Column("imported", Float, nullable=False),  # when its indicators were; 0: not yet
    Column("indicators", Integer, nullable=False),
    Column("refused", Integer, nullable=False),
    Column("fault", Text, nullable=False),
    Column("answered", String(20), nullable=False),  # how far: "", taken, closed
    Index("share_received_time", "received"),
    Index("share_received_imported", "imported", "received"),
)

#: What people have written into the notices and reports of an incident, beside what its case says by itself.
incident_fields = Table(
    "incident_fields",
    metadata,
    Column("case_id", Integer, nullable=False),
    Column("name", String(50), nullable=False),
    Column("value", Text, nullable=False),
    Column("who", String(100), nullable=False),
    Column("time", Float, nullable=False),
    PrimaryKeyConstraint("case_id", "name"),
)

#: Daily, weekly and half-yearly reports as they were made.
reports = Table(
    "reports",
    metadata,
    Column("id", String(32), primary_key=True),  # of kind and period: the same is made once
    Column("kind", String(20), nullable=False),  # daily, weekly, half-yearly
    Column("since", Float, nullable=False),
    Column("until", Float, nullable=False),
    Column("made", Float, nullable=False),
    Column("who", String(100), nullable=False),
    Column("figures", JSON, nullable=False),
    Column("pdf", LargeBinary, nullable=False),
    Column("docx", LargeBinary, nullable=False),
    Index("reports_until", "kind", "until"),
)

#: Information systems of the organization with their levels (`pipeline/systems/`), and how the law's shares stood.
systems = Table(
    "systems",
    metadata,
    Column("code", String(100), primary_key=True),
    Column("name", String(300), nullable=False),
    Column("level", Integer, nullable=False),
    Column("unit", String(200), nullable=False),
    Column("owner", String(300), nullable=False),
    Column("operator", String(300), nullable=False),
    Column("plan_approved", String(10), nullable=False),  # the day; "": no approved plan
    Column("portal", Boolean, nullable=False),
    Column("declared", Boolean, nullable=False),  # said to be monitored elsewhere
    Column("hosts", JSON, nullable=False),  # names, addresses, networks
    Column("heard", Float, nullable=False),  # when something of its hosts was last seen; 0: never
    Column("who", String(100), nullable=False),
    Column("changed", Float, nullable=False),
)
system_days = Table(
    "system_days",
    metadata,
    Column("day", String(10), nullable=False),
    Column("unit", String(200), nullable=False),
    Column("figures", JSON, nullable=False),
    PrimaryKeyConstraint("day", "unit"),
)

#: The texts that the settings file had, as people wrote them from here, and as they were found before.
settings_revisions = Table(
    "settings_revisions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("time", Float, nullable=False),
    Column("who", String(100), nullable=False),  # "" for what was found
    Column("reason", Text, nullable=False),
    Column("digest", String(64), nullable=False),  # SHA-256
    Column("text", Text, nullable=False),  # encrypted (`pipeline/identity/second_factor.py`): it has secrets
)

#: The collections of our TAXII server. Who writes into one changes its row first: what is added is seen in order.
taxii_collections = Table(
    "taxii_collections",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("id", String(36), nullable=False, unique=True),  # what partners call it: a UUID
    Column("alias", String(50), nullable=False, unique=True),  # what people call it
    Column("last", BigInteger, nullable=False),  # when its newest object was added, microseconds since 1970
    Column("held", BigInteger, nullable=False),  # versions of objects
)

#: Their objects, each version a row (`sharing/taxii/store.py`).
taxii_objects = Table(
    "taxii_objects",
    metadata,
    Column("collection", Integer, nullable=False),
    Column("added", BigInteger, nullable=False),  # microseconds since 1970; no two of a collection are the same
    Column("object", String(300), nullable=False),  # its STIX id
    Column("type", String(250), nullable=False),
    Column("version", String(40), nullable=False),  # as the object has it
    Column("moment", BigInteger, nullable=False),  # the same in microseconds since 1970
    Column("first", Boolean, nullable=False),  # whether it is the first, and the last version of its object
    Column("last", Boolean, nullable=False),
    Column("digest", String(32), nullable=False),  # of the JSON
    Column("body", LargeBinary, nullable=False),  # canonical JSON
    PrimaryKeyConstraint("collection", "added"),
    Index("taxii_objects_last", "collection", "last", "added"),
    Index("taxii_objects_type", "collection", "type", "last", "added"),
    Index("taxii_objects_object", "collection", "object", "added"),
    Index("taxii_objects_moment", "collection", "moment", "added"),
)

#: What became of what partners have sent.
taxii_statuses = Table(
    "taxii_statuses",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("client", String(100), nullable=False),
    Column("created", Float, nullable=False),
    Column("body", LargeBinary, nullable=False),  # JSON
    Index("taxii_statuses_created", "created"),
)

#: Who may use our TAXII server; they are nobody elsewhere.
taxii_clients = Table(
    "taxii_clients",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),  # SHA-256 of the password
    Column("rights", JSON, nullable=False),  # alias of a collection: r, w or rw
    Column("created", Float, nullable=False),
    Column("creator", String(100), nullable=False),
    Column("expires", Float),  # none: never
    Column("used", Float),
    Column("revoked", Boolean, nullable=False),
)

#: How far the servers of partners were read.
taxii_positions = Table(
    "taxii_positions",
    metadata,
    Column("peer", String(100), primary_key=True),
    Column("position", Text, nullable=False),
    Column("read", Float, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("password", Text, nullable=False),  # Argon2id
    Column("role", String(20), nullable=False),
    Column("created", Float, nullable=False),
    Column("failures", Integer, nullable=False, default=0),
    Column("locked_until", Float, nullable=False, default=0),
    Column("disabled", Boolean, nullable=False, default=False),
    Column("view", JSON(none_as_null=True)),  # pipeline.identity.views; none: no limit
    Column("changed", Float, nullable=False, default=0.0, server_default="0"),  # the password
    Column("must_change", Boolean, nullable=False, default=False, server_default=false()),
    Column("seen", Float, nullable=False, default=0.0, server_default="0"),
    Column("totp", Text),  # the second factor's secret, encrypted (`pipeline/identity/second_factor.py`)
    Column("totp_new", Text),  # one of which no code was shown yet
    Column("totp_step", BigInteger, nullable=False, default=0, server_default="0"),  # of the last code
    Column("recovery", JSON(none_as_null=True)),  # SHA-256 of the recovery codes that are left
    Column("issuer", String(500), nullable=False, default="", server_default=""),  # who logs them in; "": we do
    Column("subject", String(255), nullable=False, default="", server_default=""),  # who they are there
    Index("users_subject", "subject"),
)

#: Passwords that users had before, Argon2id.
password_history = Table(
    "password_history",
    metadata,
    Column("user", String(100), nullable=False),
    Column("time", Float, nullable=False),
    Column("password", Text, nullable=False),
    PrimaryKeyConstraint("user", "time"),
)

#: Roles of the site's own, beside those of `pipeline.permissions.ROLES`.
roles = Table(
    "roles",
    metadata,
    Column("name", String(20), primary_key=True),
    Column("permissions", JSON, nullable=False),
    Column("view", JSON(none_as_null=True)),
    Column("created", Float, nullable=False),
)

#: Groups of users, with what they may do beside their role and what they may see.
groups = Table(
    "user_groups",
    metadata,
    Column("name", String(20), primary_key=True),
    Column("permissions", JSON, nullable=False),
    Column("view", JSON(none_as_null=True)),
    Column("created", Float, nullable=False),
)

group_members = Table(
    "user_group_members",
    metadata,
    Column("group", String(20), nullable=False),
    Column("user", String(100), nullable=False),
    PrimaryKeyConstraint("group", "user"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", String(64), primary_key=True),  # SHA-256 of the cookie
    Column("user", String(100), nullable=False),
    Column("expires", Float, nullable=False),
    Column("id", String(24), nullable=False, default="", server_default=""),
    Column("created", Float, nullable=False, default=0.0, server_default="0"),
    Column("seen", Float, nullable=False, default=0.0, server_default="0"),
    Column("address", String(100), nullable=False, default="", server_default=""),
    Column("agent", String(200), nullable=False, default="", server_default=""),
    Column("waits", String(50), nullable=False, default="", server_default=""),  # steps of a log-in that are left
    Index("sessions_user", "user"),
)

#: Tokens of senders (`source` set) and of programs that read the API (`role` set).
tokens = Table(
    "tokens",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),  # SHA-256 of the token
    Column("kind", String(10), nullable=False),  # source, api
    Column("role", String(20), nullable=False, default=""),
    Column("created", Float, nullable=False),
    Column("revoked", Boolean, nullable=False, default=False),
    Column("view", JSON(none_as_null=True)),
    Column("permissions", JSON(none_as_null=True)),  # of those of the role; none: all of them
    Column("expires", Float),  # none: never
    Column("used", Float),
    Column("creator", String(100), nullable=False, default="", server_default=""),
)

#: Who did what, when, from where; only ever added to (triggers refuse the rest). `digest` chains them
#: (`pipeline/audit.py`).
audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("time", Float, nullable=False),
    Column("who", String(100), nullable=False),
    Column("address", String(100), nullable=False),
    Column("action", String(50), nullable=False),
    Column("detail", JSON, nullable=False),
    Column("digest", String(64), nullable=False, default="", server_default=""),
    Index("audit_time", "time"),
)

#: The last row of the audit; whoever adds one waits for this row.
audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("row", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
)
