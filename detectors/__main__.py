"""`python -m detectors`: the process of the detectors' stage."""

import argparse
from pathlib import Path

from detectors.detect import detect, rule_folders
from pipeline.stage import run_stage


def main() -> None:
    """Run with the site's rules, or, for an import with its own, with other rules on one source."""
    parser = argparse.ArgumentParser("detectors")
    parser.add_argument("--name", default="detectors", help="name of this consumer")
    parser.add_argument("--rules", type=Path, action="append", help="folder of Sigma rules instead of the site's")
    parser.add_argument("--source", help="read the events of this source only")
    parser.add_argument("--start", type=int, help="offset to start at where there is no position yet")
    chosen = parser.parse_args()
    run_stage(
        chosen.name,
        lambda stage: detect(stage, chosen.rules or rule_folders(stage.settings), chosen.source, chosen.start),
    )


if __name__ == "__main__":
    main()
