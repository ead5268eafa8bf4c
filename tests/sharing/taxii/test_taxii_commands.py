"""`haidang sharing taxii` and `haidang sharing misp`: from a client's password to what a partner's server has."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from detectors.indicators.indicator import Indicator
from detectors.indicators.kept import add_live
from pipeline.cases import life
from pipeline.cases.entries import By
from pipeline.command import main
from pipeline.event import event_id, from_micros
from pipeline.messages import choose_language
from pipeline.state import open_state
from pipeline.state.tables import alerts, audit
from response.queue import row, save
from sharing.taxii import clients, store
from sharing.taxii.store import ALL, Wanted
from tests.services import medallion
from tests.services.medallion import Medallion

PASSWORD = "a-password-of-this-test"
HELD = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"
_TIME = "2024-01-01T00:00:00.000Z"
Run = Callable[..., tuple[int, str, str]]


def alert(number: int, moment: int, **more: Any) -> dict[str, Any]:
    return {
        "@timestamp": from_micros(moment), "event.id": event_id("alert", number), "event.kind": "alert", "rule.id": "indicator.c2",
        "rule.name": "C2", "rule.level": "high", "tags": ["attack.t1071"], "alert.count": 1, "alert.status": "new",
        "threat.indicator.name": f"45.9.148.{number}", "threat.indicator.type": "ipv4-addr", "host.name": "pc-bi-mat",
        "source.ip": "10.9.8.7", "user.name": "nguoi-bi-mat", "labels.source": "syslog", "alert.evidence": [], **more,
    }  # fmt: skip


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A site with five alerts of the last day, one of them false, one of an import, one about the pipeline; an indicator and
    a case."""
    import time

    now = time.time_ns() // 1000
    made = [
        alert(1, now - 3_000_000), alert(2, now - 2_000_000), alert(3, now - 1_000_000),
        alert(4, now - 900_000, **{"labels.source": "import"}), alert(5, now - 800_000, **{"rule.id": "haidang.silent"}),
        alert(6, now - 30 * 86_400_000_000),
    ]  # fmt: skip
    engine = open_state(tmp_path)
    with engine.begin() as connection:
        save(connection, [row(each, "syslog") for each in made])
        connection.execute(alerts.update().where(alerts.c.id == made[2]["event.id"]).values(status="false_positive"))
    add_live(engine, [Indicator("domain", "evil.example.com", "live", "c2", 80)], ("test", "here"), "why", 0)
    life.open_case(engine, life.Wanted("Sự cố bí mật", tlp="green"), By("test", "here"))
    engine.dispose()
    return tmp_path


@pytest.fixture
def run(data_dir: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Iterator[Run]:
    """Run a command; return its exit status and what it has printed."""
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(data_dir))
    monkeypatch.setenv("HAIDANG_LANGUAGE", "en")

    def command(*arguments: str) -> tuple[int, str, str]:
        capfdbinary.readouterr()
        try:
            status = main(["sharing", *arguments])
        except SystemExit as ended:
            status = int(ended.code or 0)
        out, err = capfdbinary.readouterr()
        return status, out.decode(), err.decode()

    yield command
    choose_language()


@pytest.fixture
def engine(data_dir: Path) -> Iterator[Engine]:
    opened = open_state(data_dir)
    yield opened
    opened.dispose()


def held(engine: Engine, alias: str) -> list[dict[str, Any]]:
    with engine.connect().execution_options(read_only=True) as connection:
        found = store.named(store.ensure(engine), alias)
        return [json.loads(each.body) for each in store.page(connection, found, Wanted(versions=(ALL,))).rows]


def test_a_client_gets_its_password_once_and_is_listed_without_it(run: Run, engine: Engine) -> None:
    status, out, _ = run(
        "taxii", "add", "doi-tac", "--read", "tlp-green", "--read", "inbox", "--write", "inbox", "--days", "30"
    )
    secret = out.strip()
    client = clients.client_of(engine, secret, "doi-tac")
    assert status == 0 and client is not None and dict(client.rights) == {"tlp-green": "r", "inbox": "rw"}
    (listed,) = [json.loads(line) for line in run("taxii", "clients", "--json")[1].splitlines()]
    assert listed["rights"] == "tlp-green r, inbox rw" and secret not in str(listed)
    assert "doi-tac" in run("taxii", "clients")[1]
    assert run("taxii", "add", "doi-tac", "--read", "inbox")[0] == 2
    assert "can do nothing" in run("taxii", "add", "other")[2]
    assert run("taxii", "revoke", "doi-tac")[0] == 0
    assert clients.client_of(engine, secret) is None
    assert run("taxii", "revoke", "nobody")[0] == 2
    assert "tlp-amber-strict" in run("taxii", "collections")[1]


