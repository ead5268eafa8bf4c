"""`haidang rules import|update|remove-pack|keygen|sign|trust|distrust|backup|restore`: packs come, change and go."""

import argparse
import os
import sys
from pathlib import Path

from detectors.rulebook import backup, bundle
from detectors.rulebook.book import MODES
from detectors.rulebook.sources import read_source
from pipeline.command import show
from pipeline.messages import HaidangError, said, say
from workbench import numbers
from workbench.rules.previewing import carry_out, change_arguments
from workbench.rules.site import OnSite

_SHOWN = 20


def _pack_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", default="", help=say("command.rules.version"))
    parser.add_argument("--licence", default="", help=say("command.rules.licence"))
    parser.add_argument("--mode", choices=MODES, help=say("command.rules.pack_mode"))
    parser.add_argument("--every-hours", type=numbers.every_hours, help=say("command.rules.every_hours"))
    change_arguments(parser)


def _import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("place", help=say("command.rules.place"))
    parser.add_argument("--name", default="", help=say("command.rules.pack_name"))
    _pack_arguments(parser)


def _import(chosen: argparse.Namespace, site: OnSite) -> int:
    return _bring(chosen, site, chosen.place, chosen.name)


def _update_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pack", nargs="*", help=say("command.rules.packs_to_update"))
    parser.add_argument("--from", dest="place", help=say("command.rules.from"))
    _pack_arguments(parser)


def _update(chosen: argparse.Namespace, site: OnSite) -> int:
    packs = site.rulebook.revision.book.packs
    if chosen.place and len(chosen.pack) != 1:
        raise HaidangError("command.rules.one_pack")
    names = chosen.pack or [name for name, pack in packs.items() if pack.source]
    if not names:
        raise HaidangError("command.rules.nothing_to_update")
    if len(names) == 1:
        return _bring(chosen, site, chosen.place or site.rulebook.source_of(names[0]), names[0])
    return max(_update_one(chosen, site, name, packs[name].source) for name in names)


def _update_one(chosen: argparse.Namespace, site: OnSite, name: str, place: str) -> int:
    """Update one of several packs: what is wrong with it must not keep the others old."""
    try:
        return _bring(chosen, site, place, name)
    except HaidangError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return error.exit_status


def _bring(chosen: argparse.Namespace, site: OnSite, place: str, name: str) -> int:
    change = site.rulebook.pack(
        place, name, version=chosen.version, licence=chosen.licence, mode=chosen.mode, every_hours=chosen.every_hours,
        force=chosen.force,
    )  # fmt: skip
    return carry_out(chosen, site, change)


def _remove_pack_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pack", help=say("command.rules.pack"))


def _remove_pack(chosen: argparse.Namespace, site: OnSite) -> int:
    return site.confirm(site.rulebook.remove_pack(chosen.pack))


def _keygen_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help=say("command.rules.key_file"))


def _keygen(chosen: argparse.Namespace, _site: OnSite) -> int:
    private, public = bundle.new_key()
    _write_new(chosen.file, private)
    show.line(public)
    return 0


def _sign_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("place", help=say("command.rules.place"))
    parser.add_argument("output", type=Path, help=say("command.rules.bundle_file", suffix=bundle.SUFFIX))
    parser.add_argument("--key", type=Path, required=True, help=say("command.rules.private_key"))
    parser.add_argument("--name", required=True, help=say("command.rules.pack_name"))
    parser.add_argument("--version", required=True, help=say("command.rules.version"))
    parser.add_argument("--licence", default="", help=say("command.rules.licence"))


def _sign(chosen: argparse.Namespace, _site: OnSite) -> int:
    if not bundle.is_bundle(chosen.output.name):
        raise HaidangError("command.rules.bundle_suffix", file=chosen.output, suffix=bundle.SUFFIX)
    found = read_source(chosen.place)
    private = bundle.load_private(chosen.key)
    if found.left_out:
        show.line(say("command.rules.refused_count", count=show.number(len(found.left_out))))
    for path, reason in found.left_out[:_SHOWN]:
        show.line(show.plain(f"  {path}: {said(reason)}"))
    made = bundle.make(found.files, private, chosen.name, chosen.version, chosen.licence or found.licence)
    _write_new(chosen.output, made)
    show.line(say("command.rules.signed", file=chosen.output, files=len(found.files), public=bundle.public_of(private)))
    return 0


def _trust_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help=say("command.rules.key_name"))
    parser.add_argument("public", help=say("command.rules.public_key"))


def _trust(chosen: argparse.Namespace, site: OnSite) -> int:
    return site.confirm(site.rulebook.trust(chosen.name, chosen.public))


def _distrust_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help=say("command.rules.key_name"))


def _distrust(chosen: argparse.Namespace, site: OnSite) -> int:
    return site.confirm(site.rulebook.distrust(chosen.name))


def _backup_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help=say("command.rules.backup_file"))


def _backup(chosen: argparse.Namespace, site: OnSite) -> int:
    data, digest = backup.make(site.rulebook.revision.book, site.rulebook.contents())
    _write_new(chosen.file, data)
    show.line(say("command.rules.backed_up", file=chosen.file, size=show.size(len(data)), digest=digest))
    return 0


def _restore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help=say("command.rules.backup_file"))
    change_arguments(parser)


def _restore(chosen: argparse.Namespace, site: OnSite) -> int:
    book, contents = backup.read(chosen.file)
    return carry_out(chosen, site, site.rulebook.replace(book, contents, {"file": chosen.file.name}, chosen.force))


def _write_new(path: Path, data: bytes) -> None:
    """Write a file that nobody else may read; never over one that is there."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise HaidangError("rulebook.cannot_write", file=path, fault=error.strerror or error) from error


COMMANDS = {
    "import": (_import_arguments, _import),
    "update": (_update_arguments, _update),
    "remove-pack": (_remove_pack_arguments, _remove_pack),
    "keygen": (_keygen_arguments, _keygen),
    "sign": (_sign_arguments, _sign),
    "trust": (_trust_arguments, _trust),
    "distrust": (_distrust_arguments, _distrust),
    "backup": (_backup_arguments, _backup),
    "restore": (_restore_arguments, _restore),
}
