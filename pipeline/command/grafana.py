"""`haidang grafana push`: our dashboards and data sources are put into a Grafana, and what was changed is printed."""

import argparse
from pathlib import Path

from pipeline.access import note
from pipeline.command import show
from pipeline.command.person import person
from pipeline.command.site import site_settings
from pipeline.grafana import SAME, Grafana, Place, dashboards_in
from pipeline.messages import LANGUAGES, HaidangError, language, say, speaking
from pipeline.shipped import shipped_grafana
from pipeline.state import is_there, open_state

#: A token is never longer than this, in bytes, and a file of authorities not than that.
_LONGEST_TOKEN, _LONGEST_AUTHORITIES = 1_000, 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("action", choices=["push"], help=say("command.grafana.action"))
    parser.add_argument("--url", required=True, help=say("command.grafana.url"))
    parser.add_argument(
        "--token-file", type=Path, required=True, metavar="FILE", help=say("command.grafana.token_file")
    )
    parser.add_argument("--ca", type=Path, metavar="FILE", help=say("command.grafana.ca"))
    parser.add_argument("--api-url", required=True, metavar="URL", help=say("command.grafana.api_url"))
    parser.add_argument("--api-token-file", type=Path, metavar="FILE", help=say("command.grafana.api_token_file"))
    parser.add_argument("--api-ca", type=Path, metavar="FILE", help=say("command.grafana.api_ca"))
    parser.add_argument("--language", choices=sorted(LANGUAGES), help=say("command.grafana.language"))
    parser.add_argument("--dry-run", action="store_true", help=say("command.grafana.dry_run"))
    parser.add_argument("--json", action="store_true", help=say("command.json"))


def run(chosen: argparse.Namespace) -> int:
    """Push, and print what became of each thing."""
    settings = site_settings(must_be_there=False)
    place = Place(
        _address(chosen.api_url),
        _secret(chosen.api_token_file) if chosen.api_token_file else "",
        _read(chosen.api_ca, _LONGEST_AUTHORITIES) if chosen.api_ca else "",
    )
    grafana = Grafana(chosen.url, _secret(chosen.token_file), chosen.ca, chosen.dry_run)
    if not chosen.dry_run and is_there(settings.data_dir, settings.state):
        with open_state(settings.data_dir, settings.state).begin() as connection:
            note(connection, person(), "command", "grafana_push", url=chosen.url[:200])
    spoken = chosen.language or language()
    changed = 0
    with speaking(spoken):
        changes = grafana.push(place, dashboards_in(shipped_grafana() / spoken))
        for change in changes:  # one by one: what is done before a fault is told, too
            changed += change.outcome != SAME
            if chosen.json:
                show.json_line({**change._asdict(), "dry_run": chosen.dry_run})
            else:
                show.line(f"{say(f'grafana.{change.outcome}')}  {say(f'grafana.{change.kind}')}  {change.title}")
    if not chosen.json:
        show.line(say("grafana.would" if chosen.dry_run else "grafana.done", count=changed))
    return 0


def _address(url: str) -> str:
    if not url.startswith(("http://", "https://")) or url.rstrip("/").endswith("/es"):
        raise HaidangError("grafana.bad_api_url", url=url)
    return url


def _secret(path: Path) -> str:
    secret = _read(path, _LONGEST_TOKEN).strip()
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise HaidangError("grafana.no_secret", path=path)
    return secret


def _read(path: Path, most: int) -> str:
    try:
        with path.open("rb") as file:
            return file.read(most).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise HaidangError("grafana.unreadable", path=path, fault=error) from error
