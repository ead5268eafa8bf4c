"""Listening for TCP: connections send at once, and an address in use is said."""

import socket

import pytest

from pipeline.listener import tcp_listener


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_connections_send_at_once(host: str) -> None:
    with tcp_listener(host, 0, 10) as listener, socket.create_connection(listener.getsockname()[:2]):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_an_address_in_use_is_said() -> None:
    with tcp_listener("127.0.0.1", 0, 10) as listener, pytest.raises(OSError, match="in use"):
        tcp_listener("127.0.0.1", listener.getsockname()[1], 10)
