"""A listening socket that hears of no new connection, while those that are being made still come through.

A listening socket cannot be closed without loss by ordinary means: between the last `accept` and `close`
another connection may be made, which the kernel then resets, perhaps with a request on it. A socket filter
drops the first segment (SYN) of whatever comes; its sender tries again after a second, and is refused or
finds the next service.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys

_SO_ATTACH_FILTER = 26
# Classic BPF (linux/filter.h) on the TCP header: code, jump if true, jump if false, operand.
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte of the flags
    (0x45, 0, 1, 0x02),  # SYN?
    (0x06, 0, 0, 0),  # then take nothing of it
    (0x06, 0, 0, 0xFFFFFFFF),  # else all
)


def deafen(listening: socket.socket) -> None:
    """Have a listening socket hear of no new connection. On systems other than Linux nothing happens.

    Source: socket(7), SO_ATTACH_FILTER; connections that were made before are not filtered.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _DROP_SYN))
    described = struct.pack("HL", len(_DROP_SYN), ctypes.addressof(program))
    listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)
