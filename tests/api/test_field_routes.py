"""Names of fields over HTTP: what the store knows, and nothing of what is out of view."""

import httpx
from sites import Site

from pipeline import access


def test_fields_are_told_by_name_with_type_and_kind(viewer: httpx.Client) -> None:
    told = viewer.get("/api/v1/fields").json()
    assert (told["events"], told["truncated"]) == (None, False)
    assert [field["name"] for field in told["fields"]] == sorted(field["name"] for field in told["fields"])
    by_name = {field.pop("name"): field for field in told["fields"]}
    assert by_name["@timestamp"] == {"type": "date", "kind": "time"}
    assert by_name["source.ip"] == {"type": "keyword", "kind": "ip"}
    assert by_name["user.name"] == {"type": "keyword", "kind": "user"}
    assert by_name["message"] == {"type": "text"}
    assert by_name["event.dataset"] == {"type": "keyword"}  # it lies with the kinds
    assert "rule.id" not in by_name
    of_alerts = {field["name"]: field["type"] for field in viewer.get("/api/v1/fields?index=alerts").json()["fields"]}
    assert (of_alerts["rule.id"], of_alerts["alert.count"]) == ("keyword", "number")
    assert "source.ip" not in of_alerts
    assert viewer.get("/api/v1/fields?index=canaries").status_code == 422


def test_whoever_has_a_view_learns_the_names_in_it_alone(site: Site) -> None:
    with site.engine.begin() as connection:
        mine = access.create_token(connection, "fields-of-syslog", access.API, "analyst", {"sources": ["syslog"]})
        none = access.create_token(connection, "fields-of-nothing", access.API, "analyst", {"sources": ["mail"]})
        alone = access.create_token(connection, "fields-of-alerts", access.API, "analyst", {"indices": ["alerts"]})
    with site.client(mine) as client:
        told = client.get("/api/v1/fields").json()
        assert (told["events"], told["truncated"]) == (123, False)
        assert "source.ip" in {field["name"] for field in told["fields"]}
    for secret in (none, alone):
        with site.client(secret) as client:
            assert client.get("/api/v1/fields").json() == {"fields": [], "events": 0, "truncated": False}
