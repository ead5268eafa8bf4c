"""The docs are held to the code: settings, commands, examples of searches, links, and what the README says to type."""

import argparse
import importlib
import json
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipeline import settings, store
from pipeline.command import COMMANDS
from pipeline.event import Event, event_id, format_time
from pipeline.messages import speaking
from pipeline.settings import Settings
from pipeline.settings.delivery import CHANNELS, Channel, Delivery, Route, Shift
from pipeline.settings.sharing_taxii import Taxii
from pipeline.state import open_state
from sharing.profile import Profile
from tests.api.sites import index

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
SECTIONS: tuple[type[BaseModel], ...] = (
    Settings, settings.SyslogSource, settings.FilesSource, settings.HttpSource, settings.KafkaSource,
    settings.UnixSource, settings.NetflowSource, settings.NetworkSource,
    settings.Api, settings.Access, settings.Oidc, settings.Tls,
    settings.Bus, settings.State, settings.Store, settings.Detectors, settings.Canary, settings.Watch, settings.Queue, settings.Cases,
    settings.Devices, settings.Sharing,
    settings.Limits, Taxii, settings.Peer, settings.Indicators, settings.IndicatorFeed,
    Delivery, *CHANNELS, Route, Shift,
    settings.Behaviours, *(field.annotation for field in settings.Behaviours.model_fields.values()
                           if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)),
)  # fmt: skip
_MEANINGS = {
    "name": "`labels.source` of its events: small letters, digits, `-` `.` `_`, at most 63",
    "kind": "which kind of source this is",
}
_OF_CHANNELS = {
    "name": "how routes, receipts and commands call it, as a source's name",
    "kind": "which kind of channel this is",
}
_TYPES = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "true or false",
    Path: "path",
    SecretStr: "text, never shown",
    date: "date",
}
_LISTS: dict[Any, str] = {
    Path: "list of paths", str: "list of texts", SecretStr: "list of texts, never shown", settings.IndicatorFeed: "list of lists",
    Channel: "list of channels", Route: "list of routes", Shift: "list of shifts", settings.Peer: "list of servers",
}  # fmt: skip
_DEFAULTS = {"observer": "the host's name", "sources": "syslog and HTTP", "data_dir": "see [operations](operations.md)"}


def setting_rows(section: type[BaseModel]) -> list[str]:
    """Return the rows that docs/settings.md has for a section."""
    rows = []
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            continue  # a section of its own
        default = _DEFAULTS.get(name) if section is Settings else None
        rows.append(
            f"| `{name}` | {_type(field)} | {default or _default(field)} | {field.description or _meaning(section, name)} |"
        )
    return rows


def _meaning(section: type[BaseModel], name: str) -> str:
    if section in CHANNELS:
        return _OF_CHANNELS[name]
    return (
        "how alerts and commands call it, as a source's name" if section is settings.IndicatorFeed else _MEANINGS[name]
    )


def _type(field: FieldInfo) -> str:
    text = _name(field.annotation)
    bounds = {type(item).__name__: item for item in field.metadata}
    low = getattr(bounds.get("Ge"), "ge", None)
    above = getattr(bounds.get("Gt"), "gt", None)
    high = getattr(bounds.get("Le"), "le", None)
    parts = [
        f"from {low:,}" if low is not None else "",
        f"above {above:,}" if above is not None else "",
        f"to {high:,}" if high is not None else "",
    ]
    return " ".join([text, *(part for part in parts if part)])


def _name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(f"`{item}`" for item in get_args(kind))
    if get_origin(kind) is list:
        inner = get_args(kind)[0]
        if get_origin(inner) is Literal:
            return f"list of {_name(inner)}"
        return _LISTS.get(inner, "list of sources")
    if get_origin(kind) is dict:
        return "table of texts"
    if get_origin(kind) is Union or type(kind).__name__ == "UnionType":
        return ", ".join(_name(item) for item in get_args(kind) if item is not type(None))
    if hasattr(kind, "__metadata__"):
        return _name(get_args(kind)[0]) + (" from 0 to 65,535" if kind == settings.Port else "")
    return _TYPES[kind]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True) if field.default_factory is not None else field.default
    if value is PydanticUndefined:
        return "must be given"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value == []:
        return "left out"
    return f"`{json.dumps(value, default=str, ensure_ascii=False)}`" if not isinstance(value, Path) else f"`{value}`"


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_setting_is_in_the_docs_as_it_is_in_the_code(section: type[BaseModel]) -> None:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    missing = [row for row in setting_rows(section) if row not in page]
    assert not missing, "put into docs/settings.md:\n" + "\n".join(missing)


