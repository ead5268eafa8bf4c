"""The rulebook of a running site: changes are used within seconds and without a stop, bad ones are taken back."""

import io
import json
import os
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from pipeline.state.tables import rule_contents, rule_hits, rulebooks
from tests.conftest import eventually
from tests.e2e.conftest import Site, is_ours
from tests.e2e.test_e2e_correlations import send

pytestmark = pytest.mark.slow

RULE = """
title: Door forced
id: 11111111-2222-4333-8444-555555555555
level: high
logsource: {product: linux, service: syslog}
detection: {selection: {message|contains: door forced}, condition: selection}
"""


def _opened(site: Site, number: int) -> None:
    send(site, [f"<13>1 2026-11-24T05:00:{number:02}Z may-chu door 7 - - door forced, number {number}"])
    site.await_count(f'"number {number}"', 1)


def _alerts(site: Site) -> int:
    return len([alert for alert in site.alerts() if alert["rule.name"] == "Door forced"])


def _hits(site: Site) -> tuple[int, int]:
    query = select(rule_hits.c.alerts, rule_hits.c.observed).where(rule_hits.c.rule_id.startswith("11111111"))
    with site.engine.connect() as connection:
        rows = connection.execute(query).all()
    return sum(row.alerts for row in rows), sum(row.observed for row in rows)


def _in_use(text: str) -> float:
    found = re.search(r"in use \(detectors: 1; proved by a canary event after ([0-9.]+) s\)", text)
    assert found, text
    return float(found[1])


def test_changes_are_used_without_a_stop_and_counted(make_site: Callable[..., Site], tmp_path: Path) -> None:
    site = make_site()
    pid = site.stages()["detectors"]["pid"]
    _opened(site, 1)
    path = tmp_path / "door_forced.yml"
    path.write_text(RULE, "utf-8")
    assert _in_use(site.run("rules", "add", str(path)).stdout) < 20
    _opened(site, 2)
    eventually(lambda: _alerts(site) == 1)
    _in_use(site.run("rules", "observe", "Door forced", "--reason", "too loud").stdout)
    _opened(site, 3)
    eventually(lambda: _hits(site) == (1, 1))
    _in_use(site.run("rules", "alert", "Door forced").stdout)
    where = ["--where", "message|endswith=number 4", "--reason", "drill", "--days", "1"]
    _in_use(site.run("rules", "except", "Door forced", *where).stdout)
    _opened(site, 4)
    _opened(site, 5)
    eventually(lambda: _alerts(site) == 2)
    assert _hits(site) == (2, 1)
    (listed,) = [json.loads(line) for line in site.run("rules", "list", "Door forced", "--json").stdout.splitlines()]
    assert (listed["mode"], listed["pack"], listed["alerts"], listed["observed"]) == ("alert", "own", 2, 1)
    explained = site.run("rules", "explain", "Door forced", site.search('"number 4"')[0]["event.id"]).stdout
    assert "kept quiet by the exception" in explained
    assert "✗ Door forced" in explained
    detail = site.stages()["detectors"]["detail"]
    assert (site.stages()["detectors"]["pid"], detail["rulebook"]) == (pid, 4)
    assert detail["modes"]["alert"] > 100
    site.run("rules", "rollback", "0")
    assert site.run("rules", "show", "Door forced", check=False).returncode == 2


