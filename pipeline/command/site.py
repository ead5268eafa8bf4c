"""The site that a command works on: its settings leave, in the language that they name."""

from pipeline.command import show
from pipeline.messages import HaidangError, choose_language
from pipeline.settings import Settings, load_settings
from pipeline.state import is_there


class NothingHere(HaidangError):
    """There is no site in the data directory yet, and a command that only reads makes none."""

    exit_status = 1


def site_settings(must_be_there: bool = True) -> Settings:
    """Return the settings, and speak their language.

    Raises:
        NothingHere: there is nothing in the data directory.
    """
    settings = load_settings()
    choose_language(settings.language)
    show.use_zone(settings.delivery.timezone)
    if must_be_there and not is_there(settings.data_dir, settings.state):
        raise NothingHere("state.nothing_here", data_dir=settings.data_dir)
    return settings
