"""Routes of the settings file: its text without secrets leaves; a text is looked at, or takes the file's place."""

import os
import signal
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Request
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from api.access import State, address_of, needs, noted
from api.bodies import Body, Line, Text
from pipeline.identity.users import User
from pipeline.messages import say
from pipeline.settings import Settings, keeping
from pipeline.settings.text import MOST

router = APIRouter(prefix="/settings", tags=["settings"])
#: The text has secrets to put, and comments of people: whoever reads it may change it.
Changer = Annotated[User, Depends(needs("settings.change"))]
_Text = Annotated[Text, Field(max_length=MOST)]
_Revision = Annotated[int, Field(ge=1, le=2**31 - 1)]
_Reason = Annotated[Line, Field(min_length=1)]
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Looked(Body):
    """A text to look at, or the number of one that was kept."""

    text: _Text | None = None
    revision: _Revision | None = None

    @model_validator(mode="after")
    def _one(self) -> "Looked":
        if (self.text is None) == (self.revision is None):
            raise PydanticCustomError("missing", "text or revision")
        return self


class Written(Body):
    """A text that takes the file's place; `digest`: of the version that was seen."""

    text: _Text
    digest: _Digest
    reason: _Reason


class RollBack(Body):
    """A text that was kept, which takes the file's place again."""

    revision: _Revision
    digest: _Digest
    reason: _Reason


class Restart(Body):
    """Why the stages are to start again."""

    reason: _Reason


@router.get("/file")
def file_now(request: Request, state: State, user: Changer) -> dict[str, Any]:
    """Return the settings file: its text with `[secret N]` for secrets, its history, what overrides it, and whether it
    can be written from here."""
    noted(request, user.name, "settings_read", file=True)
    return keeping.standing(state, _settings(request))


@router.post("/check")
def check_text(request: Request, state: State, _user: Changer, looked: Looked) -> dict[str, Any]:
    """Say what is wrong in a text, with lines, and what it would change; nothing is written."""
    if looked.revision is not None:
        return keeping.check_kept(state, _settings(request), looked.revision)
    return keeping.check(_settings(request), looked.text or "")


@router.put("/file")
def put_file(request: Request, state: State, user: Changer, written: Written) -> dict[str, Any]:
    """Put a text in the file's place. Answers 409 where the file was changed after the version that was seen."""
    given = (written.text, written.digest, written.reason, user.name, address_of(request))
    return _with_next_step(keeping.put(state, _settings(request), *given))


@router.post("/roll-back")
def roll_back(request: Request, state: State, user: Changer, back: RollBack) -> dict[str, Any]:
    """Put a text that was kept in the file's place again."""
    given = (back.revision, back.digest, back.reason, user.name, address_of(request))
    return _with_next_step(keeping.roll_back(state, _settings(request), *given))


@router.post("/restart", status_code=202)
def restart(request: Request, state: State, user: Changer, wanted: Restart, after: BackgroundTasks) -> dict[str, Any]:
    """Let the stages of this machine start again with the file as it is, this one too, once it has answered. Answers
    409 where nobody would start them again."""
    told = keeping.restart(state, _settings(request), wanted.reason, user.name, address_of(request))
    after.add_task(os.kill, os.getpid(), signal.SIGTERM)
    return told


def _with_next_step(done: dict[str, Any]) -> dict[str, Any]:
    return {**done, "next": say("settings.restart_now", stages=", ".join(done["restart"]))}


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings
