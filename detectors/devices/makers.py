"""A MAC enters, the maker of the device's network card leaves, from the register that scapy carries (Wireshark's copy
of the IEEE's), offline.
"""

from functools import lru_cache


@lru_cache(65_536)
def maker_of(mac: str) -> str:
    """Return who made a card (`AA-BB-CC-00-11-22`); "" for nobody knows."""
    from scapy.data import MANUFDB  # loading takes 50 ms: only when a MAC was seen

    asked = mac.replace("-", ":")
    maker: str = MANUFDB.lookup(asked)[1]
    return "" if maker == asked else maker[:200]