def test_a_change_that_cannot_be_used_is_taken_back_with_an_alert(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    site = make_site()
    path = tmp_path / "door_forced.yml"
    path.write_text(RULE, "utf-8")
    site.run("rules", "add", str(path))
    with site.engine.begin() as connection:  # a revision whose files are damaged, as by a disk
        row: Any = connection.execute(select(rulebooks)).mappings().one()
        document = json.loads(json.dumps(row["document"]))
        document["packs"]["own"]["digest"] = "0" * 64
        connection.execute(rule_contents.insert(), {"digest": "0" * 64, "data": b"no zstd"})
        connection.execute(rulebooks.insert(), {**row, "revision": 2, "document": document, "failed": ""})

    def taken_back() -> bool:
        with site.engine.connect() as connection:
            return bool(connection.scalar(select(rulebooks.c.failed).where(rulebooks.c.revision == 2)))

    eventually(taken_back)
    _opened(site, 1)
    eventually(lambda: _alerts(site) == 1)  # the one before it never stopped
    eventually(lambda: "haidang.rulebook_failed" in {alert["rule.id"] for alert in site.alerts()})
    assert "TAKEN BACK" in site.run("rules", "history").stdout
    _in_use(site.run("rules", "disable", "Door forced").stdout)


def test_a_pack_is_updated_by_itself_and_what_fails_is_an_alert(make_site: Callable[..., Site], tmp_path: Path) -> None:
    site = make_site()
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "door.yml").write_text(RULE.replace("door forced", "gate forced"), "utf-8")
    _in_use(site.run("rules", "import", str(pack), "--name", "doors", "--every-hours", "0.0005").stdout)
    (pack / "door.yml").write_text(RULE, "utf-8")
    eventually(lambda: site.stages()["detectors"]["detail"]["rulebook"] == 2, 60)
    _opened(site, 1)
    eventually(lambda: _alerts(site) == 1)
    history = [json.loads(line) for line in site.run("rules", "history", "--json").stdout.splitlines()]
    assert (history[0]["who"], history[0]["address"], history[0]["action"]) == ("haidang", "automatic", "update")
    pack.rename(tmp_path / "gone")
    eventually(lambda: "haidang.rules_update_failed" in {alert["rule.id"] for alert in site.alerts()}, 60)
    assert site.stages()["detectors"]["detail"]["rulebook"] == 2


def test_a_pack_that_is_sent_is_used_and_the_status_says_so(make_site: Callable[..., Site]) -> None:
    site = make_site()
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("rules/door.yml", RULE)
    secret = site.run("token", "create", "console", "--api", "administrator").stdout.strip()
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/octet-stream"}
    address = site.stages()["api"]["detail"]["address"]
    with httpx.Client(base_url=f"{address}/api/v1/rules", headers=headers, timeout=60) as client:
        made = client.post("/packs", params={"file": "doors.zip", "name": "doors"}, content=held.getvalue())
        assert made.json()["revision"] == 1, made.text

        def used() -> bool:
            found = client.get("/status").json()
            return bool(found["in_use"] and found["revision"] == 1)

        eventually(used)
        (copy,) = client.get("/status").json()["detectors"]
        assert copy["rules"] > 100 and copy["canary_found"] > time.time() - 60
        _opened(site, 1)
        eventually(lambda: _alerts(site) == 1)
        with site.engine.begin() as connection:  # one that cannot be used
            row: Any = connection.execute(select(rulebooks)).mappings().one()
            document = json.loads(json.dumps(row["document"]))
            document["packs"]["doors"]["digest"] = "0" * 64
            connection.execute(rulebooks.insert(), {**row, "revision": 2, "document": document, "failed": ""})
        eventually(lambda: bool(client.get("/status").json()["taken_back"]))
        assert client.get("/status").json()["taken_back"]["revision"] == 2
        assert used()


def _living(site: Site) -> int:
    """The detectors' process; 0 while the one that was killed is still the last that said something."""
    pid = int(site.stages()["detectors"]["pid"])
    return pid if is_ours(pid, site.data_dir) else 0


def test_a_kill_while_rules_change_loses_nothing(make_site: Callable[..., Site], tmp_path: Path) -> None:
    site = make_site()
    path = tmp_path / "door_forced.yml"
    path.write_text(RULE, "utf-8")
    site.run("rules", "add", str(path))
    for number in range(1, 7):
        _opened(site, number)
        if number in (2, 4):
            with site.engine.begin() as connection:  # a reload at the same moment
                row: Any = (
                    connection.execute(select(rulebooks).order_by(rulebooks.c.revision.desc()).limit(1))
                    .mappings()
                    .one()
                )
                connection.execute(rulebooks.insert(), {**row, "revision": row["revision"] + 1})
            time.sleep(0.6)
            os.kill(eventually(lambda: _living(site)), 9)
    eventually(lambda: _alerts(site) == 6, 60)
    eventually(lambda: _hits(site) == (6, 0), 30)
    with site.engine.connect() as connection:
        assert connection.scalar(select(rulebooks.c.failed).order_by(rulebooks.c.revision.desc()).limit(1)) == ""
