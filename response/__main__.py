"""`python -m response`: the process of the response stage."""

from pipeline.stage import run_stage
from response.queue import queue_alerts
from response.watch import Watch

if __name__ == "__main__":
    run_stage("response", lambda stage: queue_alerts(stage, Watch(stage).look))
