"""The store: events enter, what a search asks leaves.

One contract, implementations beside it (`tantivy_*.py` embedded, `elastic_*.py`), one contract suite
(`tests/contract/store.py`). Requests and answers are Elasticsearch's JSON, in the subset that `request.py` (body),
`query.py` (query DSL), `query_string.py` (Lucene-style text) and `aggregations.py` name; see `docs/search.md`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pipeline.event import Event
from pipeline.messages import HaidangError
from pipeline.settings import Store as StoreSettings
from pipeline.store.document import Document

#: The two collections: events by the day they happened, alerts as the queue holds them.
EVENTS = "events"
ALERTS = "alerts"
#: Both of them: what `Reader.search` looks at together.
BOTH = f"{EVENTS},{ALERTS}"
#: Where canaries are written; no search looks there.
CANARIES = "canaries"


#: Types of fields: times, values compared as texts (truth values too), numbers, and lines searched by their words.
DATE, KEYWORD, NUMBER, TEXT = "date", "keyword", "number", "text"


class SearchError(HaidangError):
    """A request that the store cannot answer; nothing is wrong with the store."""


class Refusal(NamedTuple):
    """A line that cannot be stored, and why."""

    line: bytes
    reason: str


class Added(NamedTuple):
    """What became of documents beside being added: how many were there already, and those that are no valid events."""

    repeated: int = 0
    refused: tuple[Refusal, ...] = ()


class Index(NamedTuple):
    """A day or month of events: its name, the latest that it can hold or took in (µs since 1970), its size in bytes."""

    name: str
    latest: int
    size: int


class Field(NamedTuple):
    """A field that some event has, and the type of its values; where they are of several types, that of its name."""

    name: str
    type: str


class Writer(Protocol):
    """The one writing end. What was added is searchable after `commit`, and only then safe."""

    def add(self, collection: str, documents: Sequence[Document]) -> Added:
        """Add events; one whose `event.id` is there already replaces it (alerts) or changes nothing (events)."""

    def commit(self) -> None:
        """Make everything added so far durable and searchable."""

    def indexes(self) -> list[Index]:
        """Return the indexes of events, the oldest first."""

    def remove(self, name: str) -> None:
        """Delete an index of events."""

    def prove(self, documents: Sequence[Document]) -> set[str]:
        """Write canaries as events are written, durably, but where no search looks; return the ids found again."""

    def close(self) -> None:
        """Commit and let go."""


class Reader(Protocol):
    """A reading end; any number of them. Sees the last commit."""

    def search(self, collection: str, body: dict[str, Any]) -> dict[str, Any]:
        """Answer a search body with Elasticsearch's response JSON; `collection` may be `BOTH`.

        Raises:
            SearchError: the body is not of the subset; the text says where and what is expected.
        """

    def get(self, collection: str, identifier: str) -> Event | None:
        """Return the event with this `event.id`, or None."""

    def lines(self, collection: str, query: Any, newest: bool = False) -> Iterator[list[bytes]]:
        """Yield the JSON lines of every event that fits a query, the oldest (or newest) first, some thousands together.

        The query is of the DSL, or a condition of `query.py`. However many there are: no window ends it. Of one
        microsecond they come in no particular order; what is written meanwhile may be missing.

        Raises:
            SearchError: as `search`.
        """

    def fields(self, collection: str) -> list[Field]:
        """Return every field that the collection knows, by name; one that only deleted events had may be among them."""

    def close(self) -> None:
        """Release files."""


def open_writer(data_dir: Path, settings: StoreSettings) -> Writer:
    """Open the writing end that the settings name (embedded: Tantivy indexes under `data_dir`)."""
    if settings.kind == "elasticsearch":
        from pipeline.store.elastic_writer import ElasticWriter

        return ElasticWriter(settings)
    from pipeline.store.tantivy_writer import TantivyWriter

    return TantivyWriter(data_dir / "index", memory_bytes=settings.memory_mb * 1_000_000)


def open_reader(data_dir: Path, settings: StoreSettings) -> Reader:
    """Open a reading end of the store that the settings name."""
    if settings.kind == "elasticsearch":
        from pipeline.store.elastic_reader import ElasticReader

        return ElasticReader(settings)
    from pipeline.store.tantivy_reader import TantivyReader

    return TantivyReader(data_dir / "index")
