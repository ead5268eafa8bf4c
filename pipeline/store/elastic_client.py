"""The connection to Elasticsearch: settings enter, a client leaves, and its errors as ours."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from elastic_transport import ConnectionTimeout, TransportError
from elasticsearch import ApiError, Elasticsearch

from pipeline.messages import HaidangError, Unavailable
from pipeline.settings import Store

# What the library tells of a node that is away, with tracebacks, is told by us in one line.
logging.getLogger("elastic_transport").setLevel(logging.ERROR)

#: How long an answer is waited for, in seconds.
_ANSWER_SECONDS = 60
#: Answers that mean "not now" (the HTTP status codes of RFC 9110, section 15).
_NOT_NOW = frozenset((408, 429, 500, 502, 503, 504))


def connect(settings: Store) -> Elasticsearch:
    """Return a client of the cluster that the settings name; nothing is asked of it yet."""
    options: dict[str, Any] = {"request_timeout": _ANSWER_SECONDS, "retry_on_timeout": False, "max_retries": 1}
    if settings.ca is not None:
        options["ca_certs"] = str(settings.ca)
    if settings.api_key.get_secret_value():
        options["api_key"] = settings.api_key.get_secret_value()
    elif settings.username:
        options["basic_auth"] = (settings.username, settings.password.get_secret_value())
    try:
        return Elasticsearch(settings.urls, **options)
    except (ValueError, OSError) as error:  # an address without a port, a certificate that is none
        raise HaidangError("store.bad_address", urls=", ".join(settings.urls), fault=error) from error


@contextmanager
def answers(settings: Store) -> Iterator[None]:
    """Turn the client's errors within the block into ours.

    Raises:
        Unavailable: no node answers, or the answer is that it cannot now.
        HaidangError: it refuses us.
    """
    urls = ", ".join(settings.urls)
    try:
        yield
    except (TransportError, ConnectionTimeout) as error:
        raise Unavailable("store.no_answer", urls=urls, fault=error.message) from error
    except ApiError as error:
        if error.meta.status in _NOT_NOW:
            raise Unavailable("store.no_answer", urls=urls, fault=f"{error.meta.status} {error.message}") from error
        if error.meta.status in (401, 403):
            raise HaidangError("store.no_right", urls=urls, fault=error.message) from error
        raise
