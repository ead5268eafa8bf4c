"""A source that fails for a while is an alert, once; one that comes back and fails again is another."""

import time

from collectors.deafness import Deafness
from collectors.listening import Listening


def test_each_stretch_of_failing_is_told_once() -> None:
    source, deafness = Listening("mirror"), Deafness("may-1", patience=0.05)
    assert deafness.alerts([source]) == []
    source.failed("interface eth1", "there is none")
    assert deafness.alerts([source]) == []  # it may be over soon
    time.sleep(0.06)
    (alert,) = deafness.alerts([source])
    assert (alert["rule.id"], alert["rule.level"]) == ("haidang.source_failed", "high")
    assert alert["rule.description"] == "interface eth1: there is none"
    assert alert["alert.matches"][0]["value"] == "mirror"
    assert [each["event.id"] for each in deafness.alerts([source])] == [alert["event.id"]]  # nobody took it
    deafness.told()
    assert deafness.alerts([source]) == []
    source.mended("interface eth1")
    assert deafness.alerts([source]) == []
    time.sleep(1.0)  # another second: another stretch
    source.failed("interface eth1", "there is none")
    deafness.alerts([source])
    time.sleep(0.06)
    (again,) = deafness.alerts([source])
    assert again["event.id"] != alert["event.id"]