def test_what_is_published_is_what_was_previewed_and_once(run: Run, engine: Engine) -> None:
    status, out, _ = run("taxii", "publish", "--tlp", "green", "--preview")
    previewed = {each["id"]: each for each in map(json.loads, out.splitlines())}
    assert status == 0 and held(engine, "tlp-green") == []
    status, out, _ = run("taxii", "publish", "--tlp", "green")
    assert status == 0 and f"tlp-green: {len(previewed)} new" in out
    published = held(engine, "tlp-green")
    assert {each["id"]: each for each in published} == previewed
    assert sum(each["type"] == "sighting" for each in published) == 2, (
        "not the false, the imported, the own, the old one"
    )
    patterns = {each["pattern"] for each in published if each["type"] == "indicator"}
    assert patterns == {
        "[ipv4-addr:value = '45.9.148.1']",
        "[ipv4-addr:value = '45.9.148.2']",
        "[domain-name:value = 'evil.example.com']",
    }
    text = json.dumps(published, ensure_ascii=False)
    assert not any(secret in text for secret in ("bi-mat", "bí mật", "10.9.8.7"))
    _, out, _ = run("taxii", "publish", "--tlp", "green")
    assert "0 new" in out and held(engine, "tlp-green") == published
    with engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(select(audit).where(audit.c.detail["collection"].as_string() == "tlp-green")).all()
    assert len(rows) == 2


def test_only_what_is_asked_for_and_may_be_known_is_published(run: Run, engine: Engine) -> None:
    run("taxii", "publish", "--what", "cases", "--tlp", "clear")
    assert {each["type"] for each in held(engine, "tlp-clear")} == {"identity", "marking-definition"}, (
        "the case is TLP:GREEN"
    )
    status, out, _ = run("taxii", "publish", "--what", "cases", "--what", "indicators", "--tlp", "amber")
    assert status == 0 and "0 left out" in out
    assert {"grouping", "indicator"} <= {each["type"] for each in held(engine, "tlp-amber")}


def test_names_of_fields_that_mean_nothing_are_told(run: Run, data_dir: Path) -> None:
    (data_dir / "haidang.toml").write_text('[sharing.taxii]\nfields = ["@timestamp", "rule.nmae"]\n', "utf-8")
    assert "rule.nmae" in run("taxii", "publish", "--what", "alerts", "--preview")[2]


def test_events_for_misp_are_written(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "misp.json"
    assert run("misp", "--output", str(file), "--tlp", "green")[0] == 0
    events = json.loads(file.read_bytes())["response"]
    values = {each["value"] for event in events for each in event["Event"]["Attribute"]}
    assert values == {"45.9.148.1", "45.9.148.2", "evil.example.com"}
    assert json.loads(run("misp", "--tlp", "green")[1])["response"] == events
    assert "cannot be written" in run("misp", "--output", str(tmp_path))[2]


@pytest.fixture
def partner(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Medallion]:
    """A partner's server with three objects, one collection of which takes more; the settings name it."""
    objects = [
        {"type": "malware", "spec_version": "2.1", "id": f"malware--00000000-0000-4000-8000-{number:012}", "created": _TIME,
         "modified": _TIME, "name": "x", "is_family": True}
        for number in range(3)
    ]  # fmt: skip
    with medallion.running(
        tmp_path_factory.mktemp("partner"),
        [medallion.collection(HELD, "warnings", objects, can_write=True)],
        "us",
        PASSWORD,
    ) as server:
        (data_dir / "haidang.toml").write_text(
            f'[[sharing.taxii.peers]]\nname = "bo"\nurl = "{server.address}/taxii2/"\ncollection = "warnings"\n'
            f'username = "us"\npassword = "{PASSWORD}"\nca = "{server.authority}"\n', "utf-8",
        )  # fmt: skip
        yield server


@pytest.mark.slow
def test_a_partners_server_is_looked_at_read_and_written(run: Run, partner: Medallion, engine: Engine) -> None:
    assert [json.loads(line)["rights"] for line in run("taxii", "look", "bo", "--json")[1].splitlines()] == ["rw"]
    status, out, err = run("taxii", "poll", "bo")
    assert (status, len(out.splitlines())) == (0, 3) and "3 objects of bo" in err
    assert run("taxii", "poll", "bo")[1] == "", "what was read is not read again"
    assert len(run("taxii", "poll", "bo", "--from-start")[1].splitlines()) == 3
    status, out, _ = run("taxii", "push", "bo", "--what", "indicators", "--tlp", "green")
    assert status == 0 and "has taken 3 objects; 0 refused" in out, out
    brought = [json.loads(line) for line in run("taxii", "poll", "bo")[1].splitlines()]
    assert {each["type"] for each in brought} == {"identity", "marking-definition", "indicator"}
    with engine.connect().execution_options(read_only=True) as connection:
        actions = set(connection.scalars(select(audit.c.action)))
    assert {"taxii_polled", "taxii_pushed"} <= actions
    assert "no partner 'none'" in run("taxii", "poll", "none")[2]


def test_settings_of_partners_are_looked_at(run: Run, data_dir: Path) -> None:
    for text, told in (
        ('name = "a"\nurl = "http://x/"', "https://"), ('name = "a"\nurl = "https://x/"\ncertificate = "x"', "certificate"),
        ('name = "a"\nurl = "https://x/"\n[[sharing.taxii.peers]]\nname = "a"\nurl = "https://x/"', "same name"),
    ):  # fmt: skip
        (data_dir / "haidang.toml").write_text(f"[[sharing.taxii.peers]]\n{text}\n", "utf-8")
        status, _, err = run("taxii", "look", "a")
        assert status == 2 and told in err
