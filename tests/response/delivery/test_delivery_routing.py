"""Who gets which alert: levels, rules, tags, sources, fields, hours, rosters, groups, and what nobody took."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import update

from pipeline.command.notify import place_of
from pipeline.delivery import ALERT, DROPPED, ESCALATION, WAITING
from pipeline.delivery.routing import begun, on_duty, takes
from pipeline.messages import HaidangError
from pipeline.queue import life
from pipeline.settings import Settings, load_settings
from pipeline.settings.check import faults
from pipeline.settings.delivery import Route, Shift
from pipeline.state.tables import deliveries
from tests.response.delivery.conftest import Corridor, alert

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
#: A Tuesday.
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=ZONE)
SYSLOG = {"kind": "syslog", "host": "127.0.0.1", "port": 1, "transport": "tcp"}
MAIL = {"kind": "email", "host": "127.0.0.1", "sender": "a@b.vn", "to": ["c@d.vn"]}


@pytest.mark.parametrize(
    ("route", "taken"),
    [
        ({}, True),
        ({"level": "high"}, True),
        ({"level": "critical"}, False),
        ({"rules": ["behaviour.*"]}, True),
        ({"rules": ["packet.*", "Port scan 1"]}, True),
        ({"rules": ["behaviour"]}, False),
        ({"tags": ["attack.t1046"]}, True),
        ({"tags": ["attack.t1047", "attack.t11*"]}, False),
        ({"sources": ["syslog"]}, True),
        ({"sources": ["http"]}, False),
        ({"where": {"source.ip": "10.0.0.0/8"}}, True),
        ({"where": {"source.ip": "10.1.0.0/16"}}, False),
        ({"where": {"source.ip": "10.0.5.*", "user.name": "*"}}, False),
        ({"hours": "07:30-17:00"}, True),
        ({"hours": "17:00-07:30"}, False),
        ({"days": ["tue"]}, True),
        ({"days": ["mon"], "hours": "11:00-13:00"}, False),
    ],
)
def test_a_route_takes_what_fits_all_that_it_asks_for(route: dict[str, Any], taken: bool) -> None:
    assert takes(Route.model_validate({"channels": ["x"], **route}), alert(1), "syslog", NOON) is taken


def test_an_unknown_level_is_above_all() -> None:
    assert takes(Route(channels=["x"], level="critical"), alert(1, "catastrophic"), "syslog", NOON)


def test_hours_over_midnight_are_of_the_day_before() -> None:
    at = NOON.replace
    assert begun("22:00-06:00", [], at(hour=22)) == date(2026, 11, 24)
    assert begun("22:00-06:00", [], at(hour=5, minute=59)) == date(2026, 11, 23)
    assert begun("22:00-06:00", [], at(hour=6)) is None
    assert begun("22:00-06:00", ["mon"], at(hour=3)) == date(2026, 11, 23)
    assert begun("22:00-06:00", ["tue"], at(hour=3)) is None
    assert begun("", ["tue"], at(hour=3)) == date(2026, 11, 24)
    assert begun("00:00-00:00", [], at(hour=3)) == date(2026, 11, 24)


def test_three_teams_in_three_shifts_leave_no_hour_and_no_day_without_one() -> None:
    roster = [
        Shift(channels=[f"team-{team}"], hours=hours, first=date(2026, 11, 2) + timedelta(days=(team - turn) % 3), every_days=3)
        for team in range(3)
        for turn, hours in enumerate(("06:00-14:00", "14:00-22:00", "22:00-06:00"))
    ]  # fmt: skip
    moment, seen = NOON, set()
    for _ in range(9 * 24):
        there = on_duty(roster, "duty", moment)
        assert len(there) == 1, moment
        seen.add((there[0], moment.hour // 8))
        moment += timedelta(hours=1)
    assert len(seen) == 9
    assert on_duty(roster, "other", NOON) == []


def test_each_channel_gets_a_message_once_however_many_routes_lead_there(corridor: Callable[..., Corridor]) -> None:
    made = corridor(
        channels=[{"name": "a", **MAIL}, {"name": "siem", **SYSLOG}],
        routes=[
            {"channels": ["a", "siem"]},
            {"channels": ["a"], "level": "high"},
            {"channels": ["a"], "level": "critical"},
        ],
    )
    made.raise_alerts(alert(1), alert(1), alert(2, "low"))
    made.raise_alerts(alert(1))
    found = [(each["channel"], each["alert"]) for each in made.receipts()]
    assert len(found) == len(set(found)) == 4


def test_people_hear_of_a_group_once_and_programs_of_each_alert(corridor: Callable[..., Corridor]) -> None:
    made = corridor(channels=[{"name": "a", **MAIL}, {"name": "siem", **SYSLOG}], routes=[{"channels": ["a", "siem"]}])
    made.raise_alerts(alert(1))
    made.raise_alerts(*(alert(number, **{"source.ip": "10.0.5.20"}) for number in (2, 3)))
    assert [each["channel"] for each in made.receipts()].count("a") == 1
    assert [each["channel"] for each in made.receipts()].count("siem") == 3
    assert len({each["thread"] for each in made.receipts()}) == 1


def test_what_is_suppressed_goes_to_nobody(corridor: Callable[..., Corridor]) -> None:
    from pipeline.queue import suppressions

    made = corridor(channels=[{"name": "a", **MAIL}], routes=[{"channels": ["a"]}])
    suppressions.add(made.engine, "behaviour.port_scan", {}, "our scanner", 1, "admin", "command")
    made.raise_alerts(alert(1))
    assert made.receipts() == []


def test_who_is_on_duty_gets_it_and_where_nobody_is_the_others(corridor: Callable[..., Corridor]) -> None:
    made = corridor(
        channels=[{"name": "a", **MAIL}, {"name": "b", **MAIL}],
        roster=[{"channels": ["a"]}, {"roster": "later", "channels": ["a"], "first": "2999-01-01"}],
        routes=[{"channels": ["b"], "on_duty": "duty"}, {"channels": ["b"], "on_duty": "later", "level": "critical"}],
    )
    made.raise_alerts(alert(1))
    assert [each["channel"] for each in made.receipts()] == ["a"]
    made.raise_alerts(alert(2, "critical"))
    assert sorted(each["channel"] for each in made.receipts()) == ["a", "a", "b"]


def test_what_nobody_took_goes_to_others_and_what_somebody_took_does_not(corridor: Callable[..., Corridor]) -> None:
    made = corridor(
        channels=[{"name": "siem", **SYSLOG}, {"name": "chief", **MAIL}],
        routes=[{"channels": ["siem"], "escalate_minutes": 30, "escalate_to": ["chief"]}],
    )
    made.raise_alerts(alert(1))
    (waits,) = made.receipts(channel="chief")
    assert (waits["kind"], waits["status"]) == (ESCALATION, WAITING)
    assert waits["due"] - waits["created"] == 30 * 60
    life.change(made.engine, life.Fits(ids=[alert(1)["event.id"]]), "acknowledged", "", "truc", "10.0.0.1")
    with made.engine.begin() as connection:
        connection.execute(update(deliveries).where(deliveries.c.channel == "chief").values(due=0.0))
    made.run()
    from tests.conftest import eventually

    eventually(lambda: made.receipts(channel="chief")[0]["status"] == DROPPED)
    assert "truc" in made.receipts(channel="chief")[0]["answer"]
    assert made.receipts(channel="siem")[0]["kind"] == ALERT


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (
            '[[routes]]\nchannels = ["mial"]',
            "routes.0.channels: 'mial' is in no [[channels]]; there are: mail. Did you mean 'mail'?",
        ),
        ('[[routes]]\nchannels = ["mail"]\non_duty = "night"', "'night' is in no [[roster]]"),
        ('[[routes]]\nlevel = "high"', "`channels` or `on_duty`"),
        ('[[routes]]\nchannels = ["mail"]\nhours = "7-17"', "22:00-06:00, not '7-17'"),
        ('[[routes]]\nchannels = ["mail"]\nhours = "07:00-24:00"', "22:00-06:00, not '07:00-24:00'"),
        ('[[routes]]\nchannels = ["mail"]\nescalate_minutes = 5', "escalate_to"),
        ('[[routes]]\nchannels = ["mail"]\nwhere = {"source.ip" = "10.0.0.0/33"}', "10.0.0.0/33"),
        ('[[routes]]\nchannels = ["mail"]\nlevle = "high"', "Did you mean 'level'?"),
        ('[[channels]]\nname = "mail"\nkind = "script"\nprogram = "x"', "two have the same name: mail"),
        ('[[channels]]\nname = "s"\nkind = "script"\nprogram = "../x"', "channels.1.program"),
        ('[delivery]\ntimezone = "Asia/Hanoi"', "delivery.timezone: 'Asia/Hanoi' is no time zone"),
        ('[[channels]]\nname = "s"\nkind = "sms"', "email, webhook, script, syslog, kafka"),
        ('[[channels]]\nname = "w"\nkind = "webhook"\nurl = "http://x/geheim"', "https://"),
        ('[[channels]]\nname = "w"\nkind = "webhook"\nurl = "https://u:geheim@x/"', "may be a secret"),
        ('[[channels]]\nname = "w"\nkind = "webhook"\nurl = 5\nsecrets = "geheim"', "channels.1"),
        (
            '[[channels]]\nname = "m"\nkind = "email"\npassword = "geheim"\nhost = "x"\nto = ["a@b.vn"]',
            "channels.1.sender",
        ),
        (
            '[[channels]]\nname = "m"\nkind = "email"\nhost = "x"\nsender = "a@b.vn"\nto = ["c@d.vn\\r\\nX: y"]',
            "truc@example.gov.vn",
        ),
    ],
)
def test_a_wrong_setting_is_refused_with_what_to_do_and_no_secret_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, says: str
) -> None:
    good = '[[channels]]\nname = "mail"\nkind = "email"\nhost = "x"\nsender = "a@b.vn"\nto = ["c@d.vn"]\n'
    (tmp_path / "haidang.toml").write_text(good + lines)
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path))
    with pytest.raises(HaidangError) as caught:
        load_settings()
    assert says in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_the_clock_is_that_of_the_sites_zone() -> None:
    from pipeline.delivery.routing import zone_of

    made = Settings.model_validate({"data_dir": "/x", "delivery": {"timezone": "Asia/Ho_Chi_Minh"}})
    assert zone_of(made) == ZONE
    assert zone_of(Settings.model_validate({"data_dir": "/x"})) is None


def test_what_channels_name_and_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "plain").write_text("x")
    hook = {"kind": "webhook", "url": "https://example.vn/"}
    told = {
        "data_dir": tmp_path, "sources": [],
        "channels": [
            {"name": "a", **MAIL, "ca": "/nowhere/ca.pem"},
            {"name": "b", **MAIL, "username": "x", "password_file": "/nowhere/password"},
            {"name": "c", **hook, "shape": "template", "template": "mine.j2"},
            {"name": "d", "kind": "script", "program": "plain", "user": "nobody-here"},
            {"name": "e", "kind": "kafka", "topic": "x"},
        ],
    }  # fmt: skip
    found = faults(Settings.model_validate(told))
    places = [each.partition(" ")[0] for each in found]
    assert places == [
        "channels.0.ca", "channels.1.password_file", "channels.2.template", "channels.3.program", "channels.3.user",
        "channels.4.servers",
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", ["writable", "link", "good"])
def test_what_would_be_refused_at_a_sending_is_told_before(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "scripts").mkdir()
    program, template = tmp_path / "scripts" / "run.sh", tmp_path / "templates" / "mine.j2"
    for file in (program, template, tmp_path / "haidang.toml"):
        file.write_text("#!/bin/sh\n")
        file.chmod(0o777 if wrong == "writable" else 0o755)
    if wrong == "link":
        program.unlink()
        program.symlink_to("/bin/sh")
    hook = {"kind": "webhook", "url": "https://example.vn/", "shape": "template"}
    told = {
        "data_dir": tmp_path, "sources": [],
        "channels": [
            {"name": "a", **hook, "template": "mine.j2" if wrong == "good" else "../haidang.toml"},
            {"name": "b", "kind": "script", "program": "run.sh"},
        ],
    }  # fmt: skip
    found = faults(Settings.model_validate(told))
    places = [each.partition(" ")[0] for each in found]
    assert places == ([] if wrong == "good" else ["channels.0.template", "channels.1.program"])


def test_no_secret_of_a_channel_is_shown(tmp_path: Path) -> None:
    hook = {
        "name": "h", "kind": "webhook", "url": "https://example.vn:8443/geheim", "token": "geheim", "secrets": ["geheim"],
    }  # fmt: skip
    mail = {"name": "m", **MAIL, "username": "x", "password": "geheim"}
    made = Settings.model_validate({"data_dir": tmp_path, "channels": [hook, mail]})
    assert "geheim" not in repr(made)
    assert "geheim" not in made.model_dump_json()
    assert [place_of(channel) for channel in made.channels] == [
        "cloudevents (example.vn:8443)", "c@d.vn (127.0.0.1:587, starttls)",
    ]  # fmt: skip
