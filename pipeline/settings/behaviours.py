"""`[detectors.behaviours]`: the part of the settings that says which behaviours are looked for, and from when on."""

from pydantic import Field, field_validator

from pipeline.settings.section import Section, valid_networks


class _Behaviour(Section):
    enabled: bool = Field(True, description="whether it is looked for")
    except_sources: list[str] = Field(
        default_factory=list, description="networks (CIDR) of which a source is not looked at"
    )
    except_destinations: list[str] = Field(
        default_factory=list, description="networks (CIDR) of which a destination is not looked at"
    )

    _are_networks = field_validator("except_sources", "except_destinations")(valid_networks)


class Scan(_Behaviour):
    """`[detectors.behaviours.scan]`"""

    hosts_unanswered: bool = Field(
        True, description="look for sources whose first connections to hosts of ours mostly fail (TRW)"
    )
    ports: int = Field(
        15, ge=2, le=1000, description="ports of one host that refused or did not answer, of TCP or of UDP"
    )
    hosts: int = Field(
        25, ge=2, le=1000, description="hosts that refused or did not answer on one port, or were asked by ICMP"
    )
    hosts_silent: int = Field(
        15,
        ge=2,
        le=1000,
        description="hosts asked by ICMP of which more than half do not answer, or of new ones in 10 seconds a third",
    )
    minutes: float = Field(5, gt=0, le=1440, description="within so many minutes")
    slow_ports: int = Field(
        30, ge=2, le=1000, description="ports of one host of ours that a source of ours was refused at in a day"
    )
    slow_remote: int = Field(
        25, ge=2, le=1000, description="host and port pairs that refused or did not answer a source from outside"
    )
    slow_local: int = Field(250, ge=2, le=1000, description="the same, of a source of ours")
    slow_minutes: float = Field(15, gt=0, le=1440, description="within so many minutes")


class BruteForce(_Behaviour):
    """`[detectors.behaviours.brute_force]`"""

    ssh: int = Field(30, ge=2, le=1000, description="SSH connections of one source that could not log in")
    ssh_minutes: float = Field(30, gt=0, le=1440, description="within so many minutes")
    ftp: int = Field(20, ge=2, le=1000, description="FTP log-ins of one source that failed")
    ftp_minutes: float = Field(15, gt=0, le=1440, description="within so many minutes")
    other: int = Field(20, ge=2, le=1000, description="log-ins of one source that failed: RDP, HTTP and any other")
    other_minutes: float = Field(10, gt=0, le=1440, description="within so many minutes")
    connections: int = Field(
        100,
        ge=2,
        le=1000,
        description="short connections to one host's SSH, FTP or RDP port, where only flows are seen",
    )
    connections_minutes: float = Field(10, gt=0, le=1440, description="within so many minutes")
    forms: int = Field(60, ge=2, le=1000, description="forms that one source sends to one page for logging in")
    forms_minutes: float = Field(10, gt=0, le=1440, description="within so many minutes")
    accounts: int = Field(10, ge=2, le=1000, description="accounts that one source failed to log in to (spraying)")
    accounts_minutes: float = Field(10, gt=0, le=1440, description="within so many minutes")


class Beacon(_Behaviour):
    """`[detectors.behaviours.beacon]`"""

    score: float = Field(0.9, ge=0.5, le=1, description="score from which an alert is raised, at most 1")
    connections: int = Field(20, ge=4, le=1000, description="connections of a pair within a day before it is looked at")
    early_score: float = Field(
        0.95, ge=0.5, le=1, description="score from which a young pair is told of, without waiting for the day"
    )
    early_connections: int = Field(20, ge=4, le=500, description="connections of a young pair before it is looked at")
    early_minutes: float = Field(20, gt=0, le=60, description="minutes that they must span at least")


class LongConnection(_Behaviour):
    """`[detectors.behaviours.long_connection]`"""

    hours_informational: float = Field(1, gt=0, description="hours of an informational alert")
    hours_low: float = Field(4, gt=0, description="hours of a low one")
    hours_medium: float = Field(8, gt=0, description="hours of a medium one")
    hours_high: float = Field(12, gt=0, description="hours of a high one")


class DnsTunnel(_Behaviour):
    """`[detectors.behaviours.dns_tunnel]`"""

    names_informational: int = Field(
        100, ge=2, description="long names below one domain that a source asks for in a day: an informational alert"
    )
    names_low: int = Field(500, ge=2, description="a low one")
    names_medium: int = Field(800, ge=2, description="a medium one")
    names_high: int = Field(1000, ge=2, le=4000, description="a high one")
    burst_names: int = Field(10, ge=2, le=1000, description="names below one domain within a minute")
    hour_names: int = Field(20, ge=2, le=1000, description="names of 45 characters or more below one domain in an hour")
    burst_length: int = Field(30, ge=1, le=250, description="their mean length in characters, from which they count")
    except_domains: list[str] = Field(
        default_factory=lambda: [
            "akadns.net", "akamai.net", "akamaiedge.net", "akamaihd.net", "amazonaws.com", "avast.com", "azure.com",
            "cloudfront.net", "fastly.net", "googleusercontent.com", "googlevideo.com", "mcafee.com", "office.com",
            "office365.com", "sophosxl.net", "trafficmanager.net", "windows.net", "windowsupdate.com",
        ],
        description="domains with many long names, below which nobody can have a name server of his own",
    )  # fmt: skip


