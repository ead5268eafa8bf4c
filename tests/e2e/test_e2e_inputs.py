"""Inputs of every kind enter a running pipeline; what comes out is asked with the commands that users have."""

import socket
import ssl

import pytest

from tests.e2e.conftest import Site

pytestmark = pytest.mark.slow


def test_datagrams_and_streams_become_searchable_events(site: Site) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(
            "<38>Nov 24 12:00:00 may-chu sshd[7]: dgram Cộng hòa xã hội".encode(), ("127.0.0.1", site.port("udp"))
        )
    with socket.create_connection(("127.0.0.1", site.port("tcp"))) as tcp:
        counted = "<38>1 2026-11-24T05:17:44Z may-chu app - - - stream đếm".encode()
        tcp.sendall(b"<38>1 2026-11-24T05:17:44Z may-chu app - - - stream line\n%d %b" % (len(counted), counted))
    trusting = ssl.create_default_context(cafile=str(site.certificate))
    with (
        socket.create_connection(("127.0.0.1", site.port("tls"))) as raw,
        trusting.wrap_socket(raw, server_hostname="localhost") as tls,
    ):
        tls.sendall(b"<38>1 2026-11-24T05:17:44Z may-chu app - - - stream tls\n")
    site.await_count("dgram", 1)
    site.await_count("stream", 3)
    assert site.search("dgram")[0]["message"] == "dgram Cộng hòa xã hội"
