"""The demo's story: what is sent says the moment at which it is sent, and nothing of it stays but one source."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from pipeline import access
from pipeline.command import demo
from pipeline.messages import HaidangError
from pipeline.state import open_state
from pipeline.state.tables import alerts, tokens


def test_each_item_says_the_time_at_which_it_is_sent() -> None:
    items = [item for chapter in demo.story() for item in chapter.sent]
    now = datetime(2026, 11, 24, 5, 17, 44, 250_000, UTC)
    for number, item in enumerate(items):
        moment = now + timedelta(minutes=number)
        if isinstance(item, demo.Line):
            text = demo._message(item, moment).decode()
            assert moment.isoformat(timespec="microseconds") in text
            assert item.program != "nginx" or f"[{moment:%d/%b/%Y:%H:%M:%S} +0000]" in text
        else:
            event = demo._record(item, moment, number)["Event"]
            assert event["EventData"].get("UtcTime", f"{moment:%Y-%m-%d %H:%M:%S}.250") == f"{moment:%F %T}.250"
            assert f"{moment:%FT%T}.250" in event["System"]["TimeCreated"]["#attributes"]["SystemTime"]
            text = str(event)
        assert demo._NOW not in text


def test_the_token_is_named_demo_and_goes_but_never_somebodys_own(tmp_path: Path) -> None:
    engine = open_state(tmp_path)
    for _ in range(2):
        with demo._token(engine) as secret:
            holder = access.holder_of(engine, secret)
            assert holder is not None
            assert (holder.name, holder.kind) == ("demo", access.SOURCE)
        with engine.connect() as connection:
            assert connection.execute(select(tokens)).all() == []
    with engine.begin() as connection:
        access.create_token(connection, "demo", access.SOURCE, "demo")  # a demo that was killed
    with demo._token(engine):
        pass
    with engine.begin() as connection:
        own = access.create_token(connection, "demo", access.SOURCE)
    with pytest.raises(HaidangError), demo._token(engine):
        pass
    assert access.holder_of(engine, own) is not None
    engine.dispose()


def test_alerts_of_others_are_not_the_demos(tmp_path: Path) -> None:
    engine = open_state(tmp_path)

    def raised(number: int, created: float, **fields: str) -> dict[str, object]:
        shown = {name.replace("__", "."): value for name, value in fields.items()}
        return {
            "id": f"alert {number}", "time": 1, "created": created, "rule_id": "r", "rule_name": "R", "level": "high",
            "status": "new", "source": "syslog", "document": {"rule.name": f"R{number}", **shown},
        }  # fmt: skip

    rows = [
        raised(1, 20, host__name="web-ubnd", source__ip="203.0.113.45"),
        raised(2, 20, host__name="MAY-VANTHU-02"),
        raised(3, 20, source__ip="203.0.113.45"),  # of a correlation
        raised(4, 20, host__name="firewall", source__ip="198.51.100.7"),
        raised(5, 20),  # of the pipeline itself
        raised(6, 9, host__name="web-ubnd"),  # of an earlier demo
        raised(7, 20, host__name="may-vanthu-02"),  # of the risk of a host
        raised(8, 20, user__name="ubnd\\vanthu02"),  # and of a user
        raised(9, 20, user__name="root"),
    ]
    with engine.begin() as connection:
        connection.execute(alerts.insert(), rows)
    assert demo._count_alerts(engine, 10) == 5
    engine.dispose()