class Dga(_Behaviour):
    """`[detectors.behaviours.dga]`"""

    names: int = Field(10, ge=4, le=1000, description="domains that do not exist, that one source asks for")
    minutes: float = Field(10, gt=0, le=1440, description="within so many minutes")
    share: float = Field(0.5, gt=0, le=1, description="share of them that looks made up")


class Exfiltration(_Behaviour):
    """`[detectors.behaviours.exfiltration]`"""

    hour_mb: int = Field(500, ge=1, description="megabytes that a host sends to one address outside in an hour")
    flow_mb: int = Field(100, ge=1, description="megabytes that it sends outside in one connection")
    deviation: float = Field(
        3.5, ge=0, description="robust z score of that hour against the host's own hours, from which it is an alert"
    )


class IcmpTunnel(_Behaviour):
    """`[detectors.behaviours.icmp_tunnel]`"""

    echoes: int = Field(20, ge=2, le=1000, description="large echoes between two hosts in a minute")
    payload: int = Field(64, ge=1, description="bytes of payload above which an echo is large")


class ArpSpoofing(_Behaviour):
    """`[detectors.behaviours.arp_spoofing]`"""

    targets: int = Field(5, ge=2, le=1000, description="addresses nobody has, that one host asks for in 30 seconds")
    many_targets: int = Field(50, ge=2, le=1000, description="the same, from which the alert is a medium one")


class RogueDhcp(_Behaviour):
    """`[detectors.behaviours.rogue_dhcp]`"""

    servers: list[str] = Field(
        default_factory=list, description="our DHCP servers (CIDR); the first one that is seen when left out"
    )

    _servers_are_networks = field_validator("servers")(valid_networks)


class LateralMovement(_Behaviour):
    """`[detectors.behaviours.lateral_movement]`"""

    minutes: float = Field(10, gt=0, le=1440, description="minutes between a write to an admin share and execution")
    shares: int = Field(5, ge=2, le=1000, description="admin shares that one host opens in 5 minutes")


class KerberosRoasting(_Behaviour):
    """`[detectors.behaviours.kerberos_roasting]`"""

    services: int = Field(5, ge=2, le=1000, description="services of which one source gets tickets with RC4 or DES")
    minutes: float = Field(10, gt=0, le=1440, description="within so many minutes")


class Novelty(_Behaviour):
    """`[detectors.behaviours.novelty]`"""

    days: float = Field(7, gt=0, le=60, description="days that are learned from, and for which something is new")
    percent: float = Field(
        2, gt=0, le=100, description="a TLS client is rare that at most so many percent of hosts have"
    )
    hosts: int = Field(50, ge=2, description="hosts of ours that speak TLS before any client is called rare")


class Behaviours(Section):
    """`[detectors.behaviours]`"""

    local_networks: list[str] = Field(
        default_factory=lambda: ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10"],
        description="networks (CIDR) of ours; all else is outside",
    )
    lateness_seconds: float = Field(
        3, ge=0, le=86_400, description="how late an event may come and still take its place in time, in seconds"
    )
    waiting: int = Field(
        200_000, ge=100, description="events that wait for their place; with more the oldest do not wait"
    )
    keys: int = Field(
        20_000, ge=100, description="sources (pairs, accounts …) that each behaviour holds; the one longest idle goes"
    )
    repeat_hours: float = Field(1, gt=0, le=168, description="hours until what goes on is told again")
    scan: Scan = Field(default_factory=Scan)
    brute_force: BruteForce = Field(default_factory=BruteForce)
    beacon: Beacon = Field(default_factory=Beacon)
    long_connection: LongConnection = Field(default_factory=LongConnection)
    dns_tunnel: DnsTunnel = Field(default_factory=DnsTunnel)
    dga: Dga = Field(default_factory=Dga)
    exfiltration: Exfiltration = Field(default_factory=Exfiltration)
    icmp_tunnel: IcmpTunnel = Field(default_factory=IcmpTunnel)
    arp_spoofing: ArpSpoofing = Field(default_factory=ArpSpoofing)
    rogue_dhcp: RogueDhcp = Field(default_factory=RogueDhcp)
    lateral_movement: LateralMovement = Field(default_factory=LateralMovement)
    kerberos_roasting: KerberosRoasting = Field(default_factory=KerberosRoasting)
    novelty: Novelty = Field(default_factory=Novelty)

    _are_networks = field_validator("local_networks")(valid_networks)
