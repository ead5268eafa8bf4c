"""What is in our networks, and which of it spoke with C2 servers."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Index, PrimaryKeyConstraint, String, Table, Text

from pipeline.state.tables.metadata import metadata

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
