"""Attacks with the tools that attackers have, over a cable of our own: a running site finds them, and how fast.

`python -m tests.e2e.attacks` prints the table of docs/detection-quality.md. Nothing leaves the cable.
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from tests.e2e.conftest import Site
from tests.services.wire import Wire, ip, laid

OURS, THEIRS, OUTSIDE = "10.77.0.1", "10.77.0.2", "203.0.113.77"
#: The site: our sensor on the cable, the socket that sshd takes for /dev/log, and beacons by the minute, not by the hour.
SOURCES = """
[[sources]]
name = "mirror"
kind = "network"
interfaces = ["{interface}"]
ring_mb = 8
[[sources]]
name = "auth"
kind = "unix"
path = "{folder}/log"
type = "datagram"
[detectors.behaviours.beacon]
early_minutes = 0.5
"""
_SSH_PORT, _WEB_PORT = 2222, 8080
_TUNNEL = "t.example.vn"
#: Addresses that nobody has (RFC 2544).
_NOWHERE = "198.18.99.0/26"
#: A device folder of its own in which /dev/log is ours; the machine's is not touched.
_OWN_LOG = """
set -e
mount -t tmpfs none {dev}
for each in null zero random urandom tty full; do touch {dev}/$each; mount --bind /dev/$each {dev}/$each; done
mkdir {dev}/pts {dev}/shm; mount --bind /dev/pts {dev}/pts; ln -s pts/ptmx {dev}/ptmx; ln -s /proc/self/fd {dev}/fd
ln -s {log} {dev}/log
mount --bind {dev} /dev
mkdir -p /run/sshd
exec /usr/sbin/sshd -D -f {config}
"""
_BEACON = """
import sys, time, urllib.request
began = time.monotonic()
for number in range(1, int(sys.argv[2])):
    urllib.request.urlopen(sys.argv[1], timeout=5).read()
    time.sleep(max(0, began + 2 * number - time.monotonic()))
"""
_SPOOF = """
import sys
from scapy.all import ARP, Ether, get_if_hwaddr, sendp
far, victim, gateway, gateway_mac = sys.argv[1:]
for number in range(6):
    mine = number % 2 == 0
    mac = get_if_hwaddr(far) if mine else gateway_mac
    frame = Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / ARP(op=2, hwsrc=mac, psrc=gateway, pdst=victim)
    sendp(frame, iface=far, verbose=False)
    import time; time.sleep(0.5)
"""


class Found(NamedTuple):
    """An attack, the rules that are to find it, and after how many seconds from its begin the first alert was there."""

    attack: str
    wanted: frozenset[str]
    found: list[str]
    seconds: float


@contextmanager
def under_attack(folder: Path) -> Iterator[tuple[Site, Wire]]:
    """A running site on a cable."""
    with ExitStack() as held:
        wire = held.enter_context(laid(Wire(OURS, THEIRS, OUTSIDE)))
        wire.plug()
        site = Site(folder / "data", SOURCES.format(interface=wire.name, folder=folder))
        held.callback(site.kill)
        site.start()
        yield site, wire


def attack(
    site: Site, name: str, wanted: set[str], run: Callable[[], Any], patience: float = 60, to_its_end: bool = True
) -> Found:
    """Attack, and wait until one of the rules wanted has raised an alert of it, and the attack is over."""
    before = {alert["event.id"] for alert in site.alerts()}
    began = time.monotonic()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    found: list[str] = []
    while time.monotonic() - began < patience:
        found = [alert["rule.id"] for alert in site.alerts() if alert["event.id"] not in before]
        if wanted & set(found):
            break
        time.sleep(0.2)
    seconds = time.monotonic() - began
    if to_its_end:
        thread.join(patience)
    return Found(name, frozenset(wanted), sorted(set(found)), round(seconds, 1))


def scan(site: Site, wire: Wire) -> Found:
    """nmap's half-open scan of 200 ports."""
    command = wire.there("nmap", "-sS", "-Pn", "-n", "-p1-200", "--max-retries", "1", OURS)
    return attack(site, "nmap -sS, 200 ports", {"behaviour.port_scan"}, lambda: _quiet(command))


def connect_scan(site: Site, wire: Wire) -> Found:
    """nmap's scan with whole connections, of another address."""
    command = wire.there("nmap", "-sT", "-Pn", "-n", "-p1-200", "--max-retries", "1", OUTSIDE)
    return attack(site, "nmap -sT, 200 ports", {"behaviour.port_scan"}, lambda: _quiet(command))


def sweep(site: Site, wire: Wire) -> Found:
    """nmap's search for hosts on the link."""
    command = wire.there("nmap", "-sn", "-n", f"{THEIRS}/24")
    return attack(site, "nmap -sn, a /24", {"behaviour.arp_sweep"}, lambda: _quiet(command))


def datagram_scan(site: Site, wire: Wire) -> Found:
    """nmap's scan of UDP; that nobody answered, the sensor knows after a minute."""
    command = wire.there("nmap", "-sU", "-Pn", "-n", "-p1-40", "--max-retries", "1", "--host-timeout", "30s", OURS)
    return attack(site, "nmap -sU, 40 ports", {"behaviour.udp_scan"}, lambda: _quiet(command), 120)


