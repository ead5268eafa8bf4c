"""The program's own log: what a stage says enters, JSON lines in `logs/<stage>.log` leave (rotated, at most 40 MB)."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

import structlog

_FILE_BYTES = 10_000_000
_OLD_FILES = 3


def start_log(data_dir: Path, stage: str, level: str) -> None:
    """Send this process's log to its file."""
    logging.raiseExceptions = False  # a log that cannot be written (a full disk) is nobody's fault here
    folder = data_dir / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(
        folder / f"{stage}.log", maxBytes=_FILE_BYTES, backupCount=_OLD_FILES, encoding="utf-8"
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for talkative in ("alembic", "uvicorn"):
        logging.getLogger(talkative).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def remembered(data_dir: Path, event: str, name: str) -> list[str]:
    """Return what the logs of this machine that are still there say under a name of an event, in no order."""
    found = set()
    for file in (data_dir / "logs").glob("*.log*"):
        with file.open("rb") as lines:
            for line in lines:
                if event.encode() in line:
                    with suppress(ValueError):
                        said = json.loads(line)
                        if said.get("event") == event:
                            found.add(str(said.get(name)))
    return sorted(found)


@contextmanager
def unlogged() -> Iterator[None]:
    """Log nothing: a command tells itself what went wrong, and its standard output is for what it was asked for."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


def log(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
