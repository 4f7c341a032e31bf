"""Ending without loss: a listening socket that hears of no new connection."""

from __future__ import annotations

import socket
import sys

import pytest

from services.api.deaf import deafen


@pytest.mark.skipif(sys.platform != "linux", reason="socket filters are Linux's")
def test_what_is_connected_stays_so_and_nothing_new_comes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        with socket.create_connection(address) as queued:
            deafen(listening)
            with pytest.raises(TimeoutError):
                socket.create_connection(address, timeout=0.2)
            queued.sendall(b"request")
            accepted, _ = listening.accept()
            with accepted:
                assert accepted.recv(16) == b"request"
                accepted.sendall(b"answer")
            assert queued.recv(16) == b"answer"
            listening.setblocking(False)
            with pytest.raises(BlockingIOError):
                listening.accept()
