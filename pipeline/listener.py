"""An address enters, a socket that listens there for TCP leaves."""

import socket


def tcp_listener(host: str, port: int, backlog: int) -> socket.socket:
    """Return a listening socket.

    Its connections send at once (TCP_NODELAY, which they have from it): asyncio sets that only where a socket says that
    it is TCP, and without it each answer on a connection that stays open waits 40 ms for an acknowledgement.

    Raises:
        OSError: it cannot be listened there.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
        listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    return listener
