"""Indicators in a running site: added by the API, brought by a list, searched in what is stored; a real C2 is found."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import eventually, need
from tests.e2e.conftest import Site

pytestmark = pytest.mark.slow

#: An AsyncRAT infection; who has published the capture names its server and the fingerprint of its TLS.
CAPTURE = "pcap/c2/30a385ed-171e-4f15-ac3f-08c96be7bfd1.pcap"
SERVER, JA3, VICTIM = "186.169.47.11", "8b79783b7a50d6785ef5365a464f97d1", "192.168.100.139"
#: As many days back as a capture of any age needs.
TOP = "[indicators]\nretro_days = 36000\n{feeds}"


def _api(site: Site, role: str = "analyst") -> httpx.Client:
    token = site.run("token", "create", f"api-{role}", "--api", role).stdout.strip()
    address = site.stages()["api"]["detail"]["address"]
    return httpx.Client(base_url=f"{address}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=60)


def _alerts(site: Site, rule: str) -> list[dict[str, Any]]:
    return [each for each in site.alerts() if each["rule.id"] == rule]


def _post(site: Site, token: str, **event: Any) -> None:
    made = {"@timestamp": "2026-11-24T05:17:44Z", **event}
    address = f"http://127.0.0.1:{site.port('http')}/v1/events"
    done = httpx.post(address, content=json.dumps(made), headers={"Authorization": f"Bearer {token}"}, timeout=60)
    assert done.status_code == 200, done.text


def _c2(site: Site, by: str) -> dict[str, int]:
    """How many devices had contacts with C2 servers in November 2026."""
    told = site.run("c2", "--by", by, "--from", "2026-11-01", "--to", "2026-12-01", "--json").stdout
    return {each["group"]: each["devices"] for each in map(json.loads, told.splitlines())}


def test_an_indicator_added_by_the_api_finds_what_comes_and_what_is_stored(
    make_site: Callable[..., Site], shared_data: Path
) -> None:
    capture = shared_data / CAPTURE
    need(capture.is_file(), str(capture))
    site = make_site(top=TOP.format(feeds=""))
    site.run("import", str(capture))
    eventually(lambda: site.count(f"destination.ip:{SERVER}") > 0, 30)
    assert _alerts(site, "indicator.c2") == []
    with _api(site) as api:
        said = {"value": SERVER, "threat": "c2", "confidence": 90, "family": "AsyncRAT"}
        done = api.post("/indicators", json={"indicators": [said], "reason": "a report"})
        assert done.status_code == 200, done.text
        assert [each["kind"] for each in done.json()["added"]] == ["address"]
        assert (
            api.get("/indicators/check", params={"value": f"{SERVER}:7084"}).json()["found"][0]["family"] == "AsyncRAT"
        )

        found = eventually(lambda: _alerts(site, "indicator.c2"), 60)
        assert {each["alert.found_afterwards"] for each in found} == {True}
        assert {each["threat.indicator.ip"] for each in found} == {SERVER}
        assert {(each["rule.level"], each["alert.direction"]) for each in found} == {
            ("high", "contact"),
            ("high", "lookup"),  # an answer of the DNS
        }
        assert all("AsyncRAT" in each["rule.description"] and each["rule.name_vi"] for each in found)
        ran = eventually(
            lambda: [each for each in api.get("/indicators/searches").json()["searches"] if each["state"] == "done"], 30
        )
        assert ran[0]["found"] == len(found)

        token = site.token("gate")
        _post(site, token, **{"source.ip": VICTIM, "destination.ip": SERVER, "event.action": "network_flow"})
        late = eventually(lambda: [each for each in _alerts(site, "indicator.c2") if each["source.ip"] == VICTIM
                                   and "alert.found_afterwards" not in each], 20)  # fmt: skip
        assert late[0]["@timestamp"].startswith("2026-11-24T05:17:44")
        _post(site, token, **{"host.ip": [VICTIM], "host.name": "KE-TOAN-7", "host.os.name": "Windows 11 Pro"})
        kinds = eventually(lambda: _c2(site, "kind") if "computer" in _c2(site, "kind") else None, 30)
        assert kinds == {"computer": 1}
        assert _c2(site, "family") == {"AsyncRAT": 1}
        assert api.delete("/indicators", params={"value": SERVER}).status_code == 200
        assert api.get("/indicators/check", params={"value": SERVER}).json()["found"] == []
        eventually(lambda: "indicators" not in site.stages()["detectors"]["detail"])
    assert site.run("indicators", "list", "--json").stdout == ""


def test_a_list_of_the_settings_is_followed_and_a_broken_one_keeps_its_last_content(
    make_site: Callable[..., Site], tmp_path: Path, shared_data: Path
) -> None:
    capture = shared_data / CAPTURE
    need(capture.is_file(), str(capture))
    listed = tmp_path / "c2.txt"
    feed = f'[[indicators.feeds]]\nname = "report"\nkind = "file"\npath = "{listed}"\nformat = "csv"\nthreat = "c2"\n'
    listed.write_text(f"ja3_md5,malware\n{JA3},AsyncRAT\nno-ja3,x\n", "utf-8")
    site = make_site(top=TOP.format(feeds=feed))
    said = eventually(lambda: site.run("indicators", "feeds", "--json").stdout, 30)
    assert json.loads(said)["refused"] == {"no_hash": 1}
    eventually(lambda: site.stages()["detectors"]["detail"].get("indicators", {}).get("count") == 1, 30)
    site.run("import", str(capture))
    found = eventually(lambda: _alerts(site, "indicator.c2"), 40)
    assert {each["threat.indicator.name"] for each in found} == {JA3}
    assert {each["threat.software.name"] for each in found} == {"AsyncRAT"}

    time.sleep(0.01)
    listed.write_bytes(b"<html>502 Bad Gateway</html>\n")
    done = site.run("indicators", "refresh", "report", check=False)
    assert done.returncode == 1
    assert "nothing that could be used" in done.stdout
    assert json.loads(site.run("indicators", "check", JA3, "--json").stdout)["found"]

    def doctor_says_it() -> bool:
        said = site.run("doctor", "--json", check=False).stdout.splitlines()
        return any("nothing that could be used" in line and "list report" in line for line in said)

    eventually(doctor_says_it)
