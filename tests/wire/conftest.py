"""Nets of ZmqIo for the tests: keys in memory, everything on loopback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import zmq

from fox_hpc.wire.keys import Keys
from fox_hpc.wire.link import Handler
from fox_hpc.wire.zmq_link import ZmqDialer, ZmqIo, ZmqListener


def new_keys(owner: str) -> Keys:
    public, secret = zmq.curve_keypair()
    return Keys(owner, public.decode(), secret.decode())


class ZmqNet:
    """A net of two ZmqIos, one for each end."""

    def __init__(self, **times: float) -> None:
        self.server, self.client = ZmqIo(**times), ZmqIo(**times)
        self.server_keys = new_keys("server")
        self.keys = {f"site-{i}": new_keys(f"site-{i}") for i in range(1, 5)}
        self.call_soon, self.call_later = self.server.call_soon, self.server.call_later

    def listen(self, handler: Handler, allowed: Mapping[str, str] | None = None) -> ZmqListener:
        if allowed is None:
            allowed = {owner: keys.public for owner, keys in self.keys.items()}
        return self.server.listen(handler, self.server_keys, allowed, host="127.0.0.1")

    def dial(self, url: str, name: str, handler: Handler, keys: Keys | None = None) -> ZmqDialer:
        if keys is None:
            keys = self.keys[name.partition(".")[0]]
        return self.client.dial(url, name, handler, keys, self.server_keys.public)

    def wait_for(self, changed: Any, ready: Any, timeout: float | None = None, /) -> bool:
        return self.client.wait_for(changed, ready, timeout)

    def close(self) -> None:
        self.client.close()
        self.server.close()


@pytest.fixture
def zmq_net() -> type[ZmqNet]:
    """Makes nets, which the test closes."""
    return ZmqNet


@pytest.fixture
def net() -> Iterator[ZmqNet]:
    """One net, closed after the test."""
    made = ZmqNet()
    yield made
    made.close()


@pytest.fixture
def quick() -> Iterator[ZmqNet]:
    """One net that takes a peer for dead after 0.6 s."""
    made = ZmqNet(heartbeat_s=0.2, dead_after_s=0.6)
    yield made
    made.close()
