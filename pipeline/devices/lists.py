"""A list of assets enters, as an office keeps it in a spreadsheet; what it says of each device leaves."""

import csv
import io

from pipeline.devices.book import Asset, asset, keys_of
from pipeline.messages import HaidangError, say

#: Of a list of assets, what is read at the most.
MAX_ASSETS = 100_000
MAX_LIST_BYTES = 20_000_000
#: How workbooks of Excel begin (.xlsx, .xls), and texts in UTF-16.
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
#: Columns of a list of assets, and other names that they may have (without case; Vietnamese inventories are common).
_COLUMNS = {
    "mac": ("mac", "mac_address", "địa chỉ mac", "dia chi mac"),
    "ip": ("ip", "address", "ip_address", "địa chỉ ip", "dia chi ip"),
    "name": ("name", "hostname", "host_name", "host", "tên máy", "ten may", "tên thiết bị", "ten thiet bi"),
    "kind": ("kind", "type", "loại", "loai", "loại thiết bị", "loai thiet bi"),
    "label": ("label", "nhãn", "nhan", "mô tả", "mo ta"),
    "unit": ("unit", "department", "đơn vị", "don vi", "phòng", "phong"),
    "owner": ("owner", "user", "người dùng", "nguoi dung", "người quản lý", "nguoi quan ly"),
    "note": ("note", "notes", "ghi chú", "ghi chu"),
}


def read_list(data: bytes) -> tuple[list[Asset], list[str]]:
    """Read a list of assets (CSV with a header; comma, semicolon or tab); return them, and what is wrong with the rest.

    Raises:
        HaidangError: it is no such list.
    """
    if len(data) > MAX_LIST_BYTES:
        raise HaidangError("devices.list_too_long", size=len(data), limit=MAX_LIST_BYTES)
    if data.startswith(_WORKBOOKS):
        raise HaidangError("devices.list_is_workbook")
    try:
        text = data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig")  # "Unicode text" of Excel is UTF-16
    except UnicodeDecodeError as error:
        raise HaidangError("devices.list_not_utf8", place=error.start) from error
    head = text.partition("\n")[0]
    divider = max(",;\t", key=head.count)
    rows = csv.reader(io.StringIO(text), delimiter=divider)
    found: dict[str, Asset] = {}
    wrong: list[str] = []
    try:
        columns = _columns(next(rows, []))
        if not {"mac", "ip", "name"} & columns.keys():
            raise HaidangError("devices.list_no_key", head=head.strip()[:200])
        for number, cells in enumerate(rows, 2):
            if len(found) >= MAX_ASSETS:
                raise HaidangError("devices.list_too_many", limit=MAX_ASSETS)
            if any(cell.strip() for cell in cells):
                values = {name: cells[at].strip() for name, at in columns.items() if at < len(cells)}
                _read_row(number, values, found, wrong)
    except csv.Error as error:
        raise HaidangError("devices.list_broken", line=rows.line_num, fault=error) from error
    return list(found.values()), wrong


def _read_row(number: int, values: dict[str, str], found: dict[str, Asset], wrong: list[str]) -> None:
    keys = {column: _key(column, values.get(column, "")) for column in ("mac", "name", "ip")}
    bad = next((values[column] for column, key in keys.items() if values.get(column) and not key), "")
    if bad:
        wrong.append(say("devices.row_bad_key", line=number, value=bad[:100]))
    elif not any(keys.values()):
        wrong.append(say("devices.row_no_key", line=number))
    else:
        # the MAC alone is enough; a name may never be seen on the wire, so the address says the same
        chosen = [keys["mac"]] if keys["mac"] else [keys["name"], keys["ip"]]
        said = {"label": values.get("name", ""), **{name: value for name, value in values.items() if value}}
        try:
            found |= {key: asset(key, **said) for key in chosen if key}
        except HaidangError as error:
            wrong.append(f"{number}: {error}")


def _key(column: str, value: str) -> str:
    """Return the key that a cell is; "" where it is none of its column's."""
    return next((key for key in keys_of(value) if key.startswith(f"{column}:")), "") if value else ""


def _columns(head: list[str]) -> dict[str, int]:
    named = {" ".join(cell.lower().split()): at for at, cell in reversed(list(enumerate(head)))}
    return {
        column: named[word] for column, words in _COLUMNS.items() for word in reversed(words) if word in named
    }  # fmt: skip
