"""`python -m api`: the process of the API."""

from api.serve import serve
from pipeline.stage import run_stage

if __name__ == "__main__":
    run_stage("api", serve)
