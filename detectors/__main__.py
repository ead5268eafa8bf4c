"""`python -m detectors`: the process of the detectors' stage."""

import argparse
from pathlib import Path

from detectors.detect import detect
from pipeline.stage import run_stage


def main() -> None:
    """Run with the site's rules, or, for an import with its own, with other rules on one source."""
    parser = argparse.ArgumentParser("detectors")
    parser.add_argument("--name", default="detectors", help="name of this consumer")
    parser.add_argument("--rules", type=Path, action="append", help="folder of Sigma rules instead of the site's")
    parser.add_argument("--source", help="read the events of this source only")
    parser.add_argument(
        "--start", type=_place, action="append", help="PARTITION:OFFSET to start at where there is no position yet"
    )
    chosen = parser.parse_args()
    start = dict(chosen.start) if chosen.start else None
    run_stage(chosen.name, lambda stage: detect(stage, chosen.rules or (), chosen.source, start))


def _place(text: str) -> tuple[int, int]:
    partition, _, offset = text.partition(":")
    return int(partition), int(offset)


if __name__ == "__main__":
    main()
