"""Stages for the tests of stage and supervisor, each a process of its own: `python -m tests.pipeline.stages KIND`."""

import os
import signal
import sys
import time

from pipeline import bus
from pipeline.messages import HaidangError
from pipeline.stage import Consumer, Stage, run_stage


def count(stage: Stage) -> None:
    """Count the events of the topic, one record a commit."""
    consumer = Consumer(stage, bus.EVENTS)
    stage.beat(now=True, detail={"ready": True})
    while not stage.stopping.is_set():
        for record in consumer.read(1):
            consumer.tally.add(record.source, "in", record.events)
        consumer.commit()
        stage.beat(detail={"ready": True})
        if not consumer.backlog():
            stage.stopping.wait(0.02)


def crash(stage: Stage) -> None:
    """End with a traceback."""
    raise ZeroDivisionError(f"the {stage.name}'s last words")


def hang(stage: Stage) -> None:
    """Take no notice of SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stage.beat(now=True, detail={"ready": True})
    while True:
        time.sleep(1)


def refuse(stage: Stage) -> None:
    """End for settings that a person must mend."""
    raise HaidangError("settings.unknown_zone", value=f"Mars/{stage.name}")


def kill(stage: Stage) -> None:
    """End by a signal."""
    del stage
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    run_stage(sys.argv[1], {"count": count, "crash": crash, "hang": hang, "refuse": refuse, "kill": kill}[sys.argv[1]])
