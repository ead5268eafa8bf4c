"""Rules, what detectors hold, and indicators."""

from sqlalchemy import JSON, BigInteger, Column, Float, Integer, LargeBinary, PrimaryKeyConstraint, String, Table, Text

from pipeline.state.tables.metadata import metadata

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
