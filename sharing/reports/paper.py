"""Figures of a period enter, what its report says leaves: headings, tables, charts, in the language that is spoken."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any

from pipeline.attack import called
from pipeline.messages import say
from sharing.documents import Block, Chart, Heading, Paragraph, Table
from sharing.reports import HALF_YEARLY
from sharing.reports.figures import LEVELS, QUERY
from sharing.reports.period import Period

_STATUSES = ("new", "acknowledged", "escalated", "true_positive", "false_positive", "suppressed")


def blocks_of(told: Mapping[str, Any], period: Period) -> list[Block]:
    """Return what a report says, as people read it."""
    found, before = told["alerts"], told["before"]
    counts = [(_capital(say(f"show.level.{level}")), level) for level in LEVELS]
    rows = [_compared(name, *(each["levels"].get(level, 0) for each in (found, before))) for name, level in counts]
    rows.append(_compared(_capital(say("reports.total")), found["total"], before["total"]))
    statuses = [[_capital(say(f"queue.status.{name}")), _written(found["statuses"].get(name, 0))] for name in _STATUSES]
    c2, of_cases = told["c2"], told["cases"]
    return [
        Heading(f"1. {say('reports.part_overview')}"),
        Paragraph(say("reports.period", since=_moment(period.since), until=_moment(period.until),
                      events=_written(told["events"]), alerts=_written(found["total"]))),
        Table([say(f"reports.head_{name}") for name in ("level", "now", "before", "change")], rows, (1, 2, 3)),
        _by_time(found["days"], period),
        Table([say("reports.head_status"), say("reports.head_now")], statuses, (1,)),
        Heading(f"2. {say('reports.part_targets')}"),
        _spans("host", found["hosts"], period),
        *_rest("hosts", found),
        _targets(found["targets"], period),
        *_rest("targets", found),
        Heading(f"3. {say('reports.part_techniques')}"),
        Table([say(f"reports.head_{name}") for name in ("rule", "level", "count")],
              [[each["name"], _level(each["level"]), _written(each["count"])] for each in found["rules"]], (2,),
              say("reports.none")),
        *_rest("rules", found),
        _techniques(found),
        *_rest("techniques", found),
        Heading(f"4. {say('reports.part_attackers')}"),
        _spans("attacker", found["attackers"], period),
        *_rest("attackers", found),
        Heading(f"5. {say('reports.part_c2')}"),
        Paragraph(say("reports.c2", devices=_written(c2["devices"]), contacts=_written(c2["contacts"]))),
        Table([say("reports.head_device"), say("reports.head_devices")],
              [[_capital(say(f"devices.kind.{kind}")), _written(count)] for kind, count in c2["kinds"].items()], (1,),
              say("reports.none")),
        Heading(f"6. {say('reports.part_cases')}"),
        Table([say("reports.head_cases"), say("reports.head_count")],
              [[_capital(say(f"reports.cases_{name}")), _written(count)] for name, count in of_cases.items()], (1,)),
        *_systems(told["systems"]),
        Paragraph(say("reports.how", query=QUERY, since=told["since"], until=told["until"]), small=True),
    ]  # fmt: skip


def _compared(name: str, now: int, before: int) -> list[str]:
    return [name, _written(now), _written(before), _change(now, before)]


def _by_time(found: Sequence[Sequence[Any]], period: Period) -> Chart:
    return Chart(say("reports.by_time"), [_label(text, period) for text, _ in found], [count for _, count in found])


def _rest(name: str, found: Mapping[str, Any]) -> list[Block]:
    """Return how many more there are than a table shows, if any."""
    more = found["more"][name]
    if not more["count"] and not more["at_least"]:
        return []
    key = "reports.at_least" if more["at_least"] else "reports.more"
    told = {"count": _written(more["count"]), "alerts": _written(more["alerts"])}
    return [Paragraph(say(key, **told, what=say(f"reports.more_{name}")), small=True)]


def _techniques(found: Mapping[str, Any]) -> Table:
    said = {code: ", ".join(say(f"queue.tactic.{each}") for each in names) for code, names in found["tactics"].items()}
    rows = [
        [f"{code} {called(code)}".rstrip(), said.get(code) or "-", _written(count)]
        for code, count in found["techniques"]
    ]
    head = [say(f"reports.head_{name}") for name in ("technique", "tactics", "count")]
    return Table(head, rows, (2,), say("reports.none"))


def _systems(told: Mapping[str, Any]) -> list[Block]:
    counts = ("systems", "approved", "monitored", "both", "both_percent", "portals", "portals_percent")
    head = [_capital(say(f"systems.head.{name}")) for name in ("unit", *counts)]
    all_of_it = {"unit": _capital(say("systems.all")), **told["all"]}
    rows = [
        [str(each["unit"]), *("-" if each[name] is None else str(each[name]).replace(".", ",") for name in counts)]
        for each in (all_of_it, *told["units"])
    ]
    if not all_of_it["systems"] and not all_of_it["portals"]:
        rows = []
    return [
        Heading(f"7. {say('reports.part_systems')}"),
        Table(head, rows, tuple(range(1, len(head))), say("reports.no_systems")),
    ]


def _spans(name: str, found: Sequence[Mapping[str, Any]], period: Period) -> Table:
    zone = period.since.tzinfo
    head = [say(f"reports.head_{each}") for each in (name, "count", "first", "last")]
    rows = [[e["key"], _written(e["count"]), _short(e["first"], zone), _short(e["last"], zone)] for e in found]
    return Table(head, rows, (1,), say("reports.none"))


def _targets(found: Sequence[Mapping[str, Any]], period: Period) -> Table:
    zone = period.since.tzinfo
    head = [say(f"reports.head_{each}") for each in ("target", "services", "count", "first", "last")]
    rows = [
        [
            e["key"],
            ", ".join(e["services"]) or "-",
            _written(e["count"]),
            _short(e["first"], zone),
            _short(e["last"], zone),
        ]
        for e in found
    ]
    return Table(head, rows, (2,), say("reports.none"))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _written(number: float) -> str:
    return f"{number:,}".replace(",", ".")


def _level(name: str) -> str:
    return say(f"show.level.{name}") if name in LEVELS else name


def _change(now: int, before: int) -> str:
    if not before:
        return "-" if not now else say("reports.new")
    return f"{round(100 * (now - before) / before):+d} %"


def _moment(moment: datetime) -> str:
    return moment.strftime("%H:%M %d/%m/%Y")


def _short(text: str, zone: tzinfo | None) -> str:
    return datetime.fromisoformat(text).astimezone(zone).strftime("%H:%M %d/%m")


def _label(text: str, period: Period) -> str:
    here = datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(period.since.tzinfo)
    if period.kind == HALF_YEARLY:
        return here.strftime("%m/%Y")
    return here.strftime("%d/%m" if period.until - period.since > timedelta(days=1) else "%H:00")
