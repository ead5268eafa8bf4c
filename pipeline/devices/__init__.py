"""Devices of the site: what is known of each leaves, and which of them have spoken with C2 servers.

Rows come from `detectors/devices/` (what was seen), from people (`book.py`; they win), and from alerts (`contacts.py`).
"""

#: Kinds of devices. The first six are those that Điều 4.1.c of Thông tư 23/2018/TT-BTTTT has counted.
KINDS = ("server", "computer", "laptop", "phone", "tablet", "network", "printer", "camera", "other", "unknown")
