"""`python -m response`: the process of the response stage."""

from pipeline.stage import run_stage
from response.queue import queue_alerts

if __name__ == "__main__":
    run_stage("response", queue_alerts)
