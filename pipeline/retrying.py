"""Dead letters that are tried again: they enter as they lie in the state, and leave to the topics they came from."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine

from pipeline import deadletters
from pipeline.books import RETRY, Books
from pipeline.bus import RETRIED, open_bus
from pipeline.frame import Frame, pack
from pipeline.ledger import POISON_FRAME
from pipeline.settings import Settings
from pipeline.stage import only_one

#: Letters that are published before they are deleted.
_BATCH = 500


def bring_back(settings: Settings, engine: Engine, letters: Sequence[dict[str, Any]]) -> int:
    """Bring letters to their topic again, and delete them; return how many. What fails again comes back.

    A kill in between leaves them here and there: an event that was stored is not stored twice.
    """
    bus = open_bus(settings.data_dir, settings.bus)
    done = 0
    try:
        with only_one(settings.data_dir, RETRY.name), Books(RETRY, settings, engine, bus) as books:
            for start in range(0, len(letters), _BATCH):
                batch = letters[start : start + _BATCH]
                for letter in batch:
                    books.publish(letter["topic"], _frames(letter))
                done += deadletters.drop(engine, batch)
    finally:
        bus.close()
    return done


def _frames(letter: dict[str, Any]) -> list[Frame]:
    if letter["reason"] == POISON_FRAME:
        return [Frame(letter["source"], 1, letter["line"], RETRIED)]
    return list(pack(letter["source"], [letter["line"]], RETRIED))
