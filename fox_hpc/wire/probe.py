"""Which of several addresses of a peer can be reached from here."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import zmq
import zmq.utils.monitor

from ..errors import LinkClosed, NotAllowed
from .keys import Keys

_EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH


def first_reachable(urls: Sequence[str], keys: Keys, server_key: str, *, timeout_s: float = 30.0) -> str:
    """Dial all addresses at once and return the first whose CURVE handshake succeeds.

    The handshake proves the peer's key, so that a stranger who listens on the same address loses.

    Raises:
        LinkClosed: none answered within `timeout_s`; names every address that was tried.
        NotAllowed: all that answered refused this key.
    """
    probe = _Probe(keys, server_key)
    try:
        for url in dict.fromkeys(urls):
            probe.dial(url)
        return probe.first(time.monotonic() + timeout_s)
    finally:
        probe.close()


class _Probe:
    def __init__(self, keys: Keys, server_key: str) -> None:
        self._keys, self._server_key = keys, server_key
        self._context = zmq.Context()
        self._poller = zmq.Poller()
        self._dialled: dict[Any, tuple[str, Any]] = {}
        self._wrong: list[str] = []
        self._refused: set[str] = set()

    def dial(self, url: str) -> None:
        socket = self._context.socket(zmq.DEALER)
        monitor = socket.get_monitor_socket(_EVENTS)
        self._dialled[monitor] = url, socket
        self._poller.register(monitor, zmq.POLLIN)
        socket.linger = 0
        socket.ipv6 = "[" in url
        socket.curve_secretkey = self._keys.secret.encode()
        socket.curve_publickey = self._keys.public.encode()
        socket.curve_serverkey = self._server_key.encode()
        try:
            socket.connect(url)
        except zmq.ZMQError as error:
            # One name that this node does not know leaves the other addresses.
            self._wrong.append(f"{url} ({error})")

    def first(self, deadline: float) -> str:
        while len(self._refused) + len(self._wrong) < len(self._dialled):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            for monitor, _ in self._poller.poll(math.ceil(left_s * 1000)):
                url = self._dialled[monitor][0]
                event = zmq.utils.monitor.recv_monitor_message(monitor)
                if event["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    return url
                self._refused.add(url)
        if self._refused:
            raise NotAllowed(f"{', '.join(sorted(self._refused))} refused the key of {self._keys.owner}")
        tried = ", ".join([url for url, _ in self._dialled.values()]) or "no address at all"
        wrong = f"; no addresses: {', '.join(self._wrong)}" if self._wrong else ""
        raise LinkClosed(
            f"no answer from any of {tried}{wrong}: is a firewall between this node and the login node?"
        )

    def close(self) -> None:
        for monitor, (_, socket) in self._dialled.items():
            socket.disable_monitor()
            monitor.close(0)
            socket.close(0)
        self._context.term()
