"""`python -m pipeline.store`: the one process that writes the store."""

from pipeline.stage import run_stage
from pipeline.store.indexer import index_topics

if __name__ == "__main__":
    run_stage("store", index_topics)
