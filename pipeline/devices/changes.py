"""What somebody says of devices enters the state, with a line of the audit in the same transaction."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace

from sqlalchemy import Connection, Engine, delete

from pipeline.access import note
from pipeline.devices.book import Asset, Book, Known, Units, asset, key_of, said_alike
from pipeline.messages import HaidangError
from pipeline.state import upsert
from pipeline.state.tables import assets

#: What can be said of a device.
SAID = ("kind", "label", "unit", "owner", "note")
_BATCH = 500


def change(engine: Engine, units: Units, device: str, said: Mapping[str, str], who: str, address: str) -> Known:
    """Note what somebody says of a device, seen or not, named by id, MAC, address or name; what is left out stays.

    Return the device as it is now.

    Raises:
        HaidangError: nothing is said, or a kind that is none.
    """
    if not said:
        raise HaidangError("devices.nothing_said", expected=", ".join(SAID))
    with engine.begin() as connection:
        known = Book(connection, units).find(device)
        key = known.id if known else key_of(device)
        made = asset(key, **{**_said_before(known), **said})
        note(connection, who, address, "device_set", device=key, **said)
        keys = known.said_by if known and not known.first_seen else [key]  # of one not seen yet: name and address
        _save(connection, [replace(made, key=each) for each in keys], who)
        book = Book(connection, units)
        return book.get(key) or book.unseen(key)


def take_back(engine: Engine, units: Units, device: str, who: str, address: str) -> str:
    """Take back all that was said of a device; return its key.

    Raises:
        HaidangError: nothing was.
    """
    with engine.begin() as connection:
        known = Book(connection, units).find(device)
        keys = {key_of(device), *(known.said_by if known else ())}
        if not connection.execute(delete(assets).where(assets.c.key.in_(keys))).rowcount:
            raise HaidangError("devices.nothing_by_hand", device=device[:200])
        key = known.id if known else key_of(device)
        note(connection, who, address, "device_unset", device=key)
    return key


def take_list(engine: Engine, said: Iterable[Asset], who: str, address: str, file: str = "") -> int:
    """Note what a list says, in place of what was said of the same devices; return of how many it says something."""
    rows = list(said)
    with engine.begin() as connection:
        _save(connection, rows, who)
        count = len(rows) - len(said_alike(rows)) // 2  # a name and its address are one device
        note(connection, who, address, "devices_import", file=file, count=count)
    return count


def _said_before(known: Known | None) -> dict[str, str]:
    if known is None:
        return {}
    return {name: known.name if name == "label" else str(getattr(known, name)) for name in known.by_hand}


def _save(connection: Connection, said: list[Asset], who: str) -> None:
    rows = [{**asdict(each), "who": who, "time": time.time()} for each in said]
    for start in range(0, len(rows), _BATCH):
        upsert(connection, assets, rows[start : start + _BATCH], key=["key"])
