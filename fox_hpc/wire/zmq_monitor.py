"""What a socket's monitor says. pyzmq's own reader would load asyncio in every relay and worker.

Source: zmq_socket_monitor(3).
"""

from __future__ import annotations

import struct
from typing import Any

_EVENT = struct.Struct("=Hi")


def read_event(monitor: Any) -> tuple[int, int]:
    """Receive the next event from a monitor's socket.

    Returns:
        The event, and its value: a descriptor, an error's number, or what else the manual says.
    """
    event, _ = monitor.recv_multipart()
    kind, value = _EVENT.unpack(event)
    return kind, value
