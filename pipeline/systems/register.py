"""The register of systems: rows of a CSV file enter, each checked by itself; systems leave, also the one of a host."""

import csv
import io
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import Connection, Engine, delete, select

from pipeline.access import note as audit
from pipeline.messages import HaidangError, say
from pipeline.networks import Networks, is_address, is_network
from pipeline.state import upsert
from pipeline.state.tables import systems

#: Columns of the file, each with the words that may stand at its head.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "code": ("code", "mã", "ma", "mã hệ thống"),
    "name": ("name", "tên", "ten", "tên hệ thống", "hệ thống"),
    "level": ("level", "cấp độ", "cap do", "cấp"),
    "unit": ("unit", "đơn vị", "don vi"),
    "owner": ("owner", "chủ quản", "chu quan", "đơn vị chủ quản"),
    "operator": ("operator", "vận hành", "van hanh", "đơn vị vận hành"),
    "plan_approved": ("plan_approved", "ngày phê duyệt", "ngay phe duyet", "phê duyệt", "phương án được duyệt"),
    "portal": ("portal", "cổng thông tin", "cong thong tin", "trang/cổng"),
    "declared": ("declared", "được giám sát", "duoc giam sat", "giám sát"),
    "hosts": ("hosts", "máy chủ", "may chu", "địa chỉ", "dia chi"),
}
_NEEDED = ("code", "name", "level")
_YES = frozenset(("1", "yes", "true", "x", "có", "co", "rồi"))
_NO = frozenset(("", "0", "no", "false", "không", "khong", "chưa"))
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})|(\d{1,2})/(\d{1,2})/(\d{4})")
_LARGEST = 5_000_000
_MOST = 20_000
_LEVELS = range(1, 6)


@dataclass(frozen=True, slots=True)
class System:
    """One system. `plan_approved` is a day (2026-11-30) or ""; `heard`: when its hosts were last seen, 0: never."""

    code: str
    name: str
    level: int
    unit: str = ""
    owner: str = ""
    operator: str = ""
    plan_approved: str = ""
    portal: bool = False
    declared: bool = False
    hosts: Sequence[str] = field(default_factory=list)
    heard: float = 0.0

    def plain(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


def read(data: bytes, today: date) -> tuple[list[System], list[str]]:
    """Return the systems of a CSV file, and what is wrong with the rows that are none, each with its line.

    No plan is approved later than today.

    Raises:
        HaidangError: it is no such file.
    """
    if len(data) > _LARGEST:
        raise HaidangError("systems.large", bytes=len(data), limit=_LARGEST)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise HaidangError("systems.not_utf8", line=data.count(b"\n", 0, error.start) + 1) from error
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text), delimiter=separator)
    try:
        places = _places(next(rows, []))
        found: dict[str, System] = {}
        faults: list[str] = []
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            try:
                system = _system({name: row[at].strip() if at < len(row) else "" for name, at in places.items()}, today)
            except ValueError as error:
                faults.append(say("systems.line", line=rows.line_num, fault=error))
                continue
            if system.code in found:
                faults.append(say("systems.line", line=rows.line_num, fault=say("systems.twice", code=system.code)))
                continue
            found[system.code] = system
            if len(found) > _MOST:
                raise HaidangError("systems.many", limit=_MOST)
    except csv.Error as error:
        raise HaidangError("systems.no_csv", fault=error) from error
    return list(found.values()), faults


def _places(head: Sequence[str]) -> dict[str, int]:
    words = [cell.strip().lower() for cell in head]
    places = {
        name: next(at for at, word in enumerate(words) if word in names)
        for name, names in COLUMNS.items()
        if any(word in names for word in words)
    }
    if missing := [name for name in _NEEDED if name not in places]:
        told = ", ".join(f"{say(f'systems.head.{name}')} ({name})" for name in missing)
        raise HaidangError("systems.no_column", missing=told, found=", ".join(words)[:200] or "-")
    return places


