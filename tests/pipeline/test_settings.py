"""Settings: every fault is told at once, with place, value and what was expected, in both languages."""

import re
from pathlib import Path

import pytest

from collectors.decoders import DECODERS
from pipeline.messages import HaidangError, speaking
from pipeline.settings import SyslogSource, check, load_settings
from pipeline.tls import server_context


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory of its own; its file is `haidang.toml`."""
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("HAIDANG_CONFIG", raising=False)
    return tmp_path


def write(folder: Path, text: str) -> None:
    """Write the settings' file."""
    (folder / "haidang.toml").write_text(text, "utf-8")


def faults(language: str = "en") -> str:
    """What is said of the settings as they are."""
    with pytest.raises(HaidangError) as caught, speaking(language):
        load_settings()
    with speaking(language):
        return str(caught.value)


def test_routes_are_looked_at_whatever_is_wrong_with_channels(data_dir: Path) -> None:
    write(
        data_dir,
        '[[channels]]\nname = "mail"\nkind = "email"\nport = "x"\nhost = "h"\nsender = "a@b.vn"\nto = ["c@d.vn"]\n'
        '[[channels]]\nname = "sms"\nkind = "pigeon"\n'
        '[[roster]]\nwho = "An"\nchannels = ["sms", "male"]\n'
        '[[routes]]\nchannels = ["mail", "sms"]\nlevel = "loud"\n'
        '[[routes]]\nchannels = ["maill", "fax"]\non_duty = "night"\nescalate_minutes = 5\nescalate_to = ["mial"]\n',
    )
    with pytest.raises(HaidangError) as caught, speaking("en"):
        load_settings()
    told = [line.strip() for line in str(caught.value).splitlines()[1:-1]]
    known = "there are: mail, sms. Did you mean 'mail'?"
    for fault in (
        "channels.0.port = 'x': expected a whole number",
        "channels.1 = {'name': 'sms', 'kind': 'pigeon'}: expected kind = one of email, webhook, script, syslog, kafka",
        f"roster.0.channels: 'male' is in no [[channels]]; {known}",
        f"routes.1.channels: 'maill' is in no [[channels]]; {known}",
        "routes.1.channels: 'fax' is in no [[channels]]; there are: mail, sms.",
        f"routes.1.escalate_to: 'mial' is in no [[channels]]; {known}",
        "routes.1.on_duty: 'night' is in no [[roster]]; there are: duty.",
    ):
        assert fault in told
        told.remove(fault)
    (left,) = told
    assert left.startswith("routes.0.level = 'loud': expected one of")


def test_what_settings_mean_is_looked_at_whatever_is_wrong_elsewhere(data_dir: Path) -> None:
    write(
        data_dir,
        'nonsense = 1\n[store]\nretention_days = 0\n[detectors]\nrules = ["/nonexist"]\n'
        '[[sources]]\nkind = "http"\nport = 8088\ntimezone = "Asia/Hanoi"\n[tls]\nkey = "/none.pem"\n',
    )
    with speaking("en"):
        told = check.all_faults()
    for fault in (
        "nonsense: there is no such setting.",
        "store.retention_days = 0: expected at least 1",
        "detectors.rules.0 = '/nonexist': expected a folder",
        "sources.0.timezone = 'Asia/Hanoi': expected a time zone",
        "sources.0.port = 8088: expected another port than that of api.port",
        "tls.certificate = '': expected both",
        "tls.key = '/none.pem': expected a file",
    ):
        (found,) = [each for each in told if each.startswith(fault)]
        told.remove(found)
    assert told == []


def test_names_that_two_share_hide_no_other_fault(data_dir: Path) -> None:
    write(
        data_dir,
        '[[sources]]\nkind = "http"\n[[sources]]\nkind = "syslog"\nname = "http"\ntcp_port = 1\n'
        '[[sources]]\nkind = "files"\nname = "alerts"\npaths = ["/x"]\n'
        'multiline = "("\ntimezone = "Asia"\nencoding = "hex"\n'
        '[[channels]]\nname = "mail"\nkind = "email"\nport = "x"\nhost = "h"\nsender = "a@b.vn"\nto = ["c@d.vn"]\n'
        '[[channels]]\nname = "mail"\nkind = "script"\nprogram = "none"\n',
    )
    with speaking("en"):
        told = check.all_faults()
    assert [re.split(r"[ :]", each)[0] for each in told] == [
        "channels.0.port", "channels", "sources", "sources", "sources.2.timezone", "sources.2.encoding", "sources.2.multiline"
    ]  # fmt: skip


