"""What commands on users, roles and tokens share: options of a data view enter, the view leaves."""

import argparse
import sys
from typing import Any

from pipeline.identity.permissions import FORMER
from pipeline.identity.views import INDICES
from pipeline.messages import say


def add_view(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a data view."""
    parser.add_argument("--index", action="append", choices=INDICES, help=say("command.view.index"))
    parser.add_argument("--source", action="append", help=say("command.view.source"))
    parser.add_argument("--unit", action="append", help=say("command.view.unit"))


def view_of(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the data view that the options name; an empty one limits nothing."""
    return {"indices": chosen.index, "sources": chosen.source, "units": chosen.unit}


def told(view: Any) -> str:
    """Return a view as a few words."""
    return "; ".join(f"{kind}: {', '.join(names) or '-'}" for kind, names in (view or {}).items())


def tell_former(role: str) -> None:
    """Say so where a role is named as it was called once."""
    if role in FORMER:
        sys.stderr.write(say("command.user.former", former=role, now=FORMER[role]) + "\n")
