"""Backup and restore: a running site enters, one sealed file leaves; elsewhere the file enters, a site leaves.

`archive.py` is the file, `make.py` what goes into it and when, `restore.py` the way back. Why state, bus and index
agree in it is told in `make.py`.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

#: The version of the archive. A program opens its own and earlier ones.
FORMAT = 1


class Named(BaseModel):
    """A path that the settings name, and where in a data directory it is restored to."""

    path: str
    to: str


class Header(BaseModel):
    """What an archive says of itself, its first member."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    what: Literal["site", "state"]  # `state`: before a migration
    program: str
    revision: str  # of the state's tables
    state: Literal["sqlite", "postgresql"]
    instance: str
    time: str
    events: bool = False
    #: Each part that is a file, and its place in a data directory.
    files: dict[str, str] = {}
    named: list[Named] = []
    #: For each topic of an embedded bus whose frames are here: the offset that the next frame gets.
    bus: dict[Literal["events", "alerts", "alert-updates", "hits"], Annotated[int, Field(ge=1)]] = {}
    #: Events of each source that waited to be stored; None where there was no embedded bus to look at.
    held: dict[str, int] | None = None
    #: Names of the environment's settings, which are not here.
    variables: list[str] = []