def test_the_data_sets_that_may_be_named_are_those_of_the_decoders(data_dir: Path) -> None:
    named = {"text", *(name for decoder in DECODERS for name in decoder.datasets)}
    for name in (*named, "zeek.conn", "windows.sysmon", "pfsense.log"):
        write(data_dir, _HTTP + f'dataset = "{name}"')
        assert check.faults(load_settings()) == []
    write(data_dir, _HTTP + 'dataset = "nix"')
    with speaking("en"):
        (told,) = check.faults(load_settings())
    assert all(name in told for name in named if not name.startswith("linux."))


def test_a_key_that_is_none_is_told_apart_from_a_certificate_that_is_none(data_dir: Path, tmp_path: Path) -> None:
    server_context(load_settings())  # makes a certificate of our own
    certificate, key = tmp_path / "tls" / "certificate.pem", tmp_path / "tls" / "key.pem"
    write(data_dir, f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n')
    assert check.faults(load_settings()) == []
    write(data_dir, f'[tls]\ncertificate = "{certificate}"\nkey = "{certificate}"\n')
    with speaking("en"):
        (told,) = check.faults(load_settings())
    assert told.startswith(f"tls.key = '{certificate}': expected a file with the certificate's key")


def test_nothing_is_told_of_what_stands_in_for_a_section_with_faults(data_dir: Path) -> None:
    write(
        data_dir,
        '[api]\nport = "x"\n[[sources]]\nkind = "http"\nport = 8088\n'  # which is the port of the API when left out
        '[[channels]]\nname = "mail"\nkind = "email"\nport = "x"\nhost = "h"\nsender = "a@b.vn"\nto = ["c@d.vn"]\n'
        '[[routes]]\nchannels = ["mail"]\n',
    )
    with speaking("en"):
        assert [each.split(" ")[0] for each in check.all_faults()] == ["api.port", "channels.0.port"]


def test_without_a_file_all_is_default(data_dir: Path) -> None:
    settings = load_settings()
    assert settings.data_dir == data_dir
    assert settings.api.port == 8088
    assert [source.name for source in settings.sources] == ["syslog", "http"]


def test_environment_goes_over_file_over_default(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(data_dir, '[api]\nport = 1000\nhost = "::1"\n')
    monkeypatch.setenv("HAIDANG_API__PORT", "2000")
    monkeypatch.setenv("HAIDANG_DETECTORS__RULES", '["/etc/rules"]')
    settings = load_settings()
    assert (settings.api.port, settings.api.host, settings.api.lockout_failures) == (2000, "::1", 5)
    assert settings.detectors.rules == [Path("/etc/rules")]


def test_every_fault_is_told_at_once_in_the_language_that_is_spoken(data_dir: Path) -> None:
    write(
        data_dir,
        'data_dir = "/x"\nstore = 3\napi = {host = 3, port = 99999, sesion_hours = 1}\nlog_level = "loud"\n'
        '[bus]\nlimit_mb = 1.5\n[[sources]]\nkind = "syslog"\nudp_port = "x"\n[[sources]]\nkind = "smoke"\n'
        '[[sources]]\nkind = "files"\nname = "A b"\npaths = []\n',
    )
    said = faults()
    for part in (
        "data_dir: only the variable HAIDANG_DATA_DIR",
        "store = 3: expected a section",
        "api.host = 3: expected a text",
        "api.port = 99999: expected at most 65535",
        "api.sesion_hours: there is no such setting. Did you mean 'session_hours'?",
        "log_level = 'loud': expected one of 'debug', 'info', 'warning', 'error'",
        "bus.limit_mb = 1.5: expected a whole number",
        "sources.0.udp_port = 'x': expected a whole number",
        "sources.1 = {'kind': 'smoke'}: expected kind =",
        "sources.2.name = 'A b': expected a name",
        "sources.2.paths = []: expected a value",
    ):
        assert part in said
    vietnamese = faults("vi")
    assert len(vietnamese.splitlines()) == len(said.splitlines())
    assert "api.port = 99999: cần nhiều nhất 65535" in vietnamese
    assert "expected" not in vietnamese
    assert " or " not in vietnamese


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("HAIDANG_SOURCES", "syslog", "HAIDANG_SOURCES = 'syslog': expected JSON"),
        ("HAIDANG_DETECTORS__RULES", "/etc/rules", "HAIDANG_DETECTORS__RULES = '/etc/rules': expected JSON"),
        ("HAIDANG_API", "8080", "api = 8080: expected a section"),
        ("HAIDANG_API__PORT", "", "api.port = '': expected a whole number"),
        ("HAIDANG_API__LOCKOUT_MINUTES", "inf", "api.lockout_minutes = 'inf': expected a number"),
        ("HAIDANG_API__PROT", "1", "api.prot: there is no such setting. Did you mean 'port'?"),
        ("HAIDANG_STROE__RETENTION_DAYS", "1", "HAIDANG_STROE__RETENTION_DAYS: there is no such setting. Did you mean"),
        ("HAIDANG_LOGLEVEL", "debug", "HAIDANG_LOGLEVEL: there is no such setting. Did you mean 'HAIDANG_LOG_LEVEL'?"),
    ],
)
def test_a_variable_that_is_wrong_is_named(
    variable: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert told in faults()


def test_variables_that_mean_no_setting_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HAIDANG_PORT", "HAIDANG_PORT_8088_TCP_ADDR", "HAIDANG_SERVICE_HOST"):  # as Kubernetes makes them
        monkeypatch.setenv(name, "10.0.0.1")
    load_settings()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"sources =\n", "is no TOML: This is no value; texts stand in quotation marks (at line 1, column 10)"),
        (b"\xff\xfe=", "cannot be read"),
        (b"[api]\nport = 1\nport = 2\n", "is no TOML"),
    ],
)
def test_a_file_that_is_no_toml_says_where(data_dir: Path, content: bytes, told: str) -> None:
    (data_dir / "haidang.toml").write_bytes(content)
    said = faults()
    assert told.split(" (", maxsplit=1)[0] in said
    assert str(data_dir / "haidang.toml") in said


