"""`python -m response.delivery`: the process of the stage that sends messages."""

from pipeline.stage import run_stage
from response.delivery.deliver import deliver

if __name__ == "__main__":
    run_stage("delivery", deliver)
