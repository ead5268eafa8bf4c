"""Attacks with nmap, iodine, forged ARP and a script, against a real sshd and a running site: each is found."""

from pathlib import Path

import pytest

from tests.conftest import need
from tests.e2e.attacks import all_attacks

pytestmark = pytest.mark.slow


def test_attacks_over_a_cable_are_found_as_what_they_are(tmp_path: Path) -> None:
    need(Path("/dev/net/tun").exists(), "a kernel with TUN devices, for iodine")
    found = list(all_attacks(tmp_path))
    assert {each.attack: each.wanted & set(each.found) for each in found} == {
        each.attack: each.wanted for each in found
    }
    assert len(found) == 7
