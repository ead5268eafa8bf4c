"""A filter as tcpdump writes it enters, a program for the kernel leaves: packets that it does not take cost nothing.

The kernel runs classic BPF (Linux, Documentation/networking/filter.rst); libpcap compiles it, found by scapy.
"""

import ctypes
import socket
from struct import pack

from pipeline.messages import HaidangError

_SO_ATTACH_FILTER = 26
#: Instructions of a classic program (BPF_MAXINSNS).
_MOST = 4096


def compiled(expression: str) -> bytes:
    """Return the program of a filter for Ethernet.

    Raises:
        HaidangError: it is no filter, or libpcap is not installed.
    """
    try:
        from scapy.arch.common import compile_filter  # 0.3 s, and libpcap: only where somebody filters
        from scapy.error import Scapy_Exception
    except ImportError as error:
        raise HaidangError("collectors.no_libpcap", filter=expression) from error
    try:
        program = compile_filter(expression, linktype=1)
    except (OSError, ImportError) as error:
        raise HaidangError("collectors.no_libpcap", filter=expression) from error
    except Scapy_Exception as error:
        raise HaidangError("collectors.bad_filter", filter=expression, fault=error) from error
    if not 0 < program.bf_len <= _MOST:
        raise HaidangError("collectors.bad_filter", filter=expression, fault=program.bf_len)
    return ctypes.string_at(program.bf_insns, program.bf_len * 8)


def attach(to: socket.socket, program: bytes) -> None:
    """Have the kernel ask the program of each packet.

    Raises:
        OSError: the kernel does not take it.
    """
    held = ctypes.create_string_buffer(program, len(program))
    to.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pack("HxxxxxxP", len(program) // 8, ctypes.addressof(held)))
