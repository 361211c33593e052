"""Which of several addresses of a peer can be reached from here."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import zmq
import zmq.utils.monitor

from ..errors import LinkClosed
from .keys import Keys


def first_reachable(urls: Sequence[str], keys: Keys, server_key: str, *, timeout_s: float = 30.0) -> str:
    """Dial all addresses at once and return the first whose CURVE handshake succeeds.

    The handshake proves the peer's key, so that a stranger who listens on the same address loses.

    Raises:
        LinkClosed: none answered within `timeout_s`; names every address that was tried.
    """
    context = zmq.Context()
    poller = zmq.Poller()
    tried: dict[zmq.Socket[bytes], tuple[str, zmq.Socket[bytes]]] = {}
    try:
        for url in urls:
            socket = context.socket(zmq.DEALER)
            socket.linger = 0
            socket.ipv6 = "[" in url
            socket.curve_secretkey, socket.curve_publickey = keys.secret.encode(), keys.public.encode()
            socket.curve_serverkey = server_key.encode()
            monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
            tried[monitor] = (url, socket)
            poller.register(monitor, zmq.POLLIN)
            socket.connect(url)
        return _first(poller, tried, time.monotonic() + timeout_s)
    finally:
        for monitor, (_, socket) in tried.items():
            socket.disable_monitor()
            monitor.close(0)
            socket.close(0)
        context.term()


def _first(
    poller: zmq.Poller, tried: dict[zmq.Socket[bytes], tuple[str, zmq.Socket[bytes]]], deadline: float
) -> str:
    while (left_s := deadline - time.monotonic()) > 0:
        for monitor, _ in poller.poll(math.ceil(left_s * 1000)):
            zmq.utils.monitor.recv_monitor_message(monitor)
            return tried[monitor][0]
    urls = ", ".join(url for url, _ in tried.values())
    raise LinkClosed(f"no answer from any of {urls}: is a firewall between this node and the login node?")
