"""The commands, as processes, as a person types them: what they print, where, and with which exit status."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline import bus, store
from pipeline.bus.sqlite import SqliteBus
from pipeline.command import COMMANDS
from pipeline.event import Event, encode, event_id
from pipeline.frame import pack
from pipeline.ledger import IN, Tally
from pipeline.settings import Store as StoreSettings
from pipeline.stage import only_one
from pipeline.state import open_state
from pipeline.state.tables import alerts
from pipeline.store.document import document
from tests.conftest import eventually

HAIDANG = str(Path(sys.executable).parent / "haidang")
STEER = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\u202e"
Done = subprocess.CompletedProcess


class Site:
    """A data directory and the command on it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def run(self, *arguments: str, language: str = "en", **environment: str) -> "Done[str]":
        """Run a command."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HAIDANG_")}
        chosen = {"HAIDANG_DATA_DIR": str(self.data_dir), "HAIDANG_LANGUAGE": language, **environment}
        return subprocess.run(
            [HAIDANG, *arguments], env={**kept, **chosen}, capture_output=True, text=True, timeout=60, check=False
        )

    def json(self, *arguments: str) -> list[Any]:
        """Run a command with `--json` and read every line."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def empty(tmp_path: Path) -> Site:
    """A data directory that is not there."""
    return Site(tmp_path / "nothing")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A data directory with 300 events, one of them hostile, and two alerts."""
    site = Site(tmp_path_factory.mktemp("filled"))
    writer = store.open_writer(site.data_dir, StoreSettings(memory_mb=20))
    events = [_event(number, f"Đăng nhập lần {number}") for number in range(299)] + [_event(299, f"steer {STEER}")]
    writer.add(store.EVENTS, [document(event, encode(event)) for event in events])
    writer.close()
    engine = open_state(site.data_dir)
    tally = Tally()
    for source, count in (("syslog", 300), (f"web{STEER}", 1), ("alerts", 2), ("haidang", 1)):
        tally.add(source, IN, count)
    raised = [_alert(1, "Root logs in", "root đăng nhập", "a host"), _alert(2, f"Rule {STEER}", None, STEER)]
    with engine.begin() as connection:
        tally.save(connection, "collectors")
        connection.execute(alerts.insert(), raised)
    engine.dispose()
    return site


def _event(number: int, message: str) -> Event:
    return {
        "@timestamp": f"2026-11-24T05:{number // 60:02d}:{number % 60:02d}.000Z", "event.id": event_id("t", number),
        "event.dataset": "linux.auth", "host.name": "may", "message": message, "event.original": message,
    }  # fmt: skip


def _alert(number: int, name: str, name_vi: str | None, host: str) -> dict[str, Any]:
    shown = {
        "@timestamp": f"2026-11-24T05:00:0{number}.000Z", "event.id": event_id("alert", number), "rule.id": f"r{number}",
        "rule.name": name, "rule.level": "high", "host.name": host, "alert.evidence": [_event(number, STEER)],
        "rule.response": "Ask who it was.",
    } | ({"rule.name_vi": name_vi, "rule.response_vi": "Hỏi ai đã làm."} if name_vi else {})  # fmt: skip
    return {
        "id": shown["event.id"], "time": 1795496400_000_000 + number, "created": 0.0, "rule_id": f"r{number}",
        "rule_name": name, "level": "high", "status": "new", "source": "syslog", "document": shown,
    }  # fmt: skip


def steers(text: str) -> bool:
    """Whether a terminal would do anything but print this."""
    return any(not sign.isprintable() and sign != "\n" for sign in text)


def test_a_network_event_is_shown_with_both_sides_and_what_it_asked_for(empty: Site) -> None:
    writer = store.open_writer(empty.data_dir, StoreSettings(memory_mb=20))
    event = {
        "@timestamp": "2026-11-24T05:00:00.000Z", "event.id": event_id("t", 1), "event.dataset": "network.dns",
        "source.ip": "10.0.0.5", "destination.ip": "10.0.0.1", "dns.question.name": "example.vn",
    }  # fmt: skip
    writer.add(store.EVENTS, [document(event, encode(event))])
    writer.close()
    open_state(empty.data_dir).dispose()
    out = " ".join(empty.run("search", "source.ip:10.0.0.5", COLUMNS="200").stdout.split())
    assert "source.ip=10.0.0.5 destination.ip=10.0.0.1 dns.question.name=example.vn" in out
    assert empty.run("search", "10.0.0.1", "--count").stdout.strip() == "1"  # a word that is an address
    assert empty.run("search", "10.0.0.2", "--count").stdout.strip() == "0"


def test_contacts_of_a_time_that_ends_before_it_begins_are_refused(filled: Site) -> None:
    done = filled.run("c2", "--from", "now", "--to", "now-7d")
    assert (done.returncode, "--from now is not before --to now-7d" in done.stderr) == (2, True)
    assert filled.run("c2", "--from", "now-7d").returncode == 0


def test_help_loads_nothing_heavy(empty: Site) -> None:
    """What takes the time of a start is what is loaded (40 ms without, measured with `time haidang --help`)."""
    assert all(command in empty.run("--help").stdout for command in COMMANDS)
    program = "import sys; from pipeline.command import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "pipeline.command" in loaded
    assert loaded & {"pydantic", "sqlalchemy", "tantivy", "fastapi", "rich", "numpy", "sigma", "structlog"} == set()


@pytest.mark.parametrize(("language", "words"), [("en", "There is no command"), ("vi", "Không có lệnh")])
def test_an_unknown_command_is_told_with_what_was_meant(empty: Site, language: str, words: str) -> None:
    done = empty.run("serach", language=language)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "'search'" in done.stderr.splitlines()[0]
    assert empty.run(language=language).returncode == 2
    assert empty.run("--hlep", language=language).returncode == 2


@pytest.mark.parametrize(
    ("arguments", "english", "vietnamese"),
    [
        (["search", "--siz", "5"], "unrecognized arguments: --siz", "--siz"),
        (["search", "--size", "many"], "invalid int value: 'many'", "'many'"),
        (["search", "--size"], "expected one argument", "--size"),
        (["config", "burn"], "invalid choice: 'burn'", "'burn'"),
        (["config"], "the following arguments are required: action", "action"),
        (["sources", "--json=5"], "takes no value, '5' was given", "không nhận giá trị"),
    ],
)
def test_wrong_arguments_are_told_in_both_languages(
    empty: Site, arguments: list[str], english: str, vietnamese: str
) -> None:
    done = empty.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert english in done.stderr
    done = empty.run(*arguments, language="vi")
    assert done.returncode == 2
    assert vietnamese in done.stderr
    for word in ("usage", "expected", "invalid", "required", "unrecognized", "argument "):
        assert word not in done.stderr
    assert not empty.data_dir.exists()


@pytest.mark.parametrize("arguments", [["search"], ["alerts"], ["sources"], ["user", "list"], ["token", "list"]])
def test_what_only_reads_makes_nothing(empty: Site, arguments: list[str]) -> None:
    done = empty.run(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"There is nothing in {empty.data_dir} yet" in done.stderr
    assert not empty.data_dir.exists()
    assert "Chưa có gì" in empty.run(*arguments, language="vi").stderr


def test_doctor_and_config_make_nothing(empty: Site) -> None:
    assert empty.run("config", "check").returncode == 0
    assert json.loads(empty.run("config", "show").stdout)["data_dir"] == str(empty.data_dir)
    findings = [json.loads(line) for line in empty.run("doctor", "--json").stdout.splitlines()]
    assert {"settings", "disk", "services"} <= {finding["part"] for finding in findings}
    assert not empty.data_dir.exists()


@pytest.mark.slow
def test_doctor_tells_faulty_settings_and_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    site = Site(tmp_path)
    (tmp_path / "haidang.toml").write_text("[api]\nport = 'x'\n")
    done = site.run("doctor", "--json")
    assert done.returncode == 1
    assert "api.port = 'x'" in json.loads(done.stdout.splitlines()[0])["what"]
    (tmp_path / "file").write_text("")
    site = Site(tmp_path / "file" / "data")
    done = site.run("doctor")
    assert done.returncode == 1
    assert "HAIDANG_DATA_DIR" in done.stdout


@pytest.mark.slow
def test_search_counts_prints_and_refuses(filled: Site) -> None:
    assert filled.run("search", "dang nhap", "--count").stdout == "299\n"
    assert filled.json("search", "--count") == [{"count": 300}]
    assert len(filled.json("search", "--size", "7")) == 7
    assert filled.run("search", "--from", "2026-11-24T05:04:00", "--count").stdout == "60\n"
    assert "300 found, 20 shown" in filled.run("search").stdout
    for arguments in (["field:["], ["--from", "yesterday"], ["--size", "-1"]):
        done = filled.run("search", *arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_alerts_are_shown_in_the_language_that_is_spoken(filled: Site) -> None:
    shown = filled.run("alerts").stdout
    assert "Root logs in" in shown
    assert "what to do first" in shown
    assert shown.count("Ask who it was.") == 2  # once for each rule
    shown = filled.run("alerts", language="vi").stdout
    assert "root đăng nhập" in shown
    assert "Root logs in" not in shown
    assert "cao" in shown
    assert "high" not in shown
    for name in ("r1", "Root logs in", "root đăng nhập"):
        assert [found["rule.id"] for found in filled.json("alerts", "--rule", name)] == ["r1"]
    assert [found["rule.id"] for found in filled.json("alerts")] == ["r2", "r1"]
    assert len(filled.json("alerts", "--limit", "1")) == 1


def test_sources_leave_out_what_the_pipeline_counts_of_itself(filled: Site) -> None:
    assert {row["source"] for row in filled.json("sources")} == {"syslog", f"web{STEER}"}
    shown = filled.run("sources")
    assert shown.returncode == 0
    assert "haidang" not in shown.stdout
    assert "syslog" in shown.stdout


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["search", "steer"], ["alerts"], ["sources"]])
@pytest.mark.parametrize("how", ["table", "json"])
def test_no_event_steers_the_terminal(filled: Site, arguments: list[str], how: str) -> None:
    done = filled.run(*arguments, *(["--json"] if how == "json" else []))
    assert done.returncode == 0
    assert not steers(done.stdout.replace("\u202e", "") if how == "json" else done.stdout)
    assert "\x1b" not in done.stdout + done.stderr
    assert (STEER not in arguments and "owned" in done.stdout) or STEER in arguments


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["search", "--size", "300"], ["search", "--size", "300", "--json"], ["alerts"]])
def test_a_reader_that_goes_away_is_no_fault(filled: Site, arguments: list[str]) -> None:
    environment = {**os.environ, "HAIDANG_DATA_DIR": str(filled.data_dir)}
    process = subprocess.Popen([HAIDANG, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), said) == (0, b"")


def test_a_terminal_of_another_alphabet_and_arguments_that_are_no_text_are_no_fault(filled: Site) -> None:
    done = filled.run("search", PYTHONIOENCODING="latin-1", LC_ALL="C")
    assert done.returncode == 0
    environment = {**os.environ, "HAIDANG_DATA_DIR": str(filled.data_dir)}
    raw = subprocess.run([HAIDANG.encode(), b"search", b"\xff\xfe"], env=environment, capture_output=True, check=False)
    assert raw.returncode in (0, 2)
    assert b"Traceback" not in raw.stderr


@pytest.mark.slow
def test_users_and_tokens_are_made_once_and_listed(tmp_path: Path) -> None:
    site = Site(tmp_path)
    name, password = site.run("user", "add", "an", "--role", "viewer").stdout.split()
    assert (name, len(password)) == ("an", 20)
    assert "already" in site.run("user", "add", "an").stderr
    assert site.run("user", "password", "binh").returncode == 2
    assert site.run("user", "add").returncode == 2
    assert password not in site.run("user", "password", "an").stdout
    assert "viewer" in site.run("user", "list").stdout
    secret = site.run("token", "create", "gate").stdout.strip()
    assert secret.startswith("hd_")
    assert site.run("token", "revoke", "gate").returncode == 0
    assert site.run("token", "revoke", "other").returncode == 2
    shown = site.run("token", "list").stdout
    assert "revoked" in shown
    assert secret not in shown
    for wrong in ("alerts", "haidang", "a b", "x\x1b", "x" * 64, "\n"):
        done = site.run("token", "create", wrong)
        assert done.returncode == 2
        assert "\x1b" not in done.stderr
    loose = [path for path in tmp_path.rglob("*") if path.stat().st_mode & 0o077]
    assert loose == []


@pytest.mark.slow
def test_two_data_directories_never_meet(tmp_path: Path) -> None:
    one, other = Site(tmp_path / "one"), Site(tmp_path / "other")
    one.run("user", "add", "an")
    other.run("user", "add", "binh")
    assert "an" in one.run("user", "list").stdout
    assert "binh" not in one.run("user", "list").stdout


@pytest.mark.parametrize("command", [["run"], ["config", "check"], ["alerts"], ["user", "list"], ["token", "list"]])
def test_a_data_directory_that_is_a_file_is_told_by_every_command(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "file").write_text("")
    done = Site(tmp_path / "file").run(*command)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path / 'file'} is no directory. Name a directory in HAIDANG_DATA_DIR." in done.stderr


@pytest.mark.parametrize("command", [["run"], ["user", "add", "an"]])
def test_a_data_directory_that_cannot_be_made_is_told(command: list[str]) -> None:
    done = Site(Path("/proc/haidang")).run(*command)
    assert (done.returncode, done.stdout) == (2, "")
    assert "/proc/haidang" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_language_of_the_file_is_spoken_before_the_settings_are_read(tmp_path: Path) -> None:
    (tmp_path / "haidang.toml").write_text('language = "vi"\n')
    site = Site(tmp_path)
    assert "Không có lệnh" in site.run("serach", language="").stderr
    assert "không nhận giá trị" in site.run("sources", "--json=5", language="").stderr
    assert "There is no command" in site.run("serach", language="en").stderr
    for text in ("language = 3\n", "language =", 'language = "vi"\n\xff'):
        (tmp_path / "haidang.toml").write_text(text, "latin-1")
        assert "There is no command" in site.run("serach", language="", LC_ALL="C").stderr


def test_config_check_and_doctor_tell_what_means_nothing(tmp_path: Path) -> None:
    (tmp_path / "haidang.toml").write_text('[[sources]]\nkind = "http"\nport = 8088\ntimezone = "Asia/Hanoi"\n')
    site = Site(tmp_path)
    done = site.run("config", "check")
    assert (done.returncode, done.stdout) == (2, "")
    told = [line for line in done.stderr.splitlines() if line.startswith("  sources.0.")]
    assert len(told) == 2
    assert site.run("config", "show").returncode == 0
    found = [json.loads(line) for line in site.run("doctor", "--json").stdout.splitlines()]
    assert [item["what"] for item in found if item["part"] == "settings"] == [line.strip() for line in told]


def test_a_second_run_says_who_runs(tmp_path: Path) -> None:
    with only_one(tmp_path, "run"):
        done = Site(tmp_path).run("run")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"process {os.getpid()}" in done.stderr
    assert str(tmp_path) in done.stderr


def test_run_refuses_faulty_settings(tmp_path: Path) -> None:
    (tmp_path / "haidang.toml").write_text("[store]\nretention_days = 0\n")
    done = Site(tmp_path).run("run")
    assert done.returncode == 2
    assert "store.retention_days = 0: expected at least 1" in done.stderr


@pytest.mark.slow
def test_what_waits_is_counted(tmp_path: Path) -> None:
    site = Site(tmp_path)
    open_state(tmp_path).dispose()
    queue = SqliteBus(tmp_path / "bus", 10**9)
    queue.publish(bus.EVENTS, list(pack("syslog", [encode(_event(1, "x"))])))
    queue.close()
    assert site.run("sources").stdout.startswith("Nothing has come in yet")
    engine = open_state(tmp_path)
    tally = Tally()
    tally.add("syslog", IN)
    with engine.begin() as connection:
        tally.save(connection, "collectors")
    engine.dispose()
    assert "1 events wait" in site.run("sources").stdout


@pytest.mark.slow
def test_the_demo_plays_through_a_pipeline_of_its_own_and_no_file_is_for_others(tmp_path: Path) -> None:
    (tmp_path / "haidang.toml").write_text(
        '[api]\nport = 0\n[[sources]]\nkind = "syslog"\nhost = "127.0.0.1"\ntcp_port = 0\n'
        '[[sources]]\nkind = "http"\nhost = "127.0.0.1"\nport = 0\n'
    )
    (tmp_path / "haidang.toml").chmod(0o600)
    site = Site(tmp_path)
    (outcome,) = site.json("demo", "--fast")
    assert outcome["searchable"] == outcome["sent"] > 20
    assert sum(found["count"] for found in outcome["alerts"]) > 10
    assert len(site.json("alerts")) == sum(found["count"] for found in outcome["alerts"])
    assert [path for path in tmp_path.rglob("*") if path.stat().st_mode & 0o077] == []
    logs = "".join(path.read_text("utf-8") for path in (tmp_path / "logs").glob("*.log"))
    assert "alembic" not in logs
    assert "uvicorn" not in logs
    assert "Đăng nhập SSH trực tiếp bằng root" in site.run("alerts", language="vi").stdout


@pytest.mark.slow
def test_run_tells_at_once_what_a_stage_cannot_do_and_is_ready_when_it_can(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as other:
        port = taken.getsockname()[1]
        (tmp_path / "haidang.toml").write_text(
            f'[api]\nport = {port}\n[[sources]]\nkind = "http"\nhost = "127.0.0.1"\nport = {other.getsockname()[1]}\n'
        )
        environment = {**os.environ, "HAIDANG_DATA_DIR": str(tmp_path), "HAIDANG_LANGUAGE": "en"}
        with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as errors:
            process = subprocess.Popen([HAIDANG, "run"], env=environment, stdout=out, stderr=errors)
        try:
            told = f"Cannot listen on 127.0.0.1:{port}"
            eventually(lambda: told in (tmp_path / "err").read_text("utf-8"), 30)
            eventually(lambda: "is not open: the port is in use" in (tmp_path / "err").read_text("utf-8"), 30)
            assert "HAIDANG_API__PORT" in (tmp_path / "err").read_text("utf-8")
            assert process.poll() is None
            eventually(lambda: "not ready yet: api." in (tmp_path / "err").read_text("utf-8"), 30)
            assert "Ready." not in (tmp_path / "out").read_text("utf-8")
            taken.close()
            eventually(lambda: "Ready." in (tmp_path / "out").read_text("utf-8"), 40)
            assert f"http://127.0.0.1:{port}" in (tmp_path / "out").read_text("utf-8")
        finally:
            process.terminate()
            assert process.wait(60) == 0