def test_a_folder_in_the_files_place_is_not_passed_over(data_dir: Path) -> None:
    (data_dir / "haidang.toml").mkdir()
    assert "cannot be read" in faults()


def test_a_named_file_that_is_missing_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAIDANG_CONFIG", str(tmp_path / "none.toml"))
    assert "none.toml, which is not there" in faults()


def test_two_sources_of_one_name_and_names_of_the_pipeline_are_refused(data_dir: Path) -> None:
    write(data_dir, '[[sources]]\nkind = "syslog"\n[[sources]]\nkind = "http"\nname = "syslog"\n')
    assert "sources: two sources have the same name: syslog" in faults()
    write(data_dir, '[[sources]]\nkind = "syslog"\nname = "alerts"\n')
    assert "taken by the pipeline itself: alerts" in faults()


def test_no_fault_shows_a_long_value_whole(data_dir: Path) -> None:
    write(data_dir, f'[api]\nport = "{"9" * 5000}"\n')
    assert len(faults()) < 500


def test_settings_cannot_be_changed_after_they_were_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        SyslogSource().host = "::"  # type: ignore[misc]


def test_what_stands_in_the_wrong_section_is_told_with_its_own(data_dir: Path) -> None:
    write(data_dir, 'retention_days = 3\n[api]\nlimit_mb = 3\n[[sources]]\nkind = "syslog"\nupd_port = 1\n')
    said = faults()
    assert "retention_days: there is no such setting. Did you mean 'store.retention_days'?" in said
    assert "api.limit_mb: there is no such setting. Did you mean 'bus.limit_mb'?" in said
    assert "sources.0.upd_port: there is no such setting. Did you mean 'udp_port'?" in said


