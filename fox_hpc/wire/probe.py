"""Which of several addresses of a peer can be reached from here."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from typing import Any

import zmq

from ..errors import LinkClosed, NotAllowed
from .keys import Keys
from .zmq_monitor import read_event

_EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)
#: What answered in another language is tried again after so long: perhaps a byte was hurt.
AGAIN_S = 0.5


def first_reachable(
    urls: Sequence[str], keys: Keys, server_key: str, *, timeout_s: float = 30.0, handshake_s: float = 5.0
) -> str:
    """Dial all addresses at once and return the first whose CURVE handshake succeeds.

    The handshake proves the peer's key, so that a stranger who listens on the same address loses. One that
    takes longer than `handshake_s` is begun anew.

    Raises:
        LinkClosed: none answered within `timeout_s`; names every address that was tried.
        NotAllowed: all that answered refused this key.
    """
    probe = _Probe(keys, server_key, handshake_s)
    try:
        for url in dict.fromkeys(urls):
            probe.dial(url)
        return probe.first(time.monotonic() + timeout_s)
    finally:
        probe.close()


class _Probe:
    def __init__(self, keys: Keys, server_key: str, handshake_s: float) -> None:
        self._keys, self._server_key, self._handshake_s = keys, server_key, handshake_s
        self._context = zmq.Context()
        self._poller = zmq.Poller()
        self._dialled: dict[Any, tuple[str, Any]] = {}
        self._wrong: list[str] = []
        self._refused: set[str] = set()
        #: Sockets that libzmq has given up, and when to dial with them again.
        self._again: dict[Any, float] = {}

    def dial(self, url: str) -> None:
        socket = self._context.socket(zmq.DEALER)
        monitor = socket.get_monitor_socket(_EVENTS)
        self._dialled[monitor] = url, socket
        self._poller.register(monitor, zmq.POLLIN)
        socket.linger = 0
        socket.handshake_ivl = int(self._handshake_s * 1000)
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
            now = time.monotonic()
            if now >= deadline:
                break
            self._dial_again(now)
            wait_s = min([deadline, *self._again.values()]) - now
            for monitor, _ in self._poller.poll(math.ceil(wait_s * 1000)):
                url = self._dialled[monitor][0]
                event, _ = read_event(monitor)
                if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    return url
                if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                    self._refused.add(url)
                else:
                    self._again[monitor] = time.monotonic() + AGAIN_S
        if self._refused:
            raise NotAllowed(f"{', '.join(sorted(self._refused))} refused the key of {self._keys.owner}")
        tried = ", ".join([url for url, _ in self._dialled.values()]) or "no address at all"
        wrong = f"; no addresses: {', '.join(self._wrong)}" if self._wrong else ""
        raise LinkClosed(
            f"no answer from any of {tried}{wrong}: is a firewall between this node and the login node?"
        )

    def _dial_again(self, now: float) -> None:
        for monitor in [monitor for monitor, at in self._again.items() if at <= now]:
            del self._again[monitor]
            url, socket = self._dialled[monitor]
            with contextlib.suppress(zmq.ZMQError):
                socket.disconnect(url)
            socket.connect(url)

    def close(self) -> None:
        for monitor, (_, socket) in self._dialled.items():
            socket.disable_monitor()
            monitor.close(0)
            socket.close(0)
        self._context.term()
