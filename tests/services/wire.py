"""A cable between us and a network namespace: two ends enter a test, traffic that stays on it leaves."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=30).read().decode())"


def ip(*words: str) -> None:
    """Run `ip`."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Wire:
    """Two ends of a cable: ours, and one in a namespace with an address of its own."""

    def __init__(self, ours: str = "198.18.77.1", theirs: str = "198.18.77.2", outside: str = "") -> None:
        """`outside` is a further address of ours, to which the other end has its default route."""
        number = os.getpid() % 50_000
        self.name, self.far, self.space = f"hd{number}a", f"hd{number}b", f"hd{number}"
        self.ours, self.theirs, self.outside = ours, theirs, outside

    def plug(self) -> None:
        """Put the cable in."""
        ip("link", "add", self.name, "type", "veth", "peer", "name", self.far)
        ip("link", "set", self.far, "netns", self.space)
        ip("addr", "add", f"{self.ours}/24", "dev", self.name)
        if self.outside:
            ip("addr", "add", f"{self.outside}/32", "dev", self.name)
        ip("link", "set", self.name, "up")
        ip("-n", self.space, "addr", "add", f"{self.theirs}/24", "dev", self.far)
        ip("-n", self.space, "link", "set", self.far, "up")
        ip("-n", self.space, "link", "set", "lo", "up")
        if self.outside:
            ip("-n", self.space, "route", "add", "default", "via", self.ours)

    def unplug(self) -> None:
        """Pull it out."""
        subprocess.run(["ip", "link", "del", self.name], check=False, capture_output=True)

    def there(self, *command: str) -> list[str]:
        """Return a command that runs at the other end."""
        return ["ip", "netns", "exec", self.space, *command]

    def fetch(self, address: str) -> str:
        """Ask for a page from the other end."""
        command = self.there(sys.executable, "-c", _FETCH, address)
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextmanager
def laid(made: Wire) -> Iterator[Wire]:
    """The namespace at the other end, for as long as the context; nothing is plugged in yet."""
    if os.geteuid() != 0 and os.environ.get("CI") != "true":
        pytest.skip("virtual interfaces need root")
    _clear()
    ip("netns", "add", made.space)
    try:
        yield made
    finally:
        made.unplug()
        ip("netns", "del", made.space)


def _clear() -> None:
    """Take away what runs that were killed have left: their addresses would answer instead of ours."""
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
    for line in listed.splitlines():
        name = line.partition(" ")[0]
        if re.fullmatch(r"hd\d+", name) and not _is_in_use(name):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _is_in_use(space: str) -> bool:
    """Whether a process of ours may still use a namespace: one whose number it has in its name."""
    return any(each.name.isdigit() and f"hd{int(each.name) % 50_000}" == space for each in Path("/proc").iterdir())