def test_a_folder_in_the_place_of_the_named_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAIDANG_CONFIG", str(tmp_path))
    assert f"HAIDANG_CONFIG names {tmp_path}, which is a directory" in faults()


@pytest.mark.parametrize("below", ["", "data", "data/more"])
def test_a_data_directory_that_is_a_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path / "file" / below))
    assert f"{tmp_path / 'file'} is no directory" in faults()


_SYSLOG = '[[sources]]\nkind = "syslog"\n'
_HTTP = '[[sources]]\nkind = "http"\n'
_NETFLOW = '[[sources]]\nkind = "netflow"\n'
_UNIX = '[[sources]]\nkind = "unix"\nname = "eve"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (_HTTP + 'timezone = "Asia/Hanoi"', "sources.0.timezone = 'Asia/Hanoi': expected a time zone"),
        (_HTTP + 'timezone = "Asia"', "sources.0.timezone = 'Asia': expected a time zone"),
        (_HTTP + 'encoding = "klingon"', "sources.0.encoding = 'klingon': expected an encoding"),
        (_HTTP + 'encoding = "hex"', "sources.0.encoding = 'hex': expected an encoding"),
        (_HTTP + 'host = "999.1.1.1"', "sources.0.host = '999.1.1.1': expected an IP address"),
        (_HTTP + 'host = "::x"', "sources.0.host = '::x': expected an IP address"),
        ('[api]\nhost = "1.2.3.256"', "api.host = '1.2.3.256': expected an IP address"),
        (
            '[[sources]]\nkind = "files"\nname = "f"\npaths = ["/x"]\nmultiline = "("',
            "sources.0.multiline = '(': expected a regular expression (missing )",
        ),
        (_SYSLOG, "sources.0 = 'syslog': expected at least one of udp_port"),
        ('[tls]\ncertificate = "/none.pem"', "tls.certificate = '/none.pem': expected a file"),
        ('[tls]\ncertificate = "/none.pem"', "tls.key = '': expected both certificate and key"),
        ('[tls]\nkey = "/none.pem"', "tls.certificate = '': expected both"),
        ('[detectors]\nrules = ["/nonexist"]', "detectors.rules.0 = '/nonexist': expected a folder"),
        (
            _SYSLOG + "udp_port = 1\n" + _SYSLOG + 'name = "b"\nudp_port = 1',
            "sources.1.udp_port = 1: expected another port than that of sources.0.udp_port",
        ),
        (_SYSLOG + "tcp_port = 1\ntls_port = 1", "sources.0.tls_port = 1: expected another port"),
        (_HTTP + "port = 8088", "sources.0.port = 8088: expected another port than that of api.port"),
        (_SYSLOG + 'host = "localhost"\ntcp_port = 8088', "sources.0.tcp_port = 8088: expected another port"),
        (_NETFLOW + 'host = "999.1.1.1"', "sources.0.host = '999.1.1.1': expected an IP address"),
        (
            _SYSLOG + "udp_port = 2055\n" + _NETFLOW,
            "sources.1.port = 2055: expected another port than that of sources.0.udp_port",
        ),
        (_UNIX + 'path = "eve.sock"', "sources.0.path = 'eve.sock': expected an absolute path"),
        (_UNIX + 'path = "/nonexist/eve.sock"', "sources.0.path = '/nonexist/eve.sock': expected an absolute path"),
        (_UNIX + 'path = "/etc/passwd"', "sources.0.path = '/etc/passwd': expected an absolute path"),
        (_UNIX + f'path = "/tmp/{"x" * 110}"', "sources.0.path = "),
        (
            '[detectors]\nrules = ["/etc/passwd"]',
            "detectors.rules.0 = '/etc/passwd': expected a folder that is there, or a file",
        ),
        ('[store]\nkind = "elasticsearch"', "store.urls = []: expected scheme, host and port"),
        (
            '[store]\nkind = "elasticsearch"\nurls = ["https://an:secret@es.example.vn"]',
            "store.urls.0 = 'https://…@es.example.vn': expected scheme, host and port",
        ),
        ('[api]\nhost = "nowhere.invalid"', "api.host = 'nowhere.invalid': expected an address of this machine"),
        ('[api]\nhost = "a..b"', "api.host = 'a..b': expected an address of this machine"),
        ('[api]\nhost = "203.0.113.5"', "api.host = '203.0.113.5': expected an address of this machine"),
        (
            '[tls]\ncertificate = "/etc/passwd"\nkey = "/etc/passwd"',
            "tls.certificate = '/etc/passwd': expected a file with",
        ),
        (_HTTP + 'dataset = "nix"', "sources.0.dataset = 'nix': expected one of apache.access, "),
        (_HTTP + 'dataset = "nginx.acess"', "sources.0.dataset = 'nginx.acess': expected one of apache.access, "),
        (_UNIX + 'path = "/tmp/eve.sock"\ntimezone = "Asia"', "sources.0.timezone = 'Asia': expected a time zone"),
    ],
)
def test_a_setting_that_means_nothing_is_told_and_stops_no_stage(data_dir: Path, text: str, told: str) -> None:
    write(data_dir, text)
    with speaking("en"):
        said = check.faults(load_settings())
        assert any(fault.startswith(told) for fault in said), said
    with speaking("vi"):
        assert not any("expected" in fault for fault in check.faults(load_settings()))


