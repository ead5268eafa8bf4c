"""A table of the settings, and what several of them hold."""

from ipaddress import ip_network
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from pipeline.messages import say

Port = Annotated[int, Field(ge=0, le=65535)]


class Section(BaseModel):
    """A table of the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def valid_networks(value: list[str]) -> list[str]:
    """Return networks as they are.

    Raises:
        ValueError: one of them is none.
    """
    for text in value:
        try:
            ip_network(text, strict=False)
        except ValueError as error:
            raise ValueError(say("settings.want_network", value=text)) from error
    return value