def test_every_key_of_a_profile_is_in_the_docs_of_sharing() -> None:
    page = (ROOT / "docs" / "sharing.md").read_text("utf-8")
    part = page.partition("\n## Keys of a profile\n")[2].partition("\n## ")[0]
    written = [line for line in part.splitlines() if line.startswith(("| `", "### "))]
    sections = {f"### `[{name}]`": field.annotation for name, field in Profile.model_fields.items()}
    expected = setting_rows(Profile)
    for head, section in sections.items():
        if isinstance(section, type) and issubclass(section, BaseModel):
            expected += [head, *setting_rows(section)]
    assert written == expected, "put into docs/sharing.md:\n" + "\n".join(expected)


def test_the_docs_have_no_setting_that_the_code_has_not() -> None:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    written = {row for row in page.splitlines() if row.startswith("| `")}
    assert written == {row for section in SECTIONS for row in setting_rows(section)}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_in_the_docs(command: str) -> None:
    page = (ROOT / "docs" / "commands.md").read_text("utf-8")
    found = re.search(rf"^## `haidang {command}\b.*?(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, f"docs/commands.md has no part on `haidang {command}`"
    for action in _actions(command, inner=True):
        for name in [*action.option_strings, *([] if action.option_strings else action.choices or [])]:
            assert f"`{name}" in found[0] or f"haidang {command} {name}" in found[0], f"{command}: {name}"
    known = {name for action in _actions(command, inner=True) for name in action.option_strings}
    assert set(re.findall(r"^\| `(--[a-z-]+)", found[0], re.MULTILINE)) <= known


def _actions(command: str, inner: bool = False) -> list[argparse.Action]:
    """The arguments of a command: those of `rules list` for itself, of `rules` with or without its subcommands'."""
    name, *subcommands = command.split(" ")
    parser = argparse.ArgumentParser(add_help=False)
    with speaking("en"):
        importlib.import_module(COMMANDS[name]).add_arguments(parser)
    found = parser._actions
    for subcommand in subcommands:
        found = next(each.choices[subcommand]._actions for each in _beneath(found))
    return [*found, *(action for one in _below(found) for action in one)] if inner else found


def _beneath(actions: list[argparse.Action]) -> list[Any]:
    return [each for each in actions if isinstance(each, argparse._SubParsersAction)]


def _below(actions: list[argparse.Action]) -> Iterator[list[argparse.Action]]:
    """The arguments of all subcommands, and of theirs."""
    for each in _beneath(actions):
        for one in each.choices.values():
            yield [action for action in one._actions if "--help" not in action.option_strings]
            yield from _below(one._actions)


def _named(command: str, rest: str) -> str:
    """The command with its subcommands, where it has such."""
    for word in rest.split():
        if not any(word in each.choices for each in _beneath(_actions(command))):
            break
        command = f"{command} {word}"
    return command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_our_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, part = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), f"{page.name}: {target}"
        if part:
            heads = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
            assert part in {re.sub(r"[^\w\s-]", "", head.lower()).replace(" ", "-") for head in heads}, target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_the_pages_name_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE)) <= targets
    for command, rest in re.findall(r"(?:^|`|\$\()haidang ([a-z][a-z0-9]*(?:-[a-z]+)*)([^`\n]*)", text, re.MULTILINE):
        assert command in COMMANDS, f"{page.name}: haidang {command}"
        options = {name for action in _actions(_named(command, rest)) for name in action.option_strings}
        assert set(re.findall(r"(--[a-z-]+)", rest.partition("#")[0])) <= options | {"--help"}
    for variable in re.findall(r"\b(HAIDANG_[A-Z_]+)", text):
        section, _, name = variable.removeprefix("HAIDANG_").lower().partition("__")
        assert section in {*Settings.model_fields, "config", "language"}, variable
        assert not name or name in getattr(Settings.model_fields[section].annotation, "model_fields", {}), variable