@pytest.mark.parametrize("name", ["auto", "TCVN3", "vni", "utf-16-le", "windows-1258", "latin-1", "ascii", "koi8-r"])
def test_known_encodings_are_good(data_dir: Path, name: str) -> None:
    write(data_dir, _HTTP + f'encoding = "{name}"\ntimezone = "Asia/Ho_Chi_Minh"\nhost = "log.example.vn"')
    assert check.faults(load_settings()) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        _SYSLOG + "udp_port = 1\ntcp_port = 1",
        _SYSLOG + "tcp_port = 0\ntls_port = 0\n[api]\nport = 0",
        _HTTP + 'port = 8088\nhost = "10.0.0.1"',
        _HTTP + 'port = 8088\nhost = "::1"',
        _HTTP + 'port = 8088\nhost = "::"',
        _SYSLOG + "tcp_port = 2055\n" + _NETFLOW + _UNIX + 'path = "/tmp/eve.sock"',
    ],
)
def test_listeners_that_do_not_meet_are_good(data_dir: Path, text: str) -> None:
    write(data_dir, text)
    assert check.faults(load_settings()) == []


def test_settings_of_kafka_that_do_not_fit_together_are_named(data_dir: Path) -> None:
    write(
        data_dir,
        '[bus]\nkind = "kafka"\nca = "/nowhere.pem"\nusername = "haidang"\npassword = "hidden"\n'
        '[[sources]]\nkind = "kafka"\nname = "a"\ntopic = "t"\nservers = ["kafka-1"]\nsecurity = "sasl_tls"\n'
        'certificate = "/nowhere.pem"\nusername = "a"\n',
    )
    with speaking("en"):
        said = check.faults(load_settings())
    for place in (
        "bus.servers = []", "bus.ca = '/nowhere.pem'", "bus.username = 'haidang'", "bus.password",
        "sources.0.servers.0 = 'kafka-1'", "sources.0.certificate = '/nowhere.pem'", "sources.0.key = ''",
        "sources.0.password = ''",
    ):  # fmt: skip
        assert len([fault for fault in said if fault.startswith(place)]) == 1, place
    assert (len(said), "hidden" in str(said)) == (8, False)


def test_settings_of_kafka_that_fit_are_good(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    write(
        data_dir,
        f'[bus]\nkind = "kafka"\nservers = ["kafka-1:9092", "[::1]:9093"]\nsecurity = "sasl_tls"\n'
        f'ca = "{tmp_path / "ca.pem"}"\nusername = "haidang"\npassword = "hidden"\n',
    )
    assert check.faults(load_settings()) == []


def test_a_reserve_that_is_larger_than_the_disk_is_named(data_dir: Path) -> None:
    write(data_dir, "[limits]\ndisk_reserve_mb = 10_000_000")
    with speaking("en"):
        (said,) = check.faults(load_settings())
    assert said.startswith("limits.disk_reserve_mb = 10000000: expected less than the disk has")
