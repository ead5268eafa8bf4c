"""The vectors beside a rule of ours enter; events leave, those of lines decoded as a source without settings reads them."""

from dataclasses import dataclass
from pathlib import Path

from collectors.decoders.pasted import decode_pasted
from detectors.rulebook import vectors
from pipeline.event import Event


@dataclass(frozen=True)
class Vectors:
    """What a rule must fire on, and what it must not."""

    hits: list[Event]
    misses: list[Event]


def read_vectors(path: Path) -> Vectors:
    """The vectors of a rule's file."""
    text = path.with_suffix(".test.yml").read_text(encoding="utf-8")
    return Vectors(**vectors.read_vectors(text, decode_pasted))