def _system(row: Mapping[str, str], today: date) -> System:
    """Return a system.

    Raises:
        ValueError: a value is none of its column.
    """
    if not row["code"] or not row["name"]:
        raise ValueError(say("systems.no_name"))
    level = row["level"].lower().removeprefix("cấp").removeprefix("level").strip()
    if not level.isdigit() or int(level) not in _LEVELS:
        raise ValueError(say("systems.no_level", value=row["level"][:50]))
    approved = _day(row.get("plan_approved", ""))
    if approved > today.isoformat():
        raise ValueError(say("systems.day_to_come", value=row["plan_approved"], today=f"{today:%d/%m/%Y}"))
    hosts = [each for each in re.split(r"[\s,;|]+", row.get("hosts", "")) if each]
    return System(
        row["code"][:100], row["name"][:300], int(level), row.get("unit", "")[:200], row.get("owner", "")[:300],
        row.get("operator", "")[:300], approved, _said("portal", row), _said("declared", row),
        [each.lower()[:255] for each in hosts[:1000]],
    )  # fmt: skip


def _day(text: str) -> str:
    if text.lower() in _NO:
        return ""
    found = _DATE.fullmatch(text)
    if not found:
        raise ValueError(say("systems.no_day", value=text[:50]))
    year, month, day = found.group(1, 2, 3) if found[1] else found.group(6, 5, 4)
    try:
        return time.strftime("%Y-%m-%d", time.strptime(f"{year}-{int(month):02}-{int(day):02}", "%Y-%m-%d"))
    except ValueError as error:
        raise ValueError(say("systems.no_day", value=text[:50])) from error


def _said(name: str, row: Mapping[str, str]) -> bool:
    text = row.get(name, "").lower()
    if text not in _YES and text not in _NO:
        raise ValueError(say("systems.no_yes", column=say(f"systems.head.{name}"), value=text[:50]))
    return text in _YES


def put(engine: Engine, found: Sequence[System], who: str, address: str, only: bool = False) -> int:
    """Put systems into the register; those of the same code are replaced. `only`: all others leave it. Return how many
    have left. What was heard of other hosts is not heard of these."""
    now, gone = time.time(), 0
    rows = [{**system.plain(), "hosts": list(system.hosts), "who": who, "changed": now} for system in found]
    with engine.begin() as connection:
        known = {system.code: system for system in listed(connection)}
        for row in rows:
            before = known.get(row["code"])
            row["heard"] = before.heard if before is not None and list(before.hosts) == row["hosts"] else 0.0
        upsert(connection, systems, rows, key=["code"])
        if only:
            gone = connection.execute(
                delete(systems).where(systems.c.code.not_in([row["code"] for row in rows]))
            ).rowcount
        audit(connection, who, address, "systems_put", count=len(rows), removed=gone)
    return gone


def remove(engine: Engine, code: str, who: str, address: str) -> None:
    """Take a system out of the register.

    Raises:
        HaidangError: there is none of this code.
    """
    with engine.begin() as connection:
        if not connection.execute(delete(systems).where(systems.c.code == code)).rowcount:
            raise HaidangError("systems.none", code=code[:100])
        audit(connection, who, address, "systems_removed", code=code)


def listed(connection: Connection) -> list[System]:
    """Return all systems, the highest level first."""
    query = select(systems).order_by(systems.c.level.desc(), systems.c.unit, systems.c.code)
    names = System.__dataclass_fields__
    return [
        System(**{name: value for name, value in row.items() if name in names})
        for row in connection.execute(query).mappings()
    ]


class Owners:
    """Which system a host belongs to."""

    def __init__(self, found: Iterable[System]) -> None:
        found = list(found)
        self._codes = {system.code.lower(): system for system in found}
        self._named: dict[str, System] = {}
        self._networks: list[tuple[Networks, System]] = []
        for system in found:
            networks = [each for each in system.hosts if is_network(each)]
            if networks:
                self._networks.append((Networks(networks), system))
            self._named |= {each: system for each in system.hosts if not is_network(each) or is_address(each)}

    def named(self, text: str) -> System | None:
        """Return the system whose code stands in a text as a word of its own; of several the longest code's."""
        lower = text.lower()
        codes = (code for code in self._codes if code in lower)
        return next(
            (
                self._codes[code]
                for code in sorted(codes, key=len, reverse=True)
                if re.search(rf"(?<![\w-]){re.escape(code)}(?![\w-])", lower)
            ),
            None,
        )

    def of(self, host: str) -> System | None:
        """Return the system of a host's name or address."""
        if (found := self._named.get(host.lower())) is not None:
            return found
        if not is_address(host):
            return None
        return next((system for networks, system in self._networks if networks.holds(host)), None)