@pytest.mark.parametrize("page", ["README.md", "README.vi.md"])
def test_the_example_of_a_settings_file_is_good(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
    file = tmp_path / "haidang.toml"
    file.write_text(example, "utf-8")
    monkeypatch.setenv("HAIDANG_CONFIG", str(file))
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path))
    loaded = settings.load_settings()
    assert [source.kind for source in loaded.sources] == ["syslog", "http", "files"]
    assert loaded.store.retention_days == tomllib.loads(example)["store"]["retention_days"]


def _typed(page: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
    return [re.sub(r"\s*#.*", "", line) for block in blocks for line in block.splitlines()]


def test_both_readmes_tell_the_same_to_type() -> None:
    assert len(_typed("README.md")) > 8
    assert _typed("README.md") == _typed("README.vi.md")


def _event(number: int, **fields: Any) -> Event:
    fields = {name.replace("__", "."): value for name, value in fields.items()}
    now = format_time(datetime.now(UTC))
    return {"@timestamp": now, "event.id": event_id("docs", number), "organization.id": "vn", **fields}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[store.Reader]:
    failed = "sshd: ssh Failed password for root from 203.0.113.45 port 40210 ssh2"
    events = [
        _event(
            1, event__original=failed, message=failed, user__name="root", source__ip="203.0.113.45", source__port=40210,
            host__name="web", event__outcome="failure",
        ),
        _event(2, event__original="Đăng nhập thất bại", user__name="Nguyễn Văn A", host__name="may-01"),
        _event(3, message="1", process__executable="C:\\Windows\\System32\\powershell.exe", host__name="may-01"),
    ]  # fmt: skip
    folder = tmp_path_factory.mktemp("docs")
    site = Settings(data_dir=folder, store=settings.Store(memory_mb=20, commit_seconds=0.1), sources=[])
    engine = open_state(folder)
    index(site, engine, events)
    engine.dispose()
    opened = store.open_reader(folder, site.store)
    yield opened
    opened.close()


def _search_page() -> str:
    return (ROOT / "docs" / "search.md").read_text("utf-8")


def _query_texts() -> list[str]:
    part = _search_page().partition("## Query text")[2].partition("## ")[0]
    cells = [row.split("|")[1] for row in part.splitlines() if row.startswith("| `")]
    return [text for cell in cells for text in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("text", _query_texts())
def test_every_query_text_of_the_docs_finds_something(reader: store.Reader, text: str) -> None:
    assert reader.search(store.EVENTS, {"query": {"query_string": {"query": text}}})["hits"]["total"]["value"] > 0


@pytest.mark.parametrize("body", re.findall(r"```json\n(.*?)```", _search_page(), re.DOTALL))
def test_every_body_of_the_docs_finds_something(reader: store.Reader, body: str) -> None:
    answer = reader.search(store.EVENTS, json.loads(body))
    assert answer["hits"]["total"]["value"] > 0
    for found in answer.get("aggregations", {}).values():
        assert found["buckets"]


def test_the_docs_name_every_query_and_aggregation() -> None:
    from pipeline.store.aggregations import _BUCKETS, _NUMBERS
    from pipeline.store.query_dsl import _PARSERS

    page = _search_page()
    assert [name for name in (*_PARSERS, *_BUCKETS, *_NUMBERS) if f"`{name}`" not in page] == []


def test_every_point_of_the_security_list_names_tests_that_are_there_or_says_why_not() -> None:
    page = (ROOT / "docs" / "security.md").read_text("utf-8")
    rows = re.findall(r"^\| ([\d.,– V]+) \| (\S+) \| (.+) \|$", page, re.MULTILINE)
    assert len(rows) > 100
    assert {verdict for _, verdict, _ in rows} == {"yes", "partly", "no", "–"}
    missing = [path for path in re.findall(r"`t/([^`]+)`", page) if not (ROOT / "tests" / path).exists()]
    assert not missing
