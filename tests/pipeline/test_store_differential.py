"""The embedded store against the oracle."""

from collections.abc import Iterator

import pytest

from pipeline.event import Event
from pipeline.store import Reader
from pipeline.store.tantivy_reader import TantivyReader
from pipeline.store.tantivy_writer import TantivyWriter
from tests.contract.differential import DifferentialSuite, sample
from tests.contract.store import put


@pytest.fixture(scope="module")
def reader_of_sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Reader, list[Event]]]:
    folder, events = tmp_path_factory.mktemp("store"), sample(150)
    writer = TantivyWriter(folder, 20_000_000)
    put(writer, *events)
    writer.close()
    reader = TantivyReader(folder)
    yield reader, events
    reader.close()


class TestTantivyAgainstTheOracle(DifferentialSuite):
    pass
