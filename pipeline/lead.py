"""Of the copies of a stage one leads: a stage enters, whether this copy does its work leaves."""

import threading

from sqlalchemy import Connection

from pipeline import shares
from pipeline.logs import log
from pipeline.stage import Stage

_SHARE = 0


class Lead:
    """Which copy works: the one that holds the only share (`pipeline/shares.py`) of what there is one of."""

    def __init__(self, stage: Stage, topic: str) -> None:
        """`topic`: what the copies of the stage would divide among themselves, if it could be divided."""
        self._stage = stage
        self._who = (stage.name, topic, stage.instance)
        self.held = threading.Event()

    def look(self) -> None:
        """Say that this copy lives; take the lead where nobody has it, keep it where it is ours."""
        with self._stage.engine.begin() as connection:
            shares.take_turns(connection, *self._who[:2])
            shares.say_alive(connection, *self._who)
            shares.claim(connection, *self._who, [_SHARE])
            leads = _SHARE in shares.held(connection, *self._who)
            if leads:
                shares.extend(connection, *self._who, [_SHARE])
        if leads and not self.held.is_set():
            log(self._stage.name).info("leads", instance=self._stage.instance)
            self.held.set()
        elif not leads:
            self.held.clear()

    def confirm(self, connection: Connection) -> None:
        """Hold on to the lead in the transaction of receipts.

        Raises:
            LeaseLost: it is another copy's by now.
        """
        try:
            shares.extend(connection, *self._who, [_SHARE])
        except shares.LeaseLost:
            self.held.clear()
            raise

    def leave(self) -> None:
        """Let another copy go on at once."""
        self.held.clear()
        with self._stage.engine.begin() as connection:
            shares.leave(connection, *self._who)