def ping_sweep(site: Site, wire: Wire) -> Found:
    """nmap's search for hosts behind the gateway by echo; nothing is there, and nothing goes on."""
    command = wire.there("nmap", "-sn", "-n", "-PE", _NOWHERE)
    ip("route", "add", "blackhole", _NOWHERE)
    try:
        return attack(site, "nmap -sn -PE, 64 hosts", {"behaviour.icmp_sweep"}, lambda: _quiet(command), 120)
    finally:
        ip("route", "del", "blackhole", _NOWHERE)


def brute_force(site: Site, wire: Wire, folder: Path) -> Found:
    """nmap's ssh-brute against a real sshd, whose own log is what tells of it."""
    users, words = folder / "users", folder / "words"
    users.write_text("admin\nroot\nketoan\n")
    words.write_text("".join(f"matkhau{number}\n" for number in range(30)))
    with _sshd(folder):
        command = wire.there(
            "nmap", "-Pn", "-n", "-p", str(_SSH_PORT), "--script", "ssh-brute", "--script-args",
            f"userdb={users},passdb={words},ssh-brute.timeout=4s", OURS,
        )  # fmt: skip
        return attack(site, "nmap ssh-brute, real sshd", {"behaviour.brute_force"}, lambda: _quiet(command), 90)


def beacon(site: Site, wire: Wire) -> Found:
    """A script that asks a server outside every two seconds."""
    with ThreadingHTTPServer((OUTSIDE, _WEB_PORT), _Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = wire.there(sys.executable, "-c", _BEACON, f"http://{OUTSIDE}:{_WEB_PORT}/tin", "75")
        try:
            found = {"behaviour.regular_contacts"}  # asked for at 20 connections, at 40, at 60
            return attack(site, "a request every 2 s", found, lambda: _quiet(command), 150, to_its_end=False)
        finally:
            server.shutdown()


def tunnel(site: Site, wire: Wire) -> Found:
    """iodine: an IP tunnel over DNS, with pings through it."""
    with ExitStack() as held:
        server = held.enter_context(
            _running("iodined", "-f", "-c", "-l", OUTSIDE, "-P", "mat-khau", "172.31.99.1/24", _TUNNEL)
        )
        time.sleep(0.5)
        assert server.poll() is None, "iodined cannot run: it needs /dev/net/tun"

        def run() -> None:
            client = wire.there("iodine", "-f", "-r", "-P", "mat-khau", "-T", "TXT", OUTSIDE, _TUNNEL)
            with _running(*client):
                for _ in range(40):  # until the tunnel is there
                    _quiet(wire.there("ping", "-c", "1", "-W", "1", "172.31.99.1"))
                _quiet(wire.there("ping", "-c", "40", "-i", "0.3", "-s", "400", "172.31.99.1"))

        return attack(site, "iodine, pings through it", {"behaviour.dns_tunnel"}, run, 90)


def spoofing(site: Site, wire: Wire) -> Found:
    """A host that says it is the gateway, by turns with the gateway."""
    gateway_mac = Path(f"/sys/class/net/{wire.name}/address").read_text().strip()
    command = wire.there(sys.executable, "-c", _SPOOF, wire.far, "10.77.0.9", OURS, gateway_mac)
    return attack(site, "forged ARP answers", {"behaviour.arp_spoofing"}, lambda: _quiet(command))


def _quiet(command: list[str]) -> None:
    subprocess.run(command, check=False, capture_output=True, timeout=170)


@contextmanager
def _running(*command: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def _sshd(folder: Path) -> Iterator[None]:
    key, config, dev = folder / "host_key", folder / "sshd_config", folder / "dev"
    dev.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    config.write_text(
        f"Port {_SSH_PORT}\nListenAddress {OURS}\nHostKey {key}\nPidFile none\nUsePAM no\nPasswordAuthentication yes\n"
        "PermitRootLogin yes\nLogLevel INFO\nMaxStartups 100\nMaxAuthTries 6\nSyslogFacility AUTH\n"
    )
    script = _OWN_LOG.format(dev=dev, log=folder / "log", config=config)
    with _running("unshare", "--mount", "--propagation", "private", "sh", "-c", script) as process:
        time.sleep(1)
        assert process.poll() is None, "sshd cannot run in a mount namespace of its own"
        yield


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def all_attacks(site: Site, wire: Wire, folder: Path) -> Iterator[Found]:
    """Run them one after the other, those that take a minute beside them: UDP and ICMP are told of when they rest."""
    with ThreadPoolExecutor(3) as beside:
        slow = [beside.submit(run, site, wire) for run in (beacon, datagram_scan, ping_sweep)]
        yield scan(site, wire)
        yield connect_scan(site, wire)
        yield sweep(site, wire)
        yield spoofing(site, wire)
        yield brute_force(site, wire, folder)
        yield tunnel(site, wire)
        yield from (each.result() for each in slow)


def main() -> int:
    """Print the table."""
    print("| attack | found as | seconds from its begin |\n|---|---|---|")
    missed = 0
    with tempfile.TemporaryDirectory() as folder, under_attack(Path(folder)) as (site, wire):
        for each in all_attacks(site, wire, Path(folder)):
            hit = sorted(each.wanted & set(each.found))
            missed += not hit
            print(f"| {each.attack} | {', '.join(hit) or '-'} | {each.seconds if hit else '-'} |", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
