"""What is old and done leaves the queue: closed groups with their alerts and history, and what was kept out.

The copies for search stay as long as the store keeps them. What is open, and what is in a case, stays.
"""

from sqlalchemy import Connection, delete, select

from pipeline.queue import CLOSED, NO_GROUP, counts
from pipeline.state.tables import alert_groups, alerts, group_history

#: Alerts and groups that one call takes: none is a long transaction.
_MOST_ALERTS = 5000
_MOST_GROUPS = 500


def forget_old(connection: Connection, now: float, days: float) -> bool:
    """Delete a part of what happened, and came into the queue, more than `days` ago; say whether there is more.

    The caller holds the queue's lock.
    """
    since = now - days * 86_400
    before = round(since * 1e6)
    columns = alert_groups.c
    old = [columns.status.in_(CLOSED), columns.last < before, columns.opened < since, columns.case_id == 0]
    groups = connection.scalars(select(columns.id).where(*old).order_by(columns.last).limit(_MOST_GROUPS)).all()
    fits = alerts.c.group_id.in_(groups) | (
        (alerts.c.group_id == NO_GROUP) & (alerts.c.time < before) & (alerts.c.created < since)
    )
    found = connection.scalars(select(alerts.c.id).where(fits).limit(_MOST_ALERTS)).all()
    connection.execute(delete(alerts).where(alerts.c.id.in_(found)))
    if len(found) == _MOST_ALERTS:
        return True
    counts.follow(connection, counts.of(connection, groups), {})
    connection.execute(delete(group_history).where(group_history.c.group_id.in_(groups)))
    connection.execute(delete(alert_groups).where(columns.id.in_(groups)))
    return len(groups) == _MOST_GROUPS
