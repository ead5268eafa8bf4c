"""The alert budget: how many groups came into the queue on a day, how many people can look into, what went past it.

A group counts when it comes, when it comes back, and when it grows worse: each time somebody has to look. Alerts about
channels do not count.
"""

from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Integer, func, select

from pipeline.delivery import RULES_OF_CHANNELS
from pipeline.queue.grouping import OPENED, RAISED, REOPENED
from pipeline.settings import Queue
from pipeline.state.tables import alert_groups, group_history

_MOST_RULES = 100


def spent(connection: Connection, day: date, settings: Queue) -> dict[str, Any]:
    """Return a day's budget (by this machine's calendar), what was spent of it, and by which rules: how many groups of
    each, and how many of these came when nothing was left.
    """
    start = datetime(day.year, day.month, day.day).astimezone()
    end = datetime.combine(day + timedelta(days=1), datetime.min.time()).astimezone()
    columns = group_history.c
    came = (
        select(
            columns.rule_id,
            columns.group_id,
            func.row_number().over(order_by=(columns.time, columns.id)).label("place"),
        )
        .where(columns.action.in_((OPENED, REOPENED, RAISED)), columns.rule_id.not_in(RULES_OF_CHANNELS))
        .where(columns.time >= start.timestamp(), columns.time < end.timestamp())
        .subquery()
    )
    budget = settings.daily_budget * settings.analysts
    past = func.sum((came.c.place > budget).cast(Integer)).label("past")
    number = func.count().label("number")
    query = (
        select(came.c.rule_id, func.max(alert_groups.c.rule_name).label("name"), number, past)
        .outerjoin(alert_groups, alert_groups.c.id == came.c.group_id)
        .group_by(came.c.rule_id)
        .order_by(past.desc(), number.desc(), came.c.rule_id)
    )
    rows = connection.execute(query).all()
    total = sum(row.number for row in rows)
    return {
        "day": day.isoformat(), "budget": budget, "analysts": settings.analysts, "came": total,
        "past": max(0, total - budget),
        "rules": [
            {"rule.id": row.rule_id, "rule.name": row.name or row.rule_id, "came": row.number, "past": row.past}
            for row in rows[:_MOST_RULES]
        ],
    }  # fmt: skip
