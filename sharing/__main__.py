"""`python -m sharing`: the process of the stage that shares threat data."""

from pipeline.stage import run_stage
from sharing.share import share

if __name__ == "__main__":
    run_stage("sharing", share)
