"""`python -m collectors`: the process of the collectors' stage."""

from collectors.collect import collect
from pipeline.stage import run_stage

if __name__ == "__main__":
    run_stage("collectors", collect)
