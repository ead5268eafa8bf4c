"""A sender's named values in, their ECS copies out, by a table of names."""

from collections.abc import Callable, Mapping

from collectors.decoders.address import as_ip, as_number, as_port
from collectors.decoders.contract import Fields

Check = Callable[[str], int | str | None]
Copies = dict[str, tuple[str, Check | None]]
"""Name of a value → its ECS field and the check of what is no text."""


def copies(
    texts: Mapping[str, str],
    addresses: Mapping[str, str],
    ports: Mapping[str, str],
    numbers: Mapping[str, str],
) -> Copies:
    """One table of the four kinds (name → ECS field each)."""
    table: Copies = {name: (key, None) for name, key in texts.items()}
    table |= {name: (key, as_ip) for name, key in addresses.items()}
    table |= {name: (key, as_port) for name, key in ports.items()}
    table |= {name: (key, as_number) for name, key in numbers.items()}
    return table


def put_copies(fields: Fields, values: Mapping[str, str], table: Copies) -> None:
    """Values that are empty or fail their check have no copy; `source` and `destination` get
    their address from the ip or the name that was found."""
    for name, text in values.items():
        copy = table.get(name)
        if copy is None or not text:
            continue
        key, check = copy
        value = text if check is None else check(text)
        if value is not None:
            fields[key] = value
    for side in ("source", "destination"):
        address = fields.get(side + ".ip") or fields.get(side + ".domain")
        if address:
            fields[side + ".address"] = address
